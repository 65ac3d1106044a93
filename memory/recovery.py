"""Memory from nothing: the store as far as it goes, the log from there."""

from collections.abc import Iterator

from ..core.commit import Commit
from ..core.errors import ConfigError, Unavailable
from ..core.ports import CommitLog, CommitStore
from .mvcc import CommitGap
from .snapshot import MemorySnapshot


def require_same_log(shard: int, head: int, log: CommitLog) -> None:
    """Returns when a store with this head can have been written from this log; ConfigError otherwise."""
    last = log.last(shard)
    number = 0 if last is None else last.number
    if head > number:
        raise ConfigError(
            f"shard {shard}: the store is at commit {head}, the log only at {number}; it was written from another log, "
            f"so name another collection or an empty Milvus"
        )


class LogTooShort(Unavailable):
    """The log no longer holds what is needed next; only the store can bring a reader up to date."""


def stored(shard: int, store: CommitStore | None) -> Iterator[Commit]:
    """The newest rows of a shard that the store holds, as commits, oldest first; they may jump in number."""
    if store is not None:
        head = store.head(shard)
        if head:
            yield from store.load(shard, 0, head)


def retained(shard: int, after_number: int, log: CommitLog) -> Iterator[Commit]:
    """The commits of a shard beyond `after_number`, without a gap; Unavailable when the log begins later than that."""
    try:
        yield from log.read(shard, after_number)
    except CommitGap as gap:
        raise LogTooShort(
            f"shard {shard}: the log no longer holds what follows commit {after_number}; let the store catch up "
            f"(adgram ingest --sink) or lengthen the retention of the commits topic"
        ) from gap


def recovered(empty: MemorySnapshot, log: CommitLog, store: CommitStore | None) -> Iterator[MemorySnapshot]:
    """Growing versions of memory; the last one holds all that store and log held when it was asked for."""
    snapshot = empty
    for shard in range(len(empty.version.numbers)):
        if store is not None:
            require_same_log(shard, store.head(shard), log)
        for commit in stored(shard, store):
            snapshot = snapshot.leap(commit)
            yield snapshot
        for commit in retained(shard, snapshot.version.numbers[shard], log):
            snapshot = snapshot.fold(commit)
            yield snapshot
    yield snapshot
