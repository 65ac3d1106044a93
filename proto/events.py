"""Source events and stops as JSON: `{"event_id", "event_time", "key", "value": {…} | null}`, values typed by topic."""

from typing import Any

import msgspec

from ..core.catalogue import Creative, Offer
from ..core.errors import InvalidEvent
from ..core.event import SOURCE_TYPES, Event, Stop, Topic
from ..core.feedback import Feedback, FeedbackKind

MAX_KEY_BYTES = 256  # keys become part of a row's id in every store

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
    except (msgspec.DecodeError, UnicodeDecodeError):
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
    if isinstance(event.value, Offer) and event.value.price.micros < 0:
        raise InvalidEvent(
            "wrong-value", f"$.value.price.micros is {event.value.price.micros}; a price is not negative"
        )
