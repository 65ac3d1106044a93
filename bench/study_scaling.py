"""Loss against parameters and data: is it a power law here?

The first stage's network (the history's reader) is trained at five widths on all people, and at one width on five
shares of them, everything else alike: item vectors of one size, the same epochs, the same catalogue. The loss is the
mean negative log-likelihood of held-out choices among all items, in nats, at the best epoch by that loss. A law
L = E + A · x^-α is fitted to the means of the seeds, over x = parameters of the network without item vectors, and over
x = events learned from; beside it the straight line of log L over log x (no floor). Intervals are 95 %, by drawing the
trainings of each point again (a bootstrap over seeds).

    python bench/study_scaling.py --data ../shared/data/amazon_beauty
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from report import Report
from rich.console import Console
from scipy.optimize import least_squares
from study_data import Cells, CpuClock, one_thread, people_of, said

from adgram.core.marketplace import Marketplace
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.training.batched import read_all
from adgram.generative.training.content import behaviour_vectors, fit_content, ridge
from adgram.generative.training.interest import InterestModel
from adgram.generative.training.options import TrainingOptions
from adgram.generative.training.schedule import Plan, Stage, shuffled_batches
from adgram.generative.training.sequences import HeldOut, user_sequences, windows
from adgram.generative.training.stages import TrainingData
from adgram.generative.training.workshop import training_data

WIDTHS = (8, 16, 32, 64, 128)
SHARES = (0.0625, 0.125, 0.25, 0.5, 1.0)
ONE_WIDTH, EPOCHS, RESAMPLES = 64, 8, 500
Floats = npt.NDArray[np.float64]


def main(
    data: Annotated[Path, typer.Option(help="Folder of an Amazon data set.")] = Path("../shared/data/amazon_beauty"),
    out: Annotated[Path, typer.Option(help="Folder of what a stopped study has done.")] = Path("runs/studies/scaling"),
    minutes: Annotated[float, typer.Option(help="CPU minutes, at most about; trainings get shares.")] = 10.0,
    users: Annotated[int, typer.Option(help="People drawn.")] = 4_000,
    items: Annotated[int, typer.Option(help="Most chosen items kept.")] = 2_000,
    seeds: Annotated[int, typer.Option(help="Trainings of every point.")] = 2,
) -> None:
    """Run the study; write runs/bench/study-scaling.json and .png."""
    one_thread()
    console, marketplace = Console(), people_of(data, out, users, items, 0)
    cells = Cells(out, {"minutes": minutes, "users": users, "items": items, "data": data.name})
    points = [(width, 1.0) for width in WIDTHS] + [(ONE_WIDTH, share) for share in SHARES[:-1]]
    part = minutes / seeds / len(points)
    made: dict[tuple[int, float], list[dict[str, float]]] = {point: [] for point in points}
    for seed in range(seeds):
        for width, share in points:
            name = f"{width}-{share}-{seed}"
            made[width, share].append(
                cells.cell(name, lambda w=width, s=share, n=seed: point_of(marketplace, w, s, n, part, out, console))
            )
            console.print(f"width {width}, share {share:g}, seed {seed}: {made[width, share][-1]}", highlight=False)
    tell(made, said(marketplace), data.name, console)


def point_of(
    marketplace: Marketplace, width: int, share: float, seed: int, minutes: float, out: Path, console: Console
) -> dict[str, float]:
    """One training: its size, its events, and its held-out loss."""
    items, options = marketplace.items(), TrainingOptions(seed=seed)
    whole = training_data(user_sequences(marketplace), {item.item_id: row for row, item in enumerate(items)}, options)
    rng = np.random.default_rng((seed, 1))
    kept = rng.permutation(len(whole.training))[: max(1, round(share * len(whole.training)))]
    data = replace(whole, training=[whole.training[row] for row in kept.tolist()])
    data.met[:] = False
    data.met[np.concatenate(data.training)] = True
    content = fit_content(items, options.content_width, rng).vectors
    model = reader(content, data, width, options, rng)
    asked = whole.validation
    cut = windows(data.training, model.decoder.shape.history_length + 1)
    plan = Plan("interest", EPOCHS, minutes, 1e-3, seed)
    checkpoint = out / "checkpoints" / f"{width}-{share}-{seed}.pt"
    stage = Stage(plan, model, CpuClock(), checkpoint)
    with console.status(f"width {width}, share {share:g}") as status:
        stage.run(
            lambda drawn: list(shuffled_batches(cut, plan.batch_users, True, drawn)),
            lambda batch, _: model.loss(batch),
            lambda: -held_out_loss(model, asked),
            lambda _, done, words: status.update(f"width {width}, share {share:g}, {done:.0%}: {words}"),
        )
    network = model.decoder
    parts = (network.input, network.position, network.blocks, network.norm, network.query)
    size = sum(parameter.numel() for part in parts for parameter in part.parameters()) + network.start.numel()
    return {"parameters": size, "events": data.events, "loss": -stage.best, "epochs": stage.epoch}


def reader(
    content: npt.NDArray[np.float32],
    data: TrainingData,
    width: int,
    options: TrainingOptions,
    rng: np.random.Generator,
) -> InterestModel:
    """The first stage's model with a network this wide, begun as `learn_interest` begins."""
    behaviour = behaviour_vectors(data.training, len(data.met), options.vector_width, rng)
    placed = np.flatnonzero(np.linalg.norm(behaviour, axis=1) > 0)
    interest = ridge(content[placed], behaviour[placed], 1.0)
    offsets = np.zeros_like(behaviour)
    offsets[placed] = behaviour[placed] - content[placed] @ interest
    torch.manual_seed(options.seed)
    shape = DecoderShape(1, 2, options.vector_width, width, options.heads, options.layers, dropout=0.2)
    return InterestModel(
        SemanticDecoder(shape, torch.zeros(1, 2, shape.vector_width)), content, interest, offsets, data.met
    )


