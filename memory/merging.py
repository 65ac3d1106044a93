"""Many versions into the newest ones: what a batch, a merged run and a base hold.

Rows are told apart by table and key. Hot offers, packed many to a row, are told apart by item instead: a merge joins
the blocks, leaves out of them what a row of its own says as newly, and drops rows that a newer block overrules. Within
one run a row of its own therefore always speaks for its item, as it does within one commit.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core import rows
from ..core.commit import Commit, Row, Table
from ..core.offers import MOST_OFFERS, PackedOffers, joined
from .runs import RowKey


@dataclass(frozen=True, slots=True)
class Source:
    """One of the runs to merge: how to read its rows, sorted, and how to read its blocks of offers alone."""

    rows: Callable[[], Iterator[Row]]
    blocks: Callable[[], Iterator[Row]]


@dataclass(frozen=True, slots=True)
class Merged:
    """A row that survived a merge, and which of the runs (0 = the oldest) it came from."""

    origin: int
    row: Row


@dataclass(slots=True)
class _Blocks:
    """Blocks of offers, oldest first, and of each item in them the origin of its newest."""

    blocks: list[PackedOffers] = field(default_factory=list)
    origins: dict[str, int] = field(default_factory=dict)
    event_time: int = 0

    def add(self, entry: Row, origin: int) -> None:
        block = _block(entry)
        self.blocks.append(block)
        self.origins.update(dict.fromkeys(block.item_ids(), origin))
        self.event_time = max(self.event_time, entry.event_time)

    def rows(self, number: int, told: Collection[str]) -> Iterator[Row]:
        """The blocks as few rows, keyed by commit number and place, without the items that rows of their own tell."""
        if not self.blocks:
            return
        block = joined(self.blocks)
        places = [place for place, item_id in enumerate(block.item_ids()) if item_id not in told]
        for index, start in enumerate(range(0, len(places), MOST_OFFERS)):
            part = _picked(block, places[start : start + MOST_OFFERS])
            yield rows.row(Table.OFFERS, f"{number:020}.{index:06}", part, self.event_time)


def newest(commits: Sequence[Commit]) -> list[Row]:
    """The newest row of each key in consecutive commits, sorted as runs are."""
    told: dict[RowKey, Row] = {}
    blocks = _Blocks()
    offers: set[str] = set()  # items that rows of their own have told so far
    for commit in commits:
        for row in commit.rows:
            if row.table is Table.OFFERS:
                blocks.add(row, 0)
                for item_id in offers and offers.intersection(_block(row).item_ids()):
                    del told[Table.OFFER.value, item_id]
                    offers.remove(item_id)
        for row in commit.rows:
            if row.table is Table.OFFER:
                offers.add(row.key)
            if row.table is not Table.OFFERS:
                told[row.table.value, row.key] = row
    if commits:
        told |= {(row.table.value, row.key): row for row in blocks.rows(commits[-1].number, offers)}
    return [told[key] for key in sorted(told)]


def merged(sources: Sequence[Source], number: int) -> Iterator[Merged]:
    """The newest version of everything in runs that are given oldest first; sorted, and in little memory.

    Args:
        number: the last commit of the newest run; blocks are keyed by it.
    """
    blocks = _Blocks()
    for origin, source in enumerate(sources):
        for row in source.blocks():
            blocks.add(row, origin)
    own: set[str] = set()
    waiting = bool(blocks.blocks)
    for one in _by_key(sources):
        table = one.row.table
        if table is Table.OFFERS:
            continue
        if waiting and table.value > Table.OFFERS.value:
            yield from (Merged(len(sources) - 1, row) for row in blocks.rows(number, own))
            waiting = False
        if table is Table.OFFER and blocks.blocks:
            if blocks.origins.get(one.row.key, -1) > one.origin:
                continue
            own.add(one.row.key)
        yield one
    if waiting:
        yield from (Merged(len(sources) - 1, row) for row in blocks.rows(number, own))


def _by_key(sources: Sequence[Source]) -> Iterator[Merged]:
    streams = [_keyed(source.rows(), origin) for origin, source in enumerate(sources)]
    last: RowKey | None = None
    for table, key, origin, row in heapq.merge(*streams):
        if (table, key) != last:
            last = (table, key)
            yield Merged(-origin, row)


def _keyed(run: Iterable[Row], origin: int) -> Iterator[tuple[str, str, int, Row]]:
    """Rows as they are compared: by key, the newest run first. Origins differ within a key, so rows never compare."""
    return ((row.table.value, row.key, -origin, row) for row in run)


def _block(entry: Row) -> PackedOffers:
    block = rows.value(entry)
    if not isinstance(block, PackedOffers):
        raise TypeError(f"the row {entry.key} of {entry.table} is no block of offers")
    return block


def _picked(block: PackedOffers, places: Sequence[int]) -> PackedOffers:
    """The offers at these places."""
    ids = [one.encode() for one in block.item_ids(places)]
    return PackedOffers(
        ids=b"".join(ids),
        id_ends=np.cumsum([len(one) for one in ids]).astype("<u4").tobytes(),
        hashes=block.item_hashes[places].tobytes(),
        currencies=block.currencies,
        currency=block.currency_codes[places].tobytes(),
        price_micros=block.prices[places].tobytes(),
        stock=block.stocks[places].tobytes(),
        event_time=block.event_times[places].tobytes(),
    )
