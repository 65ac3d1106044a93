"""A version of memory's trie as the compiled decode reads it."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.snapshot import Buckets
from .library import TrieParts


class CompiledTrie:
    """The addresses of a version's arrays, which it keeps alive; made once and read by many requests."""

    def __init__(self, buckets: Buckets) -> None:
        """Copies nothing."""
        self.end_slot = buckets.end_slot
        self._buckets = buckets
        sids = buckets.sids
        self._parts = TrieParts(
            root=_address(buckets.root, np.int32), ranges=_address(buckets.ranges, np.int32),
            occupied=_address(buckets.occupied, np.uint8), keys=_address(buckets.keys, np.int64),
            slots=_address(buckets.slots, np.int32),
            sids=None if sids is None or len(sids) < buckets.end_slot else _address(sids, np.int32),
            span=buckets.span, first_span=buckets.codes_per_level ** max(0, buckets.levels - 1), leaves=buckets.count,
            page=buckets.ranges.shape[1], codes=buckets.codes_per_level, levels=buckets.levels,
        )  # fmt: skip
        self.reference = ctypes.byref(self._parts)


def _address(values: npt.NDArray[Any], dtype: type[np.generic]) -> int:
    if values.dtype != dtype or not values.flags.c_contiguous:
        raise ValueError(f"a trie's arrays are contiguous; this one is {values.dtype}, {values.strides}")
    return values.ctypes.data
