"""What people and exchanges did, read from Kafka by whoever needs it fresher than memory, or counted otherwise."""

from collections import OrderedDict
from collections.abc import Sequence

from kafka import TopicPartition
from kafka.errors import KafkaError

from ..core.errors import InvalidEvent, Unavailable
from ..core.event import Topic
from ..core.feedback import Feedback
from ..proto import events
from .config import StreamingConfig
from .log import consumer
from .patience import paced_poll

_IDS_KEPT = 100_000  # a producer's repeats come within its retries: minutes, so many events of a busy platform


class KafkaFeedbackFeed:
    """Implements core.ports.FeedbackFeed: all partitions, from the oldest event retained. Bad records are passed over,
    since the worker makes dead letters of them."""

    def __init__(self, config: StreamingConfig) -> None:
        self._consumer = consumer(config)
        self._max_bytes = config.max_event_bytes
        self._seen: OrderedDict[str, None] = OrderedDict()
        partitions = [TopicPartition(config.topic(Topic.FEEDBACK), shard) for shard in range(config.shards)]
        try:
            self._consumer.assign(partitions)
            self._consumer.seek_to_beginning(*partitions)
        except KafkaError as error:
            raise Unavailable(f"cannot read the feedback: {error}; check that the broker runs and try again") from error

    def poll(self, timeout_s: float) -> Sequence[Feedback]:
        """See core.ports.FeedbackFeed."""
        try:
            batches = paced_poll(self._consumer, timeout_s)
        except KafkaError as error:
            raise Unavailable(f"cannot follow the feedback: {error}; check that the broker runs") from error
        records = (record for batch in batches.values() for record in batch)
        return [told for record in records if (told := self._new(record.value)) is not None]

    def _new(self, payload: bytes | None) -> Feedback | None:
        """The feedback in a record, None where there is none or it was told before."""
        try:
            event = events.decode(Topic.FEEDBACK, payload, self._max_bytes)
        except InvalidEvent:
            return None
        if not isinstance(event.value, Feedback) or event.event_id in self._seen:
            return None
        self._seen[event.event_id] = None
        if len(self._seen) > _IDS_KEPT:
            self._seen.popitem(last=False)
        return event.value

    def close(self) -> None:
        """Afterwards no connection is open."""
        self._consumer.close()
