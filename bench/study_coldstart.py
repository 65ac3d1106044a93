"""Cold start: how often new items are clicked under the engine's exploration, and under its rivals'.

In a made world 300 of 2,000 items are launched with the traffic; no log knows them. A share of the requests is offered
to new items. Of an offer, admission, matching, verdicts, prices and auctions are the engine's own for every policy; the
policies differ in how they rank the new items, and in where that ranking says an offer is worth taking:

- content nearest neighbours: the item whose content is nearest to the mean content of the person's history;
- two-tower: the item a two-tower model, trained on the same interactions, scores highest;
- the engine: candidates of the served proposer, drawn by `ThompsonDraw` from what was seen of each so far.

Every policy takes up the same share of its offers, those with the highest scores of its own (`Hurdle`), and stops after
the same number of impressions of new items. Beside that, all of them are measured taking up every offer, so that their
rankings alone are compared. Nothing before the draw depends on the draw, so offers are worked out once, for MOMENTS
requests of the world's day; each seed then draws its own sequence of them and its own luck, both the same for every
policy. Budgets and pacing of campaigns are left out, so that no policy starves another's ads.

The settings were chosen on the world of seed 21; what is reported comes from the world of seed 22.

    python bench/study_coldstart.py
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import scipy.stats
import torch
import typer
from report import Report, Row
from rich.console import Console
from rich.progress import track
from rich.table import Table
from study_world import REQUESTS, StudyWorld, prepare

from adgram.core.catalogue import Item
from adgram.core.clock import Deadline, SystemClock
from adgram.core.decision import Candidate, CandidateSource, Outcome, PricedAd
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.core.ports import ProposalContext
from adgram.discriminative.verifier import load_verifier
from adgram.engine.config import EngineConfig
from adgram.engine.exploration import ThompsonDraw, p_click_of
from adgram.engine.market import MarketModel
from adgram.engine.matching import match
from adgram.engine.newcomers import Evidence, Hurdle, Newcomers
from adgram.engine.pricing import Pricer, meets_reserve
from adgram.generative.training.content import fit_content
from adgram.generative.training.two_tower import TowerSettings, choices_of, fit_two_tower, person_of
from adgram.rules.admission import Admissions, Limits
from adgram.simulator.market_maker import MarketMaker, Offering, Terms
from adgram.simulator.world import World

WORLD_SEED, FIRST_SEED = 22, 100
MOMENTS = 3_000  # requests whose offers are worked out
SHARE = 0.2  # of requests are offered to new items
IMPRESSIONS_AN_ITEM = 20  # the budget, times the number of new items
MARKS = (5, 10, 20)  # impressions an item at which the click rate is looked at
CONTENT_WIDTH = 128
RIVALS = ("content nearest neighbours", "two-tower")
RIVALS_CANDIDATES = 16  # best first, so that one is eligible: only the first is shown
OURS = "adgram"


@dataclass(frozen=True, slots=True)
class Choice:
    """One ad with what would come of it."""

    item: int
    score: float  # the policy's own
    p_click: float  # the truth
    wins: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """The engine's side of an offer: the eligible ads of new items, and [M] what would come of each."""

    ads: list[PricedAd]
    items: npt.NDArray[np.int64]
    p_click: npt.NDArray[np.float64]
    wins: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Moment:
    """One request: what is shown without exploration, and what each policy would show of the new items."""

    usual: Choice | None
    rivals: dict[str, Choice]
    offer: Offer | None


@dataclass(frozen=True, slots=True)
class Course:
    """[T] requests in order, the same for all policies of a seed."""

    moments: npt.NDArray[np.int64]
    offered: npt.NDArray[np.bool_]
    luck: npt.NDArray[np.float64]  # a click happens where it is below the probability


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one policy on one course."""

    impressions: int
    rates: dict[int, float]  # click rate of new items after so many impressions an item
    clicks: int  # of all requests
    first_days: npt.NDArray[np.float64]  # [I] when each new item was first shown; inf for never


class Ranking:
    """Takes the item that stands highest in a fixed score."""

    def __init__(self, name: str, share: float) -> None:
        self._name, self._hurdle = name, Hurdle(share)

    def take(self, moment: Moment, number: int) -> Choice | None:  # noqa: ARG002
        """The ad to show, None where the offer is not taken up."""
        choice = moment.rivals.get(self._name)
        return choice if choice is not None and self._hurdle.passes(choice.score) else None

    def learn(self, choice: Choice, number: int, clicked: bool) -> None:
        """Nothing: these models are trained offline."""


class Exploring:
    """The engine's policy, told of impressions and clicks as the engine is."""

    def __init__(self, share: float, prior_clicks: float, item_ids: Sequence[str], rng: np.random.Generator) -> None:
        self._evidence, self._hurdle, self._rng = Evidence(), Hurdle(share), rng
        self._draw = ThompsonDraw(self._evidence, prior_clicks)
        self._item_ids = item_ids

    def take(self, moment: Moment, number: int) -> Choice | None:
        """The ad to show, None where the offer is not taken up."""
        offer = moment.offer
        if offer is None or not self._hurdle.passes(self._draw.promise(offer.ads)):
            return None
        index = self._draw.choose(offer.ads, self._rng).index
        self._evidence.promise(str(number), p_click_of(offer.ads[index]))
        return Choice(int(offer.items[index]), 0.0, float(offer.p_click[index]), bool(offer.wins[index]))

    def learn(self, choice: Choice, number: int, clicked: bool) -> None:
        """Afterwards an impression, and perhaps its click, is known."""
        item_id = self._item_ids[choice.item]
        told = [Feedback(FeedbackKind.BILLING, item_id=item_id, bid_id=str(number))]
        self._evidence.observe(told + [Feedback(FeedbackKind.CLICK, item_id=item_id)] * clicked)


