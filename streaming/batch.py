"""The high-rate consumer: the same shards, fed by kafka-python in whole batches, for catalogues and histories."""

import time
from collections.abc import Callable, Collection

import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from ..core.errors import Unavailable
from .config import StreamingConfig
from .log import consumer
from .patience import paced_poll
from .shards import Shards

POLL_RECORDS = 1_000
SESSION_TIMEOUT_MS = 10_000
GROUP_COMMIT_S = 1.0  # the shards' own offsets are the truth; the group's only say where faust would begin
logger = structlog.get_logger(__name__)


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
        sources = self._config.sources
        kafka = consumer(
            self._config,
            group_id=self._config.group_id,
            partition_assignment_strategy=(RangePartitionAssignor,),
            max_poll_records=POLL_RECORDS,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=SESSION_TIMEOUT_MS // 4,
        )
        try:
            kafka.subscribe(list(sources), listener=_Owner(self._config, self._shards, kafka))
            self._consume(kafka, until_idle_s)
        except KafkaError as error:
            raise Unavailable(f"cannot consume from {self._config.bootstrap}: {error}") from error
        finally:
            kafka.close()

    def _consume(self, kafka: KafkaConsumer, until_idle_s: float | None) -> None:
        sources, interval_s = self._config.sources, self._config.commit_interval_ms / 1000
        busy_at = committed_at = told_at = time.monotonic()
        while not self._stopping:
            batches = paced_poll(kafka, interval_s)
            for partition, records in batches.items():
                topic = sources[partition.topic]
                for record in records:
                    self._shards.feed(
                        topic, partition.partition, record.offset, record.key, record.value, record.timestamp
                    )
                self.folded += len(records)
            now = time.monotonic()
            if batches:
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

    def _tell_group(self, kafka: KafkaConsumer) -> None:
        offsets = {
            partition: OffsetAndMetadata(
                self._shards.next_offset(self._config.sources[partition.topic], number), "", -1
            )
            for partition in kafka.assignment()
            if self._shards.owns(number := partition.partition)
        }
        kafka.commit_async(offsets)


class _Owner(ConsumerRebalanceListener):  # type: ignore[misc]
    """Opens and drops shards as partitions come and go; each begins where it left off, whatever the group says."""

    def __init__(self, config: StreamingConfig, shards: Shards, kafka: KafkaConsumer) -> None:
        self._config, self._shards, self._kafka = config, shards, kafka

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002 kafka-python's name
        self._shards.commit()
        self._shards.own(())

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._shards.own({partition.partition for partition in assigned})
        for partition in assigned:
            topic = self._config.sources[partition.topic]
            self._kafka.seek(partition, self._shards.next_offset(topic, partition.partition))
        logger.info("partitions assigned", shards=sorted({partition.partition for partition in assigned}))
