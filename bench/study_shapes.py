"""Quality against milliseconds for the decoder's shapes, and where the knee is.

lazy    as served: items are read once as one token each, and a code's step is one attention over that context
eager   the usual arrangement: a history is three code tokens an item, every code runs through every layer

Lazy networks differ in depth and width, beams in width; losses, epochs and item vectors are alike. The eager network
has the same codes and its own input embeddings; it is trained on the codes' cross-entropy alone, without a teacher or
dropout, and its epoch is chosen on validation like the others'. All are decoded by the compiled walk, one request at a
time on one thread. Figures are the decoder's alone, on test choices; time is CPU time, the median over requests.

The knee is the shape after which a doubling of time gains less than 2 % of N@10: the cheapest whose N@10 is within 2 %
of the best that costs at most twice as much, then of the next, until none gains.

    python bench/study_shapes.py --data ../shared/data/amazon_beauty
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import typer
from matplotlib.figure import Figure
from proposer_weights import loss_of
from report import Report
from rich.console import Console
from study_data import CODE_EPOCHS, INTEREST_EPOCHS, Cells, CpuClock, Studied, one_thread, people_of, said, studied
from transformer import SPECIAL, START, PlainTransformer, Shape, packed

from adgram.core.clock import Deadline, SystemClock
from adgram.core.marketplace import Marketplace
from adgram.generative.config import GenerativeConfig
from adgram.generative.reading import reader_of
from adgram.generative.training.batched import searched_ranks
from adgram.generative.training.catalogue_tree import CatalogueTree
from adgram.generative.training.evaluation import TOP, gains
from adgram.generative.training.options import TrainingOptions
from adgram.generative.training.sequences import HeldOut
from adgram.generative.training.stages import learn_codes
from adgram.kernels.native.decoder import CompiledDecoder
from adgram.memory.trie import SortedTrie

SHAPES = ((1, 64), (2, 64), (4, 64), (2, 32), (2, 128))  # layers, width
SERVED = (2, 64)
BEAMS = (8, 16, 32, 64, 128)
EAGER_BEAMS = (8, 32, 128)
TIMED, GAIN = 200, 1.02
ITEMS = 20  # of a history


@dataclass(frozen=True, slots=True)
class Point:
    """One shape with one width of beams."""

    name: str
    beams: int
    ms: float
    ndcg: float
    recall: float


def main(
    data: Annotated[Path, typer.Option(help="Folder of an Amazon data set.")] = Path("../shared/data/amazon_beauty"),
    out: Annotated[Path, typer.Option(help="Folder of what a stopped study has done.")] = Path("runs/studies/shapes"),
    minutes: Annotated[float, typer.Option(help="CPU minutes, at most about; trainings get shares.")] = 10.0,
    users: Annotated[int, typer.Option(help="People drawn.")] = 4_000,
    items: Annotated[int, typer.Option(help="Most chosen items kept.")] = 2_000,
    asked: Annotated[int, typer.Option(help="Test choices asked for.")] = 2_000,
) -> None:
    """Run the study; write runs/bench/study-shapes.json and .png."""
    one_thread()
    console, marketplace = Console(), people_of(data, out, users, items, 0)
    cells = Cells(out, {"minutes": minutes, "users": users, "items": items, "asked": asked, "data": data.name})
    part = 0.8 * minutes / (len(SHAPES) + 1)
    for layers, width in SHAPES:
        cells.cell(
            f"lazy-{layers}-{width}", lambda n=layers, w=width: lazy(marketplace, n, w, part, asked, out, console)
        )
        console.print(f"{layers} layers of {width}: trained and timed", highlight=False)
    cells.cell("eager", lambda: eager(marketplace, part, asked, out, console))
    tell(points(cells), said(marketplace), data.name, console)


def options_of(layers: int, width: int, minutes: float) -> TrainingOptions:
    """The same training for every shape."""
    return TrainingOptions(
        minutes=minutes, layers=layers, width=width, interest_epochs=INTEREST_EPOCHS, code_epochs=CODE_EPOCHS
    )


def lazy(
    marketplace: Marketplace, layers: int, width: int, minutes: float, asked: int, out: Path, console: Console
) -> dict[str, float]:
    """Time and quality of one served shape at every width of beams."""
    study = studied(marketplace, out / f"lazy-{layers}-{width}", options_of(layers, width, minutes), console)
    with console.status(f"{layers} layers of {width}") as status:
        decoder = learn_codes(
            study.interest, study.codebooks, study.vectors, study.sids, study.data, study.options, 0.4 * minutes,
            out / f"lazy-{layers}-{width}" / "checkpoints", CpuClock(),
            lambda _, done, words: status.update(f"{layers} layers of {width}, {done:.0%}: {words}"),
            study.settings,
        ).decoder  # fmt: skip
    tree, vectors, test = CatalogueTree.of(study.sids, decoder.shape.codes), study.vectors, study.test.first(asked)
    trie, reader = trie_of(study), reader_of(decoder, GenerativeConfig())
    figures: dict[str, float] = {}
    for beams in BEAMS:
        with torch.inference_mode():
            ranks = searched_ranks(decoder, torch.from_numpy(vectors), tree, test.histories, test.targets, beams)

            def ask(history: npt.NDArray[np.int64], admitted: npt.NDArray[np.bool_], beams: int = beams) -> None:
                deadline = Deadline.after_ms(60_000, SystemClock())
                reader.read(vectors[history[-ITEMS:]]).search(trie, admitted, beams, deadline)

            figures |= {f"ms-{beams}": timed(ask, test, len(vectors))}
        figures |= {f"ndcg-{beams}": float(gains(ranks).mean()), f"recall-{beams}": float((ranks < TOP).mean())}
    return figures


def eager(marketplace: Marketplace, minutes: float, asked: int, out: Path, console: Console) -> dict[str, float]:
    """Time and quality of a network over code tokens, of the served depth and width."""
    study = studied(marketplace, out / "lazy-{}-{}".format(*SERVED), options_of(*SERVED, minutes), console)
    levels, codes, _ = study.codebooks.shape
    shape = Shape(SERVED[0], SERVED[1], 2, 4 * SERVED[1], 1 + levels * ITEMS, levels, codes)
    torch.manual_seed(0)
    model, trie = PlainTransformer(shape), trie_of(study)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    offsets, rng = SPECIAL + np.arange(levels) * codes, np.random.default_rng(0)
    tokens = [
        [START, *(study.sids[one[-ITEMS - 1 :]] + offsets).ravel().tolist()]
        for one in study.data.training
        if len(one) > 1
    ]
    validation = study.data.validation.first(500)
    best, figure, started = copy.deepcopy(model.state_dict()), -1.0, time.process_time()
    for epoch in range(3 * CODE_EPOCHS):  # it has no first stage to begin from
        order = sorted(rng.permutation(len(tokens)).tolist(), key=lambda row: len(tokens[row]) // 6)
        batches = [order[start : start + 64] for start in range(0, len(order), 64)]
        for number in rng.permutation(len(batches)).tolist():
            length = max(len(tokens[row]) for row in batches[number])
            batch = torch.tensor([tokens[row] + [0] * (length - len(tokens[row])) for row in batches[number]])
            optimiser.zero_grad()
            loss_of(model, batch, shape).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
        reached = float(gains(eager_ranks(model, study, trie, validation, 32)).mean())
        console.print(f"eager, epoch {epoch + 1}: validation N@10 {reached:.4f}", highlight=False)
        if reached > figure:
            best, figure = copy.deepcopy(model.state_dict()), reached
        if time.process_time() - started > 60 * minutes:
            break
    model.load_state_dict(best)
    compiled, test, figures = CompiledDecoder(packed(model)), study.test.first(asked), {}
    for beams in EAGER_BEAMS:
        ranks = eager_ranks(model, study, trie, test, beams)

        def ask(history: npt.NDArray[np.int64], admitted: npt.NDArray[np.bool_], beams: int = beams) -> None:
            eager_search(compiled, prompt_of(history, study), trie, admitted, beams)

        figures |= {f"ms-{beams}": timed(ask, test, len(study.sids))}
        figures |= {f"ndcg-{beams}": float(gains(ranks).mean()), f"recall-{beams}": float((ranks < TOP).mean())}
    return figures


def eager_ranks(
    model: PlainTransformer, study: Studied, trie: SortedTrie, asked: HeldOut, beams: int
) -> npt.NDArray[np.int64]:
    """How many IDs the eager search finds before each target's, histories masked; TOP or more where none is."""
    compiled, codes = CompiledDecoder(packed(model)), study.codebooks.shape[1]
    keys = study.sids.astype(np.int64) @ (codes ** np.arange(study.sids.shape[1] - 1, -1, -1))
    ranks = np.full(len(asked.targets), max(beams, TOP))
    for row, (history, target) in enumerate(zip(asked.histories, asked.targets.tolist(), strict=True)):
        admitted = np.ones(len(keys), dtype=np.bool_)
        admitted[history] = False
        found = np.flatnonzero(eager_search(compiled, prompt_of(history, study), trie, admitted, beams) == keys[target])
        ranks[row] = found[0] if len(found) else max(beams, TOP)
    return ranks


