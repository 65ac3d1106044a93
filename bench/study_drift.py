"""Drift: how many events after a shift of interests the hit rate is back, with and without short-term interest.

People of a made world do 20 things, then from one moment on have the interests of a stranger (none shared), and do 40
more. Before every one of them a proposer is asked for ten items of the whole catalogue, items of the newest 50 events
masked; a hit is the very item that follows. Items taken again are not counted, as in `adgram eval`.

Asked are: what `adgram serve` asks (the newest events, oldest first); the same model given the long-term interests that
memory keeps (greatest last) in place of the newest events; the items nearest to the mean of those interests, weighed;
and the items nearest to the plain mean of everything a person ever did.

    python bench/study_drift.py
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import typer
from matplotlib.figure import Figure
from report import Report, Row
from rich.console import Console
from rich.progress import track
from rich.table import Table
from study_world import StudyWorld, prepare, remembered

from adgram.core.clock import NS_PER_HOUR, Deadline, SystemClock
from adgram.core.feedback import FeedbackKind, Interaction, UserState
from adgram.core.ports import ProposalContext
from adgram.simulator.market.drift import make_shift

WORLD_SEED = 21
BEFORE, AFTER, TOP = 20, 40, 10
MINUTE_NS = NS_PER_HOUR // 60
LEVEL = range(-5, 0)  # events before the shift whose mean hit rate is the level to regain
ASKED = (*range(1, 13), 14, 16, 18, 20, 25, 30, 35, 40)  # which events after the shift are asked for
SMOOTH = 3  # neighbouring points averaged before one is called regained: single ones are noisy
REGAINED = 0.9
WITHIN = 10  # the stated number of events
SERVED = "served: short-term history"


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known of a person when the next event is asked for; `everything` is [E] item slots, oldest first."""

    state: UserState
    everything: npt.NDArray[np.int64]
    admitted: npt.NDArray[np.bool_]


Ranker = Callable[[Moment], Sequence[int]]


def main(
    out: Annotated[Path, typer.Option(help="Folder of the world and its models; the plot goes to runs/bench.")] = Path(
        "runs/studies/drift"
    ),
    minutes: Annotated[float, typer.Option(help="Training time, where there are no models yet.")] = 3.5,
    seeds: Annotated[int, typer.Option(help="Shifts drawn: other people, other strangers, other journeys.")] = 12,
    people: Annotated[int, typer.Option(help="People of each shift.")] = 100,
) -> None:
    """Run the study; write runs/bench/study-drift.json and .png."""
    world, console = prepare(out, minutes, WORLD_SEED), Console()
    rankers = _rankers(world)
    points = (*LEVEL, *ASKED)
    hits = np.zeros((len(rankers), seeds, len(points)))
    asked = np.zeros((seeds, len(points)))
    for seed in track(range(seeds), "shifts", console=console):
        _one_shift(world, seed, people, points, list(rankers.values()), hits[:, seed], asked[seed])
    _tell(list(rankers), points, hits, asked, people, console)


def _one_shift(
    world: StudyWorld,
    seed: int,
    people: int,
    points: Sequence[int],
    rankers: Sequence[Ranker],
    hits: npt.NDArray[np.float64],
    asked: npt.NDArray[np.float64],
) -> None:
    """Afterwards `hits` [rankers, points] and `asked` [points] count the events of one drawn shift."""
    rng, truth, items = np.random.default_rng(seed), world.truth, world.snapshot.items
    users = rng.choice(len(truth.user_place), people, replace=False)
    shift = make_shift(truth, users, BEFORE, AFTER, rng)
    begins = truth.climate.start + truth.user_vectors.shape[1] * 24 * NS_PER_HOUR - 4 * NS_PER_HOUR
    for person, user in enumerate(users.tolist()):
        user_id = f"u{user:06d}"
        past = list(world.pasts.get(user_id, ()))
        taken = np.concatenate((shift.before[person], shift.after[person]))
        future = [
            Interaction(
                items.item_ids[slot], FeedbackKind.CLICK, begins + (number + 60 * (number >= BEFORE)) * MINUTE_NS
            )
            for number, slot in enumerate(taken.tolist())
        ]
        for column, point in enumerate(points):
            known = BEFORE + point - (point > 0)  # events of `future` that have happened; there is no event 0
            target = int(taken[known])
            state = remembered(user_id, past + future[:known])
            admitted = items.alive.copy()
            admitted[[world.snapshot.slot(one.item_id) for one in state.history]] = False
            if not admitted[target]:
                continue
            everything = np.array([world.snapshot.slot(one.item_id) for one in past + future[:known]])
            moment = Moment(state, everything, admitted)
            asked[column] += 1
            for row, ranker in enumerate(rankers):
                hits[row, column] += target in ranker(moment)


