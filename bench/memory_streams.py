"""Kafka to memory with real processes: a producer, a broker, a worker, and a follower that looks for what was sent."""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import numpy as np
from confluent_kafka import Producer
from memory_reads import SWITCH_INTERVAL_S, WORDS

from adgram.core.clock import SystemClock
from adgram.generative.content import save_content
from adgram.generative.features import BUCKETS
from adgram.generative.hashing import HashingWeights
from adgram.generative.tokenizer import TokenizerWeights, load_encoder, save_tokenizer
from adgram.memory.follower import Follower
from adgram.memory.snapshot import MemorySnapshot
from adgram.streaming.batch import BatchWorker, spare_collections
from adgram.streaming.config import StreamingConfig
from adgram.streaming.dead_letters import CountedDeadLetters
from adgram.streaming.local_broker import free_port, start_broker
from adgram.streaming.log import KafkaCommitFeed, KafkaCommitLog, KafkaPublisher
from adgram.streaming.shard import Surroundings
from adgram.streaming.shards import Shards
from adgram.streaming.topics import ensure_topics

KAFKA_START = Path(__file__).parents[2] / "shared" / "kafka" / "start"
SHARDS = 4
WIDTH, LEVELS, CODES, CONTENT = 64, 3, 256, 128  # of the tokenizer, whose weights are random: encoding costs the same
PROBES = 256  # offers whose price is the moment they were sent, in microseconds
PROBE_S = 0.02
WARMING_ITEMS = 100  # seen before the clock starts, so that group and shards are there
SETTLE_S = 3.0  # at the beginning of a run, before anything counts
US = 1_000_000


