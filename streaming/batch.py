"""The high-rate consumer: the same shards, fed by librdkafka in whole batches, for hot offers and whole catalogues.

librdkafka fetches, checks and unpacks in threads of its own and hands over some 700,000 records a second on a core,
where clients in Python hand over 75,000 to 250,000: what is left of the core is for folding.
"""

import gc
import logging
import time
from collections.abc import Callable
from itertools import groupby

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from ..core.errors import Unavailable
from .config import StreamingConfig
from .connection import require_broker
from .records import Records
from .shards import Shards

POLL_RECORDS = 10_000
POLL_S = 0.02  # a fuller batch is worth no longer wait
SESSION_TIMEOUT_MS = 6_000  # as with faust: see streaming.app
GROUP_COMMIT_S = 1.0  # the shards' own offsets are the truth; the group's only say where faust would begin
PREFETCH_KB = 65_536  # what is fetched ahead at most; once it is full the broker keeps the rest
logger = structlog.get_logger(__name__)


def spare_collections() -> None:
    """Afterwards the process's garbage collector looks at new objects seldom, and never at those of today.

    A poll hands over ten thousand records that all go away by themselves: at Python's own thresholds the collector
    would look through them fourteen times and find nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10 * POLL_RECORDS, 20, 100)


class BatchWorker:
    """Consumes until told to stop. The range assignor gives a worker the same partition numbers of all topics."""

    def __init__(
        self, config: StreamingConfig, shards: Shards, on_progress: Callable[[int], None] | None = None
    ) -> None:
        self._config, self._shards, self._on_progress = config, shards, on_progress
        # A plain flag: a signal handler may interrupt itself, and would then wait for its own lock for ever.
        self._stopping = False
        self.folded = 0

    def stop(self) -> None:
        """Afterwards `run` returns soon, with everything it has polled committed. May be called by a signal handler."""
        self._stopping = True

    def run(self, until_idle_s: float | None = None) -> None:
        """Folds and commits until `stop`, or until nothing came for `until_idle_s`."""
        require_broker(self._config.bootstrap, self._config.connect_timeout_ms)
        kafka = Consumer(consumer_settings(self._config), logger=logging.getLogger(__name__))
        try:
            kafka.subscribe(list(self._config.sources), on_assign=self._assigned, on_revoke=self._revoked)
            self._consume(kafka, until_idle_s)
        except KafkaException as error:
            raise Unavailable(f"cannot consume from {self._config.bootstrap}: {error.args[0]}") from error
        finally:
            kafka.close()

    def _consume(self, kafka: Consumer, until_idle_s: float | None) -> None:
        interval_s = self._config.commit_interval_ms / 1000
        busy_at = committed_at = told_at = time.monotonic()
        while not self._stopping:
            messages = kafka.consume(POLL_RECORDS, min(POLL_S, interval_s))
            self._feed(messages)
            now = time.monotonic()
            if messages:
                busy_at = now
            if now - committed_at >= interval_s:
                self._shards.commit()
                committed_at = now
                if self._on_progress is not None:
                    self._on_progress(self.folded)
            if now - told_at >= GROUP_COMMIT_S:
                self._tell_group(kafka)
                told_at = now
            if until_idle_s is not None and now - busy_at >= until_idle_s and kafka.assignment():
                break
        self._shards.commit()
        self._tell_group(kafka)

    def _feed(self, messages: list[Message]) -> None:
        sound = filter(self._sound, messages)
        for place, run in groupby(sound, lambda one: (one.topic() or "", one.partition() or 0)):
            records = list(run)
            self._shards.feed_many(
                self._config.sources[place[0]],
                place[1],
                Records(
                    [one.offset() or 0 for one in records],
                    [one.key() for one in records],
                    [one.value() for one in records],
                    [one.timestamp()[1] for one in records],
                ),
            )
            self.folded += len(records)

    def _sound(self, message: Message) -> bool:
        """Whether it is a record; what librdkafka cannot mend by itself is raised, the rest is told."""
        error = message.error()
        if error is None:
            return True
        if error.fatal():
            raise KafkaException(error)
        logger.warning("the consumer goes on", reason=error.str())
        return False

    def _tell_group(self, kafka: Consumer) -> None:
        offsets = [
            TopicPartition(one.topic, one.partition, self._next(one))
            for one in kafka.assignment()
            if self._shards.owns(one.partition)
        ]
        if offsets:
            kafka.commit(offsets=offsets, asynchronous=True)

    def _next(self, place: TopicPartition) -> int:
        return self._shards.next_offset(self._config.sources[place.topic], place.partition)

    def _assigned(self, kafka: Consumer, assigned: list[TopicPartition]) -> None:
        """Opens the shards; each begins where it left off, whatever the group says."""
        self._shards.own({one.partition for one in assigned})
        for one in assigned:
            one.offset = self._next(one)
        kafka.assign(assigned)
        logger.info("partitions assigned", shards=sorted({one.partition for one in assigned}))

    def _revoked(self, kafka: Consumer, _: list[TopicPartition]) -> None:
        self._shards.commit()
        self._shards.own(())
        kafka.unassign()


def consumer_settings(config: StreamingConfig) -> dict[str, str | int | bool]:
    """What librdkafka is told. All members of a group must name the same strategy."""
    return {
        "bootstrap.servers": config.bootstrap,
        "group.id": config.group_id,
        "partition.assignment.strategy": "range",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 4,
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 20,  # its default lets a full prefetch rest for a second
        "queued.max.messages.kbytes": PREFETCH_KB,
        "check.crcs": True,
        "allow.auto.create.topics": False,
    }
