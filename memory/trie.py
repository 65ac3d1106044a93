"""The living items in the order of their semantic IDs, as two sorted arrays: a trie's node is a range of leaves."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.catalogue import SemanticId

# Beyond this share of the leaves, sorting all anew is cheaper than finding each new leaf's place.
REBUILD_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class SortedTrie:
    """Implements core.snapshot.Trie. `keys` are semantic IDs packed as base-K digits, coarse code first.

    Leaves are ordered by key, then by slot. A changed trie is a new one; arrays are never written.
    """

    codes_per_level: int  # K
    levels: int  # L, 0 while empty
    keys: npt.NDArray[np.int64]  # [P]
    leaf_slots: npt.NDArray[np.int32]  # [P]

    @classmethod
    def empty(cls, codes_per_level: int) -> "SortedTrie":
        """A trie without leaves, whose depth the first items will tell."""
        return cls(codes_per_level, 0, _frozen(np.empty(0, np.int64)), _frozen(np.empty(0, np.int32)))

    def pack(self, sids: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """[M] the keys of `sids` [M, L]."""
        digits = self.codes_per_level ** np.arange(sids.shape[1] - 1, -1, -1, dtype=np.int64)
        packed: npt.NDArray[np.int64] = sids.astype(np.int64) @ digits
        return packed

    def live_children(
        self, prefixes: npt.NDArray[np.int64], level: int, admitted_before: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.bool_]:
        """[W, K] whether child code k of each prefix covers at least one admitted leaf; see core.snapshot.Trie."""
        base = self.codes_per_level
        if self.levels == 0:
            return np.zeros((len(prefixes), base), np.bool_)
        span = base ** (self.levels - level - 1)  # keys under one child
        first = prefixes.astype(np.int64) * (span * base)
        low, high = np.searchsorted(self.keys, np.stack((first, first + span * base)))  # [W] each
        widths = high - low
        total = int(widths.sum())
        live = np.zeros((len(prefixes), base), np.bool_)
        if total > len(prefixes) * base:  # more leaves than children: find each child's range instead of walking them
            bounds = np.searchsorted(self.keys, first[:, None] + span * np.arange(base + 1, dtype=np.int64))  # [W, K+1]
            counts = admitted_before[bounds]
            return np.asarray(counts[:, 1:] > counts[:, :-1])
        beams = np.repeat(np.arange(len(prefixes)), widths)  # [total]
        leaves = np.arange(total) + np.repeat(low - np.cumsum(widths) + widths, widths)  # [total]
        admitted = admitted_before[leaves + 1] > admitted_before[leaves]
        children = (self.keys[leaves] // span) % base
        live[beams[admitted], children[admitted]] = True
        return live

    def leaves(self, semantic_id: SemanticId) -> npt.NDArray[np.int32]:
        """The item slots that carry exactly this semantic ID, ascending."""
        if len(semantic_id) != self.levels or not all(0 <= code < self.codes_per_level for code in semantic_id):
            return self.leaf_slots[:0]
        key = 0
        for code in semantic_id:
            key = key * self.codes_per_level + code
        low, high = np.searchsorted(self.keys, (key, key + 1))
        return self.leaf_slots[low:high]

    def inserted(self, sids: npt.NDArray[np.int32], slots: npt.NDArray[np.int32]) -> "SortedTrie":
        """The trie with these leaves added: `sids` [M, L], `slots` [M], none of which is a leaf already."""
        if len(slots) == 0:
            return self
        new_keys = self.pack(sids)
        if len(slots) > REBUILD_SHARE * len(self.keys):
            keys, leaf_slots = np.concatenate((self.keys, new_keys)), np.concatenate((self.leaf_slots, slots))
            order = np.lexsort((leaf_slots, keys))
            return self._with(keys[order], leaf_slots[order], sids.shape[1])
        order = np.lexsort((slots, new_keys))
        new_keys, slots = new_keys[order], slots[order]
        places = np.searchsorted(self.keys, new_keys, side="left")
        ends = np.searchsorted(self.keys, new_keys, side="right")
        for index in np.flatnonzero(ends > places):  # items that share a semantic ID are ordered by slot
            bucket = self.leaf_slots[places[index] : ends[index]]
            places[index] += np.searchsorted(bucket, slots[index])
        return self._with(
            np.insert(self.keys, places, new_keys), np.insert(self.leaf_slots, places, slots), sids.shape[1]
        )

    def removed(self, slots: npt.NDArray[np.int32]) -> "SortedTrie":
        """The trie without the leaves of these item slots."""
        if len(slots) == 0 or len(self.keys) == 0:
            return self
        gone = np.zeros(int(max(slots.max(), self.leaf_slots.max())) + 1, np.bool_)
        gone[slots] = True
        kept = ~gone[self.leaf_slots]
        return self._with(self.keys[kept], self.leaf_slots[kept], self.levels)

    def _with(self, keys: npt.NDArray[np.int64], slots: npt.NDArray[np.int32], levels: int) -> "SortedTrie":
        return SortedTrie(self.codes_per_level, levels, _frozen(keys), _frozen(slots.astype(np.int32, copy=False)))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
