"""What the engine has decided since it started, in counts."""

from collections import Counter
from collections.abc import Callable

from ..core.decision import Decision
from ..core.snapshot import Snapshot
from ..proto import bidding_pb2 as wire


class Statistics:
    """Counters by name; written on the request loop alone."""

    def __init__(
        self, snapshot: Callable[[], Snapshot | None], models: Callable[[], dict[str, str]], lateness: Counter[str]
    ) -> None:
        self._snapshot, self._models, self._lateness = snapshot, models, lateness
        self._requests = self._bids = 0
        self._bids_by_source: Counter[str] = Counter()
        self._candidates_by_source: Counter[str] = Counter()
        self._rejections: Counter[str] = Counter()
        self._no_bids: Counter[str] = Counter()
        self._tiers: Counter[str] = Counter()

    def count(self, decision: Decision) -> None:
        """Afterwards the decision is in the counts."""
        self._requests += 1
        self._bids += len(decision.bids)
        if decision.no_bid_reason is not None:
            self._no_bids[decision.no_bid_reason.name.lower()] += 1
        for bid in decision.bids:
            self._bids_by_source[bid.priced.judged.ad.candidate.source.value] += 1
        for tier in decision.record.tiers:
            self._candidates_by_source.update(candidate.source.value for candidate in tier.proposal.candidates)
            for rejection in tier.rejections:
                self._rejections[f"{rejection.stage}/{rejection.reason}"] += rejection.count
        if decision.bids:
            self._tiers[decision.record.tiers[-1].tier.value] += 1

    def encode(self) -> wire.EngineStats:
        """The counts on the wire, with the version and models now in use."""
        snapshot = self._snapshot()
        return wire.EngineStats(
            version=snapshot.version.numbers if snapshot else (),
            watermark_ns=snapshot.version.watermark if snapshot else 0,
            items=int(snapshot.items.alive.sum()) if snapshot else 0,
            requests=self._requests,
            bids=self._bids,
            bids_by_source=self._bids_by_source,
            candidates_by_source=self._candidates_by_source,
            rejections=self._rejections,
            no_bids=self._no_bids,
            tiers=self._tiers,
            lateness=self._lateness,
            models=self._models(),
        )
