"""Milvus away, disks that are full, clocks that step back: what docs/OPERATIONS.md says of them."""

import threading
import time
import uuid

import pytest
from file_log import FileBackedLog
from file_milvus import FileBackedMilvus

from adgram.core import rows
from adgram.core.catalogue import Rule
from adgram.core.clock import ManualClock
from adgram.core.commit import Commit, Table
from adgram.core.errors import Unavailable
from adgram.memory.committer import Committer
from adgram.memory.config import MemoryConfig
from adgram.memory.eviction import evict
from adgram.memory.leases import Leases
from adgram.memory.sink import Sink
from adgram.memory.snapshot import MemorySnapshot
from adgram.memory.store import MilvusStore
from adgram.memory.verification import verify
from adgram.streaming.local_broker import free_port, start_milvus

AWAY_S = 20.0  # a minute of it is part of `make chaos`


class FileFeed:
    """Follows a log in a file."""

    def __init__(self, log, version):
        self._log, self._seen = log, sum(one.number <= version.numbers[0] for one in log.records(0))

    def poll(self, timeout_s):
        found = self._log.records(0)[self._seen :]
        self._seen += len(found)
        if not found:
            time.sleep(0.01)
        return found

    def close(self):
        pass


class Sinking:
    """A sink at work on its own thread while the test commits."""

    def __init__(self, log, store):
        self.log, self.store = log, store
        self.sink = Sink(1, log, lambda version: FileFeed(log, version), store, MemoryConfig(sink_interval_ms=5))
        self.sink.start()

    def wait(self, number):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if self.store.head(0) == number:
                    return
            except Unavailable:
                pass
            time.sleep(0.02)
        raise AssertionError("the sink did not catch up")


@pytest.fixture
def log(tmp_path):
    return FileBackedLog(tmp_path)


def _rule(key):
    return rows.row(Table.RULE, key, Rule(key, "true", "r"))


def _rules(store):
    snapshot = MemorySnapshot.empty(1)
    for commit in store.load(0, 0, store.head(0)):
        snapshot = snapshot.leap(commit)
    return {rule.rule_id for rule in snapshot.rules}


@pytest.mark.e2e
def test_commits_go_on_while_milvus_is_away_and_reach_it_afterwards(log, tmp_path):
    """Milvus Lite is killed -9 amid writes and comes back on the same data: nothing is missing, everything verifies."""
    port, config = free_port(), MemoryConfig(collection=f"c{uuid.uuid4().hex[:8]}", timeout_s=2.0)
    config = MemoryConfig(f"http://127.0.0.1:{port}", collection=config.collection, timeout_s=2.0)
    owner = Committer.open(log, 0, ManualClock(1))
    keys = [f"r{number}" for number in range(60)]
    milvus = start_milvus(tmp_path / "milvus", port)
    sinking = Sinking(log, MilvusStore(config))
    for key in keys[:20]:
        owner.append([_rule(key)], {}, 1)
    sinking.wait(21)
    killer = threading.Timer(0.05, milvus.process.kill)
    killer.start()
    for key in keys[20:40]:
        owner.append([_rule(key)], {}, 1)
        time.sleep(0.005)
    killer.join()
    time.sleep(AWAY_S)
    for key in keys[40:]:
        owner.append([_rule(key)], {}, 1)
    with start_milvus(tmp_path / "milvus", port):
        sinking.wait(61)
        sinking.sink.stop()
        again = MilvusStore(config)
        assert _rules(again) == set(keys)
        assert verify(again, 0, log).problems == ()


def test_a_full_disk_of_the_store_stops_nothing_and_loses_nothing(log, tmp_path):
    """The sink waits and tries again; the log keeps what the store cannot take, and no half batch is ever read."""
    client = FileBackedMilvus(tmp_path / "milvus")
    store = MilvusStore(MemoryConfig(milvus_uri="file", collection="c"), client)
    owner = Committer.open(log, 0, ManualClock(1))
    owner.append([_rule("a")], {}, 1)
    sinking = Sinking(log, store)
    sinking.wait(2)
    for room in (0, 60, 400):  # before the rows, within them, between them and the head
        client.room_bytes = (tmp_path / "milvus").stat().st_size + room
        owner.append([_rule(f"b{room}")], {}, 1)
        time.sleep(0.1)
        assert _rules(store) <= {"a", "b0", "b60", "b400"} and verify(store, 0, log).problems == ()
    client.room_bytes = None
    sinking.wait(5)
    sinking.sink.stop()
    assert _rules(store) == {"a", "b0", "b60", "b400"}
    assert verify(store, 0, log).from_log > 0


def test_a_full_disk_of_the_log_ends_the_owner_and_the_next_one_goes_on(log):
    """What was not acknowledged is not there; its events come again, and no commit number is used twice."""
    owner = Committer.open(log, 0, ManualClock(1))
    owner.append([_rule("a")], {"rules": 0}, 1)
    log.room_bytes = 0
    with pytest.raises(Unavailable, match="no space left"):
        owner.append([_rule("b")], {"rules": 1}, 2)
    log.room_bytes = None
    successor = Committer.open(log, 0, ManualClock(2))
    assert successor.last.offsets == {"rules": 0}
    successor.append([_rule("b")], {"rules": 1}, 2)
    seen = log.read(0, 0)
    assert [commit.number for commit in seen] == [1, 2, 3, 4]
    assert [row.key for commit in seen for row in commit.rows] == ["a", "b"]


def test_a_clock_that_steps_back_reorders_and_evicts_nothing(log, tmp_path):
    """Order is by number and watermark, which never fall; age is counted between commits, not from the clock."""
    clock = ManualClock(10**15)
    owner = Committer.open(log, 0, clock)
    owner.append([_rule("a")], {}, 100)
    clock.advance(-(10**14))
    second: Commit = owner.append([_rule("b")], {}, 50)
    assert second.watermark == 100
    client = FileBackedMilvus(tmp_path / "milvus")
    config = MemoryConfig(milvus_uri="file", collection="c")
    store = MilvusStore(config, client)
    for commit in log.read(0, 0):
        store.write([commit])
    (found,) = evict(store, Leases(config, clock, client), 1, 10**13)
    assert found.batches == 0
    assert _rules(store) == {"a", "b"} and verify(store, 0, log).problems == ()