def prompt_of(history: npt.NDArray[np.int64], study: Studied) -> npt.NDArray[np.int64]:
    """A history as the tokens that the eager network reads."""
    offsets = SPECIAL + np.arange(study.sids.shape[1]) * study.codebooks.shape[1]
    return np.concatenate(([START], (study.sids[history[-ITEMS:]] + offsets).ravel())).astype(np.int64)


def eager_search(
    decoder: CompiledDecoder,
    prompt: npt.NDArray[np.int64],
    trie: SortedTrie,
    admitted: npt.NDArray[np.bool_],
    width: int,
) -> npt.NDArray[np.int64]:
    """The packed semantic IDs found, best first."""
    run, prefixes = decoder.search(decoder.read_tokens(prompt)), np.zeros(1, dtype=np.int64)
    for level in range(trie.levels):
        step = run.step(trie.live_children(prefixes, level, admitted), width)
        prefixes = prefixes[step.parents] * decoder.codes + step.codes
    return prefixes


def trie_of(study: Studied) -> SortedTrie:
    """The served trie over the study's items."""
    slots = np.arange(len(study.sids), dtype=np.int32)
    return SortedTrie.empty(study.codebooks.shape[1]).inserted(study.sids, slots)


def timed(ask: Callable[[npt.NDArray[np.int64], npt.NDArray[np.bool_]], None], asked: HeldOut, items: int) -> float:
    """The median CPU time of one request, in ms."""
    took = []
    for number in range(TIMED + 20):
        history = asked.histories[number % len(asked.histories)]
        admitted = np.ones(items, dtype=np.bool_)
        admitted[history] = False
        started = time.process_time()
        ask(history, admitted)
        took.append(time.process_time() - started)
    return 1e3 * float(np.median(took[20:]))


