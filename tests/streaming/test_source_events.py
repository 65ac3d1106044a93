import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adgram.core.catalogue import Creative, Item, Offer
from adgram.core.errors import InvalidEvent
from adgram.core.event import SOURCE_TYPES, Event, Stop, StopScope, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.core.money import Money
from adgram.core.request import AdFormat, Size
from adgram.proto import events

LIMIT = 10_000


def _payload(**changes):
    envelope = {"event_id": "e", "event_time": 5, "key": "a", "value": {"item_id": "a", "title": "t"}}
    return msgspec.json.encode({**envelope, **changes})


def _reason(payload, topic=Topic.ITEMS):
    with pytest.raises(InvalidEvent) as error:
        events.decode(topic, payload, LIMIT)
    return error.value


def test_an_event_comes_back_as_it_was_sent():
    """Encoding and decoding give the same event for a value of each kind that nests others."""
    creative = Creative("c", "a", "k", AdFormat.BANNER, Size(3, 4), "题", "文", "https://x", "x", ("IAB1",), "rain")
    sent = [
        (Topic.ITEMS, Event("1", 5, "a", Item("a", "t", ("x", "y"), popularity=2.5))),
        (Topic.OFFERS, Event("2", 5, "a", Offer("a", Money(5, "CNY"), 3))),
        (Topic.CREATIVES, Event("3", 5, "c", creative)),
        (Topic.FEEDBACK, Event("4", 5, "u", Feedback(FeedbackKind.CLICK, "u", "a"))),
        (Topic.ITEMS, Event("5", 5, "a", None)),
    ]
    assert [events.decode(topic, events.encode(event), LIMIT) for topic, event in sent] == [one for _, one in sent]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (None, "empty"),
        (b"{", "not-json"),
        (b"\xff\xfe{}", "wrong-encoding"),
        (b'{"event_id": "\xff"}', "wrong-encoding"),
        (b"[]", "wrong-schema"),
        (b" " * (LIMIT + 1), "oversized"),
        (_payload(event_time="now"), "wrong-schema"),
        (_payload(event_time=0), "wrong-value"),
        (_payload(key=""), "missing-key"),
        (_payload(event_id=""), "missing-key"),
        (_payload(key="b"), "wrong-key"),
        (_payload(key="k" * 300), "oversized"),
        (_payload(value={"item_id": "a"}), "wrong-schema"),
    ],
)
def test_a_bad_event_is_refused_with_its_reason(payload, reason):
    """Each way of being wrong has a short stable name to be counted by."""
    assert _reason(payload).reason == reason


def test_a_schema_error_names_the_path():
    """The message leads to the field that is wrong."""
    value = {"item_id": "a", "price": {"micros": "1", "currency": "CNY"}, "stock": 1}
    assert "$.value.price.micros" in str(_reason(_payload(value=value), Topic.OFFERS))


def test_an_envelope_without_a_value_is_no_deletion():
    """Deleting must be said: a missing value is a schema error, a null one deletes."""
    assert _reason(b'{"event_id": "e", "event_time": 5, "key": "a"}').reason == "wrong-schema"
    assert events.decode(Topic.ITEMS, _payload(value=None), LIMIT).value is None


def test_feedback_of_a_person_is_keyed_by_that_person():
    """Under another key the event would land in a shard that does not hold the user."""
    payload = _payload(key="x", value={"kind": "click", "user_key": "u", "item_id": "a"})
    assert _reason(payload, Topic.FEEDBACK).reason == "wrong-key"


@given(st.binary(max_size=200), st.sampled_from(sorted(SOURCE_TYPES)))
def test_no_bytes_do_worse_than_an_invalid_event(payload, topic):
    """Whatever a record holds, decoding gives an event or InvalidEvent."""
    try:
        events.decode(topic, payload, LIMIT)
    except InvalidEvent as error:
        assert error.reason


@pytest.mark.parametrize(
    ("topic", "change", "reason"),
    [
        (Topic.OFFERS, {"stock": 10**26}, "wrong-value"),
        (Topic.OFFERS, {"price": {"micros": -1, "currency": "CNY"}}, "wrong-value"),
        (Topic.CREATIVES, {"size": {"width": 3_000_000_000, "height": 1}}, "wrong-value"),
        (Topic.CAMPAIGNS, {"schedule": {"hours": [64]}}, "wrong-value"),
        (Topic.CAMPAIGNS, {"schedule": {"hours": [-1]}}, "wrong-value"),
        (Topic.FEEDBACK, {"item_id": "x" * 5_000}, "oversized"),
    ],
)
def test_values_that_no_memory_could_hold_are_refused(topic, change, reason):
    """The right type is not enough: what would break a fold or a column is a dead letter with its reason."""
    money = {"micros": 1, "currency": "CNY"}
    values = {
        Topic.OFFERS: {"item_id": "a", "price": money, "stock": 1},
        Topic.CREATIVES: {
            "creative_id": "a", "item_id": "i", "campaign_id": "c", "format": "banner", "title": "t", "text": "x",
            "size": {"width": 1, "height": 1}, "landing_page": "https://x", "adomain": "x",
        },
        Topic.CAMPAIGNS: {
            "campaign_id": "a", "advertiser_id": "v", "objective": "click", "bid": money, "daily_budget": money,
        },
        Topic.FEEDBACK: {"kind": "click", "user_key": "a", "item_id": "i"},
    }  # fmt: skip
    good = values[topic]
    assert events.decode(topic, _payload(key="a", value=good), LIMIT).key == "a"
    assert _reason(_payload(key="a", value=good | change), topic).reason == reason


def test_a_bottomless_event_is_refused():
    """Nesting beyond any parser's stack is an invalid event, and an invalid stop."""
    bottomless = b'{"x":' + b"[" * 9_000
    assert _reason(bottomless).reason == "not-json"
    assert events.decode_stop(bottomless) is None


def test_a_stop_survives_its_wire_and_garbage_is_passed_over():
    """A malformed stop must not keep a good one from being seen."""
    stop = Stop(StopScope.ADVERTISER, "a1", "fraud", 7)
    assert events.decode_stop(events.encode_stop(stop)) == stop
    assert events.decode_stop(b"nonsense") is None
    assert events.decode_stop(b"\xff") is None
