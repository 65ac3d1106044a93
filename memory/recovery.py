"""Memory from nothing: the store as far as it goes, the log from there."""

from collections.abc import Iterator, Sequence

import structlog

from ..core.commit import Commit
from ..core.errors import ConfigError, Unavailable
from ..core.ports import CommitLog, CommitStore
from .mvcc import CommitGap
from .snapshot import MemorySnapshot

logger = structlog.get_logger(__name__)


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


def history(shard: int, log: CommitLog, store: CommitStore | None, after_number: int) -> Sequence[Commit]:
    """The newest rows of a shard beyond commit `after_number`, as commits, oldest first; they may jump in number.

    From 0 on the store speaks first where it can, since it holds each row once, while the log holds all that was ever
    said within its retention. CommitGap when the log begins later than `after_number`, if that is not 0.
    """
    if after_number:
        return log.read(shard, after_number)
    told = None if store is None else _stored_and_since(shard, log, store)
    return tuple(retained(shard, 0, log)) if told is None else told


def _stored_and_since(shard: int, log: CommitLog, store: CommitStore) -> Sequence[Commit] | None:
    """What the store holds and what the log says after that; None where the log must speak alone."""
    try:
        before = tuple(stored(shard, store))
    except Unavailable as error:
        logger.warning("the store is away, reading the log alone", shard=shard, reason=str(error))
        return None
    if not before:
        return None
    head = before[-1]
    try:
        since = log.read(shard, head.number - 1)
    except CommitGap:  # the head itself is no longer retained, so nothing can be held against it
        return (*before, *retained(shard, head.number, log))
    if not since or (since[0].number, since[0].epoch, since[0].watermark) != (head.number, head.epoch, head.watermark):
        logger.warning("the store was written from another log, reading the log alone", shard=shard)
        return None
    return (*before, *since[1:])
