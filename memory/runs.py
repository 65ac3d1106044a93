"""The store's layout, as plain values: sorted runs of rows, and the head that says which of them exist.

A *batch* is what the sink wrote at once, the newest row of each key in it, as a sorted run of packed pages. Every FAN
batches are merged into one run of level 1, every FAN of those into one of level 2 and so on, so that a reader of any
version needs few runs (`cover`), while every batch stays readable for itself. A *base* is one run that stands for
everything up to its sequence; eviction makes it and deletes what lies under it.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from operator import attrgetter

import cramjam
import msgspec

from ..core.commit import Commit, Row, Table

FAN = 16  # runs merged into one: a reader needs at most FAN - 1 a level, and a row is rewritten once a level
PAGE_BYTES = 64_000  # of rows before compression: one or two pieces of Milvus; a key is found by reading one page
RowKey = tuple[str, str]  # table and key, the order within a run
PieceCount = Callable[[bytes], int]  # how many rows of the table below a value takes


@dataclass(frozen=True, slots=True, order=True)
class Writer:
    """Who wrote. A later writer has a higher epoch; the token tells two apart that claimed the store at once."""

    epoch: int = 0
    token: str = ""

    def __str__(self) -> str:
        return f"{self.epoch}.{self.token}"


@dataclass(frozen=True, slots=True)
class Span:
    """Batches from sequence `first` on are this writer's, until the next span begins."""

    first: int
    writer: Writer


@dataclass(frozen=True, slots=True)
class Litter:
    """What an eviction has still to delete: the base before, and all runs of batches beyond `after` up to the base."""

    base: str
    after: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Base:
    """The run that stands for batches 1 … `sequence`, none by default. `number` is the horizon: its last commit."""

    name: str = ""
    sequence: int = 0
    number: int = 0
    litter: Litter | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """What of a shard exists: batches 1 … `sequence`, those up to the base's only as that.

    The head is the writer's and the base is eviction's: each is a row of its own, so that neither overwrites the other.
    """

    sequence: int = 0
    number: int = 0
    epoch: int = 0
    watermark: int = 0
    ingest_time: int = 0
    offsets: dict[str, int] = field(default_factory=dict)
    chain: str = ""  # see `chained`
    writer: Writer = Writer()
    spans: tuple[Span, ...] = ()
    base: Base = Base()

    def writer_of(self, sequence: int) -> Writer:
        """Who wrote batch `sequence`, and the merged runs that end with it."""
        return self.spans[bisect_right(self.spans, sequence, key=attrgetter("first")) - 1].writer

    def name(self, level: int, sequence: int) -> str:
        """The run of `level` that ends with batch `sequence`."""
        return run_name(level, sequence, self.writer_of(sequence))

    def cover(self, sequence: int) -> list[str]:
        """The names of the fewest runs that hold all rows up to batch `sequence`, oldest first."""
        runs = [self.name(level, end) for level, end in cover(self.base.sequence, sequence)]
        return [self.base.name, *runs] if self.base.name else runs


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a run, `first` the key they begin with. `checksum` is of their packed bytes before compression."""

    first: RowKey
    rows: int
    stored_bytes: int
    pieces: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Run:
    """A run's marker: its last commit, its pages. `checksum` is over everything else in here."""

    name: str
    shard: int
    number: int
    epoch: int
    watermark: int
    ingest_time: int
    offsets: dict[str, int]
    chain: str
    pages: tuple[Page, ...]
    checksum: str = ""

    def sealed(self) -> "Run":
        """The same marker carrying its checksum."""
        return replace(self, checksum=self.digest())

    def digest(self) -> str:
        """A hash over everything but the checksum itself."""
        return digest(encode(replace(self, checksum="")))

    @property
    def marker_id(self) -> str:
        return marker_id(self.shard, self.name)

    def page_id(self, index: int) -> str:
        """Where a page is stored."""
        return f"p/{self.shard}/{self.name}/{index}"

    @property
    def rows(self) -> int:
        return sum(page.rows for page in self.pages)

    @property
    def stored_bytes(self) -> int:
        return sum(page.stored_bytes for page in self.pages)

    def page_of(self, key: RowKey) -> int | None:
        """The index of the only page that can hold `key`."""
        index = bisect_right(self.pages, key, key=attrgetter("first")) - 1
        return index if index >= 0 else None

    def pages_of(self, table: Table) -> range:
        """The indices of the pages that can hold rows of `table`."""
        first = bisect_right(self.pages, (table.value, ""), key=attrgetter("first")) - 1
        last = bisect_right(self.pages, (table.value, "\U0010ffff"), key=attrgetter("first"))
        return range(max(0, first), last)


def head_id(shard: int) -> str:
    return f"head/{shard}"


def base_id(shard: int) -> str:
    return f"base/{shard}"


def marker_id(shard: int, name: str) -> str:
    return f"m/{shard}/{name}"


def run_name(level: int, sequence: int, writer: Writer) -> str:
    return f"{level}/{sequence}@{writer}"


def cover(first: int, last: int) -> Iterator[tuple[int, int]]:
    """(level, end) of the fewest runs that hold batches first + 1 … last, in order."""
    at = first
    while at < last:
        level, width = 0, 1
        while at % (width * FAN) == 0 and at + width * FAN <= last:
            level, width = level + 1, width * FAN
        at += width
        yield level, at


def merged_levels(sequence: int, base_sequence: int) -> Iterator[int]:
    """The levels at which a merged run ends with batch `sequence` and holds nothing that is only in the base."""
    level, width = 1, FAN
    while sequence % width == 0 and sequence - width >= base_sequence:
        yield level
        level, width = level + 1, width * FAN


def chained(chain: str, commits: Iterable[Commit]) -> str:
    """The chain after these commits: a hash over the checksums of all commits that ever counted, in order."""
    for commit in commits:
        chain = digest(f"{chain}{commit.checksum}".encode())
    return chain


@dataclass(frozen=True, slots=True)
class PackedPage:
    """A page and its stored form."""

    page: Page
    stored: bytes


def packed(rows: Iterable[Row], pieces_of: PieceCount) -> Iterator[PackedPage]:
    """Sorted rows as pages of about PAGE_BYTES; a row that is longer has a page of its own."""
    gathered: list[Row] = []
    size = 0
    for row in rows:
        row_bytes = len(row.value or b"") + len(row.key) + 32
        if gathered and size + row_bytes > PAGE_BYTES:
            yield _packed(gathered, pieces_of)
            gathered, size = [], 0
        gathered.append(row)
        size += row_bytes
    if gathered:
        yield _packed(gathered, pieces_of)


def unpacked(page: Page, stored: bytes) -> list[Row]:
    """The rows of a page; ValueError when they are not the ones that were stored."""
    content = bytes(cramjam.zstd.decompress(stored))
    if digest(content) != page.checksum:
        raise ValueError("its checksum does not fit")
    return _ROWS.decode(content)


def _packed(rows: list[Row], pieces_of: PieceCount) -> PackedPage:
    content = encode(rows)
    stored = bytes(cramjam.zstd.compress(content, 1))
    first = (rows[0].table.value, rows[0].key)
    return PackedPage(Page(first, len(rows), len(stored), pieces_of(stored), digest(content)), stored)


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


encode = msgspec.msgpack.Encoder().encode
BASES = msgspec.msgpack.Decoder(Base)
HEADS = msgspec.msgpack.Decoder(Head)
RUNS = msgspec.msgpack.Decoder(Run)
_ROWS = msgspec.msgpack.Decoder(list[Row])
