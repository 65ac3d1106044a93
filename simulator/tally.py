"""What happened in a simulation, request by request."""

from dataclasses import dataclass, field

from ..core.feedback import FeedbackKind


@dataclass(frozen=True, slots=True)
class BidRecord:
    """One bid and its fate. Prices are per mille; `fault` is what an exchange would refuse it for, "" for nothing."""

    bid_id: str
    item_id: str
    creative_id: str
    campaign_id: str
    theme: str
    price_micros: int
    won: bool
    clearing_micros: int
    loss_reason: int
    fault: str


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request and its answer. `latency_ms` is from sending to answer; `waited_ms` is how much later than due it
    was sent, because too many were in flight. `error` is why there was no answer at all, "" where there was one."""

    request_id: str
    event_time: int
    place_id: str
    reserve_micros: int
    market_price_micros: int | None
    could_fit: bool
    latency_ms: float
    waited_ms: float
    in_time: bool
    decision_id: str
    no_bid_reason: int | None
    bids: tuple[BidRecord, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class ReactionRecord:
    """Something a person did about a won impression, and what its campaign owes for it."""

    kind: FeedbackKind
    event_time: int
    place_id: str
    bid_id: str
    creative_id: str
    owed_micros: int


@dataclass(slots=True)
class Tally:
    """Grows while a simulation runs. `reactions` holds won impressions too, as kind IMPRESSION; `took_s` is real
    time."""

    currency: str
    requests: list[RequestRecord] = field(default_factory=list)
    reactions: list[ReactionRecord] = field(default_factory=list)
    notices: int = 0
    failed_notices: int = 0
    billed_micros: int = 0
    readings: int = 0
    took_s: float = 0.0
