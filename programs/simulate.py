"""`adgram simulate` and `adgram settle`: traffic against a running endpoint, and how it went."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..core.clock import SystemClock
from ..core.errors import ConfigError, Unavailable
from ..core.exchange import Answer, Notice
from ..core.marketplace import Marketplace
from ..core.ports import Bidder, EventPublisher
from ..core.pseudonym import Pseudonymiser
from ..core.request import BidRequest
from ..simulator.auction import AuctionKind
from ..simulator.checks import checks_of, failed, table_of
from ..simulator.client import GrpcBidder
from ..simulator.inspection import Inspector
from ..simulator.loop import Loop, Pace
from ..simulator.market.climate import Climate
from ..simulator.market_maker import MarketMaker, Offering, Terms
from ..simulator.report import Line, Report
from ..simulator.rivals import Rivals
from ..simulator.scenario import NAMES, make_agenda, scenario_named, shocked
from ..simulator.settlement import AgainstRivals, AtPaidPrice, SettlementRule
from ..simulator.tally import Tally
from ..simulator.world import Audience, SilentAudience, World, audience_of
from .settings import load

REACH_S = 5.0  # how long an endpoint may take to come up beside us
FLUSH_S = 10.0  # how long the broker may take to acknowledge what was published

MarketplaceArgument = Annotated[
    Path, typer.Argument(help="Marketplace folder, from `adgram world` or `adgram import`.")
]
AddressOption = Annotated[str, typer.Option(help="The endpoint, as host:port.")]
ReportOption = Annotated[Path | None, typer.Option(help="Write an HTML page with pictures here.")]
ConfigOption = Annotated[Path | None, typer.Option(help="The deployment's TOML, for its topics and user secret.")]
InFlightOption = Annotated[
    int,
    typer.Option(help="Requests under way at once, at most; two keep one CPU engine busy, one makes a run repeatable."),
]


@dataclass(frozen=True, slots=True)
class Course:
    """How to simulate: which scenario over how many requests, at what pace, under which seed."""

    requests: int = 5000
    scenario: str = "peak"
    seed: int = 1
    rivals: int = 4
    timeout_ms: int = 50
    auction: AuctionKind = AuctionKind.SECOND_PRICE
    pace: Pace = field(default_factory=Pace)


def simulate(
    marketplace: MarketplaceArgument,
    address: AddressOption = "127.0.0.1:50061",
    bootstrap: Annotated[
        str, typer.Option(help="Kafka as host:port for clicks and weather; without it the engine learns of neither.")
    ] = "",
    requests: Annotated[int, typer.Option(help="How many requests to play, at most.")] = 5000,
    scenario: Annotated[str, typer.Option(help=f"What happens: {', '.join(NAMES)}.")] = "peak",
    seed: Annotated[int, typer.Option(help="Decides rivals and reactions.")] = 1,
    speed: Annotated[
        float, typer.Option(help="Virtual seconds a real second; 0 = as fast as answers come, real waits apart.")
    ] = 0.0,
    in_flight: InFlightOption = 2,
    rivals: Annotated[int, typer.Option(help="Other bidders in each auction.")] = 4,
    timeout_ms: Annotated[int, typer.Option(help="tmax: later answers count as none.")] = 50,
    first_price: Annotated[bool, typer.Option(help="Hold first-price auctions instead of second-price.")] = False,
    weather_pause_s: Annotated[
        float, typer.Option(help="Real seconds for the engine to learn of new weather, where Kafka is given.")
    ] = 2.0,
    report: ReportOption = None,
    config: ConfigOption = None,
) -> None:
    """Play a marketplace's traffic against a running endpoint: auctions, notices, clicks, weather; print and report
    it."""
    if requests < 1 or in_flight < 1 or rivals < 0 or speed < 0 or timeout_ms < 1:
        raise ConfigError("simulate: requests, in-flight and timeout must be at least 1, rivals and speed at least 0")
    settings, console = load(config), Console()
    course = Course(
        requests,
        scenario,
        seed,
        rivals,
        timeout_ms,
        AuctionKind.FIRST_PRICE if first_price else AuctionKind.SECOND_PRICE,
        Pace(in_flight, speed, weather_pause_s if bootstrap else 0.0),
    )
    opened = Marketplace(marketplace)
    with ExitStack() as stack:
        publisher: EventPublisher | None = None
        if bootstrap:
            from ..streaming.log import KafkaPublisher

            kafka = KafkaPublisher(replace(settings.streaming, bootstrap=bootstrap))
            stack.callback(kafka.close)
            publisher = kafka
        _tell(asyncio.run(_simulate(opened, address, course, settings.secret, publisher, console)), report, console)


def settle(
    catalogue: Annotated[Path, typer.Argument(help="The marketplace that the endpoint serves.")],
    traffic: Annotated[Path, typer.Argument(help="A marketplace of real, won impressions (`adgram import ipinyou`).")],
    address: AddressOption = "127.0.0.1:50061",
    requests: Annotated[int, typer.Option(help="Stop after so many rows; 0 = all.")] = 0,
    in_flight: InFlightOption = 2,
    timeout_ms: Annotated[int, typer.Option(help="tmax of each request.")] = 100,
    report: ReportOption = None,
    config: ConfigOption = None,
) -> None:
    """Send every row of a real log over the wire and settle it at the price really paid; fail if a check does not
    hold."""
    settings, console = load(config), Console()
    served, log = Marketplace(catalogue), Marketplace(traffic)
    if log.manifest.currency != served.manifest.currency:
        raise ConfigError(f"settle: {traffic} is in {log.manifest.currency}, {catalogue} in {served.manifest.currency}")
    told = asyncio.run(_settle(served, log, address, settings.secret, timeout_ms, in_flight, requests, console))
    _tell(told, report, console)
    checks = checks_of(told.tally, told.summary)
    console.print(table_of(checks))
    if failed(checks):
        raise typer.Exit(1)


async def play(
    marketplace: Marketplace,
    bidder: Bidder,
    course: Course,
    secret: bytes,
    publisher: EventPublisher | None,
    console: Console | None = None,
) -> Report:
    """Afterwards the course was played against any bidder, in process or not; the engine's own counts are not in the
    report.

    Args:
        secret: makes user keys of raw ids, the same as the engine's.
        publisher: where clicks, conversions, visits and weather go; None keeps them from the engine.
    """
    terms = Terms(marketplace.manifest.currency, course.timeout_ms, int(course.auction))
    maker = MarketMaker(marketplace, terms)
    offerings = list(maker.all() if course.scenario == "day" else maker.peak(course.requests))[: course.requests]
    people = audience_of(marketplace, course.seed)
    climate = people.climate if isinstance(people, World) else None
    scenario = scenario_named(course.scenario, climate, offerings)
    if isinstance(people, World) and climate is not None:
        climate = shocked(climate, scenario, offerings)
        people = people.under(climate)
    rule = AgainstRivals(Rivals(course.seed, course.rivals))
    stage = _Stage(Inspector.of(marketplace), rule, people, publisher, Pseudonymiser(secret), course.pace)
    tally = await _run(stage, bidder, offerings, climate, terms.currency, console)
    kind = "Second" if course.auction is AuctionKind.SECOND_PRICE else "First"
    notes = (
        f"{len(offerings):,} requests of {marketplace.folder.name}: {scenario.in_words}.",
        f"{kind}-price auctions against {course.rivals} rivals, seed {course.seed}.",
    )
    return Report(f"Simulation: {course.scenario}", tally, None, climate, notes)


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
        return replace(told, stats=(await bidder.stats()).since(before))


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
    # First price: the rule pays what was really paid, whatever kind of auction the exchange held then.
    terms = Terms(traffic.manifest.currency, timeout_ms, int(AuctionKind.FIRST_PRICE))
    offerings = list(MarketMaker(traffic, terms).all())[: requests or None]
    pace = Pace(in_flight, strict_timeout=False)
    stage = _Stage(Inspector.of(catalogue), AtPaidPrice(), SilentAudience(), None, Pseudonymiser(secret), pace)
    async with GrpcBidder(address) as bidder:
        await bidder.ready(REACH_S)
        before = await bidder.stats()
        tally = await _run(stage, bidder, offerings, None, terms.currency, console)
        stats = (await bidder.stats()).since(before)
    below = sum((request.market_price_micros or 0) < request.reserve_micros for request in tally.requests)
    notes = (
        f"{traffic.manifest.source}, served from {catalogue.folder.name}: won when our bid reaches the price "
        "really paid, "
        "at that price.",
        "The log holds only impressions that its own bidder won. It cannot show what lost auctions cost, so "
        "our win rate is "
        "too high wherever we bid more than that bidder did (277 or 294 fen in campaign 2259: a bid of 300 "
        "would win every "
        "row). Nor does it show clicks.",
    )
    more = (Line("rows paid below their floor", f"{below:,}", "as in the source; settled like the others"),)
    return Report("Settlement at the prices really paid", tally, stats, None, notes, more)


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
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar: AbstractContextManager[Progress | None] = (
        Progress(*columns, console=console, transient=True) if console else nullcontext()
    )
    with bar as progress:
        loop = Loop(
            bidder if progress is None else _Watched(bidder, progress, len(offerings)),
            stage.rule,
            stage.people,
            stage.inspector,
            stage.publisher,
            stage.pseudonymiser,
            SystemClock(),
            stage.pace,
            currency,
        )
        tally = await loop.run(make_agenda(offerings, climate))
    if stage.publisher is not None:
        stage.publisher.flush(FLUSH_S)
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


def _tell(told: Report, path: Path | None, console: Console) -> None:
    console.print(told.table())
    for note in told.notes:
        console.print(note, style="dim", highlight=False)
    if path is not None:
        told.write_html(path)
        console.print(f"report: {path}", highlight=False)
    if told.summary.errors == told.summary.requests > 0:
        raise Unavailable(f"no request was answered: {next(iter(told.summary.error_kinds))}")
