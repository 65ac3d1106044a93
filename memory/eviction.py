"""Forgetting the past: versions older than asked for become one base, and what only they held is deleted.

The order is what makes it safe at any crash. The horizon is announced; then leases are looked at; then the base is
written; then `base/{shard}` names it, and from then on nothing older is read; only then is anything deleted. What a
crash leaves is deleted by the next eviction. A tombstone outlives the versions it hides: it goes when the base before
this one held it already. One eviction runs at a time (Leases.exclusively); the sink goes on writing beside it.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from ..core.clock import NS_PER_HOUR, SystemClock
from ..core.commit import Row
from . import runs
from .config import MemoryConfig
from .leases import Leases
from .runs import Base, Litter, Run
from .store import MilvusStore

Progress = Callable[[str], None]
logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Evicted:
    """What an eviction did to one shard. `held_by` names the lease that kept it from going as far as asked, if any."""

    shard: int
    horizon: int  # the oldest commit number that can be read now
    batches: int  # that exist no longer for themselves
    deleted_runs: int
    held_by: str = ""


def evict(
    store: MilvusStore, leases: Leases, shards: int, older_than_ns: int, on_progress: Progress = lambda _: None
) -> Sequence[Evicted]:
    """Afterwards versions older than `older_than_ns` before each shard's newest commit are gone, but for leases.

    Age is counted from the newest commit, not from now: a clock that is wrong evicts nothing. Unavailable when another
    eviction is at work.
    """
    with leases.exclusively():
        evicted = [_Shard(store, leases, shard, on_progress).evict(older_than_ns) for shard in range(shards)]
        leases.drop_expired()
    return evicted


def room_maker(store: MilvusStore, config: MemoryConfig, shards: int) -> Callable[[], None] | None:
    """What a sink calls now and then to evict as configured; None where nothing is ever to be forgotten."""
    if not config.evict_after_hours:
        return None
    age_ns = int(config.evict_after_hours * NS_PER_HOUR)

    def make_room() -> None:
        leases = Leases(config, SystemClock())
        try:
            for one in evict(store, leases, shards, age_ns):
                if one.batches:
                    logger.info("evicted", shard=one.shard, horizon=one.horizon, batches=one.batches)
        finally:
            leases.close()

    return make_room


class _Shard:
    """The eviction of one shard, as it was when it began."""

    def __init__(self, store: MilvusStore, leases: Leases, shard: int, on_progress: Progress) -> None:
        self._store, self._leases, self._shard, self._tell = store, leases, shard, on_progress
        self._head = store.heads([shard])[shard]

    def evict(self, older_than_ns: int) -> Evicted:
        self._finish()
        head = self._head
        wanted = self._newest(lambda run: run.ingest_time <= head.ingest_time - older_than_ns, older_than_ns <= 0)
        self._store.announce(self._shard, self._number(wanted))
        held_by = ""
        for lease in self._leases.held():
            needed = self._newest(partial(_told_by, lease.since), head.watermark <= lease.since)
            if needed < wanted:
                wanted, held_by = needed, lease.lease_id
        if held_by:
            self._store.announce(self._shard, self._number(wanted))
        batches = wanted - head.base.sequence
        if batches <= 0:
            return Evicted(self._shard, head.base.number, 0, 0, held_by)
        self._tell(f"shard {self._shard}: one base of {batches} batches")
        base = self._based(wanted)
        self._leases.require_exclusive()
        litter = Litter(head.base.name, head.base.sequence, head.spans)
        self._head = replace(head, base=Base(base.name, wanted, base.number, litter))
        self._store.publish_base(self._shard, self._head.base)
        return Evicted(self._shard, base.number, batches, self._finish(), held_by)

    def _based(self, sequence: int) -> Run:
        """One stored run that holds all that a reader of batch `sequence` finds; nothing names it yet."""
        store, head = self._store, self._head
        covering = store.markers(self._shard, head.cover(sequence))
        last = covering[-1]

        def survivors() -> Iterator[Row]:
            for one in store.merged(covering):
                if one.row.value is not None or not (head.base.name and one.origin == 0):
                    yield one.row

        name = f"base/{sequence}@{uuid.uuid4().hex[:12]}"
        return store.write_run(replace(last, name=name, pages=(), checksum=""), survivors())

    def _finish(self) -> int:
        """How many runs were deleted; afterwards nothing is left of what the base stands for."""
        base = self._head.base
        if base.litter is None:
            return 0
        before = replace(self._head, spans=base.litter.spans)
        names = [base.litter.base] if base.litter.base else []
        for sequence in range(base.litter.after + 1, base.sequence + 1):
            names.append(before.name(0, sequence))
            names += [before.name(level, sequence) for level in runs.merged_levels(sequence, 0)]
        self._tell(f"shard {self._shard}: deleting {len(names)} runs")
        deleted = 0
        for start in range(0, len(names), 256):  # their markers are read at once
            deleted += self._store.delete_runs(self._shard, names[start : start + 256])
        self._head = replace(self._head, base=replace(base, litter=None))
        self._store.publish_base(self._shard, self._head.base)
        return deleted

    def _newest(self, holds: Callable[[Run], bool], at_head: bool) -> int:
        """The newest batch whose marker `holds`, at least the base's."""
        if at_head:
            return self._head.sequence
        return max(self._store.sequence_at(self._shard, self._head, holds), self._head.base.sequence)

    def _number(self, sequence: int) -> int:
        head = self._head
        if sequence <= head.base.sequence:
            return head.base.number
        return self._store.markers(self._shard, [head.name(0, sequence)])[0].number


def _told_by(event_time: int, run: Run) -> bool:
    return run.watermark <= event_time
