"""The unit of change of memory: many rows, seen all or none."""

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec


class Table(StrEnum):
    """The kinds of rows memory holds."""

    ITEM = "item"
    OFFER = "offer"
    OFFERS = "offers"  # many hot offers in one row, see core.offers; its key is its own and tells nothing
    CREATIVE = "creative"
    ADVERTISER = "advertiser"
    CAMPAIGN = "campaign"
    RULE = "rule"
    ENVIRONMENT = "environment"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Row:
    """One key of one table; `value` is its msgpack form (see core.rows), None is a tombstone.

    `event_time` (ns UTC) is that of the newest event folded into it, so that a late event is known for one after a
    restart.
    """

    table: Table
    key: str
    value: bytes | None
    event_time: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """Rows of one shard that become visible together.

    `number` counts a shard's commits from 1 and is never reused; `epoch` fences owners off; `offsets` maps each
    source topic to
    the last offset covered in the partition that equals `shard`; `watermark` and `ingest_time` are ns UTC. A commit
    too large
    for one record is `parts` records with the same number, visible with the last.
    """

    shard: int
    number: int
    epoch: int
    watermark: int
    ingest_time: int
    offsets: dict[str, int]
    rows: tuple[Row, ...]
    part: int = 0
    parts: int = 1
    checksum: str = ""

    def sealed(self) -> "Commit":
        """The same commit carrying its checksum."""
        return replace(self, checksum=self.digest())

    def digest(self) -> str:
        """A hash over everything but the checksum itself."""
        return hashlib.blake2b(msgspec.msgpack.encode(replace(self, checksum="")), digest_size=16).hexdigest()

    @property
    def intact(self) -> bool:
        """Whether the checksum fits the content."""
        return self.checksum == self.digest()


@dataclass(frozen=True, slots=True)
class Version:
    """What a snapshot contains: the newest commit number and watermark of every shard, by shard number."""

    numbers: tuple[int, ...]
    watermarks: tuple[int, ...]

    @classmethod
    def empty(cls, shards: int) -> "Version":
        """The version before any commit."""
        return cls((0,) * shards, (0,) * shards)

    @property
    def watermark(self) -> int:
        """Event time up to which every shard is complete (ns UTC)."""
        return min(self.watermarks, default=0)

    def __str__(self) -> str:
        return ".".join(map(str, self.numbers))
