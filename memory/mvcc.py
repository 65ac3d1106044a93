"""Which commits count and which rows are visible: the rules of memory, as pure functions over plain values.

A shard's log may hold records that do not count: a fenced writer's, a repeat, parts of a commit never finished.
Everybody who reads the log folds it through `Progress`, in log order, so that all agree on what it says.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..core.commit import Commit
from ..core.errors import AdgramError, VersionUnavailable

ANYWHERE = -1  # the number of a reader that starts in the middle of a log and takes the first whole commit as its base


class CommitGap(AdgramError):
    """A commit arrived before the one ahead of it; read the shard's log again from `after_number`."""

    def __init__(self, shard: int, after_number: int, found_number: int) -> None:
        super().__init__(f"shard {shard}: commit {found_number} follows {after_number}; read the log again from there")
        self.shard = shard
        self.after_number = after_number
        self.found_number = found_number


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a reader of one shard is: the last commit that counted, the newest epoch, parts awaiting the rest."""

    number: int = 0
    epoch: int = 0
    parts: tuple[Commit, ...] = ()

    def read(self, record: Commit) -> "Reading":
        """What the log's next record means: a commit that counts, or nothing. CommitGap if one before it is missing.

        A record of an older epoch never counts. A newer epoch fences the older ones off even if its number was taken.
        """
        if record.epoch < self.epoch:
            return Reading(self, None)
        fenced = self if record.epoch == self.epoch else Progress(self.number, record.epoch)
        if self.number != ANYWHERE:
            if record.number <= self.number:
                return Reading(fenced, None)
            if record.number > self.number + 1:
                raise CommitGap(record.shard, self.number, record.number)
        if record.parts == 1:
            return Reading(Progress(record.number, record.epoch), record)
        return fenced._read_part(record)

    def _read_part(self, record: Commit) -> "Reading":
        gathered = self.parts if self.parts and self.parts[0].number == record.number else ()
        if record.part != len(gathered):  # a repeat, or the middle of a commit whose start this reader did not see
            return Reading(self, None)
        gathered = (*gathered, record)
        if len(gathered) < record.parts:
            return Reading(replace(self, parts=gathered), None)
        return Reading(Progress(record.number, record.epoch), joined(gathered))


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a reader stands after a record, and the whole commit that became visible with it."""

    progress: Progress
    commit: Commit | None


def joined(parts: Sequence[Commit]) -> Commit:
    """The whole commit that its parts, in order, make."""
    rows = tuple(row for part in parts for row in part.rows)
    return replace(parts[-1], rows=rows, part=0, parts=1).sealed()


def counted(records: Iterable[Commit], after: Progress) -> tuple[Commit, ...]:
    """The commits that count among consecutive records of one shard's log, read from `after` on."""
    progress, commits = after, []
    for record in records:
        reading = progress.read(record)
        progress = reading.progress
        if reading.commit is not None:
            commits.append(reading.commit)
    return tuple(commits)


def as_of(watermarks: Sequence[tuple[int, int]], event_time: int) -> int:
    """The newest commit number whose watermark is not later than `event_time`; 0 when all are later.

    Args:
        watermarks: (number, watermark) of one shard's commits, by number; watermarks never fall.
    """
    low, high = 0, len(watermarks)
    while low < high:
        middle = (low + high) // 2
        if watermarks[middle][1] <= event_time:
            low = middle + 1
        else:
            high = middle
    return watermarks[low - 1][0] if low else 0


def require_retained(number: int, horizon: int, shard: int) -> None:
    """Returns when version `number` of a shard can still be read; VersionUnavailable below the horizon."""
    if number < horizon:
        raise VersionUnavailable(
            f"shard {shard}: version {number} was evicted, the oldest kept is {horizon}; ask for that or a later one"
        )
