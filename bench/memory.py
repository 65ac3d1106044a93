"""`make bench-memory`: memory and streaming, each number with what it was measured on.

Parts: reads (of a serving process, alone and beside writers), offers and items (Kafka to snapshot, real processes),
faust, sizes (memory and cold start over 10 k, 100 k and 1 M items). `--quick` shortens all, `--only` names some.
"""

import argparse
import multiprocessing
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import memory_reads
import memory_sizes
import memory_streams
import numpy as np
from memory_reads import Latencies, Load, Reads
from memory_streams import Broker, Throughput
from report import ROOT, Report

ITEMS = 100_000
UPDATES, NEW_ITEMS = 100_000, 2_000  # a second, as asked
MARGIN = 1.03  # what producers send beyond what is asked, so that a rate can be seen to be reached
READ_RATE = 250.0  # a second
FAUST_ITEMS = 8_000
SEED = 5


def main() -> None:
    """Measures, prints, and writes runs/bench/memory.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes, for development")
    parser.add_argument("--only", default="reads,offers,items,faust,sizes", help="parts, with commas")
    arguments = parser.parse_args()
    report = Report("memory")
    parts: dict[str, Callable[[Report, bool, Path], None]] = {
        "reads": _reads,
        "offers": _offers,
        "items": _items,
        "faust": _faust,
        "sizes": _sizes,
    }
    with tempfile.TemporaryDirectory(prefix="adgram-bench-") as folder:
        for name in arguments.only.split(","):
            place = Path(folder) / name
            place.mkdir()
            parts[name](report, arguments.quick, place)
    report.write()


def _reads(report: Report, quick: bool, _: Path) -> None:
    seconds = 6.0 if quick else 45.0
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_read, args=(theirs, seconds))
    child.start()
    found: Reads = ours.recv()
    child.join()
    base = (
        f"top {memory_reads.TOP} of {ITEMS:,} clustered vectors of width {memory_reads.WIDTH}, mask of stock, life and "
        f"90 % of items, words and offer of each; {READ_RATE:.0f} reads/s, one thread"
    )
    for name, latencies, wanted in (
        ("read, idle", found.idle, {99: 0.5}),
        ("read, idle, one behind another instead", found.in_turn, {99: 0.5}),
        ("read beside 100,000 updates/s and 2,000 new items/s", found.beside_load, {99: 2.0, 99.9: 5.0}),
        ("read beside a writer that saturates its core", found.beside_saturation, {99: 5.0}),
    ):
        _add_latencies(report, name, latencies, wanted, base)
    report.add(
        "updates applied by the saturating writer",
        found.saturated_updates,
        "/s",
        "the follower's thread of the serving process, commits back to back",
        better="higher",
    )
    pin = "one reference, read from another thread's follower, timer included"
    report.add("take a snapshot, p99", np.percentile(found.pins.took_us, 99), "µs", pin, to_reach=3.0)
    report.add("10,000 versions pinned at once, copies made", found.pins.copies, "", "arrays not shared", to_reach=0.0)


def _read(end: Connection, seconds: float) -> None:
    load = Load(UPDATES, NEW_ITEMS, seconds * 2.2 + 5.0)
    end.send(memory_reads.run(ITEMS, load, seconds, READ_RATE, SEED))


def _add_latencies(report: Report, name: str, found: Latencies, wanted: dict[float, float], base: str) -> None:
    how = (
        f"{base}; {len(found.took_ms):,} reads, p50 {found.percentile(50):.2f} ms; of CPU p50 "
        f"{np.percentile(found.cpu_ms, 50):.2f}, p99 {np.percentile(found.cpu_ms, 99):.2f} ms"
    )
    for share in (99, 99.9):
        report.add(f"{name}, p{share:g}", found.percentile(share), "ms", how, to_reach=wanted.get(share))
    report.add(f"{name}, recall@50", found.recall, "", "against exact", better="higher", to_reach=0.95)


def _offers(report: Report, quick: bool, folder: Path) -> None:
    seconds = 15.0 if quick else 63.0
    with memory_streams.broker(folder / "kafka") as place:
        models = memory_streams.tokenizer(folder / "tokenizer")
        found = memory_streams.hot_offers(place, models, ITEMS, int(UPDATES * MARGIN), seconds)
    how = (
        f"{_on(place, found)}; {ITEMS:,} items evenly, 4 shards; worker and follower on one core together "
        f"({found.worker_cpu_s / found.seconds:.2f} + {found.follower_cpu_s / found.seconds:.2f} of it used), "
        f"producer and broker on the rest"
    )
    report.add(
        "stock and price updates to the snapshot", found.per_second, "/s", how, better="higher", to_reach=UPDATES
    )
    _add_visible(report, "an update", found, 1.0, "sent to read from the snapshot, every 20 ms one")


def _items(report: Report, quick: bool, folder: Path) -> None:
    seconds = 15.0 if quick else 63.0
    with memory_streams.broker(folder / "kafka") as place:
        models = memory_streams.tokenizer(folder / "tokenizer")
        found = memory_streams.new_items(place, models, int(NEW_ITEMS * MARGIN), seconds)
    how = (
        f"{_on(place, found)}; 250 bytes each, encoded to {memory_streams.LEVELS} codes of {memory_streams.CODES} and "
        f"width {memory_streams.WIDTH}; worker {found.worker_cpu_s / found.seconds:.2f} of a core, follower "
        f"{found.follower_cpu_s / found.seconds:.2f}"
    )
    report.add(
        "new items to the trie, batch consumer", found.per_second, "/s", how, better="higher", to_reach=NEW_ITEMS
    )
    _add_visible(report, "a new item", found, 2.0, "sent to alive in the snapshot, every one")


def _faust(report: Report, _: bool, folder: Path) -> None:
    with memory_streams.broker(folder / "kafka") as place:
        models = memory_streams.tokenizer(folder / "tokenizer")
        rate = memory_streams.faust_items(place, models, FAUST_ITEMS)
    how = f"{place.name}; {FAUST_ITEMS:,} items at once, from the first sent to the last visible"
    report.add("new items to the trie, one faust worker", rate, "/s", how, better="higher", to_reach=800)


def _sizes(report: Report, quick: bool, folder: Path) -> None:
    counts = (5_000, 20_000) if quick else (10_000, 100_000, 1_000_000)
    sizes = []
    for size in memory_sizes.measured(folder, counts, SEED):
        sizes.append(size)
        largest = size.items == 1_000_000
        how = f"{size.items:,} items with one offer each, Milvus Lite server on the same machine"
        report.add(
            f"memory an item beyond its vector, {size.items:,} items",
            size.bytes_per_item,
            "B",
            f"{how}; resident after the cold start, words of 200 bytes included",
            to_reach=1_024 if largest else None,
        )
        report.add(f"cold start, {size.items:,} items", size.cold_start_s, "s", how, to_reach=90.0 if largest else None)
    memory_sizes.plotted(sizes, ROOT / "runs" / "bench" / "memory-sizes.png")


def _on(place: Broker, found: Throughput) -> str:
    return f"{place.name}, {found.seconds:.0f} s, {found.events:,} events"


def _add_visible(report: Report, name: str, found: Throughput, wanted_s: float, how: str) -> None:
    lags = found.visible_s
    how = f"{how}: {len(lags):,}, p50 {np.percentile(lags, 50):.2f} s, longest {lags.max():.2f} s"
    report.add(f"{name} visible after, p99", np.percentile(lags, 99), "s", how, to_reach=wanted_s)


if __name__ == "__main__":
    main()