def _rankers(world: StudyWorld) -> dict[str, Ranker]:
    clock, vectors = SystemClock(), world.vectors

    def proposed(history: tuple[Interaction, ...], moment: Moment) -> list[int]:
        context = ProposalContext(world.snapshot, moment.admitted, history, TOP, Deadline.after_ms(60_000, clock))
        slots = (world.snapshot.slot(one.item_id) for one in world.proposer.propose(context).candidates)
        return [slot for slot in slots if slot is not None]

    def served(moment: Moment) -> list[int]:
        return proposed(moment.state.history, moment)

    def long_term(moment: Moment) -> list[int]:
        interests = tuple(
            Interaction(one.item_id, FeedbackKind.CLICK, place)
            for place, one in enumerate(reversed(moment.state.interests))
        )
        return proposed(interests, moment)

    def near(profile: npt.NDArray[np.float32], moment: Moment) -> list[int]:
        scores = np.where(moment.admitted, vectors @ profile, -np.inf)
        return np.argsort(-scores, kind="stable")[:TOP].tolist()

    def near_interests(moment: Moment) -> list[int]:
        slots = [world.snapshot.slot(one.item_id) for one in moment.state.interests]
        return near(np.array([one.weight for one in moment.state.interests], np.float32) @ vectors[slots], moment)

    def near_everything(moment: Moment) -> list[int]:
        return near(vectors[moment.everything].mean(axis=0), moment)

    return {
        SERVED: served,
        "same model, long-term interests": long_term,
        "nearest to long-term interests": near_interests,
        "nearest to the mean of everything": near_everything,
    }


def _regained_at(curve: npt.NDArray[np.float64], level: float) -> int:
    """After how many events the curve over ASKED, smoothed, first reaches REGAINED of the level; AFTER if never."""
    for place in range(len(ASKED) - SMOOTH + 1):
        if curve[place : place + SMOOTH].mean() >= REGAINED * level:
            return ASKED[place] - 1
    return AFTER


def _tell(
    names: Sequence[str],
    points: Sequence[int],
    hits: npt.NDArray[np.float64],
    asked: npt.NDArray[np.float64],
    people: int,
    console: Console,
) -> None:
    """Prints the table, draws the plot, writes the rows. Intervals are 95 %, over shifts (bootstrap)."""
    seeds, level_points = asked.shape[0], len(LEVEL)
    rng, rows = np.random.default_rng(0), []
    late = [place for place, point in enumerate(points) if WITHIN < point <= WITHIN + 6]
    how = (
        f"{seeds} shifts of {people} people each, one trained world; hit rate at {TOP} over the whole catalogue; the "
        f"level is that of the {level_points} events before; 95 % interval over shifts"
    )
    table = Table("", "level before", "first after", f"after {WITHIN}", f"share regained after {WITHIN}", "90 % after")
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    draws = rng.integers(0, seeds, (2000, seeds))
    for name, counted in zip(names, hits, strict=True):

        def curve(chosen: npt.NDArray[np.int64], counted: npt.NDArray[np.float64] = counted) -> npt.NDArray[np.float64]:
            return counted[chosen].sum(axis=0) / asked[chosen].sum(axis=0)

        def share(chosen: npt.NDArray[np.int64], counted: npt.NDArray[np.float64] = counted) -> float:
            total, number = counted[chosen].sum(axis=0), asked[chosen].sum(axis=0)
            level = total[:level_points].sum() / number[:level_points].sum()
            return float(total[late].sum() / number[late].sum() / level)

        everybody = np.arange(seeds)
        mean = curve(everybody)
        level = float(counted[:, :level_points].sum() / asked[:, :level_points].sum())
        drawn = np.array([curve(chosen) for chosen in draws])
        shares = np.quantile([share(chosen) for chosen in draws], (0.025, 0.975))
        levels = [counted[chosen, :level_points].sum() / asked[chosen, :level_points].sum() for chosen in draws]
        when = [_regained_at(one[level_points:], float(of)) for one, of in zip(drawn, levels, strict=True)]
        back, (soonest, latest) = _regained_at(mean[level_points:], level), np.quantile(when, (0.025, 0.975))
        regained = share(everybody)
        never = "never" if back == AFTER else f"{back} ({soonest:.0f} to {latest:.0f})"
        table.add_row(
            name, f"{level:.3f}", f"{mean[level_points]:.3f}", f"{mean[late].mean():.3f}",
            f"{regained:.2f} ({shares[0]:.2f} to {shares[1]:.2f})", never,
        )  # fmt: skip
        low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
        (line,) = axes.plot(points, mean, marker=".", label=name)
        axes.fill_between(points, low, high, alpha=0.15, color=line.get_color())
        axes.axhline(REGAINED * level, color=line.get_color(), lw=0.7, ls=":")
        better: Literal["higher", "lower"] = "higher" if name == SERVED else "lower"
        interval = f"{how}: {shares[0]:.3f} to {shares[1]:.3f}; events {WITHIN + 1} to {WITHIN + 6} after the shift"
        rows.append(Row(f"drift, share of the level regained, {name}", regained, "share", better, REGAINED, interval))
        interval = (
            f"{how}: {soonest:.0f} to {latest:.0f}; {SMOOTH} points smoothed, {AFTER} = not within {AFTER} events"
        )
        better, goal = ("lower", WITHIN) if name == SERVED else ("higher", WITHIN + 1)
        rows.append(Row(f"drift, events until 90 % regained, {name}", back, "events", better, goal, interval))
    axes.axvline(0, color="grey", lw=0.8)
    axes.set_xlabel("events since every interest was exchanged")
    axes.set_ylabel(f"hit rate at {TOP}")
    axes.set_title("The dotted lines are 90 % of each level before the shift")
    axes.legend(frameon=False)
    console.print(table)
    written = Report("study-drift", rows).write()
    figure.savefig(written.with_suffix(".png"), dpi=120)
    curves = {name: (h.sum(axis=0) / asked.sum(axis=0)).round(4).tolist() for name, h in zip(names, hits, strict=True)}
    console.print(json.dumps({"points": list(points), **curves}), soft_wrap=True)
    console.print(f"written: {written} and {written.with_suffix('.png')}", highlight=False)


if __name__ == "__main__":
    typer.run(main)
