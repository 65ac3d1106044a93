"""A whole deployment on one machine: broker, Milvus, topics, worker, engine, as children of one program."""

from contextlib import ExitStack
from pathlib import Path

import grpc
import msgspec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ..core.errors import Unavailable
from ..core.marketplace import Marketplace
from ..proto import bidding_pb2 as wire
from ..proto import bidding_pb2_grpc
from ..streaming.local_broker import free_port, start_broker, start_milvus
from .children import Child, Children, adgram

_ENGINE_S = 120.0  # it is ready in seconds on an idle machine; torch alone takes one to load
_PUBLISHED = "published.json"


class Deployment:
    """Everything a demo, a test or a benchmark runs against; whatever it started ends with `stack`."""

    def __init__(self, folder: Path, models: Path, stack: ExitStack, config: Path | None = None) -> None:
        self.folder, self.models, self.config = folder, models, config
        self._services = stack.enter_context(ExitStack())  # end after the children, which would miss them
        self._children = stack.enter_context(Children(folder / "logs"))
        self._own_broker = True
        self.bootstrap = self.milvus = self.address = ""
        self.worker: Child | None = None
        self.engine: Child | None = None

    def start_broker(self, bootstrap: str = "") -> None:
        """Afterwards there is a broker with all topics: the named one, or a local one of our own."""
        self.bootstrap = bootstrap or self._services.enter_context(start_broker(self.folder / "broker")).address
        self._own_broker = not bootstrap
        self.run("topics", "--bootstrap", self.bootstrap)

    def start_milvus(self, uri: str = "") -> None:
        """Afterwards there is a Milvus: the named one, or a Milvus Lite server of our own."""
        self.milvus = uri or f"http://{self._services.enter_context(start_milvus(self.folder / 'milvus')).address}"

    def start_worker(self, *options: str) -> Child:
        """Afterwards a worker folds events into commits, and (where there is a Milvus) a sink stores them."""
        milvus = ("--milvus", self.milvus) if self.milvus else ()
        self.worker = self._started("worker", "ingest", "--models", str(self.models), *milvus, *options)
        return self.worker

    def start_engine(self, name: str = "engine", config: Path | None = None) -> str:
        """Afterwards an engine answers at the address returned, its memory holding all that was committed.

        Args:
            name: names its log and its folder of state; several engines may follow the same memory.
            config: other settings than the deployment's.
        """
        port = free_port()
        milvus = ("--milvus", self.milvus) if self.milvus else ()
        folders = ("--models", str(self.models), "--state", str(self.folder / name))
        child = self._started(name, "serve", *folders, *milvus, "--port", str(port), config=config)
        self.address = f"127.0.0.1:{port}"
        child.wait_until(lambda: serving(f"127.0.0.1:{port}"), _ENGINE_S)
        self.engine = child
        return self.address

    def load(self, marketplace: Path, *options: str) -> None:
        """Afterwards the marketplace's catalogue is committed; one that already was is not published again.

        A whole catalogue goes through the batch consumer, which is ten times as fast as faust behind the same folds;
        start the
        worker afterwards.
        """
        mark = self.folder / _PUBLISHED
        where = "" if self._own_broker else self.bootstrap
        digest = msgspec.json.encode([where, Marketplace(marketplace).manifest])
        if mark.is_file() and mark.read_bytes() == digest:
            return
        self.run("publish", str(marketplace), "--bootstrap", self.bootstrap, *options)
        milvus = ("--milvus", self.milvus) if self.milvus else ()
        source = ("--models", str(self.models), "--bootstrap", self.bootstrap, *milvus)
        self.run("ingest", *source, "--batch", "--until-idle", "1")
        mark.write_bytes(digest)

    def wait_for_items(self, count: int, timeout_s: float = 120.0) -> None:
        """Afterwards the newest engine's memory holds at least `count` items."""
        if self.engine is None:
            raise Unavailable("no engine was started")
        address = self.address
        self.engine.wait_until(
            lambda: (found := statistics_of(address)) is not None and found.items >= count, timeout_s
        )

    def run(self, *arguments: str) -> None:
        """Afterwards an adgram command has succeeded; Unavailable with its last words if it has not."""
        child = self._children.start(arguments[0], adgram(*arguments, *self._configured(self.config)))
        if child.process.wait():
            raise Unavailable(f"adgram {arguments[0]} failed: {child.last_words()}")

    def _started(self, name: str, *arguments: str, config: Path | None = None) -> Child:
        configured = self._configured(config or self.config)
        return self._children.start(name, adgram(*arguments, "--bootstrap", self.bootstrap, *configured))

    def _configured(self, config: Path | None) -> tuple[str, ...]:
        return ("--config", str(config)) if config else ()


def serving(address: str) -> bool:
    """Whether an engine's health says SERVING."""
    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2.0)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def statistics_of(address: str) -> wire.EngineStats | None:
    """An engine's counts, None while it does not answer."""
    with grpc.insecure_channel(address) as channel:
        stub = bidding_pb2_grpc.BiddingServiceStub(channel)
        try:
            stats: wire.EngineStats = stub.Stats(wire.StatsRequest(), timeout=2.0)
        except grpc.RpcError:
            return None
    return stats
