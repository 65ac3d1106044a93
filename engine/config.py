"""What an operator may set about the engine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Settings of one bidding endpoint; times are milliseconds unless named otherwise."""

    currency: str = "CNY"  # of campaigns and bids; requests in another one get no bid, since nothing converts
    default_timeout_ms: int = 50  # where an exchange sends no tmax
    answer_margin_ms: float = 4.0  # kept for encoding the answer and the way back
    fallback_margin_ms: float = 10.0  # kept for the fallback tier, so that a late model still leaves an answer
    candidates: int = 48  # asked of the proposer per impression
    considered_ads: int = 96  # judged and priced per tier at most
    exploration: float = 0.02  # share of decisions that pick evenly among the best eligible ads
    exploration_width: int = 5  # how many of the best those choose among
    serve_under_review: bool = False  # whether a verdict of REVIEW may be shown
    trust_event_time: bool = False  # take the event time from the request's ext: simulations and replays only
    notice_base: str = "adgram:"  # what nurl, burl and lurl start with
    reservation_ttl_s: int = 600  # a bid without any notice frees its money after this
    charge_on: str = "billing"  # the notice that spends the money: "billing" or "win"
    trail_segment_bytes: int = 32_000_000  # of one file of decision records, about 3,000 decisions
    trail_segments: int = 8  # older decision records leave the disk; Kafka keeps its own retention
    record_queue: int = 4_096  # decision records waiting to be written; beyond, they are counted and dropped
