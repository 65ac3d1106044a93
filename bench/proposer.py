"""Constrained beam decoding on a CPU: ours beside plain PyTorch and peers, one run, same weights, interleaved.

One request reads a prompt of 100 tokens and finds the W best of 100,000 semantic IDs. Milliseconds are medians of CPU
time on one thread unless a row says otherwise. "Reference arithmetic" is 0.953 (W=32) or 2.266 (W=128) GFLOP at the
rate of numpy's sgemm in this run. The normaliser is everywhere the log-softmax over live children, GELU everywhere the
exact (erf) form.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import blas
import numpy as np
import numpy.typing as npt
import torch
from decoding import ALL, NONE, Catalogue, Means, Outcome, ours, plain
from peers import Peer, peers
from proposer_artefact import artefacts
from proposer_load import under_load
from proposer_serving import served_under_load
from report import Report
from rich.console import Console
from transformer import SPECIAL, PlainTransformer, Shape, packed, random_transformer, trained_transformer

from adgram.kernels.native.decoder import CompiledDecoder
from adgram.kernels.native.library import instruction_set, load

ITEMS = 100_000
ROUNDS = 21
IN_A_ROW = 3  # calls of one contender before the next has its turn
PEER_EVERY = 4  # rounds, and then one call; peers take seconds where others take milliseconds
REFERENCE_GFLOP = {32: 0.953, 128: 2.266}
ON_REFERENCE = {32: 1.25, 128: 1.15}
ON_OURS = {32: 0.85, 128: 0.75}
JUDGED = 2_000  # histories that int8 is judged on
CONSOLE = Console()

Clock = Callable[[], float]


@dataclass(slots=True)
class Bench:
    """One network and its catalogue, in every way of running it."""

    shape: Shape
    model: PlainTransformer
    catalogue: Catalogue
    weights: str  # where the weights come from
    prompts: list[npt.NDArray[np.int64]]  # of the shape's full length, to be timed
    histories: list[npt.NDArray[np.int64]]  # of any length, to be judged
    answers: list[npt.NDArray[np.int32]] | None  # [L] the ID that followed each history, where known
    prompt_answers: list[npt.NDArray[np.int32]] | None  # likewise for the prompts
    report: Report
    fp32: CompiledDecoder = field(init=False)
    int8: CompiledDecoder = field(init=False)

    def __post_init__(self) -> None:
        self.fp32 = CompiledDecoder(packed(self.model))
        self.int8 = CompiledDecoder(packed(self.model), int8=True)

    def prompt(self, number: int) -> npt.NDArray[np.int64]:
        return self.prompts[number % len(self.prompts)]

    def request(
        self,
        decoder: CompiledDecoder,
        width: int,
        means: Means = ALL,
        admitted: npt.NDArray[np.bool_] | None = None,
    ) -> Callable[[int], Outcome]:
        return lambda number: ours(
            decoder, self.catalogue, decoder.read_tokens(self.prompt(number)), width, means, admitted
        )


def turns(
    contenders: Mapping[str, Callable[[int], object]], clock: Clock, rounds: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Milliseconds of each contender's calls. [rounds, IN_A_ROW]

    Rounds, so that a busy moment falls on all alike; calls in a row, since a server also decodes one request after
    another, and the weights that the last one used are at hand. The first of a turn finds them displaced by others'.
    """
    times = {name: np.empty((rounds, IN_A_ROW)) for name in contenders}
    for number in range(-2, rounds):  # two to warm up
        for name, call in contenders.items():
            for again in range(IN_A_ROW):
                started = clock()
                call(number)
                if number >= 0:
                    times[name][number, again] = (clock() - started) * 1e3
    return times


def medians(contenders: Mapping[str, Callable[[int], object]], clock: Clock, rounds: int) -> dict[str, float]:
    """Median milliseconds of each contender over all its calls; see `turns`."""
    return {name: float(np.median(times)) for name, times in turns(contenders, clock, rounds).items()}


