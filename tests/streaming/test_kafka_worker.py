"""The worker as a process of its own, on either broker: published, folded, committed, followed, stopped."""

import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager

import pytest
from kafka import TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from adgram.core.catalogue import Creative, Item
from adgram.core.errors import ConfigError, Unavailable
from adgram.core.event import Event, Stop, StopScope, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.core.request import AdFormat, Size
from adgram.memory.follower import Follower
from adgram.streaming.config import StreamingConfig
from adgram.streaming.local_broker import free_port
from adgram.streaming.log import KafkaCommitFeed, KafkaCommitLog, KafkaPublisher, KafkaStopFeed, consumer
from adgram.streaming.topics import ensure_topics, require_topics

SHARDS = 2
VISIBLE_S, PATIENCE_S = 2.0, 20.0  # what is promised; what a stalled machine is given


@pytest.fixture
def config(broker, topic_prefix):
    config = StreamingConfig(bootstrap=broker, topic_prefix=topic_prefix, shards=SHARDS)
    ensure_topics(config)
    return config


@pytest.fixture
def publisher(config):
    publisher = KafkaPublisher(config, linger_ms=0)
    yield publisher
    publisher.close()


@contextmanager
def _worker(config, models, log, *options):
    """A running worker; its output goes to the file `log`."""
    place = ("--bootstrap", config.bootstrap, "--prefix", config.topic_prefix, "--shards", str(config.shards))
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "adgram", "ingest", "--models", str(models), *place, *options],
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@contextmanager
def _follower(config):
    log = KafkaCommitLog(config)
    follower = Follower(config.shards, log, lambda version: KafkaCommitFeed(config, version))
    follower.start()
    try:
        assert follower.wait_ready(10), follower.failure
        yield follower
    finally:
        follower.stop()
        log.close()


def _until(condition, timeout_s):
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, "it did not happen in time"
        time.sleep(0.005)
    return time.monotonic() - started


def _item(key):
    return Event(f"item/{key}", time.time_ns(), key, Item(key, f"title of {key}"))


def _send_raw(publisher, payload):
    publisher._send(Topic.ITEMS, payload, b"bad")


def _creative(number):
    key = f"c{number}"
    value = Creative(key, f"new{number}", "k", AdFormat.NATIVE, Size(0, 0), "t", "", "https://a.example", "a.example")
    return Event(key, time.time_ns(), key, value)


