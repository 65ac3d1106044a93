"""What a broker must do for nothing to be lost, and which of it the packaged one does not do."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from kafka_process import KAFKA_START, broker_port, kafka_process

from adgram.core.event import Topic
from adgram.streaming.batch import consumer_settings
from adgram.streaming.config import StreamingConfig
from adgram.streaming.local_broker import start_broker
from adgram.streaming.topics import ensure_topics

RECORDS = 5_000
MOVED_S = 15.0  # a dead member's partitions are somebody else's by then; 6 s of it are the session's
MEMBER = """
import sys, time
from confluent_kafka import Consumer
from adgram.streaming.batch import consumer_settings
from adgram.streaming.config import StreamingConfig
config = StreamingConfig(bootstrap=sys.argv[1], topic_prefix=sys.argv[2], shards=2)
member = Consumer(consumer_settings(config))
member.subscribe(list(config.sources))
while True:
    member.poll(0.1)
    if member.assignment():
        print("assigned", flush=True)
"""


def _packaged(reason):
    return pytest.param("noida-db", marks=pytest.mark.xfail(reason=reason, strict=False))


def _apache():
    missing = pytest.mark.skipif(
        not KAFKA_START.exists(), reason="needs Apache Kafka's start script: ADGRAM_KAFKA_HOME"
    )
    return pytest.param("apache-kafka", marks=[pytest.mark.kafka, missing])


@contextmanager
def _started(name, folder, port):
    """A broker on this folder and port, with its process."""
    if name == "noida-db":
        with start_broker(folder, port) as broker:
            yield broker.process
        return
    with kafka_process(folder, port) as process:
        yield process


@pytest.mark.e2e
@pytest.mark.parametrize(
    "name", [_packaged("it rewrites its store as a whole and later: kill -9 loses records it acknowledged"), _apache()]
)
def test_a_broker_that_is_killed_keeps_what_it_acknowledged(name, topic_prefix, tmp_path):
    """Every record that was acknowledged before kill -9 can be read after the start that follows."""
    port = broker_port()
    config = StreamingConfig(bootstrap=f"127.0.0.1:{port}", topic_prefix=topic_prefix, shards=1)
    acknowledged = []
    with _started(name, tmp_path / "broker", port) as process:
        ensure_topics(config)
        producer = Producer({"bootstrap.servers": config.bootstrap, "acks": "all", "linger.ms": 5})
        for number in range(RECORDS):
            told = lambda error, record: acknowledged.append(record.value()) if error is None else None  # noqa: E731
            producer.produce(config.topic(Topic.ITEMS), str(number).encode(), b"k", on_delivery=told)
            producer.poll(0)
        producer.flush(30)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert len(acknowledged) == RECORDS
    with _started(name, tmp_path / "broker", port):
        reader = Consumer({"bootstrap.servers": config.bootstrap, "group.id": "reader", "enable.auto.commit": False})
        reader.assign([TopicPartition(config.topic(Topic.ITEMS), 0, 0)])
        found, deadline = set(), time.monotonic() + 20
        while len(found) < RECORDS and time.monotonic() < deadline:
            found.update(one.value() for one in reader.consume(1_000, 0.2) if one.error() is None)
        reader.close()
    assert set(acknowledged) <= found


@pytest.mark.e2e
@pytest.mark.parametrize("name", [_packaged("it never evicts a member that died from its group"), _apache()])
def test_a_dead_members_partitions_move(name, topic_prefix, request):
    """One of two consumers is killed -9: within the time promised for a worker, the other one holds all partitions."""
    bootstrap = request.getfixturevalue("local_broker" if name == "noida-db" else "apache_kafka")
    config = StreamingConfig(bootstrap=bootstrap, topic_prefix=topic_prefix, shards=2)
    ensure_topics(config)
    survivor = Consumer(consumer_settings(config))
    survivor.subscribe(list(config.sources))
    command = [sys.executable, "-c", MEMBER, bootstrap, topic_prefix]
    doomed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while len(survivor.assignment()) != len(config.sources) and time.monotonic() < deadline:
            survivor.poll(0.1)
        assert len(survivor.assignment()) == len(config.sources), "the group never had two members"
        doomed.kill()
        doomed.wait()
        killed = time.monotonic()
        while len(survivor.assignment()) < 2 * len(config.sources) and time.monotonic() - killed < MOVED_S:
            survivor.poll(0.1)
        assert len(survivor.assignment()) == 2 * len(config.sources)
    finally:
        doomed.kill()
        doomed.wait()
        survivor.close()