def held_out_loss(model: InterestModel, asked: HeldOut) -> float:
    """Mean negative log-likelihood of held-out choices among all items not in the history, in nats."""
    vectors, total = model.vectors(), 0.0
    for start in range(0, len(asked.targets), 256):
        chunk = asked.histories[start : start + 256]
        scores = read_all(model.decoder, vectors, chunk).profiles @ vectors.T
        for row, history in enumerate(chunk):
            scores[row, history] = -torch.inf
        aims = torch.from_numpy(asked.targets[start : start + 256])
        total -= float(scores.log_softmax(dim=1).gather(1, aims[:, None]).sum())
    return total / max(len(asked.targets), 1)


def law(x: Floats, loss: Floats) -> Floats:
    """E, A and α of L = E + A · (x / x₀)^-α with the least squares, x₀ the geometric mean; all at least 0."""
    scaled = x / np.exp(np.log(x).mean())
    best = None
    for start in (0.1, 0.3, 1.0):
        guess = np.array([0.9 * loss.min(), loss.max() - 0.9 * loss.min(), start])
        found = least_squares(
            lambda p: p[0] + p[1] * scaled ** -p[2] - loss, guess, bounds=([0, 0, 0], [np.inf, np.inf, 3])
        )
        best = found if best is None or found.cost < best.cost else best
    return np.asarray(best.x)


def slope(x: Floats, loss: Floats) -> float:
    """α of L = A · x^-α: the straight line in logarithms."""
    return -float(np.polyfit(np.log(x), np.log(loss), 1)[0])


def explained(loss: Floats, fitted: Floats) -> float:
    """The share of the variance between points that a fit explains."""
    return 1 - float(np.square(loss - fitted).sum() / max(np.square(loss - loss.mean()).sum(), 1e-12))


def tell(made: dict[tuple[int, float], list[dict[str, float]]], people: str, data: str, console: Console) -> None:
    """Writes the rows and the picture."""
    report, drawing = Report("study-scaling"), Figure(figsize=(9, 4), layout="constrained")
    curves: dict[str, list[tuple[int, float]]] = {
        "parameters": [(width, 1.0) for width in WIDTHS],
        "events": [(ONE_WIDTH, share) for share in SHARES],
    }
    for axes, (name, points) in zip(drawing.subplots(1, 2), curves.items(), strict=True):
        one_curve(report, axes, name, [made[point] for point in points], f"{people} of {data}, {EPOCHS} epochs")
    drawing.suptitle("Held-out loss in nats; dots are single trainings, the band is 95 %")
    written = report.write()
    drawing.savefig(written.with_suffix(".png"), dpi=120)
    console.print(f"written: {written} and {written.with_suffix('.png')}", highlight=False)


def one_curve(report: Report, axes: Axes, name: str, points: Sequence[Sequence[dict[str, float]]], how: str) -> None:
    """The rows and the curve of one axis."""
    x = np.array([point[0][name] for point in points], dtype=float)
    losses = np.array([[one["loss"] for one in point] for point in points])  # [P, S]
    for size, point in zip(x, losses, strict=True):
        report.add(
            f"loss at {size:,.0f} {name}", point.mean(), "nats", f"{how}; {len(point)} trainings, sd {point.std():.4f}"
        )
    mean, rng = losses.mean(axis=1), np.random.default_rng(0)
    floor, scale, power = law(x, mean)
    drawn = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(losses.shape[1], size=losses.shape)
        again = np.take_along_axis(losses, chosen, axis=1).mean(axis=1)
        drawn.append((*law(x, again), slope(x, again)))
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    middle = np.exp(np.log(x).mean())
    fitted = floor + scale * (x / middle) ** -power
    straight = np.exp(np.polyval(np.polyfit(np.log(x), np.log(mean), 1), np.log(x)))
    report.add(
        f"α over {name}, with a floor", power, "",
        f"95 % {low[2]:.3f} to {high[2]:.3f}; floor {floor:.3f} nats (95 % {low[0]:.3f} to {high[0]:.3f}); explains "
        f"{explained(mean, fitted):.1%} of the variance between points; {how}", better="higher",
    )  # fmt: skip
    report.add(
        f"α over {name}, without a floor", slope(x, mean), "",
        f"95 % {low[3]:.4f} to {high[3]:.4f}; explains {explained(mean, straight):.1%}; {how}", better="higher",
    )  # fmt: skip
    grid = np.geomspace(x.min(), x.max(), 100)
    band = np.quantile([row[0] + row[1] * (grid / middle) ** -row[2] for row in drawn], (0.025, 0.975), axis=0)
    axes.scatter(np.repeat(x, losses.shape[1]), losses.ravel(), s=14, color="black", zorder=3)
    axes.plot(grid, floor + scale * (grid / middle) ** -power, label=f"{floor:.2f} + A·x^-{power:.2f}")
    axes.fill_between(grid, *band, alpha=0.2)
    axes.set_xscale("log")
    axes.set_xlabel(f"{name} of the network" if name == "parameters" else "events learned from")
    axes.legend(frameon=False)


if __name__ == "__main__":
    typer.run(main)
