"""Moments of a request: first code, returning user, wide beam, thin admission, the prompt alone, the masks."""

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from decoding import Catalogue, Outcome, ours
from proposer_turns import ROUNDS, Bench, medians
from report import Report
from transformer import SPECIAL, Shape, packed, random_transformer

from adgram.kernels.native.decoder import CompiledDecoder
from adgram.kernels.native.library import instruction_set, load
from adgram.kernels.native.trie import Admitted

MASKS = 0.005  # of a request
DEEP_ITEMS = 1_000_000


def moments(bench: Bench) -> None:
    """The first code, a returning user, a wide beam, a thin admission, the prompt alone."""
    report, library, catalogue = bench.report, load(), bench.catalogue
    cached = bench.fp32.read_tokens(bench.prompt(0))
    peaks: list[float] = []
    contenders: dict[str, Callable[[int], object]] = {
        "peak": lambda _: peaks.append(library.adgram_fma_peak(0.005) if library else 0.0),
        "first": lambda number: ours(bench.fp32, catalogue, bench.fp32.read_tokens(bench.prompt(number)), 32, levels=1),
        "prefill": lambda number: bench.fp32.read_tokens(bench.prompt(number)),
        "returning 32": lambda _: ours(bench.fp32, catalogue, cached, 32),
        "returning 128": lambda _: ours(bench.fp32, catalogue, cached, 128),
        "wide": bench.request(bench.fp32, 512),
        "all": bench.request(bench.fp32, 128),
        "percent": bench.request(bench.fp32, 128, admitted=catalogue.percent),
    }
    times = medians(contenders, time.perf_counter, ROUNDS)
    peak = float(np.median(peaks))
    executed = prefill_gflop(bench.shape)
    share = executed / (times["prefill"] / 1e3) / peak
    found = bench.request(bench.fp32, 128, admitted=catalogue.percent)(0)
    usual = bench.request(bench.fp32, 128)(0)
    report.add(
        "FMA peak, 1 thread", peak, "GFLOP/s", f"our own loop on registers, {instruction_set()}", better="higher"
    )
    report.add("first code decided", times["first"], "ms", "W=32, prompt and first level, wall p50", to_reach=10)
    report.add(
        "prefill, share of the FMA peak", share, "share", f"{executed:.3f} GFLOP executed in {times['prefill']:.2f} ms",
        better="higher", to_reach=0.60,
    )  # fmt: skip
    report.add("W=32: returning user", times["returning 32"], "ms", "context kept, three levels, wall")
    report.add("W=128: returning user", times["returning 128"], "ms", "context kept, three levels, wall")
    report.add("W=512: ours fp32", times["wide"], "ms", f"{bench.weights}, wall")
    report.add(
        "admission of 1 %: extra cost", times["percent"] / times["all"] - 1, "share", "W=128, beside all admitted",
        to_reach=0.05,
    )  # fmt: skip
    report.add("admission of 1 %: valid beams", len(found.keys), "beams", "W=128", better="higher", to_reach=128)
    report.add("W=128: rows through the network", usual.computed, "rows", "of 256 beams after the prompt")


def masks(bench: Bench) -> None:
    """What reading the trie takes of a request, amid the request: caches hold what the network left of them."""
    catalogue, levels, handed = bench.catalogue, bench.shape.levels, _handed_over_us(bench)
    bench.report.add(
        "what Python adds to hand an admission over", handed, "µs", "a search begun with and without, cold caches"
    )
    for width in (32, 128):
        for share, admitted in _admissions(catalogue):
            request = bench.request(bench.fp32, width, admitted=admitted)
            bench.report.add(
                f"trie masks amid a request, W={width}, {share} admitted", _masks_share(request, handed), "share",
                f"wall, Python's part included, {levels} levels, {len(catalogue.sids):,} IDs, median of {ROUNDS}",
                to_reach=MASKS if share in ("all", "1 %") else None,
            )  # fmt: skip
    _deep_masks(bench.report, handed)


def _deep_masks(report: Report, handed_us: float) -> None:
    """The same at a million semantic IDs of four codes, random weights."""
    shape, rng = Shape(levels=4), np.random.default_rng(5)
    catalogue = Catalogue.of(shape, rng.integers(0, shape.codes, (DEEP_ITEMS, shape.levels)).astype(np.int32))
    decoder = CompiledDecoder(packed(random_transformer(shape, 5)))
    prompts = rng.integers(SPECIAL, shape.vocabulary, (4, shape.prompt))
    for width in (32, 128):

        def request(number: int, width: int = width) -> Outcome:
            return ours(decoder, catalogue, decoder.read_tokens(prompts[number % len(prompts)]), width)

        report.add(
            f"trie masks amid a request, 1 M of depth 4, W={width}, all admitted",
            _masks_share(request, handed_us), "share",
            f"wall, Python's part included, random weights, median of {ROUNDS}", to_reach=MASKS,
        )  # fmt: skip


def _masks_share(request: Callable[[int], Outcome], handed_us: float) -> float:
    """What the compiled calls and Python's handing over take of a request."""
    shares = []
    for number in range(ROUNDS):
        started = time.perf_counter()
        found = request(number)
        shares.append((found.masks_ms + handed_us / 1e3) / (time.perf_counter() - started) / 1e3)
    return float(np.median(shares))


def _admissions(catalogue: Catalogue) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """All, items anywhere, and items of some first codes alone, as a category or a campaign lies in the trie."""
    fifth = catalogue.sids[:, 0] % 5 == 0
    anywhere = np.random.default_rng(2).random(len(fifth)) < fifth.mean()
    return [
        ("all", catalogue.everything),
        ("1 %", catalogue.percent),
        ("a fifth", anywhere),
        ("a fifth, clustered,", fifth),
    ]


def _handed_over_us(bench: Bench) -> float:
    """How much longer Python takes to begin a search that reads a trie than one that is told, amid requests."""
    catalogue, took = bench.catalogue, {False: [], True: []}
    for number in range(4 * ROUNDS):
        context, reads = bench.fp32.read_tokens(bench.prompt(number)), number % 2 == 1
        started = time.perf_counter_ns()
        run = bench.fp32.search(context, Admitted(catalogue.walked, catalogue.everything) if reads else None)
        took[reads].append(time.perf_counter_ns() - started - run.masks_ns)
        ours(bench.fp32, catalogue, context, 32)  # leaves caches as a request does
    return float(np.median(took[True]) - np.median(took[False])) / 1e3


def prefill_gflop(shape: Shape) -> float:
    """What our prefill executes: the first layer's queries, keys and values come from a table, and only the last row
    goes beyond the last layer's keys and values."""
    rows, width = shape.prompt, shape.width
    block = 2 * rows * (width * width + 2 * width * shape.feed)  # out, up, down
    attention = 2 * 2 * width * rows * (rows + 1) // 2  # each row over itself and what came before
    one = 2 * (2 * width * width + 2 * width * shape.feed + shape.codes * width) + 4 * width * rows
    total = (shape.layers - 1) * (block + attention) + (shape.layers - 2) * 2 * rows * 3 * width * width
    return (total + 2 * rows * 2 * width * width + one) / 1e9
