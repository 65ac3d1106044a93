"""Items by id and by slot, and the trie over the living ones; versions share what did not change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from immutables import Map

from ..core.catalogue import EncodedItem, Offer
from ..core.snapshot import ItemColumns
from .trie import SortedTrie

UNLIMITED = -1  # stock of an item without an offer
NORM_TOLERANCE = 1e-5  # a vector this near unit length is kept bit for bit, as its encoder made it


@dataclass(frozen=True, slots=True)
class Items:
    """Every item. A slot is given once and keeps its item for ever.

    `misfits` are items whose semantic ID or vector has another shape than the first item's (another model's): they
    can be looked up, but are not alive, since no decoder could reach them.
    """

    by_id: "Map[str, EncodedItem]"  # present items
    slots: "Map[str, int]"  # of every item ever seen
    columns: ItemColumns
    trie: SortedTrie
    room: "Room"
    misfits: int = 0

    @classmethod
    def empty(cls, codes_per_level: int) -> "Items":
        """No items yet."""
        columns = ItemColumns(
            item_ids=(),
            sids=np.empty((0, 0), np.int32),
            vectors=np.empty((0, 0), np.float32),
            alive=np.empty(0, np.bool_),
            stock=np.empty(0, np.int64),
            popularity=np.empty(0, np.float32),
        )
        return cls(Map(), Map(), columns, SortedTrie.empty(codes_per_level), Room(columns.vectors))

    def changed(
        self, items: Mapping[str, EncodedItem | None], offers: "Map[str, Offer]", offers_changed: Iterable[str]
    ) -> "Items":
        """The catalogue after these items were put (None: deleted) and `offers`, as they are now, changed for some."""
        columns = self._restocked(offers, offers_changed)
        if not items:
            return self if columns is self.columns else replace(self, columns=columns)
        by_id, slots = self.by_id.mutate(), self.slots.mutate()
        item_ids, put = list(columns.item_ids), []
        gone: list[int] = []
        misfits = self.misfits
        levels, width = self._shape(items.values())
        for item_id, encoded in items.items():
            old = self.by_id.get(item_id)
            misfits -= old is not None and not columns.alive[self.slots[item_id]]
            if encoded is None:
                if old is not None:
                    del by_id[item_id]
                    gone.append(self.slots[item_id])
                continue
            by_id[item_id] = encoded
            if item_id not in slots:
                slots[item_id] = len(item_ids)
                item_ids.append(item_id)
            fits = self._fits(encoded, levels, width)
            misfits += not fits
            put.append(_Put(slots[item_id], encoded, fits))
        before, room = columns.count, self.room.grown(columns.vectors, len(item_ids) - columns.count, width)
        columns = _grown(columns, tuple(item_ids), levels, room, offers)
        placed = _placed(columns, put, gone, room, before)
        trie = _retried(self.trie, columns, placed, put, gone)
        return Items(by_id.finish(), slots.finish(), placed, trie, room, misfits)

    def _restocked(self, offers: "Map[str, Offer]", changed: Iterable[str]) -> ItemColumns:
        known = [item_id for item_id in changed if item_id in self.slots]
        if not known:
            return self.columns
        stock = self.columns.stock.copy()
        for item_id in known:
            stock[self.slots[item_id]] = _stock(offers, item_id)
        return replace(self.columns, stock=_frozen(stock))

    def _shape(self, items: Iterable[EncodedItem | None]) -> tuple[int, int]:
        """(L, D) of the catalogue: the first item's."""
        if self.columns.count:
            return self.columns.sids.shape[1], self.columns.vectors.shape[1]
        first = next((item for item in items if item is not None), None)
        return (0, 0) if first is None else (len(first.semantic_id), len(first.vector) // 4)

    def _fits(self, item: EncodedItem, levels: int, width: int) -> bool:
        codes = self.trie.codes_per_level
        return (
            len(item.semantic_id) == levels
            and len(item.vector) == 4 * width
            and all(0 <= code < codes for code in item.semantic_id)
        )


@dataclass(slots=True)
class Room:
    """A buffer of vectors with room for more, shared by versions that only add to each other.

    Rows up to `used` belong to some version and are never written again. A version that has the last word (it ends at
    `used`) may append behind it, which no other version can see; any other copies.
    """

    buffer: npt.NDArray[np.float32]  # [capacity, D]
    used: int = 0

    def grown(self, vectors: npt.NDArray[np.float32], new: int, width: int) -> "Room":
        """A buffer that begins with `vectors` and has `new` zero rows more in use."""
        count = len(vectors)
        if new and (self.used != count or vectors.base is not self.buffer or count + new > len(self.buffer)):
            buffer = np.zeros((count + new + max(new, count // 2), width), np.float32)
            if count:
                buffer[:count] = vectors
            return Room(buffer, count + new)
        self.used += new
        return self


@dataclass(frozen=True, slots=True)
class _Put:
    slot: int
    item: EncodedItem
    fits: bool


def _grown(
    columns: ItemColumns, item_ids: tuple[str, ...], levels: int, room: Room, offers: "Map[str, Offer]"
) -> ItemColumns:
    """Room for the new items, dead until they are placed."""
    new = len(item_ids) - columns.count
    if new == 0:
        return columns
    stock = [_stock(offers, item_id) for item_id in item_ids[columns.count :]]
    return ItemColumns(
        item_ids=item_ids,
        sids=_frozen(_appended(columns.sids.reshape(-1, levels), np.full((new, levels), -1, np.int32))),
        vectors=_frozen(room.buffer[: len(item_ids)]),
        alive=_frozen(_appended(columns.alive, np.zeros(new, np.bool_))),
        stock=_frozen(_appended(columns.stock, np.asarray(stock, np.int64))),
        popularity=_frozen(_appended(columns.popularity, np.zeros(new, np.float32))),
    )


def _placed(columns: ItemColumns, put: Sequence[_Put], gone: Sequence[int], room: Room, before: int) -> ItemColumns:
    """The columns with the put items written and the gone ones dead; columns that do not change are shared.

    Slots from `before` on are new: only this version sees their rows, so their vectors are written in place.
    """
    slots = np.asarray([one.slot for one in put], np.int32)
    alive, popularity = columns.alive.copy(), columns.popularity.copy()
    alive[list(gone)] = False
    alive[slots] = [one.fits for one in put]
    popularity[slots] = [one.item.item.popularity for one in put]
    columns = replace(columns, alive=_frozen(alive), popularity=_frozen(popularity))
    fitting = [one for one in put if one.fits]
    if not fitting:
        return columns
    slots = np.asarray([one.slot for one in fitting], np.int32)
    codes = np.asarray([one.item.semantic_id for one in fitting], np.int32).reshape(len(fitting), -1)
    vectors = np.frombuffer(b"".join(one.item.vector for one in fitting), np.float32).reshape(len(fitting), -1)
    if np.array_equal(columns.sids[slots], codes) and np.array_equal(columns.vectors[slots], vectors):
        return columns  # only words or popularity changed
    in_place = bool((slots >= before).all())
    sids, all_vectors = columns.sids.copy(), room.buffer if in_place else columns.vectors.copy()
    sids[slots] = codes
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    near_unit = np.abs(norms - 1) < NORM_TOLERANCE
    all_vectors[slots] = np.where(near_unit, vectors, vectors / np.where(norms > 0, norms, 1))
    return replace(columns, sids=_frozen(sids), vectors=columns.vectors if in_place else _frozen(all_vectors))


def _retried(
    trie: SortedTrie, before: ItemColumns, after: ItemColumns, put: Sequence[_Put], gone: Sequence[int]
) -> SortedTrie:
    """The trie after the leaves of slots that died, were born or moved between `before` and `after`."""
    slots = np.asarray([*gone, *(one.slot for one in put)], np.int32)
    stays = before.alive[slots] & after.alive[slots] & (before.sids[slots] == after.sids[slots]).all(axis=1)
    slots = slots[~stays]
    died = slots[before.alive[slots]]
    trie = trie.removed(before.sids[died], died)
    born = slots[after.alive[slots]]
    return trie.inserted(after.sids[born], born)


def _stock(offers: "Map[str, Offer]", item_id: str) -> int:
    offer = offers.get(item_id)
    return UNLIMITED if offer is None else offer.stock


def _appended(array: npt.NDArray[Any], more: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate((array, more))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
