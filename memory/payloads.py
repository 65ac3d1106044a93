"""Encoded bytes by slot, in one array that versions share: no object for the collector to look at, however many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from .columns import Column

ABSENT = -1  # where nothing is
LENGTH_BITS = 24  # a place is where a value begins, above its length: one number to look up, and 16 MB a value
LENGTH_MASK = (1 << LENGTH_BITS) - 1
LEAST_WASTE = 1 << 20  # bytes that nobody names any more, before they are worth a copy of the others


@dataclass(frozen=True, slots=True)
class Payloads:
    """Of each of N slots some bytes or nothing."""

    content: Column  # [bytes] uint8, in the order they were put
    places: Column  # [N] int64, see LENGTH_BITS; ABSENT where there is nothing
    waste: int  # bytes of `content` that this version does not name

    @classmethod
    def empty(cls) -> "Payloads":
        """No slots yet."""
        return cls(Column.of(np.empty(0, np.uint8)), Column.of(np.empty(0, np.int64)), 0)

    def get(self, slot: int) -> npt.NDArray[np.uint8] | None:
        """The bytes at a slot, not copied."""
        place = self.places.view.item(slot)
        if place == ABSENT:
            return None
        begin = place >> LENGTH_BITS
        return self.content.view[begin : begin + (place & LENGTH_MASK)]

    def present(self, slots: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """[M] whether there is anything at each slot."""
        there: npt.NDArray[np.bool_] = self.places.view[slots] != ABSENT
        return there

    def changed(self, slots: npt.NDArray[np.int32], values: Sequence[bytes], gone: npt.NDArray[np.int32]) -> "Payloads":
        """With these bytes at distinct `slots` [M] and none at those of `gone`; new slots are the next, in order.

        ValueError for a value of 16 MB or more.
        """
        count = len(self.places.view)
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        if len(values) and lengths.max() > LENGTH_MASK:
            raise ValueError(f"{lengths.max()} bytes do not fit; the most are {LENGTH_MASK}")
        places = _places(len(self.content.view), lengths)
        known = slots < count
        old = np.concatenate((gone, slots[known]))
        after = Payloads(
            self.content.appended(np.frombuffer(b"".join(values), np.uint8)),
            self.places.written(old, np.concatenate((np.full(len(gone), ABSENT), places[known]))).appended(
                places[~known]
            ),
            self.waste + int(_lengths(self.places.view[old]).sum()),
        )
        return after._gathered() if after.waste > max(LEAST_WASTE, len(after.content.view) // 2) else after

    def _gathered(self) -> "Payloads":
        """The same without waste."""
        before = self.places.view
        lengths = _lengths(before)
        after = _places(0, lengths)
        content = np.empty(int(lengths.sum()), np.uint8)
        _gather(self.content.view, before >> LENGTH_BITS, lengths, after >> LENGTH_BITS, content)
        return Payloads(Column.of(content), Column.of(np.where(before == ABSENT, ABSENT, after)), 0)


def _places(begin: int, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """[M] the places of values that lie one behind the other from `begin` on."""
    return (begin + np.cumsum(lengths) - lengths) << LENGTH_BITS | lengths


def _lengths(places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """[M] 0 where nothing is."""
    return np.where(places == ABSENT, 0, places & LENGTH_MASK)


@njit(cache=True, nogil=True)
def _gather(content: Any, begins: Any, lengths: Any, new_begins: Any, out: Any) -> None:
    """Afterwards `out` holds each run of `content` at its new beginning."""
    for row in range(len(lengths)):
        for place in range(lengths[row]):
            out[new_begins[row] + place] = content[begins[row] + place]
