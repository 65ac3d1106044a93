"""The loops of the trie, compiled: leaves lie in buckets, one for each prefix of the first few codes.

A bucket is a run of the leaf arrays `keys` [cap] int64 and `slots` [cap] int32, ordered by key, then by slot.
Buckets are found by number through two tables: `root` [R] int32 names the page of each S consecutive buckets, and
`ranges` [pages, S, 2] int32 holds the first leaf and the count of each bucket of a page. Which buckets hold a leaf at
all, `occupied` [pages, S / 8] uint8 tells in bits, lowest first. Nothing here checks bounds: the callers in `trie` do.

Compiled at the first call and kept beside the module, so that a process compiles them once a machine.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Keys = npt.NDArray[np.int64]
Slots = npt.NDArray[np.int32]
Table = npt.NDArray[np.int32]
Bits = npt.NDArray[np.uint8]

NO_PAGES, NO_LEAVES = -1, -2  # the answers of `insert` and `remove` when there is no room


@njit(cache=True, nogil=True)
def pack(sids: npt.NDArray[Any], base: int, keys: Keys) -> None:
    """Afterwards `keys` [M] hold `sids` [M, L] as base-K digits, coarse code first."""
    for row in range(sids.shape[0]):
        key = np.int64(0)
        for level in range(sids.shape[1]):
            key = key * base + sids[row, level]
        keys[row] = key


@njit(cache=True, nogil=True)
def tabulate(keys: Keys, span: int, ranges: Table) -> None:
    """Afterwards `ranges` [R, S, 2] tell where each bucket of `span` keys lies in the sorted `keys` [P]."""
    flat = ranges.reshape(-1, 2)
    leaf = 0
    for bucket in range(flat.shape[0]):
        flat[bucket, 0] = leaf
        limit = (bucket + 1) * span
        while leaf < len(keys) and keys[leaf] < limit:
            leaf += 1
        flat[bucket, 1] = leaf - flat[bucket, 0]


@njit(cache=True, nogil=True)
def gather(root: Table, ranges: Table, keys: Keys, slots: Slots, out_keys: Keys, out_slots: Slots) -> None:
    """Afterwards the outputs [P] hold all leaves in order."""
    place = 0
    for page in root:
        for entry in range(ranges.shape[1]):
            first = ranges[page, entry, 0]
            for leaf in range(first, first + ranges[page, entry, 1]):
                out_keys[place] = keys[leaf]
                out_slots[place] = slots[leaf]
                place += 1


@njit(cache=True, nogil=True)
def _own_page(root: Table, ranges: Table, occupied: Bits, which: int, fresh: int, used: int) -> int:
    """The number of pages in use after page `which` of the root was made this version's own (from `fresh` on)."""
    if root[which] >= fresh:
        return used
    if used == ranges.shape[0]:
        return NO_PAGES
    page = root[which]
    for entry in range(ranges.shape[1]):
        ranges[used, entry, 0], ranges[used, entry, 1] = ranges[page, entry, 0], ranges[page, entry, 1]
    for byte in range(occupied.shape[1]):
        occupied[used, byte] = occupied[page, byte]
    root[which] = used
    return used + 1


