"""Click rates of things seen before (items, creatives, campaigns, domains, categories), shrunk towards the overall
rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .features import Floats, Ints, log_odds

# Expected clicks' worth of trust in the overall rate: a thing shown often enough for this many clicks counts half by
# itself.
PRIOR_CLICKS = 4.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Log-odds of a click by name; whatever was never seen has the overall rate."""

    overall: float
    by_name: dict[str, float]

    def of(self, names: Sequence[str]) -> list[float]:
        """The log-odds of each name, in order."""
        return [self.by_name.get(name, self.overall) for name in names]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of names in a log as codes 0 … K-1 into `names`."""

    names: Sequence[str]
    codes: Ints  # [R]


def learned(column: Column, exposure: Floats, clicked: Floats) -> Rates:
    """Rates from a whole log. `exposure` is 1 a row, times the environment's lift, so that rain is not taken for
    charm.
    """
    overall = _overall(exposure, clicked)
    shown = _sums(column.codes, exposure, len(column.names))
    clicks = _sums(column.codes, clicked, len(column.names))
    odds = log_odds(_shrunk(clicks, shown, overall))
    seen = np.flatnonzero(shown)
    by_name = {column.names[code]: float(odds[code]) for code in seen.tolist()}
    return Rates(float(log_odds(np.array([overall]))[0]), by_name)


def as_of_period(column: Column, period: Ints, exposure: Floats, clicked: Floats) -> Floats:
    """[R] each row's log-odds as learned from the periods before its own, so that no row sees its own click.

    Args:
        period: [R] 0 … periods-1, in time order.
    """
    periods, count = int(period.max()) + 1, len(column.names)
    cell = column.codes * periods + period
    shown = _sums(cell, exposure, count * periods).reshape(count, periods)
    clicks = _sums(cell, clicked, count * periods).reshape(count, periods)
    overall = _overall(exposure, clicked)
    before_shown, before_clicks = np.cumsum(shown, axis=1) - shown, np.cumsum(clicks, axis=1) - clicks
    odds = log_odds(_shrunk(before_clicks, before_shown, overall))
    return np.asarray(odds[column.codes, period], np.float64)


def stacked(rates: Mapping[str, Rates], names: Mapping[str, Sequence[str]], order: Sequence[str]) -> Floats:
    """[R, len(order)] the log-odds of R rows named by `names`."""
    return np.array([rates[kind].of(names[kind]) for kind in order], np.float64).T


def _sums(codes: Ints, values: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(codes, values, count), np.float64)


def _overall(exposure: Floats, clicked: Floats) -> float:
    # half a click and half a miss keep the log-odds of a log without any click (or miss) finite
    return float((clicked.sum() + 0.5) / (exposure.sum() + 1.0))


def _shrunk(clicks: Floats, shown: Floats, overall: float) -> Floats:
    prior_shown = PRIOR_CLICKS / overall
    rate = (clicks + PRIOR_CLICKS) / (shown + prior_shown)
    return np.asarray(np.clip(rate, 1e-6, 1 - 1e-6), np.float64)
