"""Fits residual codebooks: k-means on the vectors, then on what each level leaves."""

import numpy as np
import numpy.typing as npt

from ...kernels.reference import residual_codes

_ROUNDS = 25  # the assignment of these catalogues settles in about 15


def codes_for(items: int) -> int:
    """A power of two near 2·sqrt(items), so that two levels already tell most items apart; within [4, 256]."""
    return int(2 ** np.clip(np.ceil(np.log2(2 * np.sqrt(max(items, 1)))), 2, 8))


def fit_codebooks(
    vectors: npt.NDArray[np.float32], levels: int, codes: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Codebooks [L, K, D] for vectors [N, D].

    The last level tells apart what the others left together, and items that are chosen together are left in tight
    clusters, whose remainders are all short: by distance they would share one codeword near zero. So its codewords have
    unit length, which makes the nearest one a matter of the remainder's direction alone.
    """
    residual = vectors.astype(np.float64)
    codebooks = np.empty((levels, codes, vectors.shape[1]), dtype=np.float32)
    for level in range(levels):
        last = level == levels - 1
        centres = _k_means(_directions(residual) if last else residual, codes, rng)
        codebooks[level] = _directions(centres) if last else centres
        chosen = _nearest(residual, codebooks[level].astype(np.float64))
        residual = residual - codebooks[level][chosen]
    return codebooks


def distinct_last_codes(
    vectors: npt.NDArray[np.float32], sids: npt.NDArray[np.int32], codebooks: npt.NDArray[np.float32]
) -> npt.NDArray[np.int32]:
    """The last code of each item [N] so that no two share a semantic ID while a node has codes left.

    Whoever comes first keeps the nearest codeword, the next takes the nearest that is free. Items that behave alike lie
    almost on top of each other, so nearness alone would leave the very items people choose together indistinguishable.
    """
    codes = codebooks.shape[1]
    last = sids[:, -1].copy()
    taken: dict[tuple[int, ...], set[int]] = {}
    for row, sid in enumerate(sids.tolist()):
        used = taken.setdefault(tuple(sid[:-1]), set())
        if sid[-1] in used and len(used) < codes:
            residual = vectors[row] - sum(codebooks[level][code] for level, code in enumerate(sid[:-1]))
            nearest = np.argsort(np.square(codebooks[-1] - residual).sum(axis=1), kind="stable").tolist()
            last[row] = next(code for code in nearest if code not in used)
        used.add(int(last[row]))
    return last


def quantise(vectors: npt.NDArray[np.float32], codebooks: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """The codes [N, L] that the served tokenizer gives these vectors."""
    return residual_codes(vectors.astype(np.float64), codebooks.astype(np.float64))


def _k_means(points: npt.NDArray[np.float64], codes: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Centres [K, D]; an empty one is put on the worst-served point, so that no code is wasted."""
    first = rng.choice(len(points), size=codes, replace=len(points) < codes)
    centres = points[first].copy()
    for _ in range(_ROUNDS):
        chosen = _nearest(points, centres)
        sizes = np.bincount(chosen, minlength=codes)
        sums = np.zeros_like(centres)
        np.add.at(sums, chosen, points)
        filled = sizes > 0
        centres[filled] = sums[filled] / sizes[filled, None]
        errors = ((points - centres[chosen]) ** 2).sum(axis=1)
        empty = np.flatnonzero(~filled)
        centres[empty[: len(points)]] = points[np.argsort(-errors, kind="stable")[: len(empty)]]
    return centres


def _directions(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The points at unit length; what has no direction stays where it is."""
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / np.where(lengths > 1e-12, lengths, 1.0))


def _nearest(points: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The nearest centre of each point. [N]"""
    distances = (centres**2).sum(axis=1) - 2 * (points @ centres.T)  # [N, K] up to each point's own square
    return np.asarray(distances.argmin(axis=1))
