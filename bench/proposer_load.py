"""The proposer under load: the fixed-step scheduler beside first-come batching on the same arrivals.

Arrivals are Poisson at 70 % of what one thread can do with the widest beams. In virtual time a step takes what it was
measured to take; in wall time it is really done. A batch is served request by request and answered as a whole, as
static batching does: on one thread of a CPU, rows of several requests in one product gain next to nothing.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from report import Report

from adgram.core.clock import NS_PER_MS, Clock, Deadline, ManualClock, SystemClock
from adgram.generative.costs import PROMPT, StepCosts
from adgram.generative.scheduler import FixedStepScheduler, Flight, SchedulerConfig
from adgram.kernels.native.decoder import CompiledContext, CompiledDecoder, CompiledSearch
from adgram.kernels.native.trie import Admitted

LOAD = 0.7
TIMEOUT_MS = 100.0
CONFIG = SchedulerConfig()
WIDEST = CONFIG.widths[0]
BATCHES = (1, 4, 8)
JUDGED = 1_000  # histories that the widths are judged on
VIRTUAL_REQUESTS, WALL_REQUESTS = 20_000, 500
WALL_MARGIN = 1.25  # what is promised in wall time, over the median cost of a step


class Searchable(Protocol):
    """What is needed of the benchmark: its network, its trie, its prompts."""

    fp32: CompiledDecoder
    catalogue: Any
    histories: list[npt.NDArray[np.int64]]
    answers: list[npt.NDArray[np.int32]] | None

    def prompt(self, number: int) -> npt.NDArray[np.int64]: ...


@dataclass(slots=True)
class Request:
    """The state of one request while its steps are done."""

    context: CompiledContext | None = None
    run: CompiledSearch | None = None


class Worker(Protocol):
    """Does steps, or lets their time pass."""

    clock: Clock

    def do(self, number: int, level: int, width: int) -> None: ...
    def wait_until(self, at_ns: int) -> None: ...


class VirtualWorker:
    """Steps take what they were measured to take."""

    def __init__(self, costs: StepCosts) -> None:
        self.clock = ManualClock()
        self._costs = costs

    def do(self, number: int, level: int, width: int) -> None:  # noqa: ARG002 - all requests cost the same
        self.clock.advance(round(self._costs.of(level, width) * NS_PER_MS))

    def wait_until(self, at_ns: int) -> None:
        self.clock.advance(max(0, at_ns - self.clock.monotonic_ns()))


class RealWorker:
    """Steps are done."""

    def __init__(self, bench: Searchable) -> None:
        self.clock = SystemClock()
        self._bench = bench
        self._open: dict[int, Request] = {}

    def do(self, number: int, level: int, width: int) -> None:
        bench = self._bench
        request = self._open.setdefault(number, Request())
        if level == PROMPT:
            request.context = bench.fp32.read_tokens(bench.prompt(number))
            request.run = bench.fp32.search(
                request.context, Admitted(bench.catalogue.walked, bench.catalogue.everything)
            )
            return
        assert request.run is not None
        request.run.step(None, width)
        if level == bench.fp32.levels - 1:
            del self._open[number]

    def wait_until(self, at_ns: int) -> None:
        left_ns = at_ns - self.clock.monotonic_ns()
        if left_ns > 0:
            time.sleep(left_ns / 1e9)


@dataclass(slots=True)
class Outcome:
    """What became of the requests of one run."""

    latencies_ms: list[float] = field(default_factory=list)
    refused: int = 0
    late: int = 0
    widths: list[int] = field(default_factory=list)

    def p(self, percent: float) -> float:
        return float(np.percentile(self.latencies_ms, percent))

    def answered(self, arrived_ns: int, clock: Clock) -> None:
        self.latencies_ms.append((clock.monotonic_ns() - arrived_ns) / NS_PER_MS)
        self.late += self.latencies_ms[-1] > TIMEOUT_MS


def scheduled(worker: Worker, costs: StepCosts, arrivals_ns: npt.NDArray[np.int64]) -> Outcome:
    """All arrivals through the fixed-step scheduler."""
    clock, outcome = worker.clock, Outcome()
    scheduler = FixedStepScheduler(costs, CONFIG, clock)
    begun_ns = clock.monotonic_ns()
    due = [(number, begun_ns + int(at)) for number, at in enumerate(arrivals_ns.tolist())][::-1]
    while due or scheduler.flights:
        while due and due[-1][1] <= clock.monotonic_ns():
            number, at_ns = due.pop()
            flight = Flight(number, Deadline(at_ns + int(TIMEOUT_MS * NS_PER_MS), clock), at_ns)
            outcome.refused += not scheduler.submit(flight)
        steps = scheduler.plan()
        for step in steps:
            worker.do(step.flight.number, step.level, step.width)
            if scheduler.done(step):
                outcome.answered(step.flight.arrived_ns, clock)
                outcome.widths += step.flight.widths
        if not steps and due:
            worker.wait_until(due[-1][1])
    return outcome


def first_come(
    worker: Worker, levels: int, arrivals_ns: npt.NDArray[np.int64], batch: int, wait_ms: float = 0
) -> Outcome:
    """All arrivals in batches of at most `batch`, in order, at the widest beam; a batch that is not full waits for more
    until its first request is `wait_ms` old. Nobody is refused.
    """
    clock, outcome = worker.clock, Outcome()
    begun_ns = clock.monotonic_ns()
    due = [(number, begun_ns + int(at)) for number, at in enumerate(arrivals_ns.tolist())]
    place = 0
    while place < len(due):
        worker.wait_until(due[place][1])
        if wait_ms:
            filled_ns = due[min(place + batch, len(due)) - 1][1]
            worker.wait_until(min(filled_ns, due[place][1] + int(wait_ms * NS_PER_MS)))
        now_ns = clock.monotonic_ns()
        taken = [each for each in due[place : place + batch] if each[1] <= now_ns]
        for level in range(PROMPT, levels):
            for number, _ in taken:
                worker.do(number, level, WIDEST)
        for _, at_ns in taken:
            outcome.answered(at_ns, clock)
        outcome.widths += [WIDEST] * (levels * len(taken))
        place += len(taken)
    return outcome


def measured_costs(bench: Searchable, rounds: int = 15) -> StepCosts:
    """Medians of each step over the widths of the ladder, and a line through them a level."""
    levels = bench.fp32.levels
    prompts: list[float] = []
    times: dict[tuple[int, int], list[float]] = {}
    for number in range(rounds + 1):
        for width in CONFIG.widths:
            worker = RealWorker(bench)
            for level in range(PROMPT, levels):
                started = time.perf_counter()
                worker.do(number, level, width)
                took_ms = (time.perf_counter() - started) * 1e3
                if number and level == PROMPT:
                    prompts.append(took_ms)
                elif number:
                    times.setdefault((level, width), []).append(took_ms)
    lines = []
    for level in range(levels):
        medians = [float(np.median(times[level, width])) for width in CONFIG.widths]
        slope, start = np.polyfit(CONFIG.widths, medians, 1)
        slope = max(float(slope), 0.0)
        lines.append((max(float(start), float(np.mean(medians)) - slope * float(np.mean(CONFIG.widths)), 0.0), slope))
    return StepCosts(
        float(np.median(prompts)), len(bench.prompt(0)), tuple(start for start, _ in lines), tuple(s for _, s in lines)
    )


def with_margin(costs: StepCosts, factor: float) -> StepCosts:
    return StepCosts(
        costs.prompt_ms * factor, costs.prompt_rows, tuple(each * factor for each in costs.level_ms),
        tuple(each * factor for each in costs.row_ms),
    )  # fmt: skip


def under_load(bench: Searchable, report: Report) -> None:
    """Both clocks, all policies, and their rows."""
    costs = measured_costs(bench)
    request_ms = costs.rest(PROMPT, WIDEST)
    report.add("under load: a request alone", request_ms, "ms", f"sum of step costs at W={WIDEST}, wall medians")
    gaps = np.random.default_rng(7).exponential(request_ms / LOAD * NS_PER_MS, VIRTUAL_REQUESTS)
    arrivals = np.cumsum(gaps).astype(np.int64)
    kinds: Iterable[tuple[str, Callable[[], Worker], npt.NDArray[np.int64], StepCosts]] = (
        ("virtual time", lambda: VirtualWorker(costs), arrivals, costs),
        ("wall time", lambda: RealWorker(bench), arrivals[:WALL_REQUESTS], with_margin(costs, WALL_MARGIN)),
    )
    for kind, worker, times, promised in kinds:
        ours = scheduled(worker(), promised, times)
        batches = {batch: first_come(worker(), costs.levels, times, batch) for batch in BATCHES}
        waiting = first_come(worker(), costs.levels, times, 8, wait_ms=100)
        best = min(batches, key=lambda batch: batches[batch].p(99))
        how = f"{len(times):,} Poisson arrivals at {LOAD:.0%} of capacity, {kind}"
        report.add(f"under load, {kind}: p99", ours.p(99), "ms", f"{how}; p50 {ours.p(50):.1f}")
        for batch, outcome in batches.items():
            report.add(
                f"under load, {kind}: first-come p99, {batch} at once", outcome.p(99), "ms", f"p50 {outcome.p(50):.1f}"
            )
        report.add(
            f"under load, {kind}: p99 / best first-come", ours.p(99) / batches[best].p(99), "x",
            f"best is {best} at once", to_reach=0.45,
        )  # fmt: skip
        report.add(
            f"under load, {kind}: p99 / static batches of 8 with a wait", ours.p(99) / waiting.p(99), "x",
            f"waits up to 100 ms for 8; its p99 {waiting.p(99):.1f} ms", to_reach=0.1,
        )  # fmt: skip
        report.add(f"under load, {kind}: refused", ours.refused / len(times), "share", how, to_reach=0.01)
        report.add(
            f"under load, {kind}: accepted and late", ours.late / max(1, len(ours.latencies_ms)), "share",
            f"deadline {TIMEOUT_MS:g} ms", to_reach=0.0 if kind == "virtual time" else 0.001,
        )  # fmt: skip
        report.add(
            f"under load, {kind}: mean width", float(np.mean(ours.widths)), "beams", f"of {WIDEST}", better="higher"
        )
        if bench.answers is not None and kind == "wall time":
            served = np.array(ours.widths).reshape(-1, costs.levels)
            for name, widths in (("scheduler", served), ("first-come", np.full((1, costs.levels), WIDEST))):
                report.add(
                    f"under load: R@10, {name}", recall(bench, widths), "recall",
                    f"{JUDGED:,} histories, each with the widths of one of the answers above", better="higher",
                )  # fmt: skip


def recall(bench: Searchable, widths: npt.NDArray[np.int64]) -> float:
    """Share of the judged histories whose answer is among the first ten, their levels searched with `widths` [M, L] in
    turn.
    """
    assert bench.answers is not None
    trie, everything, hits = bench.catalogue.trie, bench.catalogue.everything, 0
    asked = bench.histories[:JUDGED]
    for number, history in enumerate(asked):
        run = bench.fp32.search(bench.fp32.read_tokens(history), Admitted(bench.catalogue.walked, everything))
        prefixes = np.zeros(1, dtype=np.int64)
        for width in widths[number % len(widths)].tolist():
            step = run.step(None, width)
            prefixes = prefixes[step.parents] * bench.catalogue.shape.codes + step.codes
        hits += int(trie.pack(bench.answers[number][None])[0] in prefixes[:10])
    return hits / len(asked)
