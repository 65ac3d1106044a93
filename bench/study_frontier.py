"""Relevance against revenue: the value weight λ in the decode, beside re-ranking what a plain decode found.

People of a made world who chose something are asked for ten items, the decoder alone, whatever they had before masked.
Both ways rank by log-probability + weight · log value, with the served values (best bid of the item's creatives × prior
rates): the decode with the weight as its λ, which steers the beams, and a plain decode of as many beams, re-ranked. The
truth, which neither sees, says what the ten were worth: the mean probability of a click (relevance) and the mean money
that an impression brings by each campaign's objective (revenue).

Differences are taken at equal relevance: against the most that re-ranking earns at that relevance or more, on straight
lines between its points. Only weights count from the one of the greatest relevance on: values hold click rates, so a
little weight makes both better, and there is nothing to trade. Intervals are over people (bootstrap of both curves
together).

    python bench/study_frontier.py
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from matplotlib.figure import Figure
from report import Report
from rich.progress import track
from study_world import StudyWorld, prepare

from adgram.core.catalogue import Objective
from adgram.core.clock import Deadline, SystemClock
from adgram.core.decision import Candidate
from adgram.core.ports import ProposalContext, Proposer
from adgram.discriminative.priors import ScorerPriors, load_priors
from adgram.engine.values import ItemValues
from adgram.generative.config import GenerativeConfig
from adgram.generative.proposer import load_proposer
from adgram.generative.worth import worths_of
from adgram.simulator.market.truth import Showing, Truth

WORLD_SEED, PEOPLE_SEED, TOP = 31, 1, 10
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 11.0, 16.0, 24.0, 40.0)
WIDTHS = (16, 32, 128)
RESAMPLES = 1_000
EVENING_HOURS = 4  # before the end of the world's last day

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Market:
    """What items earn, by slot."""

    values: npt.NDArray[np.float32]  # [N] micros an impression, by prior rates: what is served
    bids: Floats  # [N] of the creative behind the value
    clicks: npt.NDArray[np.bool_]  # [N] whether it pays for clicks or conversions
    conversions: npt.NDArray[np.bool_]  # [N] whether it pays for conversions


@dataclass(frozen=True, slots=True)
class Curve:
    """One way to rank, over the weights: [weights, people] each."""

    relevance: Floats
    revenue: Floats


def main(
    out: Annotated[Path, typer.Option(help="Folder of the world and its models.")] = Path("runs/studies/frontier"),
    minutes: Annotated[float, typer.Option(help="Training time, where there are no models yet.")] = 2.0,
    people: Annotated[int, typer.Option(help="People asked.")] = 400,
) -> None:
    """Run the study; write runs/bench/study-frontier.json and .png."""
    world, report = prepare(out, minutes, WORLD_SEED), Report("study-frontier")
    market = _market(world, load_priors(world.models / "scorer"))
    rng = np.random.default_rng(PEOPLE_SEED)
    users = rng.choice(sorted(world.pasts), min(people, len(world.pasts)), replace=False).tolist()
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    for place, width in enumerate(WIDTHS):
        steered, reranked = _curves(world, market, users, width)
        _tell(report, width, steered, reranked)
        axes = figure.add_subplot(1, len(WIDTHS), place + 1)
        for name, curve, mark in (("λ in the decode", steered, "o-"), ("re-ranked", reranked, "s--")):
            axes.plot(curve.relevance.mean(axis=1), curve.revenue.mean(axis=1) / 1e3, mark, label=name, markersize=4)
        axes.set(title=f"{width} beams", xlabel="probability of a click", ylabel="revenue per thousand impressions")
        axes.legend()
    written = report.write()
    figure.savefig(written.with_suffix(".png"), dpi=110)


def _market(world: StudyWorld, priors: ScorerPriors) -> Market:
    snapshot, columns = world.snapshot, world.snapshot.creatives
    alive = columns.alive & (columns.item_slot >= 0) & (columns.campaign_slot >= 0)
    values = ItemValues(priors)
    best = values.of(snapshot, alive)
    bids, clicks = np.zeros(len(best)), np.zeros(len(best), np.bool_)
    conversions = clicks.copy()
    for creative in np.flatnonzero(alive).tolist():
        item, campaign = int(columns.item_slot[creative]), snapshot.campaigns[int(columns.campaign_slot[creative])]
        alone = np.zeros(len(alive), np.bool_)
        alone[creative] = True
        if campaign.active and bids[item] == 0 and values.of(snapshot, alone)[item] == best[item]:
            bids[item] = campaign.bid.micros
            clicks[item] = campaign.objective is not Objective.IMPRESSION
            conversions[item] = campaign.objective is Objective.CONVERSION
    return Market(best, bids, clicks, conversions)


def _curves(world: StudyWorld, market: Market, users: list[str], width: int) -> tuple[Curve, Curve]:
    """The decode under each weight, and the plain decode re-ranked by each."""
    steered = Curve(*np.zeros((2, len(WEIGHTS), len(users))))
    reranked = Curve(*np.zeros((2, len(WEIGHTS), len(users))))
    proposers = [_proposer(world, width, weight) for weight in WEIGHTS]
    for person, user_id in enumerate(track(users, f"{width} beams")):
        context = _context(world, market, user_id)
        plain = proposers[0].propose(context).candidates
        for row, weight in enumerate(WEIGHTS):
            found = proposers[row].propose(context).candidates[:TOP]
            _settle(world, market, user_id, found, steered, row, person)
            again = _again(world, context, plain, weight)
            _settle(world, market, user_id, again, reranked, row, person)
    return steered, reranked


def _proposer(world: StudyWorld, width: int, weight: float) -> Proposer:
    return load_proposer(
        world.models / "decoder", GenerativeConfig(beam_width=width, memory=False, value_weight=weight)
    )


def _context(world: StudyWorld, market: Market, user_id: str) -> ProposalContext:
    snapshot, past = world.snapshot, world.pasts[user_id]
    admitted = snapshot.items.alive & (market.values > 0)
    had = [slot for slot in (snapshot.slot(one.item_id) for one in past) if slot is not None]
    admitted[had] = False
    return ProposalContext(
        snapshot=snapshot,
        admitted=admitted,
        history=past,
        limit=snapshot.items.count,
        deadline=Deadline.after_ms(60_000, SystemClock()),
        values=market.values,
    )


def _again(
    world: StudyWorld, context: ProposalContext, plain: tuple[Candidate, ...], weight: float
) -> tuple[Candidate, ...]:
    """The plain decode's candidates, ranked by score + weight · log value; the best TOP."""
    assert context.values is not None
    worths = worths_of(context.values, context.admitted, weight) if weight else np.zeros(len(context.values))
    assert worths is not None
    slots = [world.snapshot.slot(one.item_id) for one in plain]
    ranks = np.array([one.score for one in plain]) + worths[np.array(slots, np.int64)]
    return tuple(plain[place] for place in np.argsort(-ranks, kind="stable")[:TOP])


