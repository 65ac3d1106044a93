"""A worker's figures for Prometheus."""

import threading
from collections.abc import Collection, Iterator, Mapping
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..core.clock import NS_PER_SECOND, Clock
from ..core.errors import Unavailable
from ..core.event import Outcome, Topic

# Commits take single milliseconds on an idle broker; one that takes a minute ends the worker.
COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class WorkerMetrics(Collector):
    """Implements core.ports.StreamMetrics. Label children are kept, since looking one up costs more than counting.

    What has no history (lag, watermark delay) is worked out when asked for, so that an idle worker's delay grows.
    """

    def __init__(self, clock: Clock, restarts: int = 0) -> None:
        self._clock = clock
        self.registry = CollectorRegistry()
        self._events = Counter("adgram_events", "Sound events taken", ("topic", "outcome"), registry=self.registry)
        self._late = Counter("adgram_late_events", "Events below the watermark", ("topic",), registry=self.registry)
        self._dead = Counter(
            "adgram_dead_letters", "Records kept as dead letters", ("topic", "reason"), registry=self.registry
        )
        self._rows = Counter("adgram_committed_rows", "Rows in commits that count", registry=self.registry)
        self._seconds = Histogram(
            "adgram_commit_seconds",
            "From the commit's encoding to its acknowledgement",
            buckets=COMMIT_SECONDS,
            registry=self.registry,
        )
        self._rebalances = Counter("adgram_rebalances", "Assignments of shards to this worker", registry=self.registry)
        self._restarts = Counter("adgram_restarts", "Restarts by the watchdog", registry=self.registry)
        self._restarts.inc(restarts)
        self._event_children: dict[tuple[Topic, Outcome], Counter] = {}
        self._late_children: dict[Topic, Counter] = {}
        self._lock = threading.Lock()  # between the folding thread, the watchdog and whoever scrapes
        self._watermarks: dict[int, int] = {}
        self._owned: frozenset[int] = frozenset()
        self._lags: Mapping[tuple[str, int], int] = {}
        self.registry.register(self)

    def folded(self, topic: Topic, outcome: Outcome, count: int = 1) -> None:
        child = self._event_children.get((topic, outcome))
        if child is None:
            child = self._event_children[topic, outcome] = self._events.labels(topic.value, outcome.value)
        child.inc(count)

    def late(self, topic: Topic, count: int = 1) -> None:
        child = self._late_children.get(topic)
        if child is None:
            child = self._late_children[topic] = self._late.labels(topic.value)
        child.inc(count)

    def dead_lettered(self, topic: str, reason: str) -> None:
        self._dead.labels(topic, reason).inc()

    def committed(self, shard: int, rows: int, took_s: float, watermark: int) -> None:
        self._rows.inc(rows)
        self._seconds.observe(took_s)
        with self._lock:
            self._watermarks[shard] = watermark

    def rebalanced(self, shards: Collection[int]) -> None:
        if shards:
            self._rebalances.inc()
        with self._lock:
            self._owned = frozenset(shards)
            self._watermarks = {shard: at for shard, at in self._watermarks.items() if shard in self._owned}

    def lags(self, records: Mapping[tuple[str, int], int]) -> None:
        """Afterwards these are the records not yet folded, by topic name and partition."""
        with self._lock:
            self._lags = dict(records)

    def collect(self) -> Iterator[Metric]:
        """What holds at this moment; for the registry."""
        with self._lock:
            watermarks, lags, owned = dict(self._watermarks), self._lags, len(self._owned)
        now = self._clock.now_ns()
        delay = GaugeMetricFamily("adgram_watermark_delay_seconds", "Clock less watermark", labels=("shard",))
        for shard, watermark in sorted(watermarks.items()):
            if watermark:
                delay.add_metric((str(shard),), (now - watermark) / NS_PER_SECOND)
        lag = GaugeMetricFamily("adgram_lag_records", "Records not yet folded", labels=("topic", "partition"))
        for (topic, partition), records in sorted(lags.items()):
            lag.add_metric((topic, str(partition)), records)
        yield delay
        yield lag
        yield GaugeMetricFamily("adgram_owned_shards", "Shards this worker owns", value=owned)


def serve_metrics(registry: CollectorRegistry, port: int, host: str = "127.0.0.1") -> WSGIServer:
    """A server in a thread of its own that answers /metrics; Unavailable when the port is taken."""
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise Unavailable(
            f"cannot show metrics on {host}:{port}: {error.strerror}; choose another --metrics-port"
        ) from error
    return server
