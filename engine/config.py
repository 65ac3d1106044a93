"""What an operator may set about the engine."""

from dataclasses import dataclass

from ..core.errors import ConfigError


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
    newcomer_share: float = 0.0  # share of requests offered to new items first; 0 leaves them to find their own way
    newcomer_popularity: float = 0.0  # an item is new while its prior count of interactions is at most this
    newcomer_taken: float = 0.25  # of the requests offered, the share taken up: where a new item promises most
    newcomers_per_hour: int = 1_000  # bids made so at most, per hour of event time
    newcomer_prior_clicks: float = 8.0  # clicks seen or missed that weigh as much as what content says of a new item
    serve_under_review: bool = False  # whether a verdict of REVIEW may be shown
    trust_event_time: bool = False  # take the event time from the request's ext: simulations and replays only
    notice_base: str = "adgram:"  # what nurl, burl and lurl start with
    reservation_ttl_s: int = 600  # a bid without any notice frees its money after this
    charge_on: str = "billing"  # the notice that spends the money: "billing" or "win"
    trail_segment_bytes: int = 32_000_000  # of one file of decision records, about 3,000 decisions
    trail_segments: int = 8  # older decision records leave the disk; Kafka keeps its own retention
    record_queue: int = 4_096  # decision records waiting to be written; beyond, they are counted and dropped

    def __post_init__(self) -> None:
        if self.charge_on not in ("billing", "win"):
            raise ConfigError(f"engine: charge_on is {self.charge_on!r}; it must be billing or win")
        if not 0 <= self.exploration <= 1 or self.exploration_width < 1:
            raise ConfigError("engine: exploration must lie in 0 to 1, exploration_width be at least 1")
        if not 0 <= self.newcomer_share < 1 or self.newcomers_per_hour < 0 or self.newcomer_prior_clicks <= 0:
            raise ConfigError(
                "engine: newcomer_share must lie in 0 to 1 (1 excluded), newcomers_per_hour be at least 0, "
                "newcomer_prior_clicks above 0"
            )
        if not 0 < self.newcomer_taken <= 1:
            raise ConfigError("engine: newcomer_taken must lie in 0 to 1 (0 excluded)")
        sizes = (self.default_timeout_ms, self.candidates, self.considered_ads, self.trail_segments, self.record_queue)
        if min(*sizes, self.trail_segment_bytes, self.reservation_ttl_s) < 1:
            raise ConfigError("engine: timeouts, counts and sizes must be at least 1")
