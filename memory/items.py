"""Items by id and by slot, and the trie over the living ones; versions share what did not change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import msgspec
import numpy as np
import numpy.typing as npt

from ..core.catalogue import EncodedItem
from .columns import Column, Objects
from .payloads import Payloads
from .slots import Slots
from .trie import SortedTrie

NORM_TOLERANCE = 1e-5  # a vector this near unit length is kept bit for bit, as its encoder made it
NEVER = 0  # the stamp of an item that is not there


@dataclass(frozen=True, slots=True)
class Items:
    """Every item. A slot is given once and keeps its item for ever.

    What is not a column is kept as encoded bytes and decoded for the reader who asks. `misfits` are items whose
    semantic ID or vector has another shape than the first item's (another model's): they can be looked up, but are not
    alive, since no decoder could reach them.
    """

    payloads: Payloads  # [N] of present items; without the vector where the column holds it bit for bit
    slots: Slots  # of every item ever seen
    ids: Objects[str]  # [N]
    sids: Column  # [N, L] int32
    vectors: Column  # [N, D] float32
    alive: Column  # [N] bool
    popularity: Column  # [N] float32
    stamps: Column  # [N] uint64: changes with the item's row; NEVER when it is deleted
    moves: Column  # [m] int32: slots whose vector was replaced, in order
    trie: SortedTrie
    misfits: int = 0

    @classmethod
    def empty(cls, codes_per_level: int) -> "Items":
        """No items yet."""
        return cls(
            Payloads.empty(),
            Slots(),
            Objects(),
            sids=Column.of(np.empty((0, 0), np.int32)),
            vectors=Column.of(np.empty((0, 0), np.float32)),
            alive=Column.of(np.empty(0, np.bool_)),
            popularity=Column.of(np.empty(0, np.float32)),
            stamps=Column.of(np.empty(0, np.uint64)),
            moves=Column.of(np.empty(0, np.int32)),
            trie=SortedTrie.empty(codes_per_level),
        )

    def get(self, item_id: str) -> EncodedItem | None:
        """A present item, decoded at each call: that costs a microsecond, as finding it in a cache would."""
        slot = self.slots.get(item_id)
        if slot is None:
            return None
        payload = self.payloads.get(slot)
        if payload is None:
            return None
        item: EncodedItem = _DECODER.decode(payload.data)
        if not item.vector and self.alive.view.item(slot):
            # Nobody else has seen the object yet, and making another one would cost as much as decoding it did.
            object.__setattr__(item, "vector", self.vectors.view[slot].tobytes())
        return item

    def changed(self, items: Mapping[str, EncodedItem | None], stamps: Mapping[str, int]) -> "Items":
        """The catalogue after these items were put (None: deleted), each under its stamp."""
        if not items:
            return self
        count, levels, width = len(self.ids), *self._shape(items.values())
        put: list[EncodedItem] = []
        slots: list[int] = []
        told: list[int] = []
        new_ids: list[str] = []
        gone: list[int] = []
        for item_id, encoded in items.items():
            slot = self.slots.get(item_id)
            if encoded is None:
                if slot is not None:
                    gone.append(slot)
                continue
            if slot is None:
                slot = count + len(new_ids)
                new_ids.append(item_id)
            put.append(encoded)
            slots.append(slot)
            told.append(stamps[item_id])
        fits = np.fromiter((self._fits(item, levels, width) for item in put), np.bool_, len(put))
        rows = _Rows.of(put, slots, fits, told, levels, width)
        dead = np.array(gone, np.int32)
        dead = dead[self.payloads.present(dead)]
        touched = np.concatenate((dead, rows.slots[rows.slots < count]))
        were_misfits = int(np.count_nonzero(self.payloads.present(touched) & ~self.alive.view[touched]))
        lean = [_lean(item, kept) for item, kept in zip(put, rows.exact.tolist(), strict=True)]
        after = self._with(rows, dead, count)
        return Items(
            self.payloads.changed(rows.slots, lean, dead),
            self.slots.appended(new_ids),
            self.ids.appended(new_ids),
            sids=after.sids,
            vectors=after.vectors,
            alive=after.alive,
            popularity=after.popularity,
            stamps=after.stamps,
            moves=after.moves,
            trie=self._retried(after.alive, after.sids, np.concatenate((dead, rows.slots))),
            misfits=self.misfits - were_misfits + int(np.count_nonzero(~fits)),
        )

    def _with(self, rows: "_Rows", dead: npt.NDArray[np.int32], count: int) -> "_Columns":
        """The columns with known rows replaced and new ones behind them; those that do not change are shared."""
        new, known = rows.chosen(rows.slots >= count), rows.chosen(rows.slots < count)
        sids, vectors, moves = self.sids, self.vectors, self.moves
        if len(known.slots):
            same = self.alive.view[known.slots] & (self.vectors.view[known.slots] == known.vectors).all(axis=1)
            same &= (self.sids.view[known.slots] == known.sids).all(axis=1)
            moved = known.chosen(known.alive & ~same)
            sids, vectors = sids.written(moved.slots, moved.sids), vectors.written(moved.slots, moved.vectors)
            moves = moves.appended(moved.slots)
        return _Columns(
            sids.appended(new.sids),
            vectors.appended(new.vectors),
            _set(_set(self.alive, dead, False), known.slots, known.alive).appended(new.alive),
            _set(self.popularity, known.slots, known.popularity).appended(new.popularity),
            _set(_set(self.stamps, dead, NEVER), known.slots, known.stamps).appended(new.stamps),
            moves,
        )

    def _retried(self, alive: Column, sids: Column, slots: npt.NDArray[np.int32]) -> SortedTrie:
        """The trie after the leaves of slots that died, were born or moved."""
        count = len(self.ids)
        known, new = slots[slots < count], slots[slots >= count]
        trie = self.trie
        if len(known):
            was, now = self.alive.view[known], alive.view[known]
            stays = was & now & (self.sids.view[known] == sids.view[known]).all(axis=1)
            died = known[was & ~stays]
            trie = trie.removed(self.sids.view[died], died)
            new = np.concatenate((known[now & ~stays], new))
        born = new[alive.view[new]]
        trie = trie.inserted(sids.view[born], born)
        return trie if trie is self.trie else trie.beside(sids.view)  # who keeps something by the trie keeps it

    def _shape(self, items: Iterable[EncodedItem | None]) -> tuple[int, int]:
        """(L, D) of the catalogue: the first item's."""
        if len(self.ids):
            return self.sids.view.shape[1], self.vectors.view.shape[1]
        first = next((item for item in items if item is not None), None)
        return (0, 0) if first is None else (len(first.semantic_id), len(first.vector) // 4)

    def _fits(self, item: EncodedItem, levels: int, width: int) -> bool:
        codes = self.trie.codes_per_level
        return (
            len(item.semantic_id) == levels
            and len(item.vector) == 4 * width
            and min(item.semantic_id, default=0) >= 0
            and max(item.semantic_id, default=0) < codes
        )


@dataclass(frozen=True, slots=True)
class _Columns:
    sids: Column
    vectors: Column
    alive: Column
    popularity: Column
    stamps: Column
    moves: Column


@dataclass(frozen=True, slots=True)
class _Rows:
    """M put items as columns. A misfit has codes of -1 and no direction."""

    slots: npt.NDArray[np.int32]  # [M]
    sids: npt.NDArray[np.int32]  # [M, L]
    vectors: npt.NDArray[np.float32]  # [M, D] unit length
    exact: npt.NDArray[np.bool_]  # [M] whether the vector is the item's own, bit for bit
    alive: npt.NDArray[np.bool_]  # [M]
    popularity: npt.NDArray[np.float32]  # [M]
    stamps: npt.NDArray[np.uint64]  # [M]

    @classmethod
    def of(
        cls,
        put: Sequence[EncodedItem],
        slots: Sequence[int],
        fits: npt.NDArray[np.bool_],
        stamps: Sequence[int],
        levels: int,
        width: int,
    ) -> "_Rows":
        fitting = put if fits.all() else [item for item, one in zip(put, fits.tolist(), strict=True) if one]
        sids = np.full((len(put), levels), -1, np.int32)
        vectors = np.zeros((len(put), width), np.float32)
        if fitting:
            codes = chain.from_iterable(item.semantic_id for item in fitting)
            sids[fits] = np.fromiter(codes, np.int32, len(fitting) * levels).reshape(len(fitting), levels)
            told = np.frombuffer(b"".join([item.vector for item in fitting]), np.float32)
            vectors[fits] = told.reshape(len(fitting), width)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        near_unit = np.abs(norms - 1) < NORM_TOLERANCE
        return cls(
            slots=np.array(slots, np.int32),
            sids=sids,
            vectors=np.where(near_unit, vectors, vectors / np.where(norms > 0, norms, 1)),
            exact=near_unit[:, 0] & fits,
            alive=fits,
            popularity=np.fromiter((item.item.popularity for item in put), np.float32, len(put)),
            stamps=np.fromiter(stamps, np.uint64, len(put)),
        )

    def chosen(self, which: npt.NDArray[np.bool_]) -> "_Rows":
        if which.all():
            return self
        return _Rows(
            self.slots[which],
            self.sids[which],
            self.vectors[which],
            self.exact[which],
            self.alive[which],
            self.popularity[which],
            self.stamps[which],
        )


def _set(column: Column, slots: npt.NDArray[np.int32], values: object) -> Column:
    """The column with these rows replaced; itself where they are so already."""
    return column if bool((column.view[slots] == values).all()) else column.written(slots, values)


def _lean(encoded: EncodedItem, in_column: bool) -> bytes:
    """The item as bytes, without the vector if the column holds it."""
    vector = b"" if in_column else encoded.vector
    return _ENCODER.encode(EncodedItem(encoded.item, encoded.semantic_id, vector, encoded.model))


_DECODER = msgspec.msgpack.Decoder(EncodedItem)
_ENCODER = msgspec.msgpack.Encoder()
