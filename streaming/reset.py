"""Makes the shards read topics from the beginning again, for topics that were made anew or refilled."""

from collections.abc import Sequence

from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from ..core.clock import Clock
from ..core.errors import Unavailable
from ..core.event import Topic
from ..core.ports import CommitLog
from ..memory.committer import Committer
from .config import StreamingConfig
from .log import consumer


def reset(config: StreamingConfig, topics: Sequence[Topic], log: CommitLog, clock: Clock) -> int:
    """How many shards forgot that they had covered `topics`; the consumer group begins there anew as well.

    Memory keeps its rows. Unavailable while a worker of the group is running.
    """
    _rewind_group(config, topics)
    names = {topic.value for topic in topics}
    changed = 0
    for shard in range(config.shards):
        committer = Committer.open(log, shard, clock)
        kept = {name: offset for name, offset in committer.last.offsets.items() if name not in names}
        if kept != committer.last.offsets:
            committer.append((), kept, committer.last.watermark)
            changed += 1
    return changed


def _rewind_group(config: StreamingConfig, topics: Sequence[Topic]) -> None:
    kafka = consumer(config, group_id=config.group_id)
    try:
        partitions = [TopicPartition(config.topic(topic), shard) for topic in topics for shard in range(config.shards)]
        kafka.assign(partitions)
        begins = kafka.beginning_offsets(partitions)
        # Brokers refuse this commit while the group has members, which is the check that no worker runs.
        kafka.commit({partition: OffsetAndMetadata(begins[partition], "", -1) for partition in partitions})
    except KafkaError as error:
        raise Unavailable(
            f"the group {config.group_id} does not let itself be reset ({error}); stop its workers first"
        ) from error
    finally:
        kafka.close()
