"""The figures of a simulation, from its tally."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ..core.feedback import FeedbackKind
from .tally import BidRecord, Tally


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from sending to answer, over all requests that were answered."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts, money in micros of `currency`, and times. Rates are None where nothing could be counted."""

    currency: str
    requests: int
    answered: int
    errors: int
    late: int
    bid_requests: int
    bids: int
    wins: int
    spend_micros: int
    revenue_micros: int
    clicks: int
    conversions: int
    visits: int
    latency: Latency
    waited_p99_ms: float
    took_s: float
    fitting: int
    fitting_bid: int
    distinct_prices: int
    faults: dict[str, int] = field(default_factory=dict)
    no_bid_reasons: dict[str, int] = field(default_factory=dict)
    loss_reasons: dict[str, int] = field(default_factory=dict)
    error_kinds: dict[str, int] = field(default_factory=dict)

    @property
    def bid_rate(self) -> float | None:
        """Share of requests that got a bid."""
        return self.bid_requests / self.requests if self.requests else None

    @property
    def win_rate(self) -> float | None:
        """Share of bids that won."""
        return self.wins / self.bids if self.bids else None

    @property
    def fitting_bid_rate(self) -> float | None:
        """Share of bids among requests for which the catalogue has a fitting creative."""
        return self.fitting_bid / self.fitting if self.fitting else None

    @property
    def click_rate(self) -> float | None:
        """Clicks per won impression."""
        return self.clicks / self.wins if self.wins else None

    @property
    def requests_per_second(self) -> float | None:
        """Requests per second of real time."""
        return self.requests / self.took_s if self.took_s else None


def summarise(tally: Tally) -> Summary:
    """The figures of a tally; an empty one gives zeros."""
    bids = [bid for request in tally.requests for bid in request.bids]
    kinds = Counter(reaction.kind for reaction in tally.reactions)
    answered = [request for request in tally.requests if not request.error]
    unanswered = Counter(request.error for request in tally.requests if request.error)
    silent = [request for request in answered if not request.bids]
    return Summary(
        currency=tally.currency,
        requests=len(tally.requests),
        answered=len(answered),
        errors=len(tally.requests) - len(answered),
        late=sum(not request.in_time for request in answered),
        bid_requests=sum(bool(request.bids) for request in tally.requests),
        bids=len(bids),
        wins=sum(bid.won for bid in bids),
        spend_micros=sum(cost_micros(bid) for bid in bids),
        revenue_micros=sum(reaction.owed_micros for reaction in tally.reactions),
        clicks=kinds[FeedbackKind.CLICK],
        conversions=kinds[FeedbackKind.CONVERSION],
        visits=kinds[FeedbackKind.VISIT],
        latency=_latency([request.latency_ms for request in answered]),
        waited_p99_ms=_quantile([request.waited_ms for request in tally.requests], 0.99),
        took_s=tally.took_s,
        fitting=sum(request.could_fit for request in tally.requests),
        fitting_bid=sum(request.could_fit and bool(request.bids) for request in tally.requests),
        distinct_prices=len({bid.price_micros for bid in bids}),
        faults=dict(Counter(bid.fault for bid in bids if bid.fault)),
        no_bid_reasons={str(reason): count for reason, count in Counter(r.no_bid_reason for r in silent).items()},
        loss_reasons={
            str(reason): count for reason, count in Counter(b.loss_reason for b in bids if not b.won).items()
        },
        error_kinds=dict(unanswered),
    )


def cost_micros(bid: BidRecord) -> int:
    """What a bid cost: its clearing price for one impression if it won, else nothing."""
    return bid.clearing_micros // 1000 if bid.won else 0


def _latency(values: list[float]) -> Latency:
    return Latency(*(_quantile(values, share) for share in (0.5, 0.95, 0.99, 1.0)))


def _quantile(values: list[float], share: float) -> float:
    return float(np.quantile(values, share)) if values else 0.0
