"""Nearest neighbours in one version: an inverted-file index built earlier, and by brute force whatever changed since.

faiss's index is never written once it is built, so a version that was pinned keeps its answers. A version carries the
newest index that was ready when it was made; items that came or moved after the build are compared one by one, and
there are few of them (see `indexing`).
"""

from dataclasses import dataclass
from typing import Any

import faiss as faiss_stubs
import numpy as np
import numpy.typing as npt

from ..core.snapshot import Nearest
from .columns import Column

faiss: Any = faiss_stubs  # its stubs tell the C++ signatures, not those that Python sees
LISTS_PER_ROOT = 2  # inverted lists: twice the square root of the number of vectors
TRAINED_ON = 48  # vectors a list to place its centre; faiss asks for 39
PROBES = 16  # lists read where everything is admitted; more where less is
SEED = 0


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """Slots 0 … covered-1 as they were after the first `moves` moves; faiss answers in inner products."""

    index: Any  # faiss.IndexIVFFlat
    covered: int
    moves: int
    trained_at: int  # how many vectors there were when the lists were laid out

    @classmethod
    def build(cls, vectors: npt.NDArray[np.float32], moves: int) -> "BuiltIndex":
        """An index of all of these. `vectors` [N, D]."""
        count, width = vectors.shape
        lists = max(1, min(int(LISTS_PER_ROOT * count**0.5), count // TRAINED_ON))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        sample = np.random.default_rng(SEED).choice(count, min(count, TRAINED_ON * lists), replace=False)
        index.train(vectors[np.sort(sample)])
        index.add(vectors)
        return cls(index, count, moves, count)

    def extended(self, vectors: npt.NDArray[np.float32]) -> "BuiltIndex":
        """A copy that covers all of `vectors` [N, D]; what had moved is not looked at again."""
        index = faiss.clone_index(self.index)
        index.add(vectors[self.covered :])
        return BuiltIndex(index, len(vectors), self.moves, self.trained_at)

    def moved(self, moves: Column) -> npt.NDArray[np.int32]:
        """The covered slots whose vector is no longer the one in the index."""
        since = moves.view[self.moves :]
        return np.unique(since[since < self.covered]) if len(since) else since

    def nearest(self, profile: npt.NDArray[np.float32], admitted: npt.NDArray[np.bool_], count: int) -> Nearest:
        """Of the covered and admitted items the nearest `count`, best first. `admitted` [covered]."""
        living = int(np.count_nonzero(admitted))
        if not living:
            return nothing()
        # With less admitted, as many more lists are read, so that as many admitted items are looked at.
        probes = min(self.index.nlist, -(-PROBES * self.covered // living))
        bits = np.packbits(admitted, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)
        matches, slots = self.index.search(
            profile[None, :], min(count, living), params=faiss.SearchParametersIVF(sel=selector, nprobe=probes)
        )
        found = slots[0] >= 0
        return Nearest(slots[0][found], matches[0][found])


def nearest(
    built: BuiltIndex | None,
    vectors: npt.NDArray[np.float32],
    moves: Column,
    profile: npt.NDArray[np.float32],
    admitted: npt.NDArray[np.bool_],
    count: int,
) -> Nearest:
    """See core.snapshot.Snapshot.nearest."""
    if built is None:
        return among(np.flatnonzero(admitted), vectors, profile, count)
    covered, moved = admitted[: built.covered], built.moved(moves)
    if len(moved):
        covered = covered.copy()
        covered[moved] = False
    indexed = built.nearest(profile, covered, count)
    tail = np.flatnonzero(admitted[built.covered :]) + built.covered
    if len(moved):
        tail = np.concatenate((moved[admitted[moved]], tail))
    if not len(tail):
        return indexed
    later = among(tail, vectors, profile, count)
    return _best(
        Nearest(np.concatenate((indexed.slots, later.slots)), np.concatenate((indexed.matches, later.matches))), count
    )


def among(
    slots: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32], profile: npt.NDArray[np.float32], count: int
) -> Nearest:
    """Exactly the nearest `count` of these slots, best first."""
    if not len(slots):
        return nothing()
    first, end = int(slots[0]), int(slots[-1]) + 1
    # Rows that lie together are read where they are; gathering them would cost as much again.
    together = end - first <= 2 * len(slots) and first >= 0 and bool((slots[1:] > slots[:-1]).all())
    matches = _products(vectors[first:end], profile)[slots - first] if together else _products(vectors[slots], profile)
    return _best(Nearest(slots, matches), count)


def _products(vectors: npt.NDArray[np.float32], profile: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[M] inner products, on this thread alone: BLAS would wake its own for some thousand rows and, where all cores are
    at work, wait for them longer than the sums take."""
    return np.asarray(np.einsum("md,d->m", vectors, profile))


def nothing() -> Nearest:
    """No item at all."""
    return Nearest(np.empty(0, np.int64), np.empty(0, np.float32))


def _best(found: Nearest, count: int) -> Nearest:
    """The best `count`, best first; of equals the lower slot."""
    slots, matches = found.slots, found.matches
    if len(slots) > count:
        kept = np.argpartition(-matches, count - 1)[:count]
        slots, matches = slots[kept], matches[kept]
    order = np.lexsort((slots, -matches))
    return Nearest(slots[order].astype(np.int64, copy=False), matches[order])