@njit(cache=True, nogil=True)
def insert(
    root: Table,
    ranges: Table,
    occupied: Bits,
    pages_used: Table,
    keys: Keys,
    slots: Slots,
    leaves_used: Table,
    span: int,
    new_keys: Keys,
    new_slots: Slots,
) -> int:
    """How many leaves were added; NO_PAGES or NO_LEAVES where there was no room, and then the root must be thrown away.

    Writes `root`, which the caller copied, and what lies behind `pages_used` and `leaves_used` [1], which it moves: no
    older version sees either.
    """
    size = ranges.shape[1]
    pages, leaves = pages_used[0], leaves_used[0]
    fresh = pages
    for row in range(len(new_keys)):
        key, slot = new_keys[row], new_slots[row]
        bucket = key // span
        pages = _own_page(root, ranges, occupied, bucket // size, fresh, pages)
        if pages == NO_PAGES:
            return NO_PAGES
        page, entry = root[bucket // size], bucket % size
        first, count = ranges[page, entry, 0], ranges[page, entry, 1]
        if leaves + count + 1 > len(keys):
            return NO_LEAVES
        place = 0
        while place < count and (
            keys[first + place] < key or (keys[first + place] == key and slots[first + place] < slot)
        ):
            place += 1
        for leaf in range(place):
            keys[leaves + leaf], slots[leaves + leaf] = keys[first + leaf], slots[first + leaf]
        keys[leaves + place], slots[leaves + place] = key, slot
        for leaf in range(place, count):
            keys[leaves + leaf + 1], slots[leaves + leaf + 1] = keys[first + leaf], slots[first + leaf]
        ranges[page, entry, 0], ranges[page, entry, 1] = leaves, count + 1
        occupied[page, entry >> 3] |= np.uint8(1 << (entry & 7))
        leaves += count + 1
    pages_used[0], leaves_used[0] = pages, leaves
    return len(new_keys)


@njit(cache=True, nogil=True)
def remove(
    root: Table,
    ranges: Table,
    occupied: Bits,
    pages_used: Table,
    keys: Keys,
    slots: Slots,
    leaves_used: Table,
    span: int,
    old_keys: Keys,
    old_slots: Slots,
) -> int:
    """How many of these leaves were there and are gone; no room, and what is written, as in `insert`."""
    size = ranges.shape[1]
    pages, leaves = pages_used[0], leaves_used[0]
    fresh, removed = pages, 0
    for row in range(len(old_keys)):
        key, slot = old_keys[row], old_slots[row]
        bucket = key // span
        page, entry = root[bucket // size], bucket % size
        first, count = ranges[page, entry, 0], ranges[page, entry, 1]
        place = 0
        while place < count and not (keys[first + place] == key and slots[first + place] == slot):
            place += 1
        if place == count:
            continue
        pages = _own_page(root, ranges, occupied, bucket // size, fresh, pages)
        if pages == NO_PAGES:
            return NO_PAGES
        if leaves + count > len(keys):
            return NO_LEAVES
        page = root[bucket // size]
        for leaf in range(place):
            keys[leaves + leaf], slots[leaves + leaf] = keys[first + leaf], slots[first + leaf]
        for leaf in range(place + 1, count):
            keys[leaves + leaf - 1], slots[leaves + leaf - 1] = keys[first + leaf], slots[first + leaf]
        ranges[page, entry, 0], ranges[page, entry, 1] = leaves, count - 1
        if count == 1:
            occupied[page, entry >> 3] &= np.uint8(255 - (1 << (entry & 7)))
        leaves += count - 1
        removed += 1
    pages_used[0], leaves_used[0] = pages, leaves
    return removed


@njit(cache=True, nogil=True)
def live(  # noqa: PLR0912  (compiled: one function, so that its loops share what they look up)
    root: Table,
    ranges: Table,
    keys: Keys,
    slots: Slots,
    span: int,
    child: int,
    prefixes: Keys,
    admitted: npt.NDArray[np.bool_],
    out: npt.NDArray[np.bool_],
) -> None:
    """Afterwards `out` [W, K], False before, tells which children hold an admitted leaf, `child` keys under each.

    Every child is looked at only until its first admitted leaf, so that a broad admission costs next to nothing.
    """
    size, base = ranges.shape[1], out.shape[1]
    for beam in range(len(prefixes)):
        first = prefixes[beam] * child * base
        which, entry = first // span // size, first // span % size
        if child < span:  # the children share one bucket
            start, count = ranges[root[which], entry]
            for leaf in range(start, start + count):
                if keys[leaf] >= first:
                    code = (keys[leaf] - first) // child
                    if code >= base:
                        break
                    if admitted[slots[leaf]]:
                        out[beam, code] = True
        elif child // span < size:  # all children lie in one page
            page, per_child = root[which], child // span
            for code in range(base):
                for bucket in range(entry + code * per_child, entry + (code + 1) * per_child):
                    if _any(ranges[page, bucket, 0], ranges[page, bucket, 1], slots, admitted):
                        out[beam, code] = True
                        break
        else:  # a child is one page or several
            per_child = child // span // size
            for code in range(base):
                for page in root[which + code * per_child : which + (code + 1) * per_child]:
                    for bucket in range(size):
                        if _any(ranges[page, bucket, 0], ranges[page, bucket, 1], slots, admitted):
                            out[beam, code] = True
                            break
                    if out[beam, code]:
                        break


@njit(cache=True, nogil=True)
def _any(first: int, count: int, slots: Slots, admitted: npt.NDArray[np.bool_]) -> bool:
    for leaf in range(first, first + count):  # noqa: SIM110  (compiled: a plain loop is what it becomes)
        if admitted[slots[leaf]]:
            return True
    return False


@njit(cache=True, nogil=True)
def best(
    root: Table,
    ranges: Table,
    keys: Keys,
    slots: Slots,
    span: int,
    child: int,
    prefixes: Keys,
    worths: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Afterwards `out` [W, K], -inf before, holds the greatest worth of a leaf under each child."""
    size, base = ranges.shape[1], out.shape[1]
    for beam in range(len(prefixes)):
        first = prefixes[beam] * child * base
        which, entry = first // span // size, first // span % size
        if child < span:
            start, count = ranges[root[which], entry]
            for leaf in range(start, start + count):
                if keys[leaf] >= first:
                    code = (keys[leaf] - first) // child
                    if code >= base:
                        break
                    out[beam, code] = max(out[beam, code], worths[slots[leaf]])
        elif child // span < size:
            page, per_child = root[which], child // span
            for code in range(base):
                begin = entry + code * per_child
                out[beam, code] = _best(ranges[page, begin : begin + per_child], slots, worths)
        else:
            per_child = child // span // size
            for code in range(base):
                greatest = out[beam, code]
                for page in root[which + code * per_child : which + (code + 1) * per_child]:
                    greatest = max(greatest, _best(ranges[page], slots, worths))
                out[beam, code] = greatest


@njit(cache=True, nogil=True)
def _best(some: Table, slots: Slots, worths: npt.NDArray[np.float32]) -> np.float32:
    greatest = np.float32(-np.inf)
    for bucket in range(some.shape[0]):
        first = some[bucket, 0]
        for leaf in range(first, first + some[bucket, 1]):
            greatest = max(greatest, worths[slots[leaf]])
    return greatest