@dataclass(frozen=True, slots=True)
class Broker:
    address: str
    name: str


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was visible in the serving snapshot, how fast, and how long each of it took to get there."""

    per_second: float
    seconds: float
    visible_s: np.ndarray
    worker_cpu_s: float
    follower_cpu_s: float
    events: int


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    """The Kafka of ADGRAM_KAFKA, else an Apache Kafka of our own, else the packaged broker."""
    named = os.environ.get("ADGRAM_KAFKA", "")
    if named:
        yield Broker(named, f"Kafka at {named}")
    elif KAFKA_START.exists():
        port = free_port()
        process = Popen([str(KAFKA_START), str(folder), str(port), "512"], stdout=PIPE, stderr=DEVNULL, text=True)
        try:
            assert process.stdout is not None
            if not any(line.startswith("ready") for line in process.stdout):
                raise SystemExit(f"Apache Kafka did not start on port {port}")
            yield Broker(f"127.0.0.1:{port}", "Apache Kafka on the same machine")
        finally:
            process.terminate()
            process.wait(20)
    else:
        with start_broker(folder) as own:
            yield Broker(own.address, "the packaged broker on the same machine")


def tokenizer(folder: Path) -> Path:
    """The folder of a tokenizer with random weights of the usual sizes."""
    rng = np.random.default_rng(0)
    hashing = HashingWeights(np.ones(BUCKETS, np.float32), rng.normal(size=(BUCKETS, CONTENT)).astype(np.float32))
    weights = TokenizerWeights(
        interest=rng.normal(size=(CONTENT, WIDTH)).astype(np.float32),
        known_ids=np.empty(0, "U1"),
        known_offsets=np.empty((0, WIDTH), np.float32),
        known_last_codes=np.empty(0, np.int32),
        default=np.eye(1, WIDTH, dtype=np.float32)[0],
        codebooks=rng.normal(size=(LEVELS, CODES, WIDTH)).astype(np.float32) * 0.3,
    )
    content = folder.with_name("content")
    save_content(content, hashing, {})
    save_tokenizer(folder, content, weights, {})
    return folder


def hot_offers(place: Broker, models: Path, items: int, rate: int, seconds: float) -> Throughput:
    """Offers of `items` items at `rate` a second. Worker and follower share one core; all else has the others."""
    config = _deployment(place, "hot")
    with ExitStack() as stack:
        run = _Run(config, models, stack, core=0)
        run.produce(_items, items, 0, 0.0)
        run.wait_items(items)
        return run.through(_offers, items, rate, seconds, _look_at_offers)


def new_items(place: Broker, models: Path, rate: int, seconds: float) -> Throughput:
    """Items nobody has seen, at `rate` a second, through the batch consumer."""
    config = _deployment(place, "new")
    with ExitStack() as stack:
        run = _Run(config, models, stack, core=None)
        return run.through(_items, int(rate * seconds), rate, seconds, _look_at_items)


def faust_items(place: Broker, models: Path, count: int) -> float:
    """New items a second through one faust worker that is given `count` of them at once."""
    config = _deployment(place, "faust")
    with ExitStack() as stack:
        return _Run(config, models, stack, core=None, worker=_faust_worker).rate(count)


def _deployment(place: Broker, name: str) -> StreamingConfig:
    config = StreamingConfig(
        bootstrap=place.address, topic_prefix=f"bench-{name}-{time.time_ns()}.", shards=SHARDS, commit_interval_ms=100
    )
    ensure_topics(config)
    return config


class _Run:
    """A worker and a follower on topics of their own; `stack` ends both."""

    def __init__(
        self,
        config: StreamingConfig,
        models: Path,
        stack: ExitStack,
        core: int | None,
        worker: Callable[..., None] | None = None,
    ) -> None:
        self._config, self._core = config, core if len(os.sched_getaffinity(0)) > 1 else None
        self._context = multiprocessing.get_context("spawn")
        self._worker, self._worker_end = self._started(worker or _batch_worker, config, models)
        self._follower, self._follower_end = self._started(_follow, config)
        stack.callback(_end, self._worker)
        stack.callback(_end, self._follower)
        self._follower_end.recv()

    def produce(self, make: Callable[..., None], count: int, rate: int, seconds: float) -> Any:
        """Afterwards the events were produced; what the producer says of it."""
        process, end = self._started(make, self._config, count, rate, seconds, elsewhere=True)
        told = end.recv()
        process.join()
        return told

    def wait_items(self, count: int) -> None:
        while self._asked("items") < count:
            time.sleep(0.05)

    def rate(self, count: int) -> float:
        """Items a second, from the first that is sent to the last that is visible, once the worker is at work."""
        self.produce(_items, WARMING_ITEMS, 0, 0.0)
        self.wait_items(WARMING_ITEMS)
        began = time.monotonic()
        self.produce(_items, count, 0, 0.0)
        self.wait_items(count)
        return (count - WARMING_ITEMS) / (time.monotonic() - began)

    def through(
        self, make: Callable[..., None], count: int, rate: int, seconds: float, look: Callable[..., None]
    ) -> Throughput:
        """Produces for so long and watches what becomes visible meanwhile."""
        self._follower_end.send(look.__name__)
        before = self._asked("events")
        cpu = [_cpu_s(self._worker), _cpu_s(self._follower)]
        sent, took_s = self.produce(make, count, rate, seconds)
        deadline = time.monotonic() + 60
        began = time.monotonic()
        while (seen := self._asked("events") - before) < sent and time.monotonic() < deadline:
            time.sleep(0.02)
        elapsed = took_s + max(0.0, time.monotonic() - began - 1.0)  # what is on its way for a second is no backlog
        after = [_cpu_s(self._worker), _cpu_s(self._follower)]
        self._follower_end.send("lags")
        lags = self._follower_end.recv()
        return Throughput(seen / elapsed, took_s, np.array(lags), after[0] - cpu[0], after[1] - cpu[1], seen)

    def _asked(self, what: str) -> int:
        self._follower_end.send(what)
        return int(self._follower_end.recv())

    def _started(self, target: Callable[..., None], *arguments: object, elsewhere: bool = False) -> Any:
        ours, theirs = multiprocessing.Pipe()
        cores = None if self._core is None else {self._core}
        if cores is not None and elsewhere:
            cores = os.sched_getaffinity(0) - cores
        process = self._context.Process(target=_child, args=(target, cores, theirs, *arguments), daemon=True)
        process.start()
        return process, ours


def _child(target: Callable[..., None], cores: set[int] | None, end: Connection, *arguments: object) -> None:
    if cores is not None:
        os.sched_setaffinity(0, cores)
    target(end, *arguments)


def _end(process: Any) -> None:
    process.terminate()
    process.join(20)
    if process.is_alive():
        process.kill()


def _cpu_s(process: Any) -> float:
    """What a process has used so far, its threads included."""
    parts = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def _surroundings(config: StreamingConfig, models: Path) -> Surroundings:
    dead_letters = CountedDeadLetters(KafkaPublisher(config))
    return Surroundings(config, KafkaCommitLog(config), load_encoder(models), dead_letters, SystemClock())


def _batch_worker(_: Connection, config: StreamingConfig, models: Path) -> None:
    worker = BatchWorker(config, Shards(_surroundings(config, models)))
    spare_collections()
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.run()


def _faust_worker(_: Connection, config: StreamingConfig, models: Path) -> None:
    from adgram.streaming.app import Worker

    sys.argv = ["bench"]
    Worker(config, Shards(_surroundings(config, models))).run()


def _follow(end: Connection, config: StreamingConfig) -> None:
    """Follows, and answers: items, events (covered by what is visible), lags (seconds from sending to seeing)."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    log = KafkaCommitLog(config)
    offsets: dict[int, int] = {}
    follower = Follower(SHARDS, log, lambda version: _Counted(KafkaCommitFeed(config, version), offsets))
    follower.start()
    follower.wait_ready(60)
    end.send("ready")
    lags: list[float] = []
    look: Callable[[MemorySnapshot, dict[str, int], list[float]], None] | None = None
    known: dict[str, int] = {}
    while True:
        if look is not None:
            look(follower.current(), known, lags)
        if not end.poll(0.004):
            continue
        asked = end.recv()
        if asked == "items":
            end.send(follower.current().items.count)
        elif asked == "events":
            version = follower.current().version
            end.send(sum(offsets.get(hash((shard, number)), 0) for shard, number in enumerate(version.numbers)))
        elif asked == "lags":
            end.send(lags)
            return
        else:
            look = {"_look_at_offers": _look_at_offers, "_look_at_items": _look_at_items}[asked]
            known["began"] = time.time_ns() // 1_000


