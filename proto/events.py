"""Source events and stops as JSON: `{"event_id", "event_time", "key", "value": {…} | null}`, values typed by topic."""

import dataclasses
from typing import Any

import msgspec

from ..core.catalogue import Creative, Schedule
from ..core.errors import InvalidEvent
from ..core.event import SOURCE_TYPES, Event, Stop, Topic
from ..core.feedback import Feedback, FeedbackKind
from ..core.money import Money
from ..core.request import Size

MAX_KEY_BYTES = 256  # keys become part of a row's id in every store
LARGEST_INTEGER = 2**62  # columns are int64, and sums of two must still fit
LONGEST_SIDE = 100_000  # pixels; no slot is near it

_ENVELOPES = {
    topic: msgspec.defstruct(
        f"{topic.name.title()}Envelope", [("event_id", str), ("event_time", int), ("key", str), ("value", kind | None)]
    )
    for topic, kind in SOURCE_TYPES.items()
}
_DECODERS: dict[Topic, msgspec.json.Decoder[Any]] = {
    topic: msgspec.json.Decoder(envelope) for topic, envelope in _ENVELOPES.items()
}
_PERSONAL = (FeedbackKind.CLICK, FeedbackKind.CONVERSION, FeedbackKind.VISIT)
_STOPS = msgspec.json.Decoder(Stop)
_ENCODER = msgspec.json.Encoder()
# Which field of the value is the row's key. Feedback is keyed by whom or what it is about, and needs none.
_KEY_FIELDS = {
    Topic.ITEMS: "item_id",
    Topic.OFFERS: "item_id",
    Topic.CREATIVES: "creative_id",
    Topic.ADVERTISERS: "advertiser_id",
    Topic.CAMPAIGNS: "campaign_id",
    Topic.ENVIRONMENT: "place_id",
    Topic.RULES: "rule_id",
}


def encode(event: Event) -> bytes:
    """The event as its topic holds it."""
    return _ENCODER.encode(event)


def encode_stop(stop: Stop) -> bytes:
    """The stop as its topic holds it."""
    return _ENCODER.encode(stop)


def decode(topic: Topic, payload: bytes | None, max_bytes: int) -> Event:
    """The event in a record of a source topic; InvalidEvent says why it is none.

    Reasons: empty, oversized, wrong-encoding, not-json, wrong-schema (with path), missing-key, wrong-key, wrong-value.
    """
    if not payload:
        raise InvalidEvent("empty", 'the record has no value; to delete a row send {"value": null} in the envelope')
    if len(payload) > max_bytes:
        raise InvalidEvent("oversized", f"{len(payload)} bytes, at most {max_bytes} are taken")
    try:
        envelope = _DECODERS[topic].decode(payload)
    except msgspec.ValidationError as error:
        raise InvalidEvent("wrong-schema", str(error)) from error
    except RecursionError as error:
        raise InvalidEvent("not-json", "nested deeper than any event is") from error
    except msgspec.DecodeError as error:
        raise InvalidEvent(_malformed(payload), str(error)) from error
    except UnicodeDecodeError as error:
        raise InvalidEvent("wrong-encoding", f"not UTF-8 at byte {error.start}") from error
    event = Event(envelope.event_id, envelope.event_time, envelope.key, envelope.value)
    _require_sound(topic, event)
    return event


def decode_stop(payload: bytes) -> Stop | None:
    """The stop in a record, None if it is none: a bad record must not keep a good stop from being seen."""
    try:
        return _STOPS.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def partition_key(topic: Topic, event: Event) -> str | None:
    """The Kafka key this event must have; None where the event alone does not tell."""
    if topic is Topic.CREATIVES:
        return event.value.item_id if isinstance(event.value, Creative) else None
    return event.key


def _malformed(payload: bytes) -> str:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return "wrong-encoding"
    return "not-json"


def _require_sound(topic: Topic, event: Event) -> None:
    if not event.event_id:
        raise InvalidEvent("missing-key", "event_id is empty; give each event its own")
    if not event.key:
        raise InvalidEvent("missing-key", "key is empty; it names the row")
    if len(event.key.encode()) > MAX_KEY_BYTES or len(event.event_id.encode()) > MAX_KEY_BYTES:
        raise InvalidEvent("oversized", f"key and event_id have at most {MAX_KEY_BYTES} bytes")
    if event.event_time <= 0:
        raise InvalidEvent("wrong-value", f"$.event_time is {event.event_time}; it is ns since 1970, UTC")
    field = _KEY_FIELDS.get(topic)
    if event.value is not None and field is not None and getattr(event.value, field) != event.key:
        raise InvalidEvent("wrong-key", f"$.key is {event.key!r}, $.value.{field} is {getattr(event.value, field)!r}")
    if (
        isinstance(event.value, Feedback)
        and event.value.kind in _PERSONAL
        and event.value.user_key not in ("", event.key)
    ):
        raise InvalidEvent("wrong-key", "$.key is not $.value.user_key, so it would miss the user's shard")
    _require_in_range(event.event_time, "$.event_time")
    _require_in_range(event.value, "$.value")


def _require_in_range(value: Any, path: str) -> None:  # noqa: PLR0912 - one case a type
    """Refuses what has the right type but no memory could hold: huge numbers and ids, negative money, hours beyond
    a day.
    """
    match value:
        case bool() | float() | None:
            return
        case int():
            if abs(value) > LARGEST_INTEGER:
                raise InvalidEvent("wrong-value", f"{path} is {value}; beyond what 64 bits hold")
        case str():
            if path.endswith(("_id", "_key")) and len(value.encode()) > MAX_KEY_BYTES:
                raise InvalidEvent("oversized", f"{path} has more than {MAX_KEY_BYTES} bytes")
        case Money(micros=micros):
            if not 0 <= micros <= LARGEST_INTEGER:
                raise InvalidEvent("wrong-value", f"{path}.micros is {micros}; money is not negative and fits 64 bits")
        case Size(width=width, height=height):
            if not (0 <= width <= LONGEST_SIDE and 0 <= height <= LONGEST_SIDE):
                raise InvalidEvent("wrong-value", f"{path} is {width}x{height}; sides go from 0 to {LONGEST_SIDE}")
        case Schedule(hours=hours) if any(not 0 <= hour < 24 for hour in hours):
            raise InvalidEvent("wrong-value", f"{path}.hours are {hours}; hours go from 0 to 23")
        case tuple():
            for index, element in enumerate(value):
                _require_in_range(element, f"{path}[{index}]")
        case _ if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                _require_in_range(getattr(value, field.name), f"{path}.{field.name}")
