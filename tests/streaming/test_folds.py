from hypothesis import given
from hypothesis import strategies as st

from adgram.core.catalogue import Item
from adgram.core.commit import Table
from adgram.core.environment import Environment, EnvironmentReading, Weather
from adgram.core.event import Event, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.streaming.folds import catalogue, environment, feedback
from adgram.streaming.folds.state import ShardState
from adgram.streaming.watermark import Watermark

FORGETTING = feedback.Forgetting()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 5), st.none() | st.sampled_from("xyz")), max_size=20))
def test_the_event_with_the_newest_time_wins_whatever_the_arrival(told):
    """A row is what its newest event says, and of two at one time what the later arrival says."""
    state, naive = ShardState(), {}
    for key, event_time, title in told:
        value = None if title is None else Item(key, title)
        catalogue.fold(state, Topic.ITEMS, Event("e", event_time, key, value))
        if event_time >= naive.get(key, (0, None))[0]:
            naive[key] = (event_time, value)
    assert state.changed == {(Table.ITEM, key): value for key, (_, value) in naive.items()}


def _click(number, event_time, user="u", kind=FeedbackKind.CLICK):
    return Event(f"e{number}", event_time, user or "nobody", Feedback(kind, user, f"i{number}"))


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 10)), max_size=150))
def test_each_interaction_counts_once_and_history_is_by_time_then_arrival(told):
    """Repeats change nothing; the history is the newest of a stable sort by event time."""
    state, seen = ShardState(), {}
    for number, event_time in told:
        feedback.fold(state, _click(number, event_time), FORGETTING)
        seen.setdefault(number, event_time)
    user = state.merged.get((Table.USER, "u"))
    in_order = [f"i{number}" for number, _ in sorted(seen.items(), key=lambda pair: pair[1])]
    assert (user.events if user else 0) == len(seen)
    if len(seen) <= feedback.HISTORY:
        assert [one.item_id for one in (user.history if user else ())] == in_order
    assert len(user.history if user else ()) <= feedback.HISTORY


def test_notices_impressions_and_nobody_leave_no_trace():
    """Only what a known person did is anybody's history."""
    state = ShardState()
    for kind in (FeedbackKind.IMPRESSION, FeedbackKind.WIN, FeedbackKind.BILLING, FeedbackKind.LOSS):
        feedback.fold(state, _click(1, 5, kind=kind), FORGETTING)
    feedback.fold(state, _click(2, 5, user=""), FORGETTING)
    assert not state.changed


def test_an_erased_user_stays_erased_for_events_from_before():
    """Erasing is a tombstone that older events do not undo, and that newer ones begin anew after."""
    state = ShardState()
    feedback.fold(state, _click(1, 5), FORGETTING)
    feedback.fold(state, Event("erase", 10, "u", None), FORGETTING)
    assert state.changed == {(Table.USER, "u"): None}
    feedback.fold(state, _click(2, 10), FORGETTING)
    assert state.changed == {(Table.USER, "u"): None}
    feedback.fold(state, _click(3, 11), FORGETTING)
    assert state.changed[Table.USER, "u"].events == 1


def _read(state, event_time, **reading):
    environment.fold(state, Event("e", event_time, "p", EnvironmentReading("p", **reading)))
    return state.merged.get((Table.ENVIRONMENT, "p"))


def test_readings_of_a_place_merge_and_late_ones_only_fill_in():
    """Each reading keeps what it does not tell; an older one never overrides, but tells what nobody has."""
    state = ShardState()
    _read(state, 10, weather=Weather.RAIN)
    _read(state, 12, crowd=2.0)
    assert _read(state, 11, weather=Weather.SUN, temperature_c=3.0) == Environment("p", Weather.RAIN, 3.0, 2.0, (), 12)
    assert _read(state, 13, weather=Weather.SUN).weather is Weather.SUN


def test_nothing_is_believed_longer_than_its_source_said():
    """The merged row expires with its first part, and what had expired is forgotten at the next reading."""
    state = ShardState()
    assert _read(state, 10, weather=Weather.RAIN, expires=20).expires == 20
    assert _read(state, 11, crowd=2.0, expires=30).expires == 20
    assert _read(state, 12, weather=Weather.SUN, expires=40).expires == 20
    after = _read(state, 25, crowd=1.0, expires=50)
    assert (after.weather, after.crowd, after.expires) == (Weather.UNKNOWN, 1.0, 50)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 100)), max_size=40))
def test_a_watermark_never_falls_and_keeps_its_distance(told):
    """It stays `lateness` behind the newest event seen here or, when idle, anywhere."""
    watermark, newest, before = Watermark(lateness_ns=10), 10, 0
    for idle, event_time in told:
        watermark.idle(event_time) if idle else watermark.observe(event_time)
        newest = max(newest, event_time)
        assert before <= watermark.value <= max(newest - 10, 0)
        before = watermark.value
    assert watermark.value == (newest - 10 if told else 0)
