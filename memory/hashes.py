"""Finds item slots by 64-bit hashes, thousands at a time and without a Python object for any of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

UNKNOWN = -1
AMBIGUOUS = -2  # two items share the hash: ask by id
LEAST_RECENT = 4_096  # so many additions lie apart from the rest before both are merged
RECENT_SHARE = 1 / 16


@dataclass(frozen=True, slots=True)
class _Sorted:
    keys: npt.NDArray[np.uint64]  # ascending
    slots: npt.NDArray[np.int32]

    def found(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        if not len(self.keys):
            return np.full(len(keys), UNKNOWN, np.int32)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, self.slots[places], np.int32(UNKNOWN))

    def merged(self, keys: npt.NDArray[np.uint64], slots: npt.NDArray[np.int32]) -> "_Sorted":
        order = np.argsort(keys, kind="stable")
        places = np.searchsorted(self.keys, keys[order])
        return _Sorted(np.insert(self.keys, places, keys[order]), np.insert(self.slots, places, slots[order]))


@dataclass(frozen=True, slots=True)
class HashIndex:
    """Item slots by hash. A changed index is a new one; additions lie apart until they are worth a merge."""

    base: _Sorted
    recent: _Sorted

    @classmethod
    def empty(cls) -> "HashIndex":
        """An index that knows no item."""
        nothing: Any = _Sorted(np.empty(0, np.uint64), np.empty(0, np.int32))
        return cls(nothing, nothing)

    def found(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        """[M] the slot of each hash, UNKNOWN, or AMBIGUOUS where several items share it."""
        slots = self.base.found(keys)
        recent = self.recent.found(keys)
        return np.where(recent == UNKNOWN, slots, recent)

    def inserted(self, keys: npt.NDArray[np.uint64], slots: npt.NDArray[np.int32]) -> "HashIndex":
        """The index with these slots of new items added."""
        if len(keys) == 0:
            return self
        distinct, first, counts = np.unique(keys, return_index=True, return_counts=True)
        taken = self.found(distinct) != UNKNOWN
        slots = np.where((counts > 1) | taken, np.int32(AMBIGUOUS), slots[first].astype(np.int32))
        if taken.any():  # the clash is told where it is looked for first
            known = np.isin(self.recent.keys, distinct[taken])
            recent = _Sorted(self.recent.keys[~known], self.recent.slots[~known]).merged(distinct, slots)
        else:
            recent = self.recent.merged(distinct, slots)
        if len(recent.keys) <= max(LEAST_RECENT, int(len(self.base.keys) * RECENT_SHARE)):
            return HashIndex(self.base, recent)
        fresh = ~np.isin(self.base.keys, recent.keys)
        base = self.base if fresh.all() else _Sorted(self.base.keys[fresh], self.base.slots[fresh])
        return HashIndex(base.merged(recent.keys, recent.slots), HashIndex.empty().recent)
