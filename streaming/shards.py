"""The shards a worker owns, whatever framework feeds them."""

from collections.abc import Iterable

import structlog

from ..core.event import SOURCE_TYPES, Topic
from ..memory.committer import Fenced
from .records import Records
from .shard import Shard, Surroundings

logger = structlog.get_logger(__name__)


class Shards:
    """Opened and closed as partitions come and go. Not safe for two threads at once: its caller holds one lock."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._open: dict[int, Shard] = {}
        self._resting: dict[int, Shard] = {}  # closed by a rebalance that is not over yet
        self._newest = 0

    def own(self, numbers: Iterable[int]) -> None:
        """Afterwards exactly these shards are open; ones that were open before keep their state.

        So do those that were closed for a rebalance which gives them back: only what was committed since is read.
        """
        wanted = set(numbers)
        for number in sorted(set(self._open) - wanted):
            self._resting[number] = self._open.pop(number)
        for number in sorted(wanted - set(self._open)):
            self._open[number] = Shard.open(number, self._around, self._resting.pop(number, None))
            logger.info("shard opened", shard=number)
        if wanted:
            self._resting.clear()
        self._around.metrics.rebalanced(wanted)

    def owns(self, number: int) -> bool:
        """Whether the shard is open: assigned to this worker, and not taken over by another."""
        return number in self._open

    def feed(
        self,
        topic: Topic,
        partition: int,
        offset: int,
        key: bytes | None,
        payload: bytes | None,
        timestamp_ms: int = -1,
    ) -> bool:
        """Whether the record was taken by its shard; False when this worker does not own it."""
        shard = self._open.get(partition)
        if shard is None:
            return False
        shard.feed(topic, offset, key, payload, timestamp_ms)
        self._newest = max(self._newest, shard.newest_event_time)
        return True

    def feed_many(self, topic: Topic, partition: int, records: Records) -> bool:
        """Whether the records were taken by their shard; False when this worker does not own it."""
        shard = self._open.get(partition)
        if shard is None:
            return False
        shard.feed_many(topic, records)
        self._newest = max(self._newest, shard.newest_event_time)
        return True

    def positions(self) -> dict[tuple[Topic, int], int]:
        """The first offset not covered, by topic and open shard; may be asked by another thread than the feeder."""
        shards = list(self._open.items())
        return {(topic, number): shard.next_offset(topic) for number, shard in shards for topic in SOURCE_TYPES}

    def next_offset(self, topic: Topic, partition: int) -> int:
        """The first offset that the shard has not covered."""
        return self._open[partition].next_offset(topic)

    def commit(self) -> int:
        """How many rows were committed; every record fed to a shard that is still owned is covered afterwards."""
        committed = 0
        for number, shard in list(self._open.items()):
            try:
                commit = shard.commit(self._newest)
            except Fenced as error:
                logger.error("shard lost", shard=number, reason=str(error))  # noqa: TRY400 one line says all
                del self._open[number]
            else:
                committed += 0 if commit is None else len(commit.rows)
        return committed