def main(
    out: Annotated[Path, typer.Option(help="Folder of the world and its models.")] = Path("runs/studies/coldstart"),
    minutes: Annotated[float, typer.Option(help="Training time, where there are no models yet.")] = 3.5,
    seeds: Annotated[int, typer.Option(help="Seeds of the simulator.")] = 12,
) -> None:
    """Run the study; write runs/bench/study-coldstart.json."""
    console = Console()
    torch.set_num_threads(1)
    world = prepare(out, minutes, WORLD_SEED)
    newcomers = np.flatnonzero(Newcomers(EngineConfig().newcomer_popularity).among(world.snapshot.items))
    moments = _moments(world, newcomers, console)
    budget = IMPRESSIONS_AN_ITEM * len(newcomers)
    taken = EngineConfig().newcomer_taken
    played: dict[float, list[dict[str, Result]]] = {}
    for share in (taken, 1.0):
        played[share] = [
            _played(world, moments, newcomers, share, budget, FIRST_SEED + seed)
            for seed in track(range(seeds), f"courses, {share:.0%} of offers taken up", console=console)
        ]
    _tell(played, taken, budget, len(newcomers), console)


def _played(
    world: StudyWorld,
    moments: Sequence[Moment],
    newcomers: npt.NDArray[np.int64],
    share: float,
    budget: int,
    seed: int,
) -> dict[str, Result]:
    """Every policy's outcome on the course of one seed, and that of exploring nothing ("none")."""
    rng = np.random.default_rng(seed)
    length = int(budget / (SHARE * share) * 1.6)  # auctions are lost and some requests admit no new item
    course = Course(rng.integers(0, len(moments), length), rng.random(length) < SHARE, rng.random(length))
    usual = np.array([moment.usual.p_click if moment.usual and moment.usual.wins else 0.0 for moment in moments])
    clicked = course.luck < usual[course.moments]
    prior = EngineConfig().newcomer_prior_clicks
    ids = world.snapshot.items.item_ids
    policies: dict[str, Ranking | Exploring] = {name: Ranking(name, share) for name in RIVALS}
    policies[OURS] = Exploring(share, prior, ids, np.random.default_rng((seed, 1)))
    outcomes = {"none": Result(0, {}, int(clicked.sum()), np.empty(0))}
    for name, policy in policies.items():
        outcomes[name] = _explored(policy, moments, course, clicked, newcomers, budget)
    return outcomes


