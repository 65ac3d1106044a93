"""A worker without a consumer group: it folds what there is on a real broker, in this process, and is gone."""

from contextlib import ExitStack

from kafka import TopicPartition

from adgram.core.clock import SystemClock
from adgram.core.ports import ItemEncoder
from adgram.memory.snapshot import MemorySnapshot
from adgram.streaming.config import StreamingConfig
from adgram.streaming.dead_letters import CountedDeadLetters
from adgram.streaming.log import KafkaCommitLog, KafkaPublisher, consumer
from adgram.streaming.shard import Surroundings
from adgram.streaming.shards import Shards

CODES = 16


def folded(config: StreamingConfig, encoder: ItemEncoder) -> MemorySnapshot:
    """Memory after every record of every source topic is folded, or among the dead letters."""
    with ExitStack() as stack:
        log, publisher, reader = KafkaCommitLog(config), KafkaPublisher(config), consumer(config)
        for one in (log, publisher, reader):
            stack.callback(one.close)
        shards = Shards(Surroundings(config, log, encoder, CountedDeadLetters(publisher), SystemClock()))
        shards.own(range(config.shards))
        places = [TopicPartition(name, number) for name in config.sources for number in range(config.shards)]
        reader.assign(places)
        ends = reader.end_offsets(places)
        for place in places:
            reader.seek(place, shards.next_offset(config.sources[place.topic], place.partition))
        while any(reader.position(place) < ends[place] for place in places):
            for place, found in reader.poll(timeout_ms=200).items():
                topic = config.sources[place.topic]
                for one in found:
                    shards.feed(topic, place.partition, one.offset, one.key, one.value, one.timestamp)
        shards.commit()
        snapshot = MemorySnapshot.empty(config.shards, CODES)
        for shard in range(config.shards):
            for commit in log.read(shard, 0):
                snapshot = snapshot.fold(commit)
        return snapshot
