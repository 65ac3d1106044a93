"""The living items in the order of their semantic IDs: a persistent trie whose versions share what did not change.

The first codes of an ID number a bucket of leaves (see `buckets`): a dense head, so that wide nodes are read by number
and not by search, and sorted runs below it, so that the codebook's size and the depth are free. A change copies the
bucket, the page of ranges that names it and the root, some kilobytes whatever the size of the catalogue.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ..core.catalogue import SemanticId
from ..core.snapshot import SLOTS_BEHIND, TrieArrays
from . import buckets

# More leaves than this share of all at once: one build is cheaper than as many copied buckets.
REBUILD_SHARE = 0.125
BUCKETS_PER_LEAF = 4  # the head is as deep as it can be with no more buckets than this a leaf
SLACK_LEAVES = 65_536  # room for changes at the least; half of all leaves where that is more
SLACK_BYTES = 4_000_000  # room for changed pages
KEY_BITS = 62


@dataclass(slots=True)
class Pages:
    """Where buckets lie. Pages below `used` belong to some version and are never written again."""

    ranges: npt.NDArray[np.int32]  # [pages, S, 2] first leaf and count of each bucket
    occupied: npt.NDArray[np.uint8]  # [pages, S / 8] whether each bucket has a leaf, as bits, lowest first
    used: npt.NDArray[np.int32]  # [1]


@dataclass(slots=True)
class Pool:
    """The leaves of the buckets. Those below `used` belong to some version and are never written again."""

    keys: npt.NDArray[np.int64]  # [capacity]
    slots: npt.NDArray[np.int32]  # [capacity + SLOTS_BEHIND], 0 where unused
    used: npt.NDArray[np.int32]  # [1]
    lock: threading.Lock = field(default_factory=threading.Lock)  # held by whoever appends here or to pages over it


@dataclass(frozen=True, slots=True)
class SortedTrie:
    """Implements core.snapshot.Trie. Keys are semantic IDs packed as base-K digits, coarse code first.

    Leaves are ordered by key, then by slot. A changed trie is a new one; whoever holds the old one reads the old one.
    """

    codes_per_level: int  # K
    levels: int  # L, 0 while empty
    count: int  # P
    end_slot: int  # one more than the greatest item slot ever seen
    span: int  # keys a bucket: K to the power of the codes below the head
    root: npt.NDArray[np.int32]  # [R] the page of every S buckets
    pages: Pages
    pool: Pool
    sids: npt.NDArray[np.int32] | None = None  # [N, L] by item slot, where its owner keeps them

    @classmethod
    def empty(cls, codes_per_level: int) -> "SortedTrie":
        """A trie without leaves, whose depth the first items will tell."""
        return _built(codes_per_level, 0, 0, _Leaves(np.empty(0, np.int64), np.empty(0, np.int32)))

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """[P] the key of each leaf, gathered anew."""
        return self._leaves().keys

    @property
    def leaf_slots(self) -> npt.NDArray[np.int32]:
        """[P] the item slot of each leaf, gathered anew."""
        return self._leaves().slots

    @property
    def arrays(self) -> TrieArrays:
        return TrieArrays(
            root=self.root,
            ranges=self.pages.ranges,
            occupied=self.pages.occupied,
            keys=self.pool.keys,
            slots=self.pool.slots,
            sids=self.sids,
            count=self.count,
            span=self.span,
            codes_per_level=self.codes_per_level,
            levels=self.levels,
            end_slot=self.end_slot,
        )

    def beside(self, sids: npt.NDArray[np.int32]) -> "SortedTrie":
        """The same trie, told the semantic IDs [N, L] by item slot: thin admissions are quicker read from there.

        A changed trie has forgotten them.
        """
        return replace(self, sids=sids)

    def pack(self, sids: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """[M] the keys of `sids` [M, L]."""
        keys = np.empty(len(sids), np.int64)
        buckets.pack(sids, self.codes_per_level, keys)
        return keys

    def live_children(
        self, prefixes: npt.NDArray[np.int64], level: int, admitted: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """[W, K] whether child code k of each prefix covers at least one admitted leaf; see core.snapshot.Trie."""
        out = np.zeros((len(prefixes), self.codes_per_level), np.bool_)
        if self.count:
            self._check(len(admitted))
            child, pool = self._child_keys(level), self.pool
            buckets.live(self.root, self.pages.ranges, pool.keys, pool.slots, self.span, child, prefixes, admitted, out)
        return out

    def best_children(
        self, prefixes: npt.NDArray[np.int64], level: int, worths: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """[W, K] the greatest worth of a leaf under each child, -inf where none is; see core.snapshot.Trie."""
        out = np.full((len(prefixes), self.codes_per_level), -np.inf, np.float32)
        if self.count:
            self._check(len(worths))
            child, pool = self._child_keys(level), self.pool
            buckets.best(self.root, self.pages.ranges, pool.keys, pool.slots, self.span, child, prefixes, worths, out)
        return out

    def leaves(self, semantic_id: SemanticId) -> npt.NDArray[np.int32]:
        """The item slots that carry exactly this semantic ID, ascending."""
        base = self.codes_per_level
        if not self.count or len(semantic_id) != self.levels or not all(0 <= code < base for code in semantic_id):
            return np.empty(0, np.int32)
        key = 0
        for code in semantic_id:
            key = key * base + code
        page, entry = divmod(key // self.span, self.pages.ranges.shape[1])
        first, count = self.pages.ranges[self.root[page], entry].tolist()
        low, high = np.searchsorted(self.pool.keys[first : first + count], (key, key + 1)).tolist()
        found = self.pool.slots[first + low : first + high]
        found.flags.writeable = False
        return found

    def inserted(self, sids: npt.NDArray[np.int32], slots: npt.NDArray[np.int32]) -> "SortedTrie":
        """The trie with these leaves added: `sids` [M, L], `slots` [M], none of which is a leaf already.

        ValueError where semantic IDs do not fit into 62 bits.
        """
        if len(slots) == 0:
            return self
        levels = sids.shape[1]
        if self.codes_per_level**levels >= 1 << KEY_BITS:
            raise ValueError(f"{levels} codes of {self.codes_per_level} do not fit into {KEY_BITS} bits")
        new = self.pack(sids)
        end_slot = max(self.end_slot, int(slots.max()) + 1)
        if self.count and len(slots) <= max(1, REBUILD_SHARE * self.count):
            changed = self._changed(buckets.insert, new, slots, end_slot)
            if changed is not None:
                return changed
        old = self._leaves()
        both = _Leaves(np.concatenate((old.keys, new)), np.concatenate((old.slots, slots.astype(np.int32))))
        return _built(self.codes_per_level, levels, end_slot, both.sorted(self.codes_per_level**levels, end_slot))

    def removed(self, sids: npt.NDArray[np.int32], slots: npt.NDArray[np.int32]) -> "SortedTrie":
        """The trie without the leaves of these slots [M], which carry `sids` [M, L]; what is no leaf is passed by."""
        if len(slots) == 0 or self.count == 0:
            return self
        gone = self.pack(sids)
        if len(slots) <= max(1, REBUILD_SHARE * self.count):
            changed = self._changed(buckets.remove, gone, slots, self.end_slot)
            if changed is not None:
                return changed
        key_of = np.full(max(self.end_slot, int(slots.max()) + 1), -1, np.int64)
        key_of[slots] = gone
        old = self._leaves()
        kept = key_of[old.slots] != old.keys
        return _built(self.codes_per_level, self.levels, self.end_slot, _Leaves(old.keys[kept], old.slots[kept]))

    def _changed(
        self, change: Callable[..., int], keys: npt.NDArray[np.int64], slots: npt.NDArray[np.int32], end_slot: int
    ) -> "SortedTrie | None":
        """The trie after buckets.insert or buckets.remove of these leaves; None where the pool has no room for it."""
        pages, pool = self.pages, self.pool
        root = self.root.copy()

        def done_on(pages: Pages, root: npt.NDArray[np.int32]) -> int:
            tables = root, pages.ranges, pages.occupied, pages.used
            return change(*tables, pool.keys, pool.slots, pool.used, self.span, keys, slots)

        with pool.lock:
            done = done_on(pages, root)
            if done == buckets.NO_PAGES:
                pages, root = _paged(pages.ranges[self.root]), np.arange(len(root), dtype=np.int32)
                done = done_on(pages, root)
        if done < 0:
            return None
        count = self.count + done if change is buckets.insert else self.count - done
        return SortedTrie(self.codes_per_level, self.levels, count, end_slot, self.span, root, pages, pool)

    def _check(self, items: int) -> None:
        if items < self.end_slot:
            raise ValueError(f"an admission or worths of {items} items, but the trie knows {self.end_slot}")

    def _child_keys(self, level: int) -> int:
        """The number of keys under one child of a node of `level` codes."""
        return int(self.codes_per_level ** (self.levels - level - 1))

    def _leaves(self) -> "_Leaves":
        keys, slots = np.empty(self.count, np.int64), np.empty(self.count, np.int32)
        buckets.gather(self.root, self.pages.ranges, self.pool.keys, self.pool.slots, keys, slots)
        return _Leaves(keys, slots)


@dataclass(frozen=True, slots=True)
class _Leaves:
    keys: npt.NDArray[np.int64]  # [P]
    slots: npt.NDArray[np.int32]  # [P]

    def sorted(self, end_key: int, end_slot: int) -> "_Leaves":
        """By key, then by slot."""
        bits = (end_slot - 1).bit_length()
        if (end_key - 1).bit_length() + bits <= KEY_BITS:  # both fit into one number, which sorts several times faster
            together = np.sort(self.keys << bits | self.slots)
            return _Leaves(together >> bits, (together & ((1 << bits) - 1)).astype(np.int32))
        order = np.lexsort((self.slots, self.keys))
        return _Leaves(self.keys[order], self.slots[order])


def _built(codes: int, levels: int, end_slot: int, leaves: _Leaves) -> SortedTrie:
    """A trie of sorted leaves with a pool of its own."""
    count, head = len(leaves.keys), 0
    while head < levels and codes ** (head + 1) <= BUCKETS_PER_LEAF * count:
        head += 1
    pages, size = codes ** (head - head // 2), codes ** (head // 2)
    span = codes ** (levels - head)
    room = count + max(count // 2, SLACK_LEAVES)
    keys, slots = np.empty(room, np.int64), np.zeros(room + SLOTS_BEHIND, np.int32)
    keys[:count], slots[:count] = leaves.keys, leaves.slots
    table = np.empty((pages, size, 2), np.int32)
    buckets.tabulate(leaves.keys, span, table)
    pool = Pool(keys, slots, np.array([count], np.int32))
    return SortedTrie(codes, levels, count, end_slot, span, np.arange(pages, dtype=np.int32), _paged(table), pool)


def _paged(table: npt.NDArray[np.int32]) -> Pages:
    """These pages [R, S, 2] with room behind them for changed ones."""
    pages, size, _ = table.shape
    # At least as many as a trie has: a batch may change each once.
    room = 2 * pages + SLACK_BYTES // (8 * size)
    ranges, occupied = np.empty((room, size, 2), np.int32), np.empty((room, (size + 7) // 8), np.uint8)
    ranges[:pages], occupied[:pages] = table, np.packbits(table[:, :, 1] > 0, axis=1, bitorder="little")
    return Pages(ranges, occupied, np.array([pages], np.int32))