def of_pairs(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> float:
    """The median over rounds of one's median turn over the other's in the same round. [rounds, M] each"""
    return float(np.median(np.median(ours, axis=1) / np.median(theirs, axis=1)))


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


def exactness(bench: Bench, rounds: int = 3) -> None:
    """Ours against PyTorch in float64, with room for one more beam to see which calls were close."""
    exact = PlainTransformer(bench.shape).double().eval()
    exact.load_state_dict(bench.model.state_dict())
    wrong = worst = invalid = 0.0
    known = set(bench.catalogue.trie.pack(bench.catalogue.sids).tolist())
    for number in range(rounds):
        for width in (32, 128):
            found = bench.request(bench.fp32, width)(number)
            truth = plain(exact.requires_grad_(False), bench.catalogue, bench.prompt(number), width)
            scores = dict(zip(truth.keys.tolist(), truth.log_probs.tolist(), strict=True))
            bar = min(scores.values())
            for key, log_prob in zip(found.keys.tolist(), found.log_probs.tolist(), strict=True):
                invalid += key not in known
                if key in scores:
                    worst = max(worst, abs(log_prob - scores[key]))
                else:
                    wrong += abs(log_prob - bar) > 1e-5
    how = f"against PyTorch in float64, {rounds} prompts, W=32 and 128"
    bench.report.add("fp32: beams not in the reference's top W", wrong, "beams", how, to_reach=0)
    bench.report.add("fp32: greatest difference of a score", worst, "nat", how, to_reach=1e-4)
    bench.report.add("fp32: invalid IDs", invalid, "IDs", how, to_reach=0)


def bytes_agree(bench: Bench) -> None:
    """Overlap of int8 beams with fp32 beams, and recall where answers are known."""
    report, catalogue = bench.report, bench.catalogue
    asked = bench.histories[:JUDGED]
    for width in (32, 128):
        shares: list[float] = []
        hits = np.zeros(2)
        for number, history in enumerate(asked):
            pair = [ours(each, catalogue, each.read_tokens(history), width) for each in (bench.fp32, bench.int8)]
            shares.append(len(np.intersect1d(pair[0].keys, pair[1].keys)) / len(pair[0].keys))
            if bench.answers is not None:
                answer = catalogue.trie.pack(bench.answers[number][None])[0]
                hits += [answer in each.keys[:10] for each in pair]
        how = f"{len(asked):,} histories, {bench.weights}"
        trained = bench.answers is not None
        report.add(
            f"W={width}: int8 beams that are fp32 beams", float(np.mean(shares)), "share", how, better="higher",
            to_reach=0.98 if trained else None,
        )  # fmt: skip
        if trained:
            recall = hits / len(asked)
            report.add(
                f"W={width}: R@10 lost to int8", float(abs(recall[0] - recall[1])), "recall",
                f"{how}; fp32 {recall[0]:.4f}, int8 {recall[1]:.4f}", to_reach=0.001,
            )  # fmt: skip


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
    report.add("trie masks, share of a request", usual.masks_ms / times["all"], "share", "W=128, 3 levels, 100,000 IDs")
    report.add("W=128: rows through the network", usual.computed, "rows", "of 256 beams after the prompt")


def prefill_gflop(shape: Shape) -> float:
    """What our prefill executes: the first layer's queries, keys and values come from a table, and only the last row
    goes beyond the last layer's keys and values."""
    rows, width = shape.prompt, shape.width
    block = 2 * rows * (width * width + 2 * width * shape.feed)  # out, up, down
    attention = 2 * 2 * width * rows * (rows + 1) // 2  # each row over itself and what came before
    one = 2 * (2 * width * width + 2 * width * shape.feed + shape.codes * width) + 4 * width * rows
    total = (shape.layers - 1) * (block + attention) + (shape.layers - 2) * 2 * rows * 3 * width * width
    return (total + 2 * rows * 2 * width * width + one) / 1e9


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
        full = [place for place, history in enumerate(trained.histories) if len(history) == shape.prompt]
        prompts = [trained.histories[place] for place in full]
        followed = [trained.answers[place] for place in full]
        bench = Bench(
            shape, trained.model, catalogue, notes, prompts, trained.histories, trained.answers, followed, report
        )
    else:
        catalogue = Catalogue.of(shape, rng.integers(0, shape.codes, (ITEMS, shape.levels)).astype(np.int32))
        prompts = list(rng.integers(SPECIAL, shape.vocabulary, (200, shape.prompt)))
        bench = Bench(
            shape, random_transformer(shape, 1), catalogue, "random weights", prompts, prompts, None, None, report
        )
    others = peers(options.peers, bench.model, catalogue.sids) if options.peers else []
    for part in (
        lambda: against_reference(bench, others),
        lambda: moments(bench),
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
