"""Collects what happens to one request, and closes it into the decision and its record."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..core.clock import Clock, elapsed_ms
from ..core.decision import (
    Bid,
    ChosenAd,
    ConsideredAd,
    Decision,
    DecisionRecord,
    NoBidReason,
    PricedAd,
    Proposal,
    Rejection,
    Tier,
    TierRecord,
)
from ..core.environment import Environment
from ..core.event import StopScope
from ..core.feedback import UserState
from ..core.request import BidRequest
from ..core.snapshot import Snapshot
from ..core.surroundings import environment_of
from .stops import StopBoard

NO_TIME = "no time left"
_ADS_KEPT = 16  # priced ads on record, best first: more than exploration chooses among, and a record stays near 10 kB
_IDS_KEPT = 5  # examples named with each rejection; the count is complete


class Trace:
    """The story of one request while it is decided. `environment`, `user` and `stopped` are fixed when it opens."""

    def __init__(
        self, decision_id: str, request: BidRequest, snapshot: Snapshot | None, stops: StopBoard, clock: Clock
    ) -> None:
        self.decision_id, self.request = decision_id, request
        self.stopped: dict[StopScope, frozenset[str]] = stops.active
        self.environment = Environment(request.place.place_id)
        self.user: UserState | None = None
        if snapshot is not None:
            self.environment = environment_of(snapshot, request.place, request.event_time)
            user = snapshot.user(request.viewer.user_key)
            self.user = user if user is not None and user.fresh_at(request.event_time) else None
        self.pacing: dict[str, float] = {}
        self.propensity: dict[str, float] = {}
        self.admitted: dict[str, int] = {}
        self._snapshot, self._stop_names, self._clock = snapshot, stops.names, clock
        self._started = clock.monotonic_ns()
        self._steps: dict[str, float] = {}
        self._tiers: list[TierRecord] = []
        self._rejections: list[Rejection] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], list[str]] = {}
        self._reason, self._late = NoBidReason.NOTHING_ADMITTED, False

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Adds the time spent inside to the step's milliseconds."""
        started = self._clock.monotonic_ns()
        try:
            yield
        finally:
            self._steps[name] = self._steps.get(name, 0.0) + elapsed_ms(started, self._clock)

    def rejected(self, rejections: Sequence[Rejection]) -> None:
        """Notes rejections that come counted."""
        self._rejections.extend(rejections)

    def reject(self, stage: str, reason: str, what: str) -> None:
        """Notes that one thing was dropped."""
        key = (stage, reason)
        self._counts[key] += 1
        examples = self._examples.setdefault(key, [])
        if len(examples) < _IDS_KEPT:
            examples.append(what)

    def got_as_far_as(self, reason: NoBidReason) -> None:
        """Remembers the furthest stage any impression reached: if nothing is bid in the end, that is the reason."""
        self._reason = max(self._reason, reason)

    def ran_out_of_time(self, tier: Tier, impression_id: str) -> None:
        """Notes that a tier was skipped because the deadline had passed; without any bid, that is the reason."""
        self._late = True
        self.close_tier(tier, impression_id, Proposal((), NO_TIME, 0.0), ())

    def close_tier(self, tier: Tier, impression_id: str, proposal: Proposal, considered: Sequence[PricedAd]) -> None:
        """Afterwards the tier is on record with all that was rejected since the last one."""
        counted = [
            Rejection(stage, reason, count, tuple(self._examples[stage, reason]))
            for (stage, reason), count in self._counts.items()
        ]
        rejections = (*self._rejections, *counted)
        best = tuple(map(ConsideredAd.of, considered[:_ADS_KEPT]))
        self._tiers.append(TierRecord(tier, impression_id, proposal, len(considered), best, rejections))
        self._rejections.clear()
        self._counts.clear()
        self._examples.clear()

    def decision(self, bids: tuple[Bid, ...], models: dict[str, str], reason: NoBidReason | None = None) -> Decision:
        """The decision with its record; without bids the reason is the given one, else the furthest stage reached."""
        late = NoBidReason.INSUFFICIENT_AUCTION_TIME if self._late else self._reason
        no_bid_reason = None if bids else reason or late
        snapshot = self._snapshot
        record = DecisionRecord(
            decision_id=self.decision_id,
            decided_at=self._clock.now_ns(),
            request=self.request,
            version=snapshot.version.numbers if snapshot else (),
            watermark=snapshot.version.watermark if snapshot else 0,
            environment=self.environment,
            models=models,
            rules=tuple(rule.rule_id for rule in snapshot.rules) if snapshot else (),
            stops=self._stop_names,
            pacing=self.pacing,
            tiers=tuple(self._tiers),
            bids=tuple(_chosen(bid) for bid in bids),
            no_bid_reason=no_bid_reason,
            propensity=self.propensity,
            step_ms=self._steps,
            took_ms=elapsed_ms(self._started, self._clock),
            admitted=self.admitted,
        )
        return Decision(self.decision_id, bids, no_bid_reason, record)


def _chosen(bid: Bid) -> ChosenAd:
    return ChosenAd(bid.bid_id, bid.priced.judged.ad.impression.impression_id, ConsideredAd.of(bid.priced))
