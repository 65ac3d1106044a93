"""The durable materialised store: commits as sorted runs of packed rows in one Milvus collection (see memory.runs).

    p/{shard}/{run}/{page}   rows of a run, packed
    m/{shard}/{run}          its marker: last commit, offsets, watermark, pages with their checksums
    head/{shard}             which runs exist; moves as the last step of a write, so that a torn write is not there
    base/{shard}             what eviction has made of the oldest of them

A batch keeps the newest version of each key, so the store's versions are as fine as its batches (`sink_interval_ms`).
One writer at a time: a later one fences the earlier off, whose runs have names of their own and stay invisible.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..core.commit import Commit, Row, Table
from ..core.errors import Unavailable, VersionUnavailable
from . import mvcc, runs
from .committer import Fenced
from .config import MemoryConfig
from .merging import Merged, Source, merged, newest
from .milvus import MilvusTable, pieces_of
from .runs import Head, Run, Span, Writer

PAGES_AT_ONCE = 256  # read ahead while merging: 16 MB a run
Progress = Callable[[int, int], None]  # pages read, pages in all


class Damaged(Unavailable):
    """The store lacks something it lists, or holds something else; it is rebuilt from the log."""


class MilvusStore:
    """Implements core.ports.CommitStore. Unavailable, in one line, whenever Milvus is away."""

    def __init__(self, config: MemoryConfig, client: Any | None = None, token: str = "") -> None:
        """Opens the store; nothing is written, and nobody fenced, before the first `write`.

        Args:
            client: see MilvusTable.
            token: tells this writer from any other; a random one by default.
        """
        self.table = MilvusTable(config, config.collection, client)
        self._token = token or uuid.uuid4().hex[:8]
        self._mine: dict[int, Head] = {}  # the heads this writer wrote last
        self.on_progress: Progress | None = None  # told while a load reads pages

    def write(self, commits: Sequence[Commit]) -> None:
        """See core.ports.CommitStore. Fenced when a later writer has taken the store over."""
        numbers = sorted({commit.shard for commit in commits})
        heads = {shard: self._claimed(shard, head) for shard, head in self.heads(numbers).items()}
        moved = {}
        for shard in numbers:
            head = heads[shard]
            ours = sorted((commit for commit in commits if commit.shard == shard), key=lambda commit: commit.number)
            new = [commit for commit in ours if commit.number > head.number]
            if new and new[0].number > head.number + 1:
                raise mvcc.CommitGap(shard, head.number, new[0].number)
            if new:
                moved[shard] = self._with_batch(shard, head, new)
        self._publish(moved)

    def head(self, shard: int) -> int:
        return self.heads([shard])[shard].number

    def load(self, shard: int, after_number: int, up_to_number: int) -> Sequence[Commit]:
        """See core.ports.CommitStore. A commit stands for a run; the last has the head's number if asked for.

        Their rows were checked page by page; they carry no checksum of their own.
        """
        while True:
            head = self.heads([shard])[shard]
            try:
                return self._loaded(shard, head, after_number, up_to_number)
            except Damaged:
                if self.heads([shard])[shard].base.sequence == head.base.sequence:
                    raise  # else what was missing has been evicted meanwhile, and stands in the new base

    def as_of(self, shard: int, event_time: int) -> int:
        """The newest commit number of a shard whose watermark is not later than `event_time` (ns UTC); 0 for none.

        VersionUnavailable when that version was evicted.
        """
        head = self.heads([shard])[shard]
        if head.watermark <= event_time:
            return head.number
        sequence = self.sequence_at(shard, head, lambda run: run.watermark <= event_time)
        if sequence:
            return self.markers(shard, [self.name_of(head, sequence)])[0].number
        if head.base.name:
            raise VersionUnavailable(
                f"shard {shard}: what was there at {event_time} is evicted; the oldest left is {head.base.number}"
            )
        return 0

    def excerpt(self, shard: int, number: int, item_id: str) -> Iterator[Commit]:
        """All that was told of one item up to commit `number` of a shard: its row, offers and creatives, oldest first.

        Reads the pages that can hold them, not the shard. Other items' creatives and offers may be among them.
        """
        head = self.heads([shard])[shard]
        mvcc.require_retained(number, head.base.number, shard)
        for run in self.markers(shard, head.cover(self.sequence_of(shard, head, number))):
            own = {run.page_of((table.value, item_id)) for table in (Table.ITEM, Table.OFFER)} - {None}
            wanted = own.union(run.pages_of(Table.OFFERS), run.pages_of(Table.CREATIVE))
            found = self.rows(run, sorted(index for index in wanted if index is not None))
            told = tuple(row for row in found if row.key == item_id or row.table in (Table.OFFERS, Table.CREATIVE))
            yield Commit(shard, run.number, run.epoch, run.watermark, run.ingest_time, run.offsets, told)

    def close(self) -> None:
        self.table.close()

    # The parts below are for memory.eviction and memory.verification, which work on the same runs.

    def heads(self, shards: Sequence[int]) -> dict[int, Head]:
        """The shards' heads; an empty one where nothing was written."""
        found = self.table.get([name(shard) for shard in shards for name in (runs.head_id, runs.base_id)])
        heads = {}
        for shard in shards:
            head, base = found.get(runs.head_id(shard)), found.get(runs.base_id(shard))
            heads[shard] = replace(
                Head() if head is None else runs.HEADS.decode(head),
                base=runs.Base() if base is None else runs.BASES.decode(base),
            )
        return heads

    def publish_base(self, shard: int, base: runs.Base) -> None:
        """Afterwards what `base` stands for can only be read as that."""
        self.table.put([(runs.base_id(shard), runs.encode(base))])

    def announce(self, shard: int, horizon: int) -> None:
        """Afterwards no new lease is granted below this commit number; reads go on until the head says so too."""
        self.table.put([(f"horizon/{shard}", str(horizon).encode())])

    def require_kept(self, shard: int, number: int) -> None:
        """Returns when version `number` is neither evicted nor about to be; VersionUnavailable otherwise."""
        announced = self.table.get([f"horizon/{shard}"])
        horizon = max((int(value) for value in announced.values()), default=0)
        mvcc.require_retained(number, max(horizon, self.heads([shard])[shard].base.number), shard)

    def delete_runs(self, shard: int, names: Sequence[str]) -> int:
        """How many of these runs there were; afterwards there are none. Pages go before the marker that lists them."""
        found = self.table.get([runs.marker_id(shard, name) for name in names])
        gone = [runs.RUNS.decode(stored) for stored in found.values()]
        self.table.delete({run.page_id(index): page.pieces for run in gone for index, page in enumerate(run.pages)})
        self.table.delete({marker_id: pieces_of(stored) for marker_id, stored in found.items()})
        return len(gone)

    def markers(self, shard: int, names: Sequence[str]) -> list[Run]:
        """The markers of these runs. Damaged if one is missing or is not what was written."""
        found = self.table.get([runs.marker_id(shard, name) for name in names])
        markers = []
        for name in names:
            stored = found.get(runs.marker_id(shard, name))
            if stored is None:
                raise Damaged(f"the store lacks the marker {runs.marker_id(shard, name)}; rebuild it from the log")
            run = runs.RUNS.decode(stored)
            if run.checksum != run.digest():
                raise Damaged(f"the store's marker {run.marker_id} does not fit its checksum; rebuild it from the log")
            markers.append(run)
        return markers

    def rows(self, run: Run, indices: Sequence[int]) -> Iterator[Row]:
        """The rows of some pages of a run, in order, each page checked. Damaged if one is missing or another."""
        for start in range(0, len(indices), PAGES_AT_ONCE):
            wanted = indices[start : start + PAGES_AT_ONCE]
            found = self.table.get([run.page_id(index) for index in wanted])
            for index in wanted:
                yield from _unpacked(run, index, found)

    def merged(self, parts: Sequence[Run]) -> Iterator[Merged]:
        """The newest version of everything in these runs, oldest first."""
        sources = [
            Source(rows=partial(self.rows, part, range(len(part.pages))), blocks=partial(self._blocks, part))
            for part in parts
        ]
        return merged(sources, parts[-1].number)

    def _blocks(self, run: Run) -> Iterator[Row]:
        return (row for row in self.rows(run, run.pages_of(Table.OFFERS)) if row.table is Table.OFFERS)

    def write_run(self, run: Run, rows: Iterator[Row]) -> Run:
        """The marker of a run that is stored now, with these sorted rows; no head says so yet."""
        pages: list[runs.Page] = []

        def stored() -> Iterator[tuple[str, bytes]]:
            for one in runs.packed(rows, pieces_of):
                pages.append(one.page)
                yield run.page_id(len(pages) - 1), one.stored
            marker = replace(run, pages=tuple(pages)).sealed()
            yield marker.marker_id, runs.encode(marker)

        self.table.put(stored())
        return replace(run, pages=tuple(pages)).sealed()

    def name_of(self, head: Head, sequence: int) -> str:
        """The run that ends with a batch and says what was true after it."""
        return head.base.name if sequence == head.base.sequence else head.name(0, sequence)

    def sequence_at(self, shard: int, head: Head, holds: Callable[[Run], bool]) -> int:
        """The newest batch whose marker `holds`, which is true up to some batch and false after it; 0 for none."""
        low, high = max(head.base.sequence, 1) - 1, head.sequence
        while low < high:
            middle = (low + high + 1) // 2
            if holds(self.markers(shard, [self.name_of(head, middle)])[0]):
                low = middle
            else:
                high = middle - 1
        return low if low >= head.base.sequence else 0

    def sequence_of(self, shard: int, head: Head, number: int) -> int:
        """The newest batch with nothing beyond commit `number`; 0 for none."""
        if number >= head.number:
            return head.sequence
        return self.sequence_at(shard, head, lambda run: run.number <= number)

    def _claimed(self, shard: int, stored: Head) -> Head:
        """The head to write on from: this writer is the newest, or has been. Fenced, once, if another one is."""
        mine = self._mine.get(shard)
        if mine is None:
            writer = Writer(stored.writer.epoch + 1, self._token)
            spans = [span for span in stored.spans if span.first <= stored.sequence]
            return replace(stored, writer=writer, spans=(*spans, Span(stored.sequence + 1, writer)))
        if stored.writer.epoch == 0:
            raise Damaged(f"shard {shard}: the collection was emptied under its writer; start the sink again")
        if stored.writer > mine.writer:
            del self._mine[shard]
            raise Fenced(f"shard {shard}: another writer has taken the store over; run one sink a deployment")
        first = max(
            (index for index, span in enumerate(mine.spans) if span.first <= stored.base.sequence + 1), default=0
        )
        return replace(mine, spans=mine.spans[first:], base=stored.base)  # whatever a fenced writer has said since

    def _publish(self, heads: Mapping[int, Head]) -> None:
        self.table.put(
            (runs.head_id(shard), runs.encode(replace(head, base=runs.Base()))) for shard, head in heads.items()
        )
        self._mine.update(heads)

    def _with_batch(self, shard: int, head: Head, commits: Sequence[Commit]) -> Head:
        last = commits[-1]
        moved = replace(
            head,
            number=last.number,
            epoch=last.epoch,
            watermark=last.watermark,
            ingest_time=max(head.ingest_time, last.ingest_time),  # a clock that stepped back does not reorder batches
            offsets=last.offsets,
            chain=runs.chained(head.chain, commits),
        )
        rows = newest(commits)
        if not rows:
            return moved
        moved = replace(moved, sequence=head.sequence + 1)
        self.write_run(_run_at(shard, moved, moved.name(0, moved.sequence)), iter(rows))
        for level in runs.merged_levels(moved.sequence, moved.base.sequence):
            width = runs.FAN ** (level - 1)
            ends = range(moved.sequence - width * (runs.FAN - 1), moved.sequence + 1, width)
            parts = self.markers(shard, [moved.name(level - 1, end) for end in ends])
            together = self.merged(parts)
            self.write_run(_run_at(shard, moved, moved.name(level, moved.sequence)), (one.row for one in together))
        return moved

    def _loaded(self, shard: int, head: Head, after_number: int, up_to_number: int) -> Sequence[Commit]:
        if after_number:
            mvcc.require_retained(after_number, head.base.number, shard)
        if up_to_number <= after_number:
            return ()
        mvcc.require_retained(up_to_number, head.base.number, shard)
        first = self.sequence_of(shard, head, after_number) if after_number else 0
        last = self.sequence_of(shard, head, up_to_number)
        names = [head.name(level, end) for level, end in runs.cover(first, last)] if first else head.cover(last)
        found = self.markers(shard, names)
        commits = [
            Commit(shard, run.number, run.epoch, run.watermark, run.ingest_time, run.offsets, tuple(rows))
            for run, rows in zip(found, self._without_superseded(found), strict=True)
        ]
        if after_number < head.number <= up_to_number and (not commits or commits[-1].number < head.number):
            at_head = Commit(shard, head.number, head.epoch, head.watermark, head.ingest_time, head.offsets, ())
            commits.append(at_head)
        return commits

    def _without_superseded(self, found: Sequence[Run]) -> list[list[Row]]:
        """The rows of these runs, oldest first, less those of which a later run has a newer version."""
        total, read = sum(len(run.pages) for run in found), 0
        seen: set[runs.RowKey] = set()
        kept: list[list[Row]] = []
        for run in reversed(found):
            ours: list[Row] = []
            for start in range(0, len(run.pages), PAGES_AT_ONCE):
                indices = range(start, min(start + PAGES_AT_ONCE, len(run.pages)))
                ours.extend(self.rows(run, indices))
                read += len(indices)
                if self.on_progress is not None:
                    self.on_progress(read, total)
            if seen:
                ours = [row for row in ours if (row.table.value, row.key) not in seen]
            if run is not found[0]:
                seen.update((row.table.value, row.key) for row in ours)
            kept.append(ours)
        return kept[::-1]


def _run_at(shard: int, head: Head, name: str) -> Run:
    """A run that ends where the head is, without rows yet."""
    return Run(name, shard, head.number, head.epoch, head.watermark, head.ingest_time, head.offsets, head.chain, ())


def _unpacked(run: Run, index: int, found: Mapping[str, bytes]) -> list[Row]:
    page_id = run.page_id(index)
    if page_id not in found:
        raise Damaged(f"the store lacks the page {page_id} that its marker lists; rebuild it from the log")
    try:
        return runs.unpacked(run.pages[index], found[page_id])
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise Damaged(f"the store's page {page_id} is damaged ({reason}); rebuild it from the log") from error
