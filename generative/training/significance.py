"""Whether one ranking beats another on the same users."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.stats

from .evaluation import TOP, gains

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class PairedTest:
    """One row against another over the same users."""

    ndcg_gain: float  # mean difference of NDCG@10
    low: float  # 95 % interval of it, by paired bootstrap over users
    high: float
    p_ndcg: float  # two-sided, Wilcoxon signed-rank on the users' differences
    p_recall: float  # two-sided, exact McNemar (sign test) on hits at 10
    gained: int  # users whose target only the first found, or the first found in more trainings
    lost: int  # the same of the second


def paired_test(
    one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], rng: np.random.Generator, resamples: int = _RESAMPLES
) -> PairedTest:
    """`one` against `other`, both ranks of the same users' targets [U]. With S trainings of each, [S, U], a user counts
    once, by the mean over them; interval and p are then for these trainings, not for any other's luck."""
    # Rounded, so that a mean of gains and losses that cancel is no difference.
    differences = np.round(np.atleast_2d(gains(one) - gains(other)).mean(axis=0), 12)
    means = [float(rng.choice(differences, size=len(differences)).mean()) for _ in range(resamples)]
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    hits = np.atleast_2d((one < TOP).astype(np.int64) - (other < TOP)).sum(axis=0)
    gained, lost = int((hits > 0).sum()), int((hits < 0).sum())
    p_recall = float(scipy.stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    p_ndcg = float(scipy.stats.wilcoxon(differences).pvalue) if differences.any() else 1.0
    return PairedTest(float(differences.mean()), low, high, p_ndcg, p_recall, gained, lost)
