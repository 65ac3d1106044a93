"""The same promises, kept by every commit log."""

from dataclasses import replace

import pytest

from adgram.core import rows
from adgram.core.catalogue import Rule
from adgram.core.clock import ManualClock
from adgram.core.commit import Commit, Table, Version
from adgram.memory.committer import Committer
from adgram.memory.mvcc import Progress, counted
from adgram.streaming.config import StreamingConfig
from adgram.streaming.log import KafkaCommitFeed, KafkaCommitLog
from adgram.streaming.topics import ensure_topics

SHARDS = 2


@pytest.fixture(params=["memory", "noida-db", "apache-kafka"])
def log(request, memory_log, topic_prefix):
    if request.param == "memory":
        yield memory_log(SHARDS)
        return
    bootstrap = request.getfixturevalue("local_broker" if request.param == "noida-db" else "apache_kafka")
    config = StreamingConfig(bootstrap=bootstrap, topic_prefix=topic_prefix, shards=SHARDS)
    ensure_topics(config)
    kafka = KafkaCommitLog(config)
    kafka.feed = lambda version: KafkaCommitFeed(config, version)
    yield kafka
    kafka.close()


def _commit(number, epoch=1, shard=0, keys=("a",)):
    entries = tuple(rows.row(Table.RULE, key, Rule(key, "true", "r")) for key in keys)
    return Commit(shard, number, epoch, number, number, {"items": number}, entries).sealed()


def test_what_is_appended_is_read_in_order_and_per_shard(log):
    """Reading beyond a number gives the later commits of that shard, as they were appended."""
    commits = [_commit(number) for number in range(1, 6)]
    for commit in commits:
        log.append(commit)
    log.append(_commit(1, shard=1, keys=("b",)))
    assert list(log.read(0, 0)) == commits
    assert list(log.read(0, 3)) == commits[3:]
    assert list(log.read(0, 5)) == []
    assert list(log.read(1, 0)) == [_commit(1, shard=1, keys=("b",))]


def test_the_last_commit_is_the_newest_that_counts(log):
    """Nothing at first; stale writers and unfinished parts do not count."""
    assert log.last(0) is None
    log.append(_commit(1))
    log.append(_commit(2, epoch=2))
    log.append(_commit(3, epoch=1))
    log.append(replace(_commit(3, epoch=2, keys="ab"), part=0, parts=2).sealed())
    assert log.last(0) == _commit(2, epoch=2)


def test_positions_are_consecutive_exactly_when_nobody_else_writes(log):
    """This is how a fenced owner notices."""
    first = log.append(_commit(1))
    assert log.append(_commit(2)) == first + 1
    log.append(_commit(2, epoch=2))
    assert log.append(_commit(3)) == first + 3


def test_an_owner_opens_commits_and_is_succeeded(log):
    """The committer's protocol works on this log: offsets carry over, and the old owner's commits stop counting."""
    owner = Committer.open(log, 0, ManualClock(1))
    owner.append(_commit(1).rows, {"items": 7}, 1)
    successor = Committer.open(log, 0, ManualClock(2))
    assert successor.last.offsets == {"items": 7}
    assert [commit.epoch for commit in log.read(0, 0)] == [1, 1, 2]


def test_a_feed_brings_everything_from_its_version_on(log):
    """Whatever was appended before or after it was opened, beyond the version it was opened at."""
    if not hasattr(log, "feed"):
        pytest.skip("the log in memory has no feed of its own")
    for number in range(1, 4):
        log.append(_commit(number))
    feed = log.feed(Version((2, 0), (0, 0)))
    log.append(_commit(4))
    log.append(_commit(1, shard=1))
    arrived = []
    for _ in range(100):
        arrived += feed.poll(0.1)
        if {(one.shard, one.number) for one in arrived} >= {(0, 4), (1, 1)}:
            break
    feed.close()
    ours = [record for record in arrived if record.shard == 0]
    assert [one.number for one in counted(ours, Progress(2))] == [3, 4]
