"""Settings of the streams: where the log is, how it is divided, how fresh memory is kept."""

from dataclasses import dataclass

from ..core.event import SOURCE_TYPES, Topic


@dataclass(frozen=True, slots=True)
class StreamingConfig:
    """One deployment = one `topic_prefix` on one broker. `shards` is the partition count of every source topic."""

    bootstrap: str = "127.0.0.1:9092"  # Kafka as host:port, several with commas
    topic_prefix: str = "adgram."  # what every topic's name begins with
    shards: int = 4  # partitions of every source topic and of the commits
    replication: int = 1  # of topics made by `adgram topics`; 3 in a cluster
    group: str = "ingest"  # consumer group, after the prefix; faust and the batch consumer share it, one kind at a time
    commit_interval_ms: int = 100  # how long changes gather into one commit
    idle_commit_ms: int = 1_000  # a shard without changes moves its watermark so often
    lateness_ms: int = (
        5_000  # how far a producer's events may lag behind its newest before they fall under the watermark
    )
    future_tolerance_ms: int = 3_600_000  # an event further ahead of the clock is a dead letter
    simulated_time: bool = False  # event times are a simulation's: the wall clock says nothing about them
    user_ttl_days: int = 400  # a user without a contact for so long is forgotten
    interest_half_life_days: int = 30  # how fast a user's long-term interests fade
    stall_s: float = 60.0  # a consumer that stands still so long while records wait is restarted; 0 = never
    max_event_bytes: int = 262_144  # a larger event is a dead letter
    connect_timeout_ms: int = 3_000  # to find out whether a broker answers
    retention_ms: int = 7 * 86_400_000  # of topics made by `adgram topics`; stops are kept for ever

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
