"""Settings of the streams: where the log is, how it is divided, how fresh memory is kept."""

from dataclasses import dataclass

from ..core.event import SOURCE_TYPES, Topic


@dataclass(frozen=True, slots=True)
class StreamingConfig:
    """One deployment = one `topic_prefix` on one broker. `shards` is the partition count of every source topic."""

    bootstrap: str = "127.0.0.1:9092"
    topic_prefix: str = "adgram."
    shards: int = 4
    replication: int = 1
    group: str = "ingest"  # consumer group, after the prefix; faust and the batch consumer share it, one kind at a time
    commit_interval_ms: int = 100
    idle_commit_ms: int = 1_000
    lateness_ms: int = (
        5_000  # how far a producer's events may lag behind its newest before they fall under the watermark
    )
    future_tolerance_ms: int = 3_600_000
    simulated_time: bool = False  # event times are a simulation's: the wall clock says nothing about them
    max_event_bytes: int = 262_144
    connect_timeout_ms: int = 3_000
    retention_ms: int = 7 * 86_400_000

    def topic(self, topic: Topic) -> str:
        """The topic's name on the broker."""
        return f"{self.topic_prefix}{topic.value}"

    @property
    def sources(self) -> dict[str, Topic]:
        """The source topics by their name on the broker."""
        return {self.topic(topic): topic for topic in SOURCE_TYPES}

    @property
    def group_id(self) -> str:
        """The consumer group's name on the broker."""
        return f"{self.topic_prefix}{self.group}"
