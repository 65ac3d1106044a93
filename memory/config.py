"""Settings of memory: where the durable store is, and how much of the past stays in process."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """`milvus_uri` is any Milvus (empty: none, the log alone is read); `codes_per_level` is the tokenizer's K."""

    milvus_uri: str = ""  # any Milvus; empty: none, the log alone is read
    milvus_token: str = ""  # user:password or an API key, where the Milvus asks for one
    collection: str = "adgram"  # its name in Milvus; one a deployment
    timeout_s: float = 10.0  # of one call to Milvus
    codes_per_level: int = 256  # the tokenizer's K; the programs read it from the model
    recent_versions: int = 64  # snapshots kept for `as_of`; one costs the arrays that changed in it, at most megabytes
    slice_ms: float = 0.3  # the follower rests after so long: what a request waits for the interpreter at most
    pause_ms: float = 1.0  # its rest; with 0.3 ms of work between, folding takes a quarter of a core at most
    sink_interval_ms: int = 500  # commits of this long become one batch in the store: its granularity of `as_of`
    evict_after_hours: float = 168.0  # the sink forgets versions this much older than the newest commit; 0: never
