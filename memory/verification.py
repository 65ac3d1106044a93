"""Proof that a store is what was committed: every page, marker and chain read again and computed anew."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from ..core.commit import Commit
from ..core.ports import CommitLog
from . import runs
from .merging import newest
from .mvcc import CommitGap
from .runs import Head, Run
from .store import Damaged, MilvusStore

Progress = Callable[[int, int], None]  # runs verified, runs in all


@dataclass(frozen=True, slots=True)
class Verified:
    """What was proved of one shard, and in `problems`, one line each, what does not hold.

    `from_log` of the batches were also made anew from the log's own commits, as far as the log is retained.
    """

    shard: int
    batches: int
    merged_runs: int
    rows: int
    from_log: int
    problems: tuple[str, ...]


def verify(
    store: MilvusStore, shard: int, log: CommitLog | None = None, on_progress: Progress = lambda *_: None
) -> Verified:
    """Reads a whole shard of the store. Damage is told, not raised; Unavailable when store or log is away.

    Every page fits its marker and every marker itself; numbers and watermarks never fall; every merged run holds
    exactly the newest rows of the batches it stands for; and where the log still has them, each batch holds exactly the
    rows of the commits it covers, and the chain over all commits' checksums is the log's.
    """
    head = store.heads([shard])[shard]
    commits = () if log is None else _retained(log, shard, head)
    proof = _Proof(store, shard, head, commits)
    total = head.sequence - head.base.sequence + bool(head.base.name)
    for done, _ in enumerate(proof.batches(), start=1):
        on_progress(done, total)
    proof.check_head()
    return Verified(
        shard, head.sequence - head.base.sequence, proof.merged_runs, proof.rows, proof.from_log, tuple(proof.problems)
    )


class _Proof:
    """Walks a shard's batches from the oldest on; `problems` grows."""

    def __init__(self, store: MilvusStore, shard: int, head: Head, commits: Sequence[Commit]) -> None:
        self._store, self._shard, self._head = store, shard, head
        self._commits = {commit.number: commit for commit in commits}
        self._before: Run | None = None
        self.problems: list[str] = []
        self.merged_runs = self.rows = self.from_log = 0

    def batches(self) -> Iterator[None]:
        head = self._head
        if head.base.name:
            self._check(head.base.name, lambda _: None)
            yield
        for sequence in range(head.base.sequence + 1, head.sequence + 1):
            self._check(head.name(0, sequence), self._check_batch)
            for level in runs.merged_levels(sequence, head.base.sequence):
                self.merged_runs += 1
                self._check_merged(level, sequence)
            yield

    def check_head(self) -> None:
        """Empty commits move the head alone."""
        before, head = self._before, self._head
        numbers = range(before.number + 1 if before else 1, head.number + 1)
        if all(number in self._commits for number in numbers):
            chain = runs.chained(before.chain if before else "", (self._commits[number] for number in numbers))
            if chain != head.chain:
                self.problems.append(f"shard {self._shard}: the head's chain is not that of the log's commits")

    def _check(self, name: str, more: Callable[[Run], None]) -> None:
        try:
            run = self._store.markers(self._shard, [name])[0]
            self.rows += sum(1 for _ in self._store.rows(run, range(len(run.pages))))
            before = self._before
            if before is not None and (run.number <= before.number or run.watermark < before.watermark):
                self.problems.append(f"{run.marker_id}: its commit or watermark is not after the batch before")
            more(run)
            self._before = run
        except Damaged as damage:
            self.problems.append(str(damage))

    def _check_batch(self, run: Run) -> None:
        first = self._before.number + 1 if self._before else 1
        numbers = range(first, run.number + 1)
        if not all(number in self._commits for number in numbers):
            return
        commits = [self._commits[number] for number in numbers]
        if newest(commits) != list(self._store.rows(run, range(len(run.pages)))):
            self.problems.append(
                f"{run.marker_id}: its rows are not those of commits {first} to {run.number} in the log"
            )
        if runs.chained(self._before.chain if self._before else "", commits) != run.chain:
            self.problems.append(f"{run.marker_id}: its chain is not that of the log's commits")
        self.from_log += 1

    def _check_merged(self, level: int, sequence: int) -> None:
        head, store = self._head, self._store
        width = runs.FAN ** (level - 1)
        ends = range(sequence - width * (runs.FAN - 1), sequence + 1, width)
        try:
            whole = store.markers(self._shard, [head.name(level, sequence)])[0]
            parts = store.markers(self._shard, [head.name(level - 1, end) for end in ends])
            together = (one.row for one in store.merged(parts))
            if any(
                ours != theirs for ours, theirs in zip_longest(store.rows(whole, range(len(whole.pages))), together)
            ):
                self.problems.append(f"{whole.marker_id}: it does not hold the newest rows of its parts")
        except Damaged as damage:
            self.problems.append(str(damage))


def _retained(log: CommitLog, shard: int, head: Head) -> Sequence[Commit]:
    """The log's commits, as far back as it reaches; none when it no longer holds one the store ends with."""
    try:
        return log.read(shard, 0)
    except CommitGap as gap:
        try:
            return log.read(shard, gap.found_number) if gap.found_number < head.number else ()
        except CommitGap:
            return ()
