"""Counts of an engine, as it tells them itself."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Since its start: how many candidates came from where, what was rejected ("stage/reason"), which tier answered."""

    candidates_by_source: dict[str, int] = field(default_factory=dict)
    rejections_by_reason: dict[str, int] = field(default_factory=dict)
    tiers: dict[str, int] = field(default_factory=dict)
    no_bid_reasons: dict[str, int] = field(default_factory=dict)
    bids_by_source: dict[str, int] = field(default_factory=dict)
    lateness: dict[str, int] = field(default_factory=dict)
    version: str = ""
    models: dict[str, str] = field(default_factory=dict)

    def since(self, earlier: "EngineStats") -> "EngineStats":
        """What was counted after `earlier` was read."""
        return EngineStats(
            candidates_by_source=_minus(self.candidates_by_source, earlier.candidates_by_source),
            rejections_by_reason=_minus(self.rejections_by_reason, earlier.rejections_by_reason),
            tiers=_minus(self.tiers, earlier.tiers),
            no_bid_reasons=_minus(self.no_bid_reasons, earlier.no_bid_reasons),
            bids_by_source=_minus(self.bids_by_source, earlier.bids_by_source),
            lateness=_minus(self.lateness, earlier.lateness),
            version=self.version,
            models=self.models,
        )


def _minus(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    left = Counter(now)
    left.subtract(before)
    return {name: count for name, count in left.items() if count > 0}
