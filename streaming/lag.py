"""How far a worker is behind its topics, seen through a connection that the consumer does not share."""

from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from ..core.errors import Unavailable
from .config import StreamingConfig
from .log import consumer
from .shards import Shards

PROOF_S = 5.0  # a record that is there comes in milliseconds


@dataclass(frozen=True, slots=True)
class Standing:
    """One partition: the first offset not folded, and the offset the next record will get."""

    topic: str
    partition: int
    position: int
    end: int

    @property
    def lag(self) -> int:
        """Records not yet folded, transaction markers counted."""
        return max(0, self.end - self.position)


class LagProbe:
    """Looks at the partitions of the shards that are open. One thread uses it."""

    def __init__(self, config: StreamingConfig, shards: Shards) -> None:
        self._config, self._shards = config, shards
        self._kafka: KafkaConsumer | None = None

    def look(self) -> tuple[Standing, ...]:
        """Every source partition of the open shards; Unavailable when the broker does not say."""
        # Positions first: ends only grow, so a position beyond its end is not a matter of timing.
        positions = {
            TopicPartition(self._config.topic(topic), partition): position
            for (topic, partition), position in self._shards.positions().items()
        }
        ends: dict[TopicPartition, int] = self._asked("end_offsets", list(positions)) if positions else {}
        return tuple(
            Standing(partition.topic, partition.partition, position, int(ends[partition]))
            for partition, position in positions.items()
            if partition in ends
        )

    def readable(self, standing: Standing) -> bool:
        """Whether a record can be read at or after the position: lag may be markers that nobody can fold."""
        partition = TopicPartition(standing.topic, standing.partition)
        self._asked("assign", [partition])
        self._asked("seek", partition, standing.position)
        return bool(self._asked("poll", timeout_ms=int(PROOF_S * 1000)))

    def close(self) -> None:
        """Afterwards no connection is open."""
        if self._kafka is not None:
            self._kafka.close()
            self._kafka = None

    def _asked(self, question: str, *arguments: Any, **settings: Any) -> Any:
        if self._kafka is None:
            self._kafka = consumer(self._config)
        try:
            return getattr(self._kafka, question)(*arguments, **settings)
        except KafkaError as error:
            raise Unavailable(f"{self._config.bootstrap} does not say how far behind the worker is: {error}") from error