def points(cells: Cells) -> list[Point]:
    """Everything measured."""
    found = []
    for layers, width in SHAPES:
        cell = cells.cell(f"lazy-{layers}-{width}", dict)
        found += [point_of(f"lazy, {layers} layers of {width}", beams, cell) for beams in BEAMS]
    cell = cells.cell("eager", dict)
    return found + [
        point_of("eager, {} layers of {}, code tokens".format(*SERVED), beams, cell) for beams in EAGER_BEAMS
    ]


def point_of(name: str, beams: int, cell: dict[str, float]) -> Point:
    return Point(name, beams, cell[f"ms-{beams}"], cell[f"ndcg-{beams}"], cell[f"recall-{beams}"])


def knee(measured: list[Point]) -> Point:
    """The point from which no doubling of time gains GAIN."""
    here = min(measured, key=lambda point: point.ms)
    while True:
        reach = [point for point in measured if here.ms < point.ms <= 2 * here.ms and point.ndcg >= GAIN * here.ndcg]
        free = [point for point in measured if point.ms <= here.ms and point.ndcg > here.ndcg]
        if not reach and not free:
            return here
        here = max(reach or free, key=lambda point: point.ndcg)


def tell(measured: list[Point], people: str, data: str, console: Console) -> None:
    """Writes the rows and the picture."""
    report, drawing = Report("study-shapes"), Figure(figsize=(8, 5), layout="constrained")
    axes, best = drawing.subplots(), knee(measured)
    how = f"{people} of {data}, one training, decoder alone, compiled, one thread, median CPU time"
    for name in dict.fromkeys(point.name for point in measured):
        line = [point for point in measured if point.name == name]
        axes.plot([point.ms for point in line], [point.ndcg for point in line], marker=".", label=name)
        for point in line:
            knee_here = "; the knee" if point == best else ""
            report.add(f"{name}, {point.beams} beams: time", point.ms, "ms", how + knee_here)
            report.add(f"{name}, {point.beams} beams: N@10", point.ndcg, "", how + knee_here, better="higher")
            report.add(f"{name}, {point.beams} beams: R@10", point.recall, "", how + knee_here, better="higher")
    axes.scatter([best.ms], [best.ndcg], s=120, facecolors="none", edgecolors="black", label="the knee")
    axes.set_xscale("log")
    axes.set_xlabel("ms a request (CPU, one thread)")
    axes.set_ylabel("N@10, decoder alone")
    axes.legend(frameon=False, fontsize=8)
    written = report.write()
    drawing.savefig(written.with_suffix(".png"), dpi=120)
    console.print(f"the knee: {best}", highlight=False)
    console.print(f"written: {written} and {written.with_suffix('.png')}", highlight=False)


if __name__ == "__main__":
    typer.run(main)
