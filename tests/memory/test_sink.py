import threading
import time

import pytest

from adgram.core import rows
from adgram.core.catalogue import Rule
from adgram.core.clock import ManualClock
from adgram.core.commit import Table, Version
from adgram.core.errors import ConfigError, Unavailable
from adgram.memory import mvcc
from adgram.memory.committer import Committer
from adgram.memory.config import MemoryConfig
from adgram.memory.recovery import history, recovered, require_same_log
from adgram.memory.sink import Sink
from adgram.memory.snapshot import MemorySnapshot


class ReplayingFeed:
    """A commit feed over a MemoryLog that begins right behind a version, as Kafka's does."""

    def __init__(self, log, version: Version):
        self._log, self._next = log, {}
        for shard, number in enumerate(version.numbers):
            self._next[shard] = sum(record.number <= number for record in log.records[shard])

    def poll(self, timeout_s):
        arrived = []
        for shard, records in self._log.records.items():
            arrived += records[self._next[shard] :]
            self._next[shard] = len(records)
        if not arrived:
            time.sleep(0.002)
        return arrived

    def close(self):
        pass


class KeepingStore:
    """A store of whole commits that is away for its first `absences` writes."""

    def __init__(self, absences=0):
        self.commits, self.absences, self.lock = {}, absences, threading.Lock()

    def write(self, commits):
        if self.absences:
            self.absences -= 1
            raise Unavailable("no Milvus")
        for commit in commits:
            if commit.number > self.head(commit.shard) + 1:
                raise mvcc.CommitGap(commit.shard, self.head(commit.shard), commit.number)
            self.commits.setdefault(commit.shard, {}).setdefault(commit.number, commit)

    def head(self, shard):
        return max(self.commits.get(shard, {}), default=0)

    def load(self, shard, after_number, up_to_number):
        kept = self.commits.get(shard, {})
        return [kept[number] for number in sorted(kept) if after_number < number <= up_to_number]

    def as_of(self, shard, event_time):
        kept = self.commits.get(shard, {})
        return mvcc.as_of([(number, kept[number].watermark) for number in sorted(kept)], event_time)

    def close(self):
        pass


def _rule(key):
    return rows.row(Table.RULE, key, Rule(key, "true", "r"))


def _sunk(log, store, until):
    config = MemoryConfig(sink_interval_ms=1)
    sink = Sink(1, log, lambda version: ReplayingFeed(log, version), store, config)
    sink.start()
    deadline = time.monotonic() + 20
    while store.head(0) < until:
        assert time.monotonic() < deadline, "the sink did not catch up"
        time.sleep(0.005)
    sink.stop()


def test_the_sink_goes_on_where_the_store_left_off(memory_log):
    """Every commit is written once, in order, over a restart of the sink."""
    log, store = memory_log(), KeepingStore()
    owner = Committer.open(log, 0, ManualClock(1))
    owner.append([_rule("a")], {}, 1)
    _sunk(log, store, 2)
    owner.append([_rule("b")], {}, 2)
    _sunk(log, store, 3)
    assert list(store.load(0, 0, 3)) == list(log.read(0, 0))


def test_the_sink_outlives_the_stores_absence(memory_log):
    """Writes that fail are repeated from the log until the store is back; nothing is missing."""
    log, store = memory_log(), KeepingStore(absences=3)
    owner = Committer.open(log, 0, ManualClock(1))
    for number in range(5):
        owner.append([_rule(str(number))], {}, number)
    _sunk(log, store, 6)
    assert list(store.load(0, 0, 6)) == list(log.read(0, 0))


def test_a_fenced_owners_commits_never_reach_the_store(memory_log):
    """The sink reads the log by the same rules as everybody."""
    log, store = memory_log(), KeepingStore()
    first = Committer.open(log, 0, ManualClock(1))
    second = Committer.open(log, 0, ManualClock(2))
    log.append(first.last.__class__(0, 3, 1, 0, 0, {}, (_rule("stale"),)).sealed())
    second.append([_rule("fresh")], {}, 1)
    _sunk(log, store, 3)
    assert [row.key for commit in store.load(0, 0, 3) for row in commit.rows] == ["fresh"]


def test_memory_begins_in_the_store_and_goes_on_in_the_log(memory_log):
    """A log that no longer reaches back to the beginning is enough together with the store, and not without."""
    log, store = memory_log(), KeepingStore()
    owner = Committer.open(log, 0, ManualClock(1))
    for key in "abc":
        owner.append([_rule(key)], {}, 1)
    _sunk(log, store, 3)
    log.retained_from = 2
    *_, snapshot = recovered(MemorySnapshot.empty(1), log, store)
    assert [rule.rule_id for rule in snapshot.rules] == ["a", "b", "c"]
    with pytest.raises(Unavailable, match="no longer holds what follows commit 0"):
        list(recovered(MemorySnapshot.empty(1), log, None))


def test_a_store_of_another_log_is_refused(memory_log):
    """A store that is ahead of the log was written from another one: following it would hide every new commit."""
    log, store = memory_log(), KeepingStore()
    owner = Committer.open(log, 0, ManualClock(1))
    owner.append([_rule("a")], {}, 1)
    _sunk(log, store, 2)
    require_same_log(0, 2, log)
    with pytest.raises(ConfigError, match="written from another log"):
        list(recovered(MemorySnapshot.empty(1), memory_log(), store))


def _told(log, keys):
    owner = Committer.open(log, 0, ManualClock(1))
    for key in keys:
        owner.append([rows.row(Table.RULE, key, Rule(key, "true", "r"))], {}, 1)
    return log


def test_a_shard_is_read_from_the_store_and_only_the_rest_of_it_from_the_log(memory_log):
    """What the store holds is not read twice; with the store away or empty the log tells all."""
    asked = []

    class Watched(memory_log):
        def read(self, shard, after_number):
            asked.append(after_number)
            return super().read(shard, after_number)

    log, store = _told(Watched(), "abcdef"), KeepingStore()
    everything = list(history(0, log, None, 0))
    store.write(everything[:4])
    asked.clear()
    assert list(history(0, log, store, 0)) == everything and min(asked) == 3
    assert list(history(0, log, KeepingStore(), 0)) == everything

    class Away(KeepingStore):
        def head(self, shard):
            raise Unavailable("no Milvus")

    assert list(history(0, log, Away(), 0)) == everything
    assert [one.number for one in history(0, log, store, 5)] == [6, 7]


def test_a_store_that_was_written_from_another_log_is_not_believed(memory_log):
    """A log that was made anew and has grown past the store's head tells of itself alone."""
    other, store = _told(memory_log(), "xyz"), KeepingStore()
    store.write(other.read(0, 0))
    log = _told(_told(memory_log(), "a"), "bcdef")
    assert list(history(0, log, store, 0)) == list(log.read(0, 0))
