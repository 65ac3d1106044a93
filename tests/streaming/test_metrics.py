"""A worker's figures, as Prometheus reads them."""

import urllib.request

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from adgram.core.clock import NS_PER_SECOND, ManualClock
from adgram.core.errors import Unavailable
from adgram.core.event import Outcome, Topic
from adgram.streaming.local_broker import free_port
from adgram.streaming.metrics import WorkerMetrics, serve_metrics

NOW = 1_000 * NS_PER_SECOND


def _figures(text):
    families = text_string_to_metric_families(text)
    samples = (sample for family in families for sample in family.samples)
    return {(one.name, *sorted(one.labels.values())): one.value for one in samples}


def _told():
    metrics = WorkerMetrics(ManualClock(NOW), restarts=2)
    metrics.rebalanced({0, 1})
    metrics.folded(Topic.ITEMS, Outcome.FOLDED)
    metrics.folded(Topic.OFFERS, Outcome.OUT_OF_ORDER, 5)
    metrics.late(Topic.OFFERS, 3)
    metrics.dead_lettered("adgram.items", "not-json")
    metrics.committed(0, 7, 0.004, NOW - 2 * NS_PER_SECOND)
    metrics.committed(1, 1, 0.2, NOW - 9 * NS_PER_SECOND)
    metrics.lags({("adgram.items", 0): 12})
    return metrics


def test_every_figure_is_shown_under_its_name():
    """Counts as they were told; delay and lag as of the moment somebody looks."""
    figures = _figures(generate_latest(_told().registry).decode())
    expected = {
        ("adgram_events_total", "folded", "items"): 1,
        ("adgram_events_total", "offers", "out-of-order"): 5,
        ("adgram_late_events_total", "offers"): 3,
        ("adgram_dead_letters_total", "adgram.items", "not-json"): 1,
        ("adgram_committed_rows_total",): 8,
        ("adgram_commit_seconds_count",): 2,
        ("adgram_commit_seconds_bucket", "0.005"): 1,
        ("adgram_rebalances_total",): 1,
        ("adgram_restarts_total",): 2,
        ("adgram_watermark_delay_seconds", "0"): 2,
        ("adgram_watermark_delay_seconds", "1"): 9,
        ("adgram_lag_records", "0", "adgram.items"): 12,
        ("adgram_owned_shards",): 2,
    }
    assert {name: figures.get(name) for name in expected} == expected


def test_shards_that_left_are_shown_no_longer():
    """A shard's delay is told by its owner alone; losing all shards is no assignment."""
    metrics = _told()
    metrics.rebalanced({1})
    metrics.rebalanced(())
    figures = _figures(generate_latest(metrics.registry).decode())
    assert figures["adgram_owned_shards",] == 0 and figures["adgram_rebalances_total",] == 2
    assert not any(name[0] == "adgram_watermark_delay_seconds" for name in figures)


def test_they_are_served_and_a_port_in_use_is_one_line():
    """GET /metrics answers; a second server on the port is told to choose another."""
    port = free_port()
    server = serve_metrics(_told().registry, port)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert _figures(answer.read().decode())["adgram_late_events_total", "offers"] == 3
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}.*--metrics-port"):
            serve_metrics(_told().registry, port)
    finally:
        server.shutdown()
        server.server_close()
