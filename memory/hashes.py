"""Finds item slots by 64-bit hashes, thousands at a time and without a Python object for any of them.

Compiled at the first call and kept beside the module, and run without the interpreter's lock, so that requests go on
meanwhile.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

UNKNOWN = -1
AMBIGUOUS = -2  # two items share the hash: ask by id
LEAST_PLACES = 1_024  # of a table, a power of two
GROWTH = 4  # places an item when a table is made; it is made anew once half of them are taken

Keys = npt.NDArray[np.uint64]
Slots = npt.NDArray[np.int32]


@dataclass(slots=True)
class _Table:
    """Open addressing; a place of UNKNOWN is free. Versions share it: one with N items passes by slots from N on."""

    keys: Keys  # [places]
    slots: Slots  # [places]
    used: int  # items in it

    @classmethod
    def of(cls, items: int) -> "_Table":
        places = LEAST_PLACES
        while places < GROWTH * items:
            places *= 2
        return cls(np.empty(places, np.uint64), np.full(places, UNKNOWN, np.int32), 0)


@dataclass(frozen=True, slots=True)
class HashIndex:
    """The slots of the first N items by hash. Under Column's rule: the version with the last word grows in place."""

    count: int  # N
    table: _Table

    @classmethod
    def empty(cls) -> "HashIndex":
        """An index that knows no item."""
        return cls(0, _Table.of(0))

    def found(self, keys: Keys) -> Slots:
        """[M] the slot of each hash, UNKNOWN, or AMBIGUOUS where several items share it."""
        out = np.empty(len(keys), np.int32)
        _find(self.table.keys, self.table.slots, self.count, keys, out)
        return out

    def appended(self, keys: Keys) -> "HashIndex":
        """The index with the hashes of the items in the next slots, in order."""
        end, table = self.count + len(keys), self.table
        if end == self.count:
            return self
        if table.used != self.count or 2 * end > len(table.slots):
            table = _Table.of(end)
            _copy(self.table.keys, self.table.slots, self.count, table.keys, table.slots)
        _insert(table.keys, table.slots, self.count, keys)
        table.used = end
        return HashIndex(end, table)


@njit(cache=True, nogil=True)
def _find(table: Any, slots: Any, count: int, keys: Any, out: Any) -> None:
    """Afterwards `out` [M] tells of each of `keys` which slot below `count` has it."""
    mask = np.uint64(len(table) - 1)
    for row in range(len(keys)):
        key = keys[row]
        place, answer = key & mask, UNKNOWN
        while slots[place] != UNKNOWN:
            if table[place] == key and slots[place] < count:
                answer = slots[place] if answer == UNKNOWN else AMBIGUOUS
            place = (place + np.uint64(1)) & mask
        out[row] = answer


@njit(cache=True, nogil=True)
def _insert(table: Any, slots: Any, first: int, keys: Any) -> None:
    """Afterwards the table holds `keys` [M] for slots `first` and on."""
    mask = np.uint64(len(table) - 1)
    for row in range(len(keys)):
        place = keys[row] & mask
        while slots[place] != UNKNOWN:
            place = (place + np.uint64(1)) & mask
        table[place], slots[place] = keys[row], first + row


@njit(cache=True, nogil=True)
def _copy(old_table: Any, old_slots: Any, count: int, table: Any, slots: Any) -> None:
    """Afterwards the table holds what the old one holds for slots below `count`."""
    mask = np.uint64(len(table) - 1)
    for row in range(len(old_slots)):
        if UNKNOWN < old_slots[row] < count:
            place = old_table[row] & mask
            while slots[place] != UNKNOWN:
                place = (place + np.uint64(1)) & mask
            table[place], slots[place] = old_table[row], old_slots[row]
