"""`adgram simulate`: plays a marketplace's traffic against a running endpoint and tells how it went."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..core.clock import SystemClock
from ..core.errors import Unavailable
from ..core.exchange import Answer, Notice
from ..core.marketplace import Marketplace
from ..core.ports import Bidder, EventPublisher
from ..core.pseudonym import Pseudonymiser
from ..core.request import BidRequest
from ..simulator.client import GrpcBidder
from ..simulator.inspection import Inspector
from ..simulator.loop import Loop, Pace
from ..simulator.market.climate import Climate
from ..simulator.market_maker import MarketMaker, Offering, Terms
from ..simulator.report import Line, Report
from ..simulator.rivals import Rivals
from ..simulator.scenario import make_agenda, scenario_named, shocked
from ..simulator.settlement import AgainstRivals, AtPaidPrice, SettlementRule
from ..simulator.statistics import EngineStats
from ..simulator.tally import Tally
from ..simulator.world import Audience, SilentAudience, World, audience_of

REACH_S = 10.0  # how long an endpoint may take to come up beside us


@dataclass(frozen=True, slots=True)
class Course:
    """How to simulate: which scenario over how many requests, at what pace, under which seed."""

    requests: int = 5000
    scenario: str = "peak"
    seed: int = 1
    rivals: int = 4
    timeout_ms: int = 50
    auction_type: int = 2
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class Check:
    """One claim about a settled log; a hard one that does not hold fails the run."""

    name: str
    value: str
    wanted: str
    holds: bool
    hard: bool = True


def simulate(
    marketplace: Path,
    address: str,
    course: Course,
    secret: bytes,
    publisher: EventPublisher | None,
    report: Path | None,
    console: Console | None = None,
) -> Report:
    """Afterwards the course was played against the endpoint, its table printed and its page written.

    Args:
        publisher: where clicks, conversions, visits and weather go; None keeps them to ourselves.
        secret: makes user keys of raw ids, the same as the engine's.

    Raises:
        Unavailable: the endpoint cannot be reached.
    """
    console = console or Console()
    told = asyncio.run(_simulate(Marketplace(marketplace), address, course, secret, publisher, console))
    return _tell(told, report, console)


async def _simulate(
    marketplace: Marketplace,
    address: str,
    course: Course,
    secret: bytes,
    publisher: EventPublisher | None,
    console: Console,
) -> Report:
    async with GrpcBidder(address) as bidder:
        await bidder.ready(REACH_S)
        before = await bidder.stats()
        told = await play(marketplace, bidder, course, secret, publisher, console)
        stats = (await bidder.stats()).since(before)
    return Report(told.title, told.tally, stats, told.climate, told.notes)


async def play(
    marketplace: Marketplace,
    bidder: Bidder,
    course: Course,
    secret: bytes,
    publisher: EventPublisher | None,
    console: Console | None = None,
) -> Report:
    """Afterwards the course was played against any bidder, in process or not; the engine's own counts are not in the report."""
    terms = Terms(marketplace.manifest.currency, course.timeout_ms, course.auction_type)
    maker = MarketMaker(marketplace, terms)
    offerings: Sequence[Offering] = list(maker.all() if course.scenario == "day" else maker.peak(course.requests))
    offerings = offerings[: course.requests]
    people = audience_of(marketplace, course.seed)
    climate = people.climate if isinstance(people, World) else None
    scenario = scenario_named(course.scenario, climate, offerings)
    if isinstance(people, World) and climate is not None:
        climate = shocked(climate, scenario, offerings)
        people = people.under(climate)
    rule = AgainstRivals(Rivals(course.seed, course.rivals))
    stage = _Stage(Inspector.of(marketplace), rule, people, publisher, Pseudonymiser(secret), course.pace)
    tally = await _run(stage, bidder, offerings, climate, terms.currency, console)
    notes = (
        f"{len(offerings):,} requests of {marketplace.folder.name}: {scenario.in_words}.",
        f"{'Second' if course.auction_type == 2 else 'First'}-price auctions against {course.rivals} rivals, seed {course.seed}.",
    )
    return Report(f"Simulation: {course.scenario}", tally, None, climate, notes)


def settle(
    catalogue: Path,
    traffic: Path,
    address: str,
    secret: bytes,
    report: Path | None,
    timeout_ms: int = 200,
    in_flight: int = 4,
    requests: int = 0,
    console: Console | None = None,
) -> tuple[Check, ...]:
    """Afterwards every row of a log of real, won impressions went over the wire and was settled at the price really paid.

    Args:
        catalogue: the marketplace the endpoint serves.
        traffic: the marketplace with the log.
        requests: stop after so many, 0 = all.

    Returns:
        What was checked; the caller fails when a hard check does not hold (`failed`).
    """
    console = console or Console()
    told = asyncio.run(
        _settle(Marketplace(catalogue), Marketplace(traffic), address, secret, timeout_ms, in_flight, requests, console)
    )
    _tell(told, report, console)
    checks = checks_of(told.tally)
    table = Table(title="Checks", title_justify="left", box=None, pad_edge=False)
    for column in ("", "check", "value", "wanted"):
        table.add_column(column)
    for check in checks:
        mark = "[green]ok[/]" if check.holds else ("[red]FAILED[/]" if check.hard else "[yellow]below[/]")
        table.add_row(mark, check.name, check.value, check.wanted)
    console.print(table)
    return checks


