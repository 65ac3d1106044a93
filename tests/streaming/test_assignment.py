"""Partition p of every source topic goes to the same member, whichever consumer a deployment uses."""

import time

import pytest
from confluent_kafka import Consumer
from faust.assignor.partition_assignor import PartitionAssignor
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.streaming.app import Worker
from adgram.streaming.batch import consumer_settings
from adgram.streaming.config import StreamingConfig
from adgram.streaming.topics import ensure_topics


def _require_together(config, held):
    """Each member holds the same partition numbers of all topics; together they hold all, none twice."""
    for by_topic in held:
        assert set(by_topic) <= set(config.sources)
        assert len({frozenset(by_topic.get(topic, ())) for topic in config.sources}) == 1
    numbers = [number for by_topic in held for number in next(iter(by_topic.values()), ())]
    assert sorted(numbers) == list(range(config.shards))


@pytest.mark.e2e
def test_two_members_of_the_batch_consumer_hold_whole_shards(broker, topic_prefix):
    """On a real broker, after the second has joined, each of both holds two shards of four, in all topics."""
    config = StreamingConfig(bootstrap=broker, topic_prefix=topic_prefix, shards=4)
    ensure_topics(config)
    members = [Consumer(consumer_settings(config)) for _ in range(2)]
    try:
        for member in members:
            member.subscribe(list(config.sources))
        held = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for member in members:
                member.poll(0.1)
            held = [_by_topic(member.assignment()) for member in members]
            if all(held) and sum(len(numbers) for one in held for numbers in one.values()) == 4 * len(config.sources):
                break
        _require_together(config, held)
        assert [len(next(iter(one.values()))) for one in held] == [2, 2]
    finally:
        for member in members:
            member.close()


def _by_topic(assigned):
    held = {}
    for one in assigned:
        held.setdefault(one.topic, set()).add(one.partition)
    return held


class Cluster:
    """What faust's assignor asks of a cluster's metadata."""

    def __init__(self, config):
        self._config = config

    def partitions_for_topic(self, topic):
        return set(range(self._config.shards)) if topic in self._config.sources else None


def _worker_app(config):
    return Worker(config, None).app


@settings(max_examples=15)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_faust_hands_out_whole_shards_as_members_come_and_go(counts):
    """After every change of the group, each member holds the same partition numbers of all source topics."""
    config = StreamingConfig(shards=6, topic_prefix="t.")
    app, cluster, members = _worker_app(config), Cluster(config), []
    for count in counts:
        members = [*members, *(PartitionAssignor(app) for _ in range(count - len(members)))][:count]
        metadata = {f"member-{n}": one.metadata(set(config.sources)) for n, one in enumerate(members)}
        assigned = members[0].assign(cluster, metadata)
        held = [{topic: set(numbers) for topic, numbers in assigned[name].assignment} for name in metadata]
        _require_together(config, held)
        for member, name in zip(members, metadata, strict=True):
            member.on_assignment(assigned[name])
