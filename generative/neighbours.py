"""The non-parametric memory: whatever lies nearest to a profile among a snapshot's vectors."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The profile's match with every item, and the nearest admitted ones (in no particular order)."""

    slots: npt.NDArray[np.int64]  # [M] the nearest admitted items
    log_total: float  # log of the sum of exp(match) over all admitted items


def nearest(
    profile: npt.NDArray[np.float32],
    vectors: npt.NDArray[np.float32],
    admitted: npt.NDArray[np.bool_],
    count: int,
) -> Neighbourhood:
    """The admitted items that match the profile best, at least `count` of them where there are so many.

    Args:
        profile: [D]; vectors: [N, D]; admitted: [N].
    """
    matches = products(vectors, profile)  # good for choosing, too coarse for ordering
    matches[~admitted] = -np.inf
    living = int(np.count_nonzero(admitted))
    # Twice as many as wanted: float32 rounding depends on a row's place in the matrix and must not decide who is in.
    keep = min(2 * count, living)
    slots = np.argpartition(-matches, keep - 1)[:keep] if keep < len(matches) else np.flatnonzero(admitted)
    best = float(matches[slots].max())
    total = float(np.exp(matches - best, dtype=np.float64).sum())
    return Neighbourhood(slots.astype(np.int64), best + float(np.log(total)))


def products(vectors: npt.NDArray[np.float32], vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[N] each row's product with one vector, in float32, on this thread alone.

    A product by BLAS would wake its threads for a large matrix and, on a machine whose cores are busy, wait for them
    eight milliseconds where the sum itself takes a tenth of one.
    """
    return np.asarray(np.einsum("nd,d->n", vectors, vector))


def matches_of(
    profile: npt.NDArray[np.float32], vectors: npt.NDArray[np.float32], slots: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The match of each slot's item, exact to float64 and the same wherever the item lies in memory. [M]"""
    return np.asarray((vectors[slots].astype(np.float64) * profile.astype(np.float64)).sum(axis=1))
