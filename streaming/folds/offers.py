"""The offers of one shard as columns: thousands of events fold to the newest of each item in a few array operations."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ...core import rows
from ...core.catalogue import Offer
from ...core.commit import Row, Table
from ...core.event import Event, Outcome
from ...core.offers import MOST_OFFERS, PackedOffers, item_hash

CURRENCIES = 256  # a block numbers them in a byte


@dataclass(frozen=True, slots=True)
class Told:
    """M offers without promotion in the order they were told, by handle."""

    handles: npt.NDArray[np.int64]  # [M]
    event_times: npt.NDArray[np.int64]  # [M] ns UTC
    price_micros: npt.NDArray[np.int64]  # [M]
    currencies: npt.NDArray[np.uint8]  # [M] codes of OfferBook.currency
    stock: npt.NDArray[np.int64]  # [M]


class OfferBook:
    """The newest event time of every item's offer, and the offers that changed since the last `drained`.

    An item is known by its handle, the number of its first appearance here.
    """

    def __init__(self) -> None:
        self._handles: dict[bytes, int] = {}  # by item id in UTF-8
        self.item_ids: list[str] = []  # by handle
        self._columns = _Columns.of(0)
        self._currencies: dict[str, int] = {}
        self._odd: dict[int, Offer | None] = {}  # changed offers that no block can hold, by handle

    def known(self, keys: Sequence[bytes | None]) -> list[int]:
        """The handle of each item id; -1 for one that never appeared. [M]"""
        get = self._handles.get
        return [get(key, -1) for key in keys]  # type: ignore[arg-type] # no handle has None for its key

    def handle(self, key: bytes) -> int:
        """The item's handle, a new one at its first appearance."""
        handle = self._handles.get(key)
        if handle is None:
            item_id = key.decode()
            handle = self._handles[key] = len(self.item_ids)
            self.item_ids.append(item_id)
            self._columns = self._columns.with_room(handle + 1)
            self._columns.hashes[handle] = item_hash(item_id)
        return handle

    def currency(self, names: Sequence[str]) -> npt.NDArray[np.uint8] | None:
        """The code of each currency; None once there are more than a block can number."""
        codes = self._currencies
        try:
            numbers = [codes[name] for name in names]
        except KeyError:
            for name in names:
                codes.setdefault(name, len(codes))
            numbers = [codes[name] for name in names]
        return np.array(numbers, np.uint8) if len(codes) <= CURRENCIES or max(numbers) < CURRENCIES else None

    def fold(self, event: Event) -> Outcome:
        """One event: afterwards the item's offer is what it says, unless a newer one has spoken."""
        handle = self.handle(event.key.encode())
        newest = int(self._columns.event_time[handle])
        if event.event_time < newest:
            return Outcome.OUT_OF_ORDER
        offer: Offer | None = event.value
        codes = None if offer is None or offer.promotion else self.currency([offer.price.currency])
        if offer is None or codes is None:
            self._odd[handle] = offer
            self._columns.changed[handle] = False
        else:
            self._odd.pop(handle, None)
            self._columns.price_micros[handle] = offer.price.micros
            self._columns.currency[handle] = codes[0]
            self._columns.stock[handle] = offer.stock
            self._columns.changed[handle] = True
        self._columns.event_time[handle] = event.event_time
        return Outcome.REPEATED if event.event_time == newest else Outcome.FOLDED

    def fold_many(self, told: Told) -> dict[Outcome, int] | None:
        """As `fold` for each in order, with how often each outcome was; None, and nothing done, where within these an
        older event of an item comes after a newer one.
        """
        columns = self._columns
        order = np.argsort(told.handles, kind="stable")
        handles, times = told.handles[order], told.event_times[order]
        again = handles[1:] == handles[:-1]
        later = times[1:] - times[:-1]
        if bool((again & (later < 0)).any()):
            return None
        first, last = order[np.append(True, ~again)], order[np.append(~again, True)]
        before = columns.event_time[told.handles]
        late = int(np.count_nonzero(told.event_times < before))
        repeated = int(np.count_nonzero(again & (later == 0)))
        repeated += int(np.count_nonzero(told.event_times[first] == before[first]))
        last = last[told.event_times[last] >= before[last]]
        kept = told.handles[last]
        columns.event_time[kept] = told.event_times[last]
        columns.price_micros[kept] = told.price_micros[last]
        columns.currency[kept] = told.currencies[last]
        columns.stock[kept] = told.stock[last]
        columns.changed[kept] = True
        if self._odd:
            for handle in kept.tolist():
                self._odd.pop(handle, None)
        return {
            Outcome.FOLDED: len(order) - late - repeated,
            Outcome.REPEATED: repeated,
            Outcome.OUT_OF_ORDER: late,
        }

    def restore(self, entry: Row) -> None:
        """Afterwards event times are as they were when this committed row was written; oldest rows first."""
        if entry.table is Table.OFFER:
            handle = self.handle(entry.key.encode())  # first of all: a new item may make the columns anew
            self._columns.event_time[handle] = entry.event_time
            return
        block = rows.value(entry)
        assert isinstance(block, PackedOffers)
        handles = [self.handle(item_id.encode()) for item_id in block.item_ids()]
        self._columns.event_time[handles] = np.maximum(self._columns.event_time[handles], block.event_times)

    def rows(self) -> list[Row]:
        """What changed since `settle`, hot offers packed many to a row."""
        columns = self._columns
        changed = np.flatnonzero(columns.changed[: len(self.item_ids)])
        entries = []
        for start in range(0, len(changed), MOST_OFFERS):
            handles = changed[start : start + MOST_OFFERS]
            newest = int(columns.event_time[handles].max())
            block = rows.row(Table.OFFERS, "", self._packed(handles), newest)
            # Unlike any other block's key: a later block never stands for the whole of an earlier one.
            entries.append(replace(block, key=hashlib.blake2b(block.value or b"", digest_size=8).hexdigest()))
        for handle, offer in self._odd.items():
            item_id = self.item_ids[handle]
            entries.append(rows.row(Table.OFFER, item_id, offer, int(columns.event_time[handle])))
        return entries

    def settle(self) -> None:
        """Afterwards nothing counts as changed: `rows` were committed."""
        self._columns.changed[:] = False
        self._odd.clear()

    def _packed(self, handles: npt.NDArray[np.intp]) -> PackedOffers:
        columns = self._columns
        ids = [self.item_ids[handle].encode() for handle in handles.tolist()]
        return PackedOffers(
            ids=b"".join(ids),
            id_ends=np.cumsum(np.fromiter(map(len, ids), np.uint32, len(ids)), dtype="<u4").tobytes(),
            hashes=columns.hashes[handles].tobytes(),
            currencies=tuple(self._currencies)[:CURRENCIES],
            currency=columns.currency[handles].tobytes(),
            price_micros=columns.price_micros[handles].tobytes(),
            stock=columns.stock[handles].tobytes(),
            event_time=columns.event_time[handles].tobytes(),
        )


@dataclass(slots=True)
class _Columns:
    """By handle; rows beyond the known items are zero."""

    hashes: npt.NDArray[np.uint64]
    event_time: npt.NDArray[np.int64]  # ns UTC; 0 where none was told
    price_micros: npt.NDArray[np.int64]
    stock: npt.NDArray[np.int64]
    currency: npt.NDArray[np.uint8]
    changed: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, room: int) -> "_Columns":
        return cls(
            hashes=np.zeros(room, np.uint64),
            event_time=np.zeros(room, np.int64),
            price_micros=np.zeros(room, np.int64),
            stock=np.zeros(room, np.int64),
            currency=np.zeros(room, np.uint8),
            changed=np.zeros(room, np.bool_),
        )

    def with_room(self, count: int) -> "_Columns":
        """These columns, with rows for `count` items."""
        if count <= len(self.changed):
            return self
        grown = _Columns.of(count + count // 2 + 1_024)
        for name in self.__slots__:
            getattr(grown, name)[: len(self.changed)] = getattr(self, name)
        return grown
