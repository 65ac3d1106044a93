"""What the log holds at this moment, read once from its oldest record to its end: for whoever learns from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kafka import TopicPartition
from kafka.errors import KafkaError

from ..core.errors import Unavailable
from ..core.event import Topic
from .config import StreamingConfig
from .log import consumer
from .patience import paced_poll
from .topics import partitions, require_topics

_SILENCE_S = 30.0  # a broker that gives nothing for so long though records are left is not going to


@dataclass(frozen=True, slots=True)
class Kept:
    """One record that the log still keeps."""

    topic: Topic
    payload: bytes | None


def kept(config: StreamingConfig, topics: Sequence[Topic]) -> Iterator[Kept]:
    """Every record of these topics up to the log's end as of the call; each partition's in order, topics one after
    another. Unavailable where the broker is away, ConfigError where the topics are not the deployment's."""
    require_topics(config)
    reader = consumer(config)
    try:
        for topic in topics:
            places = [TopicPartition(config.topic(topic), number) for number in range(partitions(topic, config))]
            reader.assign(places)
            begins, ends = reader.beginning_offsets(places), reader.end_offsets(places)
            for place in places:
                reader.seek(place, begins[place])
            while any(reader.position(place) < ends[place] for place in places):
                batches = paced_poll(reader, _SILENCE_S)
                if not batches:
                    raise Unavailable(f"{config.bootstrap} stopped giving records of {config.topic(topic)}; try again")
                for place, records in batches.items():
                    yield from (Kept(topic, record.value) for record in records if record.offset < ends[place])
    except KafkaError as error:
        raise Unavailable(f"cannot read the log: {error}; check that the broker runs and try again") from error
    finally:
        reader.close()
