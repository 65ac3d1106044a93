"""Kafka as the log: commits and stops in both directions, source events and decisions out (kafka-python)."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from ..core.commit import Commit, Version
from ..core.errors import Unavailable
from ..core.event import Event, Stop, Topic
from ..memory.committer import decoded, encoded
from ..memory.mvcc import ANYWHERE, Progress, counted
from ..proto import events
from .config import StreamingConfig
from .connection import require_broker
from .patience import paced_poll

# More than a fenced owner can append before it notices: enough to know which commit is the newest that counts.
TAIL_RECORDS = 64
SEND_TIMEOUT_S = 60.0  # outlasts a broker restart; a commit not acknowledged by then ends the worker, which starts over
POLL_MS = 200


class KafkaCommitLog:
    """Implements core.ports.CommitLog. One lock around reads: a consumer belongs to one thread at a time."""

    def __init__(self, config: StreamingConfig) -> None:
        self._config = config
        self._topic = config.topic(Topic.COMMITS)
        self._producer = producer(config, linger_ms=0)
        self._consumer = consumer(config)
        self._lock = threading.Lock()

    def append(self, commit: Commit) -> int:
        with _unavailable(f"cannot append to {self._topic}"):
            sent = self._producer.send(self._topic, encoded(commit), partition=commit.shard)
            return int(sent.get(SEND_TIMEOUT_S).offset)

    def last(self, shard: int) -> Commit | None:
        with self._lock, _unavailable(f"cannot read {self._topic}"):
            begin, end = self._bounds(shard)
            tail = counted(self._records(shard, max(begin, end - TAIL_RECORDS), end), Progress(ANYWHERE))
            if tail or begin >= end - TAIL_RECORDS:
                return tail[-1] if tail else None
            whole = counted(self._records(shard, begin, end), Progress(ANYWHERE))
            return whole[-1] if whole else None

    def read(self, shard: int, after_number: int) -> Sequence[Commit]:
        """See core.ports.CommitLog. CommitGap when the log is no longer retained as far back as `after_number`."""
        with self._lock, _unavailable(f"cannot read {self._topic}"):
            begin, end = self._bounds(shard)
            # Every number took at least one record, so commit n lies at offset n-1 or later; its own record is read
            # again, because an owner who was fenced off right after it must be known for one.
            first = max(begin, after_number - 1)
            if first >= end:  # the topic was made anew, or nothing follows
                first = begin
            return counted(self._records(shard, first, end), Progress(after_number))

    def close(self) -> None:
        """Afterwards no connection is open."""
        self._producer.close(timeout=SEND_TIMEOUT_S)
        self._consumer.close()

    def _bounds(self, shard: int) -> tuple[int, int]:
        partition = TopicPartition(self._topic, shard)
        begin = self._consumer.beginning_offsets([partition])[partition]
        return int(begin), int(self._consumer.end_offsets([partition])[partition])

    def _records(self, shard: int, first: int, end: int) -> Iterator[Commit]:
        """The sealed records of [first, end), in order; whatever else was written there is passed over."""
        partition = TopicPartition(self._topic, shard)
        self._consumer.assign([partition])
        self._consumer.seek(partition, first)
        while self._consumer.position(partition) < end:
            for record in self._consumer.poll(timeout_ms=POLL_MS).get(partition, ()):
                if record.offset >= end:
                    return
                commit = decoded(record.value or b"")
                if commit is not None:
                    yield commit


class KafkaCommitFeed:
    """Implements core.ports.CommitFeed: the records of all shards from `version` on, as they are appended.

    A record that the version already holds may come once more; mvcc.Progress passes it over.
    """

    def __init__(self, config: StreamingConfig, version: Version) -> None:
        self._consumer = consumer(config)
        topic = config.topic(Topic.COMMITS)
        partitions = [TopicPartition(topic, shard) for shard in range(len(version.numbers))]
        with _unavailable(f"cannot read {topic}"):
            self._consumer.assign(partitions)
            begins = self._consumer.beginning_offsets(partitions)
            ends = self._consumer.end_offsets(partitions)
            for partition, number in zip(partitions, version.numbers, strict=True):
                first = max(begins[partition], number - 1)
                self._consumer.seek(partition, begins[partition] if first > ends[partition] else first)

    def poll(self, timeout_s: float) -> Sequence[Commit]:
        with _unavailable("cannot follow the commits"):
            batches = paced_poll(self._consumer, timeout_s)
        commits = (decoded(record.value or b"") for batch in batches.values() for record in batch)
        return tuple(commit for commit in commits if commit is not None)

    def close(self) -> None:
        self._consumer.close()


class KafkaStopFeed:
    """Implements core.ports.StopFeed: every stop from the beginning of the topic on. Malformed ones are passed over."""

    def __init__(self, config: StreamingConfig) -> None:
        self._consumer = consumer(config)
        self._partition = TopicPartition(config.topic(Topic.STOPS), 0)
        with _unavailable("cannot read the stops"):
            self._consumer.assign([self._partition])
            self._consumer.seek_to_beginning(self._partition)
            self._end = int(self._consumer.end_offsets([self._partition])[self._partition])

    @property
    def caught_up(self) -> bool:
        """Whether every stop that was there at the start has been polled."""
        with _unavailable("cannot read the stops"):
            return int(self._consumer.position(self._partition)) >= self._end

    def poll(self, timeout_s: float) -> Sequence[Stop]:
        with _unavailable("cannot follow the stops"):
            batches = paced_poll(self._consumer, timeout_s)
        stops = (events.decode_stop(record.value or b"") for batch in batches.values() for record in batch)
        return tuple(stop for stop in stops if stop is not None)

    def close(self) -> None:
        self._consumer.close()


class KafkaPublisher:
    """Implements core.ports.EventPublisher. Queues without waiting; `flush` tells whether all of it arrived."""

    def __init__(self, config: StreamingConfig, linger_ms: int = 5) -> None:
        self._config = config
        self._producer = producer(config, linger_ms)
        self._failure: BaseException | None = None

    def publish(self, topic: Topic, event: Event, partition_key: str | None = None) -> None:
        key = event.key if partition_key is None else partition_key
        self._send(topic, events.encode(event), key.encode())

    def publish_stop(self, stop: Stop) -> None:
        self._send(Topic.STOPS, events.encode_stop(stop), f"{stop.scope}/{stop.target}".encode(), partition=0)

    def publish_decision(self, decision_id: str, record: bytes) -> None:
        self._send(Topic.DECISIONS, record, decision_id.encode(), partition=0)

    def publish_dead_letter(self, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        """Queues a record that could not be folded, as it was."""
        self._send(Topic.DEAD_LETTERS, value, key, partition=0, headers=headers)

    def publish_record(
        self,
        topic: Topic,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        headers: list[tuple[str, bytes]],
    ) -> None:
        """Queues a record as it is; without a partition its key decides."""
        self._send(topic, value, key, partition=partition, headers=headers)

    def flush(self, timeout_s: float) -> None:
        with _unavailable(f"not everything was acknowledged by {self._config.bootstrap}"):
            self._producer.flush(timeout=timeout_s)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise Unavailable(f"{self._config.bootstrap} did not take an event: {failure}; publish it again")

    def close(self) -> None:
        """Afterwards no connection is open; what was not flushed may be lost."""
        self._producer.close(timeout=SEND_TIMEOUT_S)

    def _send(self, topic: Topic, value: bytes | None, key: bytes | None, **place: Any) -> None:
        with _unavailable(f"cannot publish to {self._config.topic(topic)}"):
            sent = self._producer.send(self._config.topic(topic), value, key, **place)
        sent.add_errback(self._failed)

    def _failed(self, failure: BaseException) -> None:
        self._failure = failure


def producer(config: StreamingConfig, linger_ms: int) -> KafkaProducer:
    """An idempotent producer whose records are acknowledged by all replicas; Unavailable when there is no broker."""
    require_broker(config.bootstrap, config.connect_timeout_ms)
    with _unavailable(f"no Kafka broker answers at {config.bootstrap}"):
        return KafkaProducer(
            bootstrap_servers=config.bootstrap,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            linger_ms=linger_ms,
            batch_size=262_144,
            max_request_size=2_000_000,  # before compression; the broker's own limit is on what arrives
            max_block_ms=10_000,
            bootstrap_timeout_ms=config.connect_timeout_ms,
            allow_auto_create_topics=False,
        )


def consumer(config: StreamingConfig, **settings: Any) -> KafkaConsumer:
    """A consumer without group unless `settings` name one; Unavailable when there is no broker."""
    require_broker(config.bootstrap, config.connect_timeout_ms)
    with _unavailable(f"no Kafka broker answers at {config.bootstrap}"):
        return KafkaConsumer(
            bootstrap_servers=config.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            bootstrap_timeout_ms=config.connect_timeout_ms,
            allow_auto_create_topics=False,
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=4_194_304,
            **settings,
        )


@contextmanager
def _unavailable(doing: str) -> Iterator[None]:
    """Kafka's errors become one line of ours."""
    try:
        yield
    except KafkaError as error:
        raise Unavailable(f"{doing}: {error}; check that the broker runs and try again") from error
