"""Makes a shard's commits and appends them to the log, as its only owner."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from ..core.clock import Clock
from ..core.commit import Commit, Row
from ..core.errors import AdgramError
from ..core.ports import CommitLog
from .mvcc import CommitGap

PART_BYTES = 900_000  # a record may be 1 MB; the rest is room for the envelope
OPEN_ATTEMPTS = 5  # each loses only to another owner who opens the same shard at the same moment


class Fenced(AdgramError):
    """Another owner has taken the shard over; this one must stop."""


class Committer:
    """The one writer of a shard. `last` is the newest commit that counts: its offsets are where to go on from."""

    def __init__(self, log: CommitLog, clock: Clock, last: Commit, position: int) -> None:
        self._log = log
        self._clock = clock
        self._position = position
        self.last = last

    @classmethod
    def open(cls, log: CommitLog, shard: int, clock: Clock) -> "Committer":
        """The shard's owner from now on: an empty commit with a newer epoch was appended and counts.

        Whatever an earlier owner still appends is ignored by everybody. Fenced if others keep opening the same shard.
        """
        epoch = 0
        for _ in range(OPEN_ATTEMPTS):
            before = log.last(shard) or Commit(shard, 0, 0, 0, 0, {}, ())
            epoch = max(epoch, before.epoch) + 1
            fence = replace(
                before, number=before.number + 1, epoch=epoch, ingest_time=clock.now_ns(), rows=(), part=0, parts=1
            ).sealed()
            position = log.append(fence)
            if any(commit.checksum == fence.checksum for commit in log.read(shard, before.number)):
                return cls(log, clock, fence, position)
        raise Fenced(f"shard {shard} was taken by another owner {OPEN_ATTEMPTS} times; run one worker group per prefix")

    def append(self, rows: Sequence[Row], offsets: Mapping[str, int], watermark: int) -> Commit:
        """The commit that holds `rows` and covers `offsets`, after the log acknowledged it and it counts.

        Fenced when another owner has appended in between, whether or not this commit was in time.
        """
        last = self.last
        commit = Commit(
            shard=last.shard,
            number=last.number + 1,
            epoch=last.epoch,
            watermark=max(watermark, last.watermark),
            ingest_time=self._clock.now_ns(),
            offsets=dict(offsets),
            rows=tuple(rows),
        ).sealed()
        alone = True
        for part in split(commit):
            position = self._log.append(part)
            alone = alone and position == self._position + 1
            self._position = position
        if not alone and not self._counts(commit):
            raise Fenced(f"shard {last.shard} has a newer owner than epoch {last.epoch}; this worker lets go of it")
        self.last = commit
        return commit

    def _counts(self, commit: Commit) -> bool:
        try:
            seen = self._log.read(commit.shard, self.last.number)
        except CommitGap:
            return False
        return any(one.checksum == commit.checksum for one in seen)


def split(commit: Commit) -> tuple[Commit, ...]:
    """The commit as records of at most PART_BYTES each, in the order they are appended."""
    groups: list[list[Row]] = [[]]
    size = 0
    for row in commit.rows:
        row_bytes = len(row.value or b"") + len(row.key.encode()) + 64  # 64: field names and lengths of one row
        if groups[-1] and size + row_bytes > PART_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(row)
        size += row_bytes
    if len(groups) == 1:
        return (commit,)
    return tuple(
        replace(commit, rows=tuple(group), part=part, parts=len(groups)).sealed() for part, group in enumerate(groups)
    )


def encoded(commit: Commit) -> bytes:
    """The commit as it stands in the log."""
    return msgspec.msgpack.encode(commit)


def decoded(payload: bytes) -> Commit | None:
    """The commit in a log record; None if it is none, or not the one that was sealed."""
    try:
        commit = _DECODER.decode(payload)
    except msgspec.DecodeError:
        return None
    return commit if commit.intact else None


_DECODER = msgspec.msgpack.Decoder(Commit)
