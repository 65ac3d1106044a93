"""Brokers, stores and doubles that several folders' tests share; each starts once, and only when a test asks for it."""

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from file_milvus import FileBackedMilvus
from hypothesis import settings
from kafka_process import KAFKA_START, broker_port, kafka_process

from adgram.core.catalogue import EncodedItem, Item
from adgram.core.clock import Clock
from adgram.core.commit import Commit
from adgram.memory.config import MemoryConfig
from adgram.memory.leases import Leases
from adgram.memory.mvcc import ANYWHERE, Progress, counted
from adgram.memory.store import MilvusStore
from adgram.streaming.local_broker import start_broker, start_milvus

settings.register_profile("adgram", deadline=None)  # timings on a shared machine say nothing about correctness
settings.load_profile("adgram")


@pytest.fixture(scope="session")
def local_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The local broker's address (noida-db); take a `topic_prefix` of your own on it."""
    with start_broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.address


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An Apache Kafka's address: ADGRAM_KAFKA, or one started for this session where its start script is."""
    named = os.environ.get("ADGRAM_KAFKA", "")
    if named:
        yield named
        return
    if not KAFKA_START.exists():
        pytest.skip("needs Apache Kafka: set ADGRAM_KAFKA=host:port")
    port = broker_port()
    with kafka_process(tmp_path_factory.mktemp("kafka"), port):
        yield f"127.0.0.1:{port}"


@pytest.fixture(params=["noida-db", pytest.param("apache-kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> str:
    """The address of each broker in turn: the packaged one, then Apache Kafka."""
    address: str = request.getfixturevalue("local_broker" if request.param == "noida-db" else "apache_kafka")
    return address


@pytest.fixture(scope="session")
def milvus_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a Milvus Lite server; take a collection of your own in it."""
    with start_milvus(tmp_path_factory.mktemp("milvus")) as milvus:
        yield f"http://{milvus.address}"


@dataclass
class OneCollection:
    """A collection of its own on some Milvus; each call opens it as another process would."""

    config: MemoryConfig
    client: Callable[[], Any]

    def store(self) -> MilvusStore:
        return MilvusStore(self.config, self.client())

    def leases(self, clock: Clock) -> Leases:
        return Leases(self.config, clock, self.client())


@pytest.fixture
def milvus_server(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], OneCollection]:
    """Opens a new collection: in a "file", on a "lite" server, or on the real "server" that ADGRAM_MILVUS names."""

    def opened(kind: str) -> OneCollection:
        collection = f"c{uuid.uuid4().hex[:12]}"
        if kind == "file":
            file = tmp_path / collection
            return OneCollection(MemoryConfig(milvus_uri="file", collection=collection), lambda: FileBackedMilvus(file))
        uri = os.environ.get("ADGRAM_MILVUS", "")
        if kind == "server" and not uri:
            pytest.skip("needs a Milvus server: `make test-milvus` starts one, or set ADGRAM_MILVUS=http://host:port")
        uri = uri if kind == "server" else request.getfixturevalue("milvus_uri")
        return OneCollection(MemoryConfig(milvus_uri=uri, collection=collection), lambda: None)

    return opened


@pytest.fixture
def topic_prefix() -> str:
    """A topic prefix that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}."


class MemoryLog:
    """Implements core.ports.CommitLog in a list a shard; `records` is what everybody appended, in order."""

    def __init__(self, shards: int = 1) -> None:
        self.records: dict[int, list[Commit]] = {shard: [] for shard in range(shards)}
        self.retained_from = 0

    def append(self, commit: Commit) -> int:
        self.records[commit.shard].append(commit)
        return len(self.records[commit.shard]) - 1

    def last(self, shard: int) -> Commit | None:
        commits = counted(self.records[shard], Progress(ANYWHERE))
        return commits[-1] if commits else None

    def read(self, shard: int, after_number: int) -> Sequence[Commit]:
        return counted(self.records[shard][self.retained_from :], Progress(after_number))

    def close(self) -> None:
        pass


class HashingEncoder:
    """Implements core.ports.ItemEncoder: codes and vector follow from the item's id alone."""

    model = "hashing"

    def encode(self, items: Sequence[Item]) -> tuple[EncodedItem, ...]:
        return tuple(self._encoded(item) for item in items)

    def _encoded(self, item: Item) -> EncodedItem:
        rng = np.random.default_rng(list(item.item_id.encode()))
        vector = rng.normal(size=4).astype(np.float32)
        vector /= np.linalg.norm(vector)
        return EncodedItem(item, tuple(int(code) for code in rng.integers(0, 16, 3)), vector.tobytes(), self.model)


@pytest.fixture
def memory_log() -> Callable[..., MemoryLog]:
    """Makes logs in memory: `memory_log(shards)`."""
    return MemoryLog


@pytest.fixture
def hashing_encoder() -> HashingEncoder:
    """An item encoder that needs no training."""
    return HashingEncoder()


@pytest.fixture(scope="session")
def tokenizer_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder whose tokenizer has random weights: enough for a worker, which only encodes."""
    from adgram.generative.content import save_content
    from adgram.generative.features import BUCKETS
    from adgram.generative.hashing import HashingWeights
    from adgram.generative.tokenizer import TokenizerWeights, save_tokenizer

    rng = np.random.default_rng(0)
    content, width, codes = 4, 8, 16
    hashing = HashingWeights(np.ones(BUCKETS, np.float32), rng.normal(size=(BUCKETS, content)).astype(np.float32))
    weights = TokenizerWeights(
        interest=rng.normal(size=(content, width)).astype(np.float32),
        known_ids=np.empty(0, "U1"),
        known_offsets=np.empty((0, width), np.float32),
        known_last_codes=np.empty(0, np.int32),
        default=np.eye(1, width, dtype=np.float32)[0],
        codebooks=rng.normal(size=(3, codes, width)).astype(np.float32),
    )
    folder = tmp_path_factory.mktemp("models")
    save_content(folder / "content", hashing, {})
    save_tokenizer(folder / "tokenizer", folder / "content", weights, {})
    return folder
