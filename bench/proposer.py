"""Constrained beam decoding on a CPU: ours beside plain PyTorch and peers, one run, same weights, interleaved.

One request reads a prompt of 100 tokens and finds the W best of 100,000 semantic IDs. Milliseconds are medians of CPU
time on one thread unless a row says otherwise. "Reference arithmetic" is 0.953 (W=32) or 2.266 (W=128) GFLOP at the
rate of numpy's sgemm in this run. The normaliser is everywhere the log-softmax over live children, GELU everywhere the
exact (erf) form.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import blas
import numpy as np
import torch
from decoding import ALL, NONE, Catalogue, Means, ours, plain
from peers import Peer, peers
from proposer_answers import bytes_agree, exactness
from proposer_artefact import artefacts
from proposer_load import under_load
from proposer_moments import masks, moments
from proposer_serving import served_under_load
from proposer_turns import IN_A_ROW, ROUNDS, Bench, medians, of_pairs, turns
from report import Report
from rich.console import Console
from transformer import SPECIAL, Shape, packed, random_transformer, trained_transformer

from adgram.kernels.native.decoder import CompiledDecoder
from adgram.kernels.native.library import load

ITEMS = 100_000
PEER_EVERY = 4  # rounds, and then one call; peers take seconds where others take milliseconds
REFERENCE_GFLOP = {32: 0.953, 128: 2.266}
ON_REFERENCE = {32: 1.25, 128: 1.15}
ON_OURS = {32: 0.85, 128: 0.75}
CONSOLE = Console()


def against_reference(bench: Bench, others: list[Peer]) -> None:
    """The main table: CPU time on one thread."""
    report, sgemm = bench.report, blas.Sgemm(1)
    rates: list[float] = []
    contenders: dict[str, Callable[[int], object]] = {"sgemm": lambda _: rates.append(sgemm.gflops())}
    for width in REFERENCE_GFLOP:
        contenders |= {
            f"plain {width}": lambda number, w=width: plain(bench.model, bench.catalogue, bench.prompt(number), w),
            f"fp32 {width}": bench.request(bench.fp32, width),
            f"all work {width}": bench.request(bench.fp32, width, NONE),
            f"int8 {width}": bench.request(bench.int8, width),
        }
        for peer in others:
            contenders[f"{peer.name} {width}"] = _now_and_then(
                lambda number, w=width, p=peer: p.ask(bench.prompt(number), w)
            )
    turn = turns(contenders, time.process_time, ROUNDS)
    times = {name: float(np.median(calls)) for name, calls in turn.items()}
    rate = float(np.median(rates))
    each_rate = np.array(rates[-ROUNDS * IN_A_ROW :]).reshape(ROUNDS, IN_A_ROW)
    report.add(
        "sgemm 128x256x1024, 1 thread", rate, "GFLOP/s", f"numpy's OpenBLAS, kernel {blas.kernel()}", better="higher"
    )
    in_a_row = f"median of {ROUNDS} pairs, {IN_A_ROW} calls in a row each, as a server decodes"
    for width, gflop in REFERENCE_GFLOP.items():
        reference = gflop / each_rate * 1e3
        fp32, int8 = turn[f"fp32 {width}"], turn[f"int8 {width}"]
        label = f"W={width}"
        report.add(f"{label}: reference arithmetic", gflop / rate * 1e3, "ms", f"{gflop} GFLOP at that rate")
        report.add(f"{label}: plain PyTorch", times[f"plain {width}"], "ms", "shared context KV, cropped head")
        report.add(f"{label}: ours fp32", times[f"fp32 {width}"], "ms", bench.weights)
        report.add(
            f"{label}: ours fp32 / reference", of_pairs(fp32, reference), "x", in_a_row, to_reach=ON_REFERENCE[width]
        )
        report.add(
            f"{label}: ours fp32 / reference, cold", of_pairs(fp32[:, :1], reference), "x",
            "the first call of each turn: the weights are out of the nearer caches", to_reach=ON_REFERENCE[width],
        )  # fmt: skip
        report.add(
            f"{label}: ours fp32, nothing skipped / reference", of_pairs(turn[f"all work {width}"], reference), "x",
            "every beam through every layer; the first layer's table stays", to_reach=ON_REFERENCE[width],
        )  # fmt: skip
        report.add(f"{label}: ours int8", times[f"int8 {width}"], "ms", bench.weights)
        report.add(f"{label}: ours int8 / ours fp32", of_pairs(int8, fp32), "x", in_a_row, to_reach=ON_OURS[width])
        report.add(
            f"{label}: ours int8 / ours fp32, cold", of_pairs(int8[:, :1], fp32[:, :1]), "x",
            "the first calls of each turn", to_reach=ON_OURS[width],
        )  # fmt: skip
        for peer in others:
            report.add(f"{label}: {peer.name}", peer.median_ms(width), "ms", "peer, its own environment, same run")


def _now_and_then(ask: Callable[[int], object]) -> Callable[[int], None]:
    """One call in the first turn of every PEER_EVERY rounds."""
    last: list[int] = []

    def call(number: int) -> None:
        if number % PEER_EVERY == 0 and last != [number]:
            last[:] = [number]
            ask(number)

    return call


def two_threads(bench: Bench) -> None:
    """Wall time on two threads."""
    fp32, int8 = (
        CompiledDecoder(packed(bench.model), threads=2),
        CompiledDecoder(packed(bench.model), int8=True, threads=2),
    )
    contenders: dict[str, Callable[[int], object]] = {}
    for width in REFERENCE_GFLOP:
        contenders |= {
            f"plain {width}": lambda number, w=width: plain(bench.model, bench.catalogue, bench.prompt(number), w),
            f"fp32 {width}": bench.request(fp32, width),
            f"int8 {width}": bench.request(int8, width),
        }
    torch.set_num_threads(2)
    times = medians(contenders, time.perf_counter, ROUNDS // 2)
    torch.set_num_threads(1)
    for name, median in times.items():
        way, width = name.split()
        way = "plain PyTorch" if way == "plain" else f"ours {way}"
        bench.report.add(f"W={width}: {way}, 2 threads, wall", median, "ms", "median")


def cropped_head(report: Report) -> None:
    """3 codes of 8,192, W=128: our head against one that scores all levels' codes and is masked afterwards."""
    shape = Shape(codes=8192)
    model = random_transformer(shape, seed=2)
    rng = np.random.default_rng(3)
    catalogue = Catalogue.of(shape, rng.integers(0, shape.codes, (ITEMS, shape.levels)).astype(np.int32))
    prompts = rng.integers(SPECIAL, shape.vocabulary, (4, shape.prompt))
    cropped, full = CompiledDecoder(packed(model)), CompiledDecoder(packed(model, full_head=True))

    def request(decoder: CompiledDecoder, means: Means) -> Callable[[int], object]:
        return lambda number: ours(decoder, catalogue, decoder.read_tokens(prompts[number % 4]), 128, means)

    contenders = {
        "cropped": request(cropped, ALL),
        "cropped, all work": request(cropped, NONE),
        "full": request(full, NONE),
    }
    times = medians(contenders, time.process_time, 9)
    how = "3 codes of 8,192, W=128, random weights, beside full head + mask at {:.1f} ms"
    for name in ("cropped", "cropped, all work"):
        report.add(
            f"{name.replace('cropped', 'cropped head')}: more requests/s", times["full"] / times[name] - 1, "share",
            how.format(times["full"]), better="higher", to_reach=0.70,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="weights of this shape, made by proposer_weights.py; else random")
    parser.add_argument(
        "--peers", type=Path, metavar="DIR",
        help="also measure transformers and CTranslate2, each installed into a virtual environment of its own in DIR",
    )  # fmt: skip
    parser.add_argument(
        "--served", type=Path, metavar="DIR", nargs="*", default=[],
        help="folders of models as `adgram serve` loads them, each with its `adgram eval --out` file beside it: "
        "quality and time in one row",
    )  # fmt: skip
    options = parser.parse_args()
    blas.with_own_kernel()
    if load() is None:
        raise SystemExit("the compiled decode was not built here: install a C++ compiler, then `make .venv/ready`")
    torch.set_num_threads(1)
    report, shape = Report("proposer"), Shape()
    rng = np.random.default_rng(0)
    if options.models:
        trained = trained_transformer(options.models, shape)
        filler = rng.integers(0, shape.codes, (ITEMS - len(trained.sids), shape.levels)).astype(np.int32)
        catalogue = Catalogue.of(shape, np.concatenate((trained.sids, filler)))
        notes = f"{trained.notes}, random IDs up to {ITEMS:,}"
        prompts = [history for history in trained.histories if len(history) == shape.prompt]
        bench = Bench(shape, trained.model, catalogue, notes, prompts, trained.histories, trained.answers, report)
    else:
        catalogue = Catalogue.of(shape, rng.integers(0, shape.codes, (ITEMS, shape.levels)).astype(np.int32))
        prompts = list(rng.integers(SPECIAL, shape.vocabulary, (200, shape.prompt)))
        bench = Bench(shape, random_transformer(shape, 1), catalogue, "random weights", prompts, prompts, None, report)
    others = peers(options.peers, bench.model, catalogue.sids) if options.peers else []
    for part in (
        lambda: against_reference(bench, others),
        lambda: moments(bench),
        lambda: masks(bench),
        lambda: two_threads(bench),
        lambda: exactness(bench),
        lambda: bytes_agree(bench),
        lambda: cropped_head(report),
        lambda: under_load(bench, report),
        lambda: served_under_load(report),
    ):
        part()
    for peer in others:
        peer.close()
    artefacts(report, options.served, ON_REFERENCE[32] * report.value("W=32: reference arithmetic"))
    CONSOLE.print(f"written: {report.write()}")


if __name__ == "__main__":
    main()