class _Counted:
    """A feed that remembers how many source events each commit covers."""

    def __init__(self, feed: KafkaCommitFeed, offsets: dict[int, int]) -> None:
        self._feed, self._offsets = feed, offsets

    def poll(self, timeout_s: float) -> Any:
        commits = self._feed.poll(timeout_s)
        for commit in commits:
            covered = sum(offset + 1 for offset in commit.offsets.values())
            self._offsets[hash((commit.shard, commit.number))] = covered
        return commits

    def close(self) -> None:
        self._feed.close()


def _look_at_offers(snapshot: MemorySnapshot, known: dict[str, int], lags: list[float]) -> None:
    now_us = time.time_ns() // 1_000
    for number in range(PROBES):
        offer = snapshot.offer(f"i{number}")
        sent_us = 0 if offer is None else offer.price.micros
        if sent_us > known.get(f"i{number}", known["began"] + int(SETTLE_S * US)):
            known[f"i{number}"] = sent_us
            lags.append((now_us - sent_us) / US)


def _look_at_items(snapshot: MemorySnapshot, known: dict[str, int], lags: list[float]) -> None:
    ids = snapshot.items.item_ids
    now_us = time.time_ns() // 1_000
    seen, leaves = known.get("seen", 0), snapshot.items.alive
    for slot in range(seen, len(ids)):
        sent_us = int(ids[slot].split("@")[1])
        if leaves[slot] and sent_us > known["began"] + int(SETTLE_S * US):
            lags.append((now_us - sent_us) / US)
    known["seen"] = len(ids)


def _producer(config: StreamingConfig) -> Producer:
    return Producer(
        {
            "bootstrap.servers": config.bootstrap,
            "linger.ms": 10,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
            "batch.num.messages": 10_000,
            "partitioner": "murmur2_random",  # the shards' own rule; librdkafka has another by default
        }
    )


def _paced(
    config: StreamingConfig, rate: int, seconds: float, count: int, make: Callable[[int], tuple[str, bytes, bytes]]
) -> tuple[int, float]:
    """How many were sent and how long that took; all of `count` at once where there is no rate."""
    producer, sent, began = _producer(config), 0, time.monotonic()
    while True:
        elapsed = time.monotonic() - began
        if (sent >= count) if not rate else elapsed >= seconds:
            break
        due = count if not rate else int(elapsed * rate)
        for _ in range(min(due - sent, 2_000)):
            topic, key, value = make(sent)
            try:
                producer.produce(config.topic_prefix + topic, value, key)
            except BufferError:
                producer.poll(0.01)
                break
            sent += 1
        producer.poll(0 if due > sent else 0.001)
    producer.flush(60)
    return sent, time.monotonic() - began


def _items(end: Connection, config: StreamingConfig, count: int, rate: int, seconds: float) -> None:
    """Items of some 250 bytes. At a rate their ids carry the moment they were sent."""
    draw = random.Random(7)

    def make(number: int) -> tuple[str, bytes, bytes]:
        now = time.time_ns()
        item_id = f"n{number}@{now // 1_000}" if rate else f"i{number}"
        words = " ".join(draw.choices(WORDS, k=24))
        value = (
            f'{{"event_id":"e{number}","event_time":{now},"key":"{item_id}","value":{{"item_id":"{item_id}",'
            f'"title":"{words[:50]}","category":["shoes","kind {number % 40}"],"brand":"b{number % 90}",'
            f'"text":"{words[50:]}"}}}}'
        )
        return "items", item_id.encode(), value.encode()

    end.send(_paced(config, rate, seconds, count, make))


def _offers(end: Connection, config: StreamingConfig, items: int, rate: int, seconds: float) -> None:
    """Prices and stocks of items drawn evenly; every PROBE_S one tells when it was sent."""
    draw = random.Random(11)
    probe_at, probe = time.monotonic(), 0

    def make(number: int) -> tuple[str, bytes, bytes]:
        nonlocal probe_at, probe
        now = time.time_ns()
        if time.monotonic() >= probe_at:
            probe_at, probe = probe_at + PROBE_S, (probe + 1) % PROBES
            item, price = probe, now // 1_000
        else:
            item, price = draw.randrange(PROBES, items), 1 + number % US
        value = (
            b'{"event_id":"o%d","event_time":%d,"key":"i%d","value":{"item_id":"i%d","price":{"micros":%d,'
            b'"currency":"USD"},"stock":%d}}' % (number, now, item, item, price, number % 500)
        )
        return "offers", b"i%d" % item, value

    end.send(_paced(config, rate, seconds, sys.maxsize, make))
