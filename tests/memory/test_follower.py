import threading
import time
from collections import deque

import pytest

from adgram.core import rows
from adgram.core.catalogue import Rule
from adgram.core.clock import ManualClock
from adgram.core.commit import Table
from adgram.core.errors import Unavailable, VersionUnavailable
from adgram.memory.committer import Committer
from adgram.memory.config import MemoryConfig
from adgram.memory.follower import Follower
from adgram.memory.history import History
from adgram.memory.snapshot import MemorySnapshot


class ListFeed:
    """A commit feed over the records of a MemoryLog from a moment on; `lost` records never arrive."""

    def __init__(self, log, lost=()):
        self._log, self._lost = log, set(lost)
        self._next = {shard: len(records) for shard, records in log.records.items()}

    def poll(self, timeout_s):
        arrived = []
        for shard, records in self._log.records.items():
            arrived += [one for one in records[self._next[shard] :] if one.number not in self._lost]
            self._next[shard] = len(records)
        if not arrived:
            time.sleep(0.002)
        return arrived

    def close(self):
        pass


class AbsentStore:
    """A store that cannot be reached."""

    def head(self, shard):
        raise Unavailable("no Milvus")


def _rule(key):
    return rows.row(Table.RULE, key, Rule(key, "true", "r"))


def _until(condition, timeout_s=30.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


@pytest.fixture
def started():
    followers = deque()

    def start(*arguments, **settings):
        follower = Follower(*arguments, **settings)
        followers.append(follower)
        follower.start()
        assert follower.wait_ready(5), follower.failure
        return follower

    yield start
    for follower in followers:
        follower.stop()


def test_a_follower_starts_with_all_that_was_committed_and_keeps_up(memory_log, started):
    """Commits from before and after the start are in the current snapshot, each version seen by the warmers first."""
    log = memory_log()
    owner = Committer.open(log, 0, ManualClock(1))
    owner.append([_rule("a")], {}, 1)
    warmed = []
    follower = started(1, log, lambda version: ListFeed(log), warmers=(lambda one: warmed.append(one.version),))
    assert [rule.rule_id for rule in follower.current().rules] == ["a"]
    owner.append([_rule("b")], {}, 2)
    _until(lambda: len(follower.current().rules) == 2)
    assert follower.current().version in warmed


def test_a_gap_in_the_feed_is_read_from_the_log(memory_log, started):
    """A commit the feed never brought is there all the same as soon as the next one arrives."""
    log = memory_log()
    owner = Committer.open(log, 0, ManualClock(1))
    follower = started(1, log, lambda version: ListFeed(log, lost={2}))
    owner.append([_rule("lost")], {}, 1)
    owner.append([_rule("next")], {}, 2)
    _until(lambda: len(follower.current().rules) == 2)


def test_a_store_that_is_away_is_done_without(memory_log, started):
    """Cold start falls back to the log when the store cannot be reached."""
    log = memory_log()
    Committer.open(log, 0, ManualClock(1)).append([_rule("a")], {}, 1)
    follower = started(1, log, lambda version: ListFeed(log), AbsentStore())
    assert len(follower.current().rules) == 1


def test_a_warmer_that_fails_does_not_stop_the_world(memory_log, started):
    """Memory moves on although a part could not warm itself."""

    def failing(snapshot):
        raise RuntimeError("cannot warm")

    log = memory_log()
    owner = Committer.open(log, 0, ManualClock(1))
    follower = started(1, log, lambda version: ListFeed(log), warmers=(failing,))
    owner.append([_rule("a")], {}, 1)
    _until(lambda: len(follower.current().rules) == 1)


def test_readers_always_see_a_whole_version(memory_log, started):
    """While commits of a hundred rows each are folded with pauses, no reader ever sees a part of one."""
    log = memory_log()
    owner = Committer.open(log, 0, ManualClock(1))
    config = MemoryConfig(slice_ms=0.0, pause_ms=0.1)
    follower = started(1, log, lambda version: ListFeed(log), config=config)
    torn, done = [], threading.Event()

    def read():
        while not done.is_set():
            count = len(follower.current().rules)
            if count % 100:
                torn.append(count)

    reader = threading.Thread(target=read)
    reader.start()
    for batch in range(20):
        owner.append([_rule(f"{batch}.{index}") for index in range(100)], {}, batch)
    _until(lambda: len(follower.current().rules) == 2_000)
    done.set()
    reader.join()
    assert not torn


def test_as_of_gives_the_newest_kept_version_and_refuses_older_ones(memory_log):
    """Versions whose every watermark is within the time are found; below the oldest kept, reads are refused."""
    log, history, snapshot = memory_log(), History(limit=3), MemorySnapshot.empty(1)
    owner = Committer.open(log, 0, ManualClock(1))
    for watermark in (10, 20, 30, 40):
        owner.append([], {}, watermark)
    for commit in log.read(0, 0):
        snapshot = snapshot.fold(commit)
        history.add(snapshot)
    assert history.as_of(35).version.watermark == 30
    assert history.as_of(99).version.watermark == 40
    with pytest.raises(VersionUnavailable):
        history.as_of(19)