def _settle(
    world: StudyWorld,
    market: Market,
    user_id: str,
    shown: tuple[Candidate, ...],
    curve: Curve,
    row: int,
    person: int,
) -> None:
    """Afterwards the curve has what these items, shown to this person, are worth by the truth."""
    items = np.array([world.snapshot.slot(one.item_id) for one in shown], np.int64)
    seen = _showing(world.truth, int(user_id[1:]), items)
    p_click, p_convert = world.truth.p_click(seen), world.truth.p_convert(seen)
    paid = np.where(market.clicks[items], p_click, 1.0) * np.where(market.conversions[items], p_convert, 1.0)
    curve.relevance[row, person] = p_click.mean()
    curve.revenue[row, person] = (market.bids[items] * paid).mean()


def _showing(truth: Truth, user: int, items: npt.NDArray[np.int64]) -> Showing:
    """Each item shown to the person alone, at the place they live, on a phone, in its plain scene."""
    count, hour = len(items), truth.user_vectors.shape[1] * 24 - EVENING_HOURS
    same = np.zeros(count, np.int64)
    return Showing(
        user=same + user,
        item=items,
        theme=same,
        place=same + int(truth.user_place[user]),
        hour=same + hour,
        position=same,
        phone=np.ones(count, np.bool_),
    )


def _tell(report: Report, width: int, steered: Curve, reranked: Curve) -> None:
    """Both curves, and the revenue gained at equal relevance under each weight that re-ranking can match."""
    rng = np.random.default_rng(0)
    people = steered.relevance.shape[1]
    draws = rng.integers(0, people, (RESAMPLES, people))
    gains = np.array([_gains(steered, reranked, draw) for draw in draws])  # [resamples, weights]
    for name, curve in (("λ in the decode", steered), ("re-ranked", reranked)):
        for row, weight in enumerate(WEIGHTS):
            clicks = f"probability of a click {curve.relevance[row].mean():.4f}"
            money = float(curve.revenue[row].mean()) / 1e3
            report.add(f"{width} beams, {name}, weight {weight:g}", money, "units per mille", clicks, better="higher")
    peak = int(steered.relevance.mean(axis=1).argmax())  # up to here more weight costs nothing: not yet a frontier
    for row, gain in enumerate(_gains(steered, reranked, np.arange(people))):
        if np.isfinite(gain) and row >= peak:
            low, high = np.nanpercentile(gains[:, row], (2.5, 97.5))
            how = f"revenue over re-ranking's at equal relevance, 95 % [{low:+.2f}, {high:+.2f}], {people} people"
            report.add(f"{width} beams: gained by λ = {WEIGHTS[row]:g}", gain, "%", how, better="higher", to_reach=0.0)


def _gains(steered: Curve, reranked: Curve, people: npt.NDArray[np.int64]) -> Floats:
    """[weights] in %, over the most that re-ranking earns at that relevance or more; NaN where it never is."""
    at, money = reranked.relevance[:, people].mean(axis=1), reranked.revenue[:, people].mean(axis=1)
    order = np.argsort(-at)
    most = np.maximum.accumulate(money[order])
    wanted, earned = steered.relevance[:, people].mean(axis=1), steered.revenue[:, people].mean(axis=1)
    matched = np.interp(wanted, at[order][::-1], most[::-1], right=np.nan)
    return np.asarray(100 * (earned / matched - 1), np.float64)


if __name__ == "__main__":
    typer.run(main)
