"""Building, changing and reading the trie, at 100,000 and a million semantic IDs.

python bench/trie.py
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from report import ROOT, Report
from transformer import Shape, packed, random_transformer

from adgram.kernels.native.decoder import CompiledDecoder
from adgram.kernels.native.library import load
from adgram.kernels.native.trie import Admitted, CompiledTrie
from adgram.memory.trie import SortedTrie

SEED, REPEATS, UPDATES, WIDTH, BAR_SHARE = 0, 15, 5_000, 32, 0.005


@dataclass(frozen=True, slots=True)
class Size:
    """A catalogue of N random semantic IDs of L codes below K."""

    name: str
    items: int
    codes: int
    levels: int
    build_ms: float | None  # to reach

    def sids(self, rng: np.random.Generator, count: int) -> npt.NDArray[np.int32]:
        return rng.integers(0, self.codes, (count, self.levels)).astype(np.int32)


SIZES = (
    Size("100 k of 256³", 100_000, 256, 3, 30.0),
    Size("1 M of 256³", 1_000_000, 256, 3, 200.0),
    Size("1 M of 256⁴", 1_000_000, 256, 4, None),
    Size("100 k of 8,192³", 100_000, 8_192, 3, None),
)


def main() -> None:
    report, request_ms = Report("trie"), _request_ms()
    for size in SIZES:
        _measure(report, size, request_ms)
    report.write()


def _measure(report: Report, size: Size, request_ms: float) -> None:
    rng = np.random.default_rng(SEED)
    sids, slots = size.sids(rng, size.items), np.arange(size.items, dtype=np.int32)
    trie = SortedTrie.empty(size.codes).inserted(sids, slots)
    worths, everything = rng.normal(size=size.items).astype(np.float32), np.ones(size.items, np.bool_)
    admitted = rng.random(size.items) < 0.01
    _values_of_all_nodes(trie, sids, worths)  # compiles

    def built() -> None:
        _values_of_all_nodes(SortedTrie.empty(size.codes).inserted(sids, slots), sids, worths)

    how = f"median of {REPEATS}"
    with_values = (
        "sorting, tables, and the greatest value under each child of all nodes (of levels with fewer nodes than IDs)"
    )
    report.add(
        f"{size.name}: built with node values", _ms(built), "ms", f"{with_values}; {how}", to_reach=size.build_ms
    )
    build_ms = _ms(lambda: SortedTrie.empty(size.codes).inserted(sids, slots))
    report.add(f"{size.name}: built", build_ms, "ms", how)
    root = np.zeros(1, np.int64)
    scatter_ms = _ms(lambda: trie.best_children(root, 0, np.where(admitted, worths, np.float32(-np.inf))))
    report.add(
        f"{size.name}: admission scattered over the trie",
        size.items / scatter_ms / 1e3,
        "M SIDs/s",
        f"every leaf's bit and value read into the root's children; {how}",
        better="higher",
        to_reach=10.0,
    )
    _updates(report, size, trie, rng)
    for share, bits in (("all", everything), ("1 %", admitted)):
        _reads(report, size, trie, _Request(share, bits, np.where(bits, worths, np.float32(-np.inf)), request_ms), sids)


@dataclass(frozen=True, slots=True)
class _Request:
    share: str
    admitted: npt.NDArray[np.bool_]  # [N]
    worths: npt.NDArray[np.float32]  # [N], -inf where not admitted
    request_ms: float


def _reads(report: Report, size: Size, trie: SortedTrie, request: _Request, sids: npt.NDArray[np.int32]) -> None:
    """What one request asks of the trie over all levels: by a search of the compiled decode, or of the trie itself."""
    levels = list(enumerate(_prefixes(trie, sids, request.admitted)))
    value_ms = sum(_ms(lambda p=p, at=level: trie.best_children(p, at, request.worths)) for level, p in levels)
    mask_ms = {
        "asked": sum(_ms(lambda p=p, at=level: trie.live_children(p, at, request.admitted)) for level, p in levels)
    }
    if load() is not None:
        mask_ms["walked"] = _walked_ms(size, trie.beside(sids), request.admitted, levels)
    for how, took_ms in mask_ms.items():
        report.add(
            f"{size.name}: masks of a request, {how}, {request.share} admitted",
            100 * took_ms / request.request_ms,
            "% of a request",
            f"{size.levels} levels, W={WIDTH}, {1e3 * took_ms:.0f} µs of {request.request_ms:.2f} ms, in a loop",
            to_reach=100 * BAR_SHARE if size.codes == 256 and request.share == "all" and how == "walked" else None,
        )
    report.add(
        f"{size.name}: node values of a request, {request.share} admitted",
        value_ms,
        "ms",
        f"instead of the masks, where the value weight is above 0; medians of {REPEATS}",
    )


def _walked_ms(
    size: Size, trie: SortedTrie, admitted: npt.NDArray[np.bool_], levels: list[tuple[int, npt.NDArray[np.int64]]]
) -> float:
    """What reading the trie takes within the calls of a compiled search, the look at the admission included."""
    shape = Shape(layers=1, width=8, heads=1, feed=8, prompt=1, levels=size.levels, codes=size.codes)
    decoder, walked, took = CompiledDecoder(packed(random_transformer(shape, SEED))), CompiledTrie(trie.arrays), []
    context = decoder.read_tokens(np.zeros(1, np.int64))
    for _ in range(REPEATS):
        search = decoder.search(context, Admitted(walked, admitted))
        for level, prefixes in levels:
            live = search.live_children(prefixes, level)
            assert np.array_equal(live, trie.live_children(prefixes, level, admitted))
        took.append(search.masks_ns / 1e6)
    return float(np.median(took))


def _updates(report: Report, size: Size, trie: SortedTrie, rng: np.random.Generator) -> None:
    """One leaf at a time, each seen by the next read before the next one comes."""
    new, took_us = size.sids(rng, UPDATES), np.empty(UPDATES)
    bits = np.zeros(size.items + UPDATES, np.bool_)
    for row in range(UPDATES):
        slot = np.array([size.items + row], np.int32)
        bits[slot] = True
        started = time.perf_counter_ns()
        before, trie = trie, trie.inserted(new[row : row + 1], slot)
        took_us[row] = (time.perf_counter_ns() - started) / 1e3
        prefix, last = trie.pack(new[row : row + 1, :-1]), new[row, -1]
        seen = [version.live_children(prefix, size.levels - 1, bits)[0, last] for version in (trie, before)]
        assert seen[0], "an update must be visible to the next read"
        assert not seen[1], "the version before must not see it"
        bits[slot] = False
    p50, p99 = np.percentile(took_us, (50, 99))
    how = f"{UPDATES} new items one by one, each read back at once; the longest took {took_us.max() / 1e3:.2f} ms"
    report.add(f"{size.name}: one live update, p50", float(p50), "µs", how, to_reach=100.0)
    report.add(f"{size.name}: one live update, p99", float(p99), "µs", how)


def _values_of_all_nodes(trie: SortedTrie, sids: npt.NDArray[np.int32], worths: npt.NDArray[np.float32]) -> None:
    """The greatest value under every child of every node, level by level, a thousand nodes at a time."""
    keys = trie.keys
    for level in range(trie.levels):
        prefixes = keys // trie.codes_per_level ** (trie.levels - level)
        known = prefixes[np.r_[True, prefixes[1:] != prefixes[:-1]]]
        if trie.codes_per_level**level > len(sids):
            break  # a level that can hold more nodes than there are IDs: most have one child, an ID with its own value
        for start in range(0, len(known), 1_000):
            trie.best_children(known[start : start + 1_000], level, worths)


def _prefixes(
    trie: SortedTrie, sids: npt.NDArray[np.int32], bits: npt.NDArray[np.bool_]
) -> list[npt.NDArray[np.int64]]:
    """What beams hold at each level: the root, then WIDTH random nodes with something admitted below."""
    rng = np.random.default_rng(SEED)
    keys = trie.pack(sids[bits])
    spans = [trie.codes_per_level ** (trie.levels - level) for level in range(1, trie.levels)]
    return [np.zeros(1, np.int64), *(rng.permutation(np.unique(keys // span))[:WIDTH] for span in spans)]


def _request_ms() -> float:
    """A served request as bench-proposer measured it (W=32, fp32), 12 ms where it has not."""
    path: Path = ROOT / "runs" / "bench" / "proposer.json"
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    return next((float(row["value"]) for row in rows if row["name"] == f"W={WIDTH}: ours fp32"), 12.0)


def _ms(call: Callable[[], object]) -> float:
    took = []
    for _ in range(REPEATS):
        started = time.perf_counter_ns()
        call()
        took.append((time.perf_counter_ns() - started) / 1e6)
    return float(np.median(took))


if __name__ == "__main__":
    main()