def failed(checks: Sequence[Check]) -> bool:
    """Whether a hard check does not hold."""
    return any(check.hard and not check.holds for check in checks)


async def _settle(
    catalogue: Marketplace,
    traffic: Marketplace,
    address: str,
    secret: bytes,
    timeout_ms: int,
    in_flight: int,
    requests: int,
    console: Console,
) -> Report:
    # First price: the rule below pays what was really paid, whatever kind of auction the exchange then held.
    terms = Terms(traffic.manifest.currency, timeout_ms, auction_type=1)
    maker = MarketMaker(traffic, terms)
    offerings = list(maker.all())[: requests or None]
    async with GrpcBidder(address) as bidder:
        await bidder.ready(REACH_S)
        before = await bidder.stats()
        stage = _Stage(
            Inspector.of(catalogue),
            AtPaidPrice(),
            SilentAudience(),
            None,
            Pseudonymiser(secret),
            Pace(in_flight=in_flight, strict_timeout=False),
        )
        tally = await _run(stage, bidder, offerings, None, terms.currency, console)
        stats = (await bidder.stats()).since(before)
    return _settled_report(tally, stats, traffic, catalogue)


def _settled_report(tally: Tally, stats: EngineStats, traffic: Marketplace, catalogue: Marketplace) -> Report:
    notes = (
        f"{traffic.manifest.source}, served from {catalogue.folder.name}: won when our bid reaches the price really paid, at "
        "that price.",
        "The log holds impressions its own bidder won only. It cannot show what lost auctions cost, so our win rate is too high "
        "wherever we bid above that bidder's own bid (277 or 294 fen in campaign 2259: bidding 300 would win every row), and "
        "it says nothing of clicks.",
    )
    below = sum((request.market_price_micros or 0) < request.reserve_micros for request in tally.requests)
    more = (Line("rows paid below their floor", f"{below:,}", "real; settled like the others"),)
    return Report("Settlement at the prices really paid", tally, stats, None, notes, more)


def checks_of(tally: Tally) -> tuple[Check, ...]:
    """What a settled log must show."""
    figures = Report("", tally).summary
    under_floor = figures.faults.get("under floor", 0)
    others = sum(figures.faults.values()) - under_floor
    share = figures.fitting_bid_rate
    fitting = f"{share:.1%} of {figures.fitting:,}" if share is not None else "no request has a fitting creative"
    return (
        Check("errors", f"{figures.errors:,}", "0", figures.errors == 0),
        Check("requests with a fitting creative that got a bid", fitting, "≥ 90 %", share is not None and share >= 0.9),
        Check("distinct bid prices", f"{figures.distinct_prices:,}", "≥ 50", figures.distinct_prices >= 50),
        Check("bids of an unknown item or creative, or of a wrong size", f"{others:,}", "0", others == 0),
        Check("bids under their floor", f"{under_floor:,}", "0", under_floor == 0),
        Check("spend equals the billed notices", f"{tally.billed_micros:,} micros", f"{figures.spend_micros:,}",
              tally.billed_micros == figures.spend_micros),
        Check("answers after tmax", f"{figures.late:,}", "0", figures.late == 0, hard=False),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Stage:
    """Everything a loop needs besides the bidder."""

    inspector: Inspector
    rule: SettlementRule
    people: Audience
    publisher: EventPublisher | None
    pseudonymiser: Pseudonymiser
    pace: Pace


async def _run(
    stage: _Stage,
    bidder: Bidder,
    offerings: Sequence[Offering],
    climate: Climate | None,
    currency: str,
    console: Console | None,
) -> Tally:
    agenda = make_agenda(offerings, climate)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar: AbstractContextManager[Progress | None] = (
        Progress(*columns, console=console, transient=True) if console else nullcontext()
    )
    with bar as progress:
        watched = bidder if progress is None else _Watched(bidder, progress, len(offerings))
        loop = Loop(
            watched,
            stage.rule,
            stage.people,
            stage.inspector,
            stage.publisher,
            stage.pseudonymiser,
            SystemClock(),
            stage.pace,
            currency,
        )
        tally = await loop.run(agenda)
    if stage.publisher is not None:
        stage.publisher.flush(timeout_s=10.0)
    return tally


class _Watched:
    """A bidder whose answers move a progress bar."""

    def __init__(self, bidder: Bidder, progress: Progress, total: int) -> None:
        self._bidder = bidder
        self._progress = progress
        self._task = progress.add_task("requests", total=total)

    async def bid(self, request: BidRequest) -> Answer:
        try:
            return await self._bidder.bid(request)
        finally:
            self._progress.advance(self._task)

    async def notify(self, notice: Notice) -> None:
        await self._bidder.notify(notice)


def _tell(told: Report, path: Path | None, console: Console) -> Report:
    console.print(told.table())
    for note in told.notes:
        console.print(note, style="dim", highlight=False)
    if path is not None:
        told.write_html(path)
        console.print(f"report: {path}")
    if told.summary.requests and told.summary.errors == told.summary.requests:
        first = next(iter(told.summary.error_kinds))
        raise Unavailable(f"no request was answered: {first}")
    return told
