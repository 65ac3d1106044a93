"""The served proposer under Poisson arrivals, as `adgram serve` runs it: steps shared by the scheduler, beside requests
served one after another, first come first served, on the same arrivals.

The network is of the served kind (a history of item vectors, random weights) at the size of the comparison above. Both
ways have one thread, the same deadline, and an answer is a value in time: a proposal, or the reason why there is none.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt
import torch
from report import Report

from adgram.core import rows
from adgram.core.catalogue import EncodedItem, Item
from adgram.core.clock import Deadline, SystemClock
from adgram.core.commit import Commit, Table
from adgram.core.decision import Proposal
from adgram.core.feedback import FeedbackKind, Interaction
from adgram.core.ports import ProposalContext
from adgram.core.snapshot import Snapshot
from adgram.engine.tier import GuardedProposer
from adgram.generative.companions import CompanionTable
from adgram.generative.config import GenerativeConfig
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.proposer import GenerativeProposer
from adgram.memory.snapshot import MemorySnapshot

SHAPE = DecoderShape(levels=3, codes=256, vector_width=64, width=256, heads=4, layers=4, history_length=100)
BEAMS, ITEMS, HISTORY, LIMIT = 128, 20_000, 99, 48
TIMEOUT_MS = 100.0
LOADS = (0.7, 1.2)  # of what one thread can do with the widest beams
BLOCKS, REQUESTS = 8, 60  # blocks of arrivals, each for one way and then the other, so that a busy moment falls on both
ALONE = 40  # requests one at a time: what a thread can do, and what each step costs
CLOCK = SystemClock()

Ask = Callable[[ProposalContext], Awaitable[Proposal]]


class FirstCome:
    """One request after another in one thread, at full width; whoever's turn comes too late is not begun."""

    def __init__(self, proposer: GenerativeProposer) -> None:
        self._proposer = proposer
        self._calls: SimpleQueue[tuple[ProposalContext, Future[Proposal]]] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def propose(self, context: ProposalContext) -> Proposal:
        answer: Future[Proposal] = Future()
        self._calls.put((context, answer))
        try:
            async with asyncio.timeout(context.deadline.remaining_ms / 1e3):
                return await asyncio.shield(asyncio.wrap_future(answer))
        except TimeoutError:
            return Proposal((), "late", TIMEOUT_MS)

    def _work(self) -> None:
        while True:
            context, answer = self._calls.get()
            answer.set_result(self._proposer.propose(context))  # "deadline" where it has passed


@dataclass(slots=True)
class Course:
    """What became of the arrivals of one way."""

    best: list[set[str]]  # by request: the ten that full width finds
    latencies_ms: list[float] = field(default_factory=list)  # of all answers, whatever they say
    reasons: Counter[str] = field(default_factory=Counter)  # "" where the learned tier answered
    overlaps: list[float] = field(default_factory=list)  # share of the first ten that full width finds too

    @property
    def p99_ms(self) -> float:
        return float(np.percentile(self.latencies_ms, 99))

    @property
    def learned(self) -> float:
        return self.reasons[""] / self.reasons.total()