def _figures(port):
    """What the worker's metrics say, summed over all labels but the topic."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    figures = Counter()
    for family in families:
        for sample in family.samples:
            figures[sample.name, sample.labels.get("topic", "")] += sample.value
    return figures


def _dead_letters(config):
    reader = consumer(config)
    partition = TopicPartition(config.topic(Topic.DEAD_LETTERS), 0)
    reader.assign([partition])
    reader.seek_to_beginning(partition)
    found, end = [], reader.end_offsets([partition])[partition]
    while reader.position(partition) < end:
        found += reader.poll(timeout_ms=200).get(partition, [])
    reader.close()
    return [(dict(one.headers), one) for one in found]


@pytest.mark.e2e
def test_published_items_are_in_the_trie_within_two_seconds_and_bad_ones_in_the_dead_letters(
    config, publisher, tokenizer_models, tmp_path
):
    """20 of 20 items, one by one, in a running follower; a bad event between them costs nothing but itself.

    The worker's figures say the same. SIGTERM then ends the worker with everything committed and exit code 0.
    """
    port = free_port()
    options = ("--metrics-port", str(port))
    with _worker(config, tokenizer_models, tmp_path / "log", *options) as worker, _follower(config) as follower:
        publisher.publish(Topic.ITEMS, _item("first"))
        publisher.flush(5)
        _until(lambda: follower.current().slot("first") is not None, 30)
        waits = []
        for number in range(20):
            if number == 10:
                _send_raw(publisher, b"{nonsense")
            publisher.publish(Topic.ITEMS, _item(f"new{number}"))
            publisher.publish(Topic.CREATIVES, _creative(number), f"new{number}")
            publisher.flush(5)
            waits.append(_until(lambda key=f"new{number}": follower.current().slot(key) is not None, PATIENCE_S))
        assert statistics.median(waits) < VISIBLE_S
        current = follower.current()
        assert {current.items.item_ids[slot] for slot in current.trie.leaf_slots} >= {f"new{n}" for n in range(20)}
        _until(lambda: all(follower.current().creative_slots(f"new{n}") for n in range(20)), PATIENCE_S)
        _until(lambda: _figures(port)["adgram_lag_records", config.topic(Topic.ITEMS)] == 0, PATIENCE_S)
        figures = _figures(port)
        assert (figures["adgram_events_total", "items"], figures["adgram_events_total", "creatives"]) == (21, 20)
        assert figures["adgram_dead_letters_total", config.topic(Topic.ITEMS)] == 1
        assert figures["adgram_rebalances_total", ""] >= 1 and figures["adgram_restarts_total", ""] == 0
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0, (tmp_path / "log").read_text()
    (headers, letter), *others = _dead_letters(config)
    assert not others and letter.value == b"{nonsense" and headers["adgram.reason"] == b"not-json"
    assert headers["__connect.errors.topic"] == config.topic(Topic.ITEMS).encode()


@pytest.mark.e2e
def test_the_batch_consumer_folds_a_history_and_faust_goes_on_from_there(config, publisher, tokenizer_models, tmp_path):
    """Both feed the same shards: what one folded the other does not fold again."""
    for number in range(3_000):
        user = f"u{number % 50}"
        value = Feedback(FeedbackKind.CLICK, user, f"i{number % 7}")
        publisher.publish(Topic.FEEDBACK, Event(f"e{number}", time.time_ns(), user, value))
    publisher.flush(20)
    with _worker(config, tokenizer_models, tmp_path / "log", "--batch", "--until-idle", "1.5") as worker:
        assert worker.wait(60) == 0, (tmp_path / "log").read_text()
    with _follower(config) as follower:
        assert sum(user.events for user in follower.current().users()) == 3_000
        with _worker(config, tokenizer_models, tmp_path / "log") as worker:
            click = Feedback(FeedbackKind.CLICK, "u1", "i1")
            publisher.publish(Topic.FEEDBACK, Event("new", time.time_ns(), "u1", click))
            publisher.flush(5)
            _until(lambda: sum(user.events for user in follower.current().users()) >= 3_001, 30)
            assert sum(user.events for user in follower.current().users()) == 3_001
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(15) == 0


def test_stops_arrive_without_any_worker(config, publisher):
    """A stop is seen well within a second, and a feed opened later still sees it."""
    stop = Stop(StopScope.ADVERTISER, "a1", "fraud", 7)
    feed = KafkaStopFeed(config)
    _until(lambda: feed.poll(0.05) == () and feed.caught_up, 5)
    started = time.monotonic()
    publisher.publish_stop(stop)
    publisher.flush(5)
    arrived = []
    while not arrived:
        arrived += feed.poll(0.05)
        assert time.monotonic() - started < 1
    later = KafkaStopFeed(config)
    _until(lambda: list(later.poll(0.1)) == arrived == [stop], 5)
    assert later.caught_up
    feed.close()
    later.close()


def test_topics_that_do_not_fit_are_told_in_one_line(config, topic_prefix):
    """Another number of shards, or topics that do not exist, stop a program before it reads anything."""
    with pytest.raises(ConfigError, match=r"has 2 partitions, 3 are configured; use --shards 2"):
        require_topics(StreamingConfig(bootstrap=config.bootstrap, topic_prefix=topic_prefix, shards=3))
    with pytest.raises(ConfigError, match=r"does not exist; create all with `adgram topics`"):
        require_topics(StreamingConfig(bootstrap=config.bootstrap, topic_prefix="nobody.", shards=2))


def test_a_broker_that_is_away_is_told_in_one_line_and_soon():
    """No traceback, no minute of retries: the address, and what to do."""
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"no Kafka broker at 127.0.0.1:9 .*--bootstrap"):
        KafkaCommitLog(StreamingConfig(bootstrap="127.0.0.1:9"))
    with pytest.raises(ConfigError, match="is not host:port"):
        KafkaPublisher(StreamingConfig(bootstrap="nowhere"))
    assert time.monotonic() - started < 5
