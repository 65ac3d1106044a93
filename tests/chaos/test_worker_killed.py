"""The worker dies in the middle of its work, on Apache Kafka; the next one loses nothing and doubles nothing."""

import os
import subprocess
import sys
import time

import pytest

from adgram.core.event import Event, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.memory.snapshot import MemorySnapshot
from adgram.streaming.config import StreamingConfig
from adgram.streaming.log import KafkaCommitLog, KafkaPublisher
from adgram.streaming.topics import ensure_topics

SHARDS = 2
EVENTS = 3_000
USERS = 40  # few enough that each keeps all its event ids in sight


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


@pytest.mark.kafka
@pytest.mark.e2e
def test_a_worker_killed_twice_mid_stream_loses_and_doubles_nothing(config, tokenizer_models, tmp_path):
    """After kill -9 at about a third and at about two thirds, every event is folded once, and in its user's order."""
    publisher, log = KafkaPublisher(config), KafkaCommitLog(config)
    told = {}
    for number in range(EVENTS):
        user = f"u{number % USERS}"
        told.setdefault(user, []).append(f"i{number}")
        value = Feedback(FeedbackKind.CLICK, user, f"i{number}")
        publisher.publish(Topic.FEEDBACK, Event(f"e{number}", time.time_ns(), user, value))
        if number % 10 == 0:  # a stream rather than one batch, so that a kill falls between commits
            time.sleep(0.005)
        if number == EVENTS // 20:
            worker = _started(config, tokenizer_models, tmp_path / "log")
    publisher.flush(20)
    try:
        for reached in (EVENTS // 3, 2 * EVENTS // 3):
            _until(log, worker, reached, 60)
            worker.kill()
            worker.wait()
            assert _events(log) < EVENTS, "it was not killed in mid-stream"
            worker = _started(config, tokenizer_models, tmp_path / "log")
        _until(log, worker, EVENTS, 60)
        time.sleep(1.0)  # anything folded twice would be committed by then
    finally:
        worker.kill()
        worker.wait()
    memory = _memory(log)
    assert _events(log) == EVENTS
    for user, items in told.items():
        state = memory.user(user)
        assert state.events == len(items)
        assert len(set(state.recent_event_ids)) == len(state.recent_event_ids) == len(items)
        assert [one.item_id for one in state.history] == items[-len(state.history) :]
    publisher.close()
    log.close()