def world(seed: int) -> tuple[GenerativeProposer, Snapshot]:
    """A proposer of random weights over random items."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((ITEMS, SHAPE.vector_width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sids = rng.integers(0, SHAPE.codes, (ITEMS, SHAPE.levels)).tolist()
    items = (EncodedItem(Item(f"i{n}", ""), tuple(sids[n]), vectors[n].tobytes(), "random") for n in range(ITEMS))
    commit = Commit(0, 1, 1, 0, 0, {}, tuple(rows.row(Table.ITEM, each.item.item_id, each) for each in items))
    decoder = SemanticDecoder(SHAPE, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width))
    config = GenerativeConfig(beam_width=BEAMS, history_length=SHAPE.history_length)
    proposer = GenerativeProposer(decoder, CompanionTable.empty(), "random", config)
    return proposer, MemorySnapshot.empty(1, codes_per_level=SHAPE.codes).fold(commit)


def context_of(snapshot: Snapshot, number: int, timeout_ms: float = TIMEOUT_MS) -> ProposalContext:
    """The request of this number, its deadline counted from now."""
    history = np.random.default_rng(number).integers(0, ITEMS, HISTORY).tolist()
    events = tuple(Interaction(f"i{slot}", FeedbackKind.CLICK, at) for at, slot in enumerate(history))
    admitted = np.ones(ITEMS, dtype=bool)
    return ProposalContext(snapshot, admitted, events, LIMIT, Deadline.after_ms(timeout_ms, CLOCK))


async def block(ask: Ask, snapshot: Snapshot, first: int, gaps_ms: npt.NDArray[np.float64], course: Course) -> None:
    """Requests from number `first` on, each asked when its time comes; `course` takes note of what becomes of them."""
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def one(number: int) -> None:
        context = context_of(snapshot, number)
        started = time.perf_counter()
        proposal = await ask(context)
        course.latencies_ms.append((time.perf_counter() - started) * 1e3)
        course.reasons[proposal.reason] += 1
        if proposal.candidates:
            found = {each.item_id for each in proposal.candidates[:10]}
            course.overlaps.append(len(found & course.best[number]) / 10)

    async with asyncio.TaskGroup() as group:
        for number, at_ms in enumerate(np.cumsum(gaps_ms).tolist()):
            await asyncio.sleep(max(0.0, begun + at_ms / 1e3 - loop.time()))
            group.create_task(one(first + number))


async def _alone(ask: Ask, snapshot: Snapshot) -> float:
    """Median milliseconds of a request when nobody else is there."""
    took = []
    for number in range(ALONE):
        context = context_of(snapshot, number, 60_000)
        started = time.perf_counter()
        await ask(context)
        took.append((time.perf_counter() - started) * 1e3)
    return float(np.median(took))


def served_under_load(report: Report) -> None:
    """Both ways at both loads, and their rows."""
    proposer, snapshot = world(5)
    best = [
        {each.item_id for each in proposer.propose(context_of(snapshot, number, 60_000)).candidates[:10]}
        for number in range(BLOCKS * REQUESTS)
    ]
    scheduled, first_come = GuardedProposer(proposer, CLOCK), FirstCome(proposer)
    asyncio.run(_alone(scheduled.propose, snapshot))
    alone_ms = asyncio.run(_alone(first_come.propose, snapshot))
    report.add("served: a request alone", alone_ms, "ms", f"width 256, 4 blocks, {HISTORY} items, W={BEAMS}, wall")
    for load in LOADS:
        gaps = np.random.default_rng(11).exponential(alone_ms / load, (BLOCKS, REQUESTS))
        scheduled.widths.clear()
        ways: dict[str, Ask] = {"scheduler": scheduled.propose, "first come": first_come.propose}
        seen = {name: Course(best) for name in ways}
        for number, times in enumerate(gaps):
            for name, ask in list(ways.items())[:: 1 if number % 2 else -1]:
                asyncio.run(block(ask, snapshot, number * REQUESTS, times, seen[name]))
        how = f"{gaps.size} Poisson arrivals at {load:.0%} of capacity, {TIMEOUT_MS:g} ms each, wall"
        for name, each in seen.items():
            reasons = ", ".join(f"{reason}: {count}" for reason, count in each.reasons.items() if reason)
            p50 = np.percentile(each.latencies_ms, 50)
            label = f"served at {load:.0%}, {name}"
            report.add(f"{label}: p99", each.p99_ms, "ms", f"{how}; p50 {p50:.1f}")
            report.add(
                f"{label}: answered by the learned tier", each.learned, "share", reasons or "all", better="higher"
            )
            report.add(
                f"{label}: of the first ten, found at full width too", float(np.mean(each.overlaps)), "share",
                "candidates as served, memory's among them", better="higher",
            )  # fmt: skip
        widths = scheduled.widths
        mean = sum(width * count for width, count in widths.items()) / max(1, widths.total())
        report.add(f"served at {load:.0%}, scheduler: mean width", mean, "beams", f"of {BEAMS}", better="higher")
        ratio = seen["scheduler"].p99_ms / seen["first come"].p99_ms
        report.add(f"served at {load:.0%}: p99, scheduler / first come", ratio, "x", "the same arrivals")
    scheduled.close()
