"""A version of memory's trie, and one request's admission of its items, as the compiled decode reads them."""

import ctypes
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...core.snapshot import SLOTS_BEHIND, TrieArrays
from .library import TrieParts

PACKED = 1 << 21  # items up to which all of an admission is looked at: for a million cheaper than leaf by leaf
THIN = 4_096  # admitted items up to which they may be read from their own side, a thousand in some 20 µs
_BOOL = np.dtype(np.bool_)


class CompiledTrie:
    """The addresses of a version's arrays, which it keeps alive; made once and read by many requests."""

    def __init__(self, arrays: TrieArrays, packed: int = PACKED, thin: int = THIN) -> None:
        """Copies nothing. `packed` and `thin` choose how admissions are read, never what is found."""
        if len(arrays.slots) < len(arrays.keys) + SLOTS_BEHIND:
            raise ValueError(f"a trie's slots go {SLOTS_BEHIND} beyond its keys")
        sids = arrays.sids
        if sids is not None and (sids.ndim != 2 or sids.shape[1] != arrays.levels):
            sids = None  # nothing is known of any item yet
        self.levels, self.end_slot = arrays.levels, arrays.end_slot
        self._arrays = arrays
        self._parts = TrieParts(
            root=_address(arrays.root, np.int32), ranges=_address(arrays.ranges, np.int32),
            occupied=_address(arrays.occupied, np.uint8), keys=_address(arrays.keys, np.int64),
            slots=_address(arrays.slots, np.int32),
            sids=None if sids is None else _address(sids, np.int32), known=0 if sids is None else len(sids),
            span=arrays.span, first_span=arrays.codes_per_level ** max(0, arrays.levels - 1), leaves=arrays.count,
            packed=packed, thin=thin, page=arrays.ranges.shape[1], codes=arrays.codes_per_level, levels=arrays.levels,
        )  # fmt: skip
        self.reference = ctypes.byref(self._parts)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A trie with what one request may take of it.

    ValueError where the admission does not know all items. One that admits dead items may be told wrong children.
    """

    trie: CompiledTrie
    items: npt.NDArray[np.bool_]  # [N] by item slot, dead ones False; not written to while a search goes on

    def __post_init__(self) -> None:
        if len(self.items) < self.trie.end_slot:
            raise ValueError(f"an admission of {len(self.items)} items, but the trie knows {self.trie.end_slot}")
        if self.items.dtype is not _BOOL or self.items.strides != (1,):  # quick to ask
            object.__setattr__(self, "items", np.ascontiguousarray(self.items, dtype=np.bool_))


def _address(values: npt.NDArray[np.integer], dtype: type[np.integer]) -> int:
    if values.dtype != dtype or not values.flags.c_contiguous:
        raise ValueError(f"a trie's arrays are contiguous; this one is {values.dtype}, {values.strides}")
    return values.ctypes.data