def _explored(
    policy: Ranking | Exploring,
    moments: Sequence[Moment],
    course: Course,
    clicked: npt.NDArray[np.bool_],
    newcomers: npt.NDArray[np.int64],
    budget: int,
) -> Result:
    impressions, gained, total = 0, 0, int(clicked.sum())
    first = dict.fromkeys(newcomers.tolist(), np.inf)
    rates: dict[int, float] = {}
    for number in np.flatnonzero(course.offered).tolist():
        choice = policy.take(moments[course.moments[number]], number)
        if choice is None:
            continue
        total -= int(clicked[number])  # the usual ad is not shown
        if not choice.wins:
            continue
        impressions += 1
        click = bool(course.luck[number] < choice.p_click)
        gained, total = gained + click, total + click
        policy.learn(choice, number, click)
        first[choice.item] = min(first[choice.item], number / REQUESTS)
        if impressions % len(newcomers) == 0:
            rates[impressions // len(newcomers)] = gained / impressions
        if impressions == budget:
            break
    return Result(impressions, rates, total, np.array(list(first.values())))


def _moments(world: StudyWorld, newcomers: npt.NDArray[np.int64], console: Console) -> list[Moment]:
    """MOMENTS requests of the day, each with what everybody would show."""
    offerings = list(MarketMaker(world.marketplace, Terms("CNY", 50, 2)).all())
    chosen = np.sort(np.random.default_rng(0).choice(len(offerings), MOMENTS, replace=False))
    desk = _Desk(world, newcomers)
    return [desk.moment(offerings[number]) for number in track(chosen.tolist(), "offers", console=console)]


class _Desk:
    """Works offers out with the engine's own parts."""

    def __init__(self, world: StudyWorld, newcomers: npt.NDArray[np.int64]) -> None:
        self._world, self._clock = world, SystemClock()
        self._audience = World.open(world.marketplace, FIRST_SEED)
        self._verifier = load_verifier(world.models / "scorer")
        self._admissions, self._pricer = Admissions(), Pricer(MarketModel())
        self._candidates = EngineConfig().candidates
        items = world.snapshot.items
        self._new = np.zeros(items.count, dtype=np.bool_)
        self._new[newcomers] = True
        catalogue: list[Item] = [entry.item for entry in world.encoded]
        self._content = fit_content(catalogue, CONTENT_WIDTH, np.random.default_rng(0)).vectors
        slots = {item_id: slot for slot, item_id in enumerate(items.item_ids)}
        self._slots = slots
        histories = [np.array([slots[one.item_id] for one in past]) for past in world.pasts.values()]
        self._towers = fit_two_tower(choices_of(histories, self._content), self._content, TowerSettings())
        with torch.inference_mode():
            self._towered = self._towers.items(torch.from_numpy(self._content)).numpy()

    def moment(self, offering: Offering) -> Moment:
        """The request with everybody's choices."""
        world, request = self._world, offering.request
        user = world.snapshot.user(request.viewer.user_key)
        history = user.history if user else ()
        admission = self._admissions.admit(world.snapshot, request, request.impressions[0], Limits(), user)

        def proposed(admitted: npt.NDArray[np.bool_]) -> list[str]:
            if not admitted.any():
                return []
            deadline = Deadline.after_ms(60_000, self._clock)
            context = ProposalContext(world.snapshot, admitted, history, self._candidates, deadline)
            return [one.item_id for one in world.proposer.propose(context).candidates]

        def eligible(item_ids: Sequence[str]) -> list[PricedAd]:
            return self._eligible(item_ids, offering, admission.creatives)

        usual = eligible(proposed(admission.items))
        new = admission.items & self._new
        ads = eligible(proposed(new))
        outcomes = [self._choice(ad, 0.0, offering) for ad in ads]
        offer = Offer(
            ads,
            np.array([one.item for one in outcomes]),
            np.array([one.p_click for one in outcomes]),
            np.array([one.wins for one in outcomes]),
        )
        past = np.array([self._slots[one.item_id] for one in history], dtype=np.int64)
        rivals: dict[str, Choice] = {}
        for name, scores in zip(RIVALS, self._rivals_scores(past), strict=True):
            ranked = np.flatnonzero(new)[np.argsort(-scores[new], kind="stable")][:RIVALS_CANDIDATES]
            ads_of = eligible([world.snapshot.items.item_ids[slot] for slot in ranked.tolist()])
            if ads_of:
                # Of one item's ads the best priced, which come first.
                best = max(ads_of, key=lambda ad: scores[self._slots[ad.judged.ad.creative.item_id]])
                rivals[name] = self._choice(best, float(scores[self._slots[best.judged.ad.creative.item_id]]), offering)
        return Moment(self._choice(usual[0], 0.0, offering) if usual else None, rivals, offer if ads else None)

    def _rivals_scores(self, past: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        read = person_of(past, self._content)
        mean = self._content[past].mean(axis=0) if len(past) else np.zeros(CONTENT_WIDTH, np.float32)
        with torch.inference_mode():
            person = self._towers.people(torch.from_numpy(read[None])).numpy()[0]
        return self._content @ mean, self._towered @ person

    def _eligible(
        self, item_ids: Sequence[str], offering: Offering, admitted_creatives: npt.NDArray[np.bool_]
    ) -> list[PricedAd]:
        """The items' ads that may be shown and meet the floor, best priced first: steps 4 to 6 of the pipeline."""
        snapshot, request = self._world.snapshot, offering.request
        candidates = [Candidate(item_id, (), None, CandidateSource.MEMORY, 0.0) for item_id in item_ids]
        ads = match(candidates, request.impressions[0], admitted_creatives, snapshot, EngineConfig().considered_ads)
        environment = snapshot.environment(request.place.place_id, request.event_time)
        judged = self._verifier.judge(ads, request, environment, snapshot)
        priced = (self._pricer.price(one, request, {}) for one in judged if one.verdict.outcome is Outcome.ALLOW)
        worthy = [ad for ad in priced if meets_reserve(ad)]
        return sorted(worthy, key=lambda ad: (-ad.bid_price.micros, ad.judged.ad.creative.creative_id))

    def _choice(self, ad: PricedAd, score: float, offering: Offering) -> Choice:
        creative = ad.judged.ad.creative
        p_click = self._audience.p_click(offering, creative.item_id, creative.creative_id)
        wins = ad.bid_price.micros >= (offering.market_price_micros or 0)
        return Choice(self._slots[creative.item_id], score, p_click, wins)


def _tell(
    played: dict[float, list[dict[str, Result]]], taken: float, budget: int, newcomers: int, console: Console
) -> None:
    rows: list[Row] = []
    for share, courses in played.items():
        short = [name for course in courses for name in (*RIVALS, OURS) if course[name].impressions < budget]
        if short:
            console.print(
                f"[red]{len(short)} courses ended before the budget was spent; their policies: {set(short)}[/]"
            )
        table = Table(
            f"{share:.0%} of offers taken up", *(f"click rate, {mark} an item" for mark in MARKS), "total clicks",
            "first impression after", "never shown",
        )  # fmt: skip
        for name in (*RIVALS, OURS):
            outcomes = [course[name] for course in courses]
            rates = [np.mean([one.rates.get(mark, np.nan) for one in outcomes]) for mark in MARKS]
            total = np.mean([one.clicks for one in outcomes])
            hours = np.mean([_median_hours(one) for one in outcomes])
            never = np.mean([np.isinf(one.first_days).mean() for one in outcomes])
            table.add_row(name, *(f"{rate:.4f}" for rate in rates), f"{total:,.0f}", f"{hours:.1f} h", f"{never:.1%}")
        none = np.mean([course["none"].clicks for course in courses])
        table.add_row("no exploration", *("" for _ in MARKS), f"{none:,.0f}", "", "")
        console.print(table)
        how = (
            f"{len(courses)} paired seeds, {budget:,} impressions of {newcomers} new items for each policy, "
            f"{SHARE:.0%} of requests offered, {share:.0%} of offers taken up; mean and 95 % t-interval over seeds"
        )
        main = share == taken
        rows += _rows(courses, how, "" if main else ", every offer taken up", main)
    for row in rows:
        console.print(f"{row.name}: {row.value:.4g} {row.unit}  [{row.how.rsplit(': ', 1)[-1]}]", highlight=False)
    console.print(f"written: {Report('study-coldstart', rows).write()}", highlight=False)


def _rows(courses: Sequence[dict[str, Result]], how: str, suffix: str, main: bool) -> list[Row]:
    rows = []
    last = MARKS[-1]
    for rival in RIVALS:
        lifts = [course[OURS].rates[last] / course[rival].rates[last] - 1 for course in courses]
        goal = 40.0 if main else None
        rows.append(_row(f"click rate of new items over {rival}{suffix}", lifts, goal, how))
    for other in (*RIVALS, "none"):
        changes = [course[OURS].clicks / course[other].clicks - 1 for course in courses]
        words = "no exploration" if other == "none" else other
        rows.append(_row(f"total clicks against {words}{suffix}", changes, -1.0 if main else None, how))
    for name in (*RIVALS, OURS):
        hours = [_median_hours(course[name]) for course in courses]
        low, high = _interval(hours)
        told = f"{how}; median over the items shown at all, a day has {REQUESTS:,} requests: {low:.1f} to {high:.1f}"
        title = f"time to first impression of a new item, {name}{suffix}"
        rows.append(Row(title, float(np.mean(hours)), "hours", "lower", None, told))
        shown = [100 * float(np.isfinite(course[name].first_days).mean()) for course in courses]
        low, high = _interval(shown)
        title = f"new items shown at all, {name}{suffix}"
        rows.append(Row(title, float(np.mean(shown)), "%", "higher", None, f"{how}: {low:.1f} to {high:.1f}"))
    return rows


def _row(name: str, shares: Sequence[float], goal: float | None, how: str) -> Row:
    low, high = _interval([100 * share for share in shares])
    return Row(name, 100 * float(np.mean(shares)), "%", "higher", goal, f"{how}: {low:.1f} to {high:.1f}")


def _median_hours(result: Result) -> float:
    """From launch to the first impression, the median of the items that had one."""
    return 24 * float(np.median(result.first_days[np.isfinite(result.first_days)]))


def _interval(values: Sequence[float]) -> tuple[float, float]:
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values))
    return float(low), float(high)


if __name__ == "__main__":
    typer.run(main)
