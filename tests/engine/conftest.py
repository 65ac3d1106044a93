"""A small catalogue in memory, and parts of the engine named by their behaviour."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from adgram.core import rows
from adgram.core.catalogue import Campaign, Creative, EncodedItem, Item, Objective, Offer
from adgram.core.clock import ManualClock, SystemClock
from adgram.core.commit import Commit, Row, Table
from adgram.core.decision import Ad, Candidate, CandidateSource, JudgedAd, Outcome, Proposal, Value, Verdict
from adgram.core.money import Money
from adgram.core.ports import ProposalContext
from adgram.core.request import AdFormat, BidRequest, Device, Impression, Page, Place, Size, Viewer
from adgram.engine.config import EngineConfig
from adgram.engine.ledger import Ledger
from adgram.engine.market import MarketModel
from adgram.engine.pacing import Pacer
from adgram.engine.pipeline import Parts, Pipeline
from adgram.engine.pricing import Pricer
from adgram.engine.screening import Rulebooks
from adgram.engine.stops import StopBoard
from adgram.engine.tier import GuardedProposer
from adgram.memory.snapshot import MemorySnapshot
from adgram.rules.admission import Admissions
from adgram.rules.fallback import FallbackProposer

HOUR_NS = 3600 * 10**9
NOON = 20_000 * 24 * HOUR_NS + 12 * HOUR_NS


class ScriptedProposer:
    """Proposes the admitted items in slot order, as if generated."""

    model = "scripted"

    def propose(self, context: ProposalContext) -> Proposal:
        items = context.snapshot.items
        slots = np.flatnonzero(context.admitted)[: context.limit]
        candidates = tuple(
            Candidate(items.item_ids[slot], tuple(items.sids[slot].tolist()), -1.0, CandidateSource.GENERATIVE, 1.0)
            for slot in slots
        )
        return Proposal(candidates, "" if candidates else "nothing", 0.1, self.model)


class StalledProposer(ScriptedProposer):
    """Never answers until released."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def propose(self, context: ProposalContext) -> Proposal:
        self.release.wait(30)
        return super().propose(context)


class BrokenProposer(ScriptedProposer):
    """Raises whatever it is asked."""

    def propose(self, context: ProposalContext) -> Proposal:
        raise RuntimeError("weights on fire")


@dataclass
class FixedVerifier:
    """Gives every creative the outcome written for it (ALLOW otherwise) and every ad the same value."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    value: Value = field(default_factory=lambda: Value(0.1, 0.2))
    models: dict[str, str] = field(default_factory=lambda: {"scorer": "fixed", "policy": "fixed"})

    def judge(self, ads: Sequence[Ad], request: object, environment: object, snapshot: object) -> tuple[JudgedAd, ...]:
        return tuple(JudgedAd(ad, self.cached_verdict(ad, snapshot), self.value) for ad in ads)

    def cached_verdict(self, ad: Ad, snapshot: object) -> Verdict:
        return Verdict(self.outcomes.get(ad.creative.creative_id, Outcome.ALLOW))

    def warm(self, snapshot: object) -> None:
        pass


def catalogue(items: int = 4, budget_micros: int = 10**9, bid_micros: int = 100_000) -> MemorySnapshot:
    """`items` items i0 … of campaigns c0 … with one 300×250 creative k0 … each, all folded in one commit."""
    entries: list[Row] = []
    for n in range(items):
        vector = np.zeros(4, np.float32)
        vector[n % 4] = 1
        item = Item(f"i{n}", f"Item {n}", ("tools",), popularity=float(items - n))
        entries += [
            rows.row(Table.ITEM, f"i{n}", EncodedItem(item, (n % 2, n // 2 % 2, n), vector.tobytes(), "m"), NOON),
            rows.row(Table.OFFER, f"i{n}", Offer(f"i{n}", Money(5_000_000, "CNY"), 10), NOON),
            rows.row(
                Table.CAMPAIGN,
                f"c{n}",
                Campaign(f"c{n}", f"a{n}", Objective.CLICK, Money(bid_micros, "CNY"), Money(budget_micros, "CNY")),
                NOON,
            ),
            rows.row(
                Table.CREATIVE,
                f"k{n}",
                Creative(
                    f"k{n}",
                    f"i{n}",
                    f"c{n}",
                    AdFormat.BANNER,
                    Size(300, 250),
                    f"Item {n}",
                    "Buy",
                    "https://x/",
                    "x.com",
                ),
                NOON,
            ),
        ]
    commit = Commit(0, 1, 1, NOON, NOON, {}, tuple(entries)).sealed()
    return MemorySnapshot.empty(1).fold(commit)


def bid_request(reserve_micros: int = 1_000_000, **changes: object) -> BidRequest:
    """A request for one 300×250 banner at noon."""
    slot = Impression("1", AdFormat.BANNER, (Size(300, 250),), Money(reserve_micros, "CNY"))
    request = BidRequest(
        "r", (slot,), Viewer("u"), Device(2), Page("news.example"), Place("CN", "11"), NOON, 5000, 2, "CNY"
    )
    return replace(request, **changes)  # type: ignore[arg-type]


@dataclass
class Bench:
    """A pipeline on the bench, with the parts a test may want to turn."""

    pipeline: Pipeline
    ledger: Ledger
    stops: StopBoard
    verifier: FixedVerifier
    learned: GuardedProposer
    market: MarketModel


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    """Builds a pipeline over a snapshot and a proposer; ids are d0, d1 … and exploration is off unless asked for."""

    def build(snapshot: MemorySnapshot | None, proposer: ScriptedProposer | None = None, **settings: object) -> Bench:
        config = EngineConfig(**{"exploration": 0.0, **settings})  # type: ignore[arg-type]
        clock, ids, market = SystemClock(), count(), MarketModel()
        ledger = Ledger(tmp_path / f"ledger-{next(_LEDGERS)}.sqlite", config.reservation_ttl_s, config.charge_on)
        verifier, stops = FixedVerifier(), StopBoard()
        learned = GuardedProposer(proposer or ScriptedProposer(), clock)
        parts = Parts(
            snapshot=lambda: snapshot,
            stops=stops,
            admissions=Admissions(),
            learned=learned,
            fallback=FallbackProposer(),
            verifier=verifier,
            rulebooks=Rulebooks(),
            pricer=Pricer(market),
            pacer=Pacer(),
            ledger=ledger,
            clock=clock,
            new_id=lambda: f"d{next(ids)}",
        )
        return Bench(Pipeline(parts, config), ledger, stops, verifier, learned, market)

    return build


_LEDGERS = count()


@pytest.fixture(scope="session")
def make() -> type:
    """The builders above, for tests: make.catalogue, make.bid_request and the proposers."""
    return Make


class Make:
    """Names for what tests build."""

    catalogue = staticmethod(catalogue)
    bid_request = staticmethod(bid_request)
    ScriptedProposer = ScriptedProposer
    StalledProposer = StalledProposer
    BrokenProposer = BrokenProposer
    ManualClock = ManualClock
    NOON = NOON
    HOUR_NS = HOUR_NS
