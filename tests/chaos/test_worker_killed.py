"""The worker dies in the middle of its work, on Apache Kafka; the next one loses nothing and doubles nothing."""

import os
import subprocess
import sys
import threading
import time

import pytest
from kafka_process import KAFKA_START, broker_port, kafka_process

from adgram.core.event import Event, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.memory.snapshot import MemorySnapshot
from adgram.streaming.config import StreamingConfig
from adgram.streaming.log import KafkaCommitLog, KafkaPublisher
from adgram.streaming.topics import ensure_topics

SHARDS = 2
AWAY_S = 20.0  # a minute of it is part of `make chaos`
EVENTS_PER_S = 100
MOST_EVENTS = 5_000
BETWEEN_KILLS = 300
USERS = 40  # few enough events for each that all their ids stay in sight


@pytest.fixture
def config(apache_kafka, topic_prefix):
    config = StreamingConfig(bootstrap=apache_kafka, topic_prefix=topic_prefix, shards=SHARDS)
    ensure_topics(config)
    return config


def _started(config, models, log):
    place = ("--bootstrap", config.bootstrap, "--prefix", config.topic_prefix, "--shards", str(config.shards))
    with log.open("ab") as output:
        command = [sys.executable, "-m", "adgram", "ingest", "--models", str(models), *place]
        return subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _memory(log):
    snapshot = MemorySnapshot.empty(SHARDS)
    for shard in range(SHARDS):
        for commit in log.read(shard, 0):
            snapshot = snapshot.fold(commit)
    return snapshot


def _events(log):
    return sum(user.events for user in _memory(log).users())


def _until(log, worker, wanted, timeout_s):
    started = time.monotonic()
    while (found := _events(log)) < wanted:
        assert worker.poll() is None, "the worker ended by itself"
        assert time.monotonic() - started < timeout_s, f"{found} of {wanted} events after {timeout_s} s"
        time.sleep(0.1)


class Stream:
    """Publishes clicks at a steady rate from a thread of its own until it is told to stop."""

    def __init__(self, publisher):
        self.told: dict[str, list[str]] = {}
        self.published = 0
        self._publisher, self._stopping = publisher, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def flowing(self) -> bool:
        return self._thread.is_alive() and self.published < MOST_EVENTS

    def stopping(self) -> None:
        """Afterwards no more is published."""
        self._stopping.set()
        self._thread.join()

    def stop(self) -> None:
        """Afterwards all that was published is acknowledged."""
        self.stopping()
        self._publisher.flush(60)

    def _run(self) -> None:
        while not self._stopping.wait(1 / EVENTS_PER_S) and self.published < MOST_EVENTS:
            number = self.published
            user = f"u{number % USERS}"
            self.told.setdefault(user, []).append(f"i{number}")
            value = Feedback(FeedbackKind.CLICK, user, f"i{number}")
            self._publisher.publish(Topic.FEEDBACK, Event(f"e{number}", time.time_ns(), user, value))
            self.published += 1


@pytest.mark.kafka
@pytest.mark.e2e
@pytest.mark.skipif(not KAFKA_START.exists(), reason="needs Apache Kafka's start script: ADGRAM_KAFKA_HOME=folder")
def test_a_broker_that_is_killed_and_back_after_seconds_costs_no_event(tokenizer_models, topic_prefix, tmp_path):
    """Worker and publisher wait for it: all that was ever published is folded once, in its user's order."""
    port = broker_port()
    config = StreamingConfig(bootstrap=f"127.0.0.1:{port}", topic_prefix=topic_prefix, shards=SHARDS)
    with kafka_process(tmp_path / "kafka", port):
        ensure_topics(config)
        publisher = KafkaPublisher(config)
        stream = Stream(publisher)
        worker = _started(config, tokenizer_models, tmp_path / "log")
        log = KafkaCommitLog(config)
        _until(log, worker, BETWEEN_KILLS, 60)
    try:
        time.sleep(AWAY_S)
        with kafka_process(tmp_path / "kafka", port):
            time.sleep(1.0)
            stream.stop()
            log = KafkaCommitLog(config)
            _until(log, worker, stream.published, 90)
            memory = _memory(log)
            worker.terminate()
            assert worker.wait(60) == 0
    finally:
        stream.stopping()
        worker.kill()
        worker.wait()
    for user, items in stream.told.items():
        assert [one.item_id for one in memory.user(user).history] == items[-50:]
        assert memory.user(user).events == len(items)


@pytest.mark.kafka
@pytest.mark.e2e
def test_a_worker_killed_twice_mid_stream_loses_and_doubles_nothing(config, tokenizer_models, tmp_path):
    """After two kill -9 while events keep coming, every event is folded once, and in its user's order."""
    publisher, log = KafkaPublisher(config), KafkaCommitLog(config)
    stream = Stream(publisher)
    worker = _started(config, tokenizer_models, tmp_path / "log")
    try:
        for _ in range(2):
            _until(log, worker, _events(log) + BETWEEN_KILLS, 60)
            assert stream.flowing, "the stream ended before the worker was killed"
            worker.kill()
            worker.wait()
            worker = _started(config, tokenizer_models, tmp_path / "log")
        _until(log, worker, _events(log) + BETWEEN_KILLS, 60)
        stream.stop()
        _until(log, worker, stream.published, 60)
        time.sleep(1.0)  # anything folded twice would be committed by then
    finally:
        stream.stop()
        worker.kill()
        worker.wait()
    memory = _memory(log)
    assert _events(log) == stream.published > 3 * BETWEEN_KILLS
    for user, items in stream.told.items():
        state = memory.user(user)
        assert state.events == len(items)
        assert len(set(state.recent_event_ids)) == len(state.recent_event_ids) == len(items)
        assert [one.item_id for one in state.history] == items[-len(state.history) :]
    publisher.close()
    log.close()
