"""Figures of a log, measured: how unequal, how dear, how often clicked."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .figures import Tail

Pairs = Sequence[tuple[float, float]]


def popularity_tail(counts: npt.NDArray[np.int64]) -> Tail:
    """The tail of [N] interactions per item; items without any count too."""
    ordered = np.sort(counts)
    size, total = ordered.size, float(ordered.sum())
    ranks = np.arange(1, size + 1)
    gini = 2.0 * float((ranks * ordered).sum()) / (size * total) - (size + 1) / size
    return Tail(
        top_1_percent=float(ordered[size - max(1, size // 100) :].sum()) / total,
        top_10_percent=float(ordered[size - max(1, size // 10) :].sum()) / total,
        gini=gini,
    )


def quantile_function(pairs: Pairs, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values at [N] shares of a distribution given as (share, value) pairs, log-linear between them."""
    knots, values = np.array(pairs, dtype=np.float64).T
    result: npt.NDArray[np.float64] = np.exp(np.interp(shares, knots, np.log(values)))
    return result


def quantiles(values: npt.NDArray[np.float64], shares: Sequence[float]) -> dict[float, float]:
    """The empirical quantiles at the given shares."""
    return dict(zip(shares, np.quantile(values, shares).tolist(), strict=True))
