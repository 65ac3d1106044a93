"""Runs a part that may be late or broken, and turns lateness, breakage and want of room into a value."""

import asyncio
import contextlib
import itertools
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeGuard

import structlog

from ..core.clock import Clock, elapsed_ms
from ..core.decision import Proposal
from ..core.ports import ProposalContext, ProposalInSteps, Proposer, StepShape, StepwiseProposer
from ..generative.costs import LearnedCosts
from ..generative.scheduler import FixedStepScheduler, Flight, SchedulerConfig, Step
from .trace import NO_TIME

LATE, STALLED, BROKEN, REFUSED = "late", "stalled", "broken", "no room in time"
_MARGIN = 1.25  # what a step is promised to take, over what it lately took: the request loop shares the interpreter
_WAY_BACK_MS = 1.0  # from the proposer's thread to the request loop
_TRIED = 8  # of so many requests refused although nothing is in flight, one is tried: what steps cost may have changed
_ONE_STEP = StepShape(levels=0, prompt_rows=1, widths=(1,))
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Call:
    context: ProposalContext
    steps: ProposalInSteps
    flight: Flight
    answer: "Future[Proposal]"
    started: int  # monotonic ns


class GuardedProposer:
    """A proposer on a thread of its own, asked with a deadline; whatever happens, the answer is a Proposal in time.

    One thread, because a decode already uses the cores it may use. Where the proposer works in steps, the requests in
    flight share the thread step by step, as the scheduler plans; where it does not, each is one step. A request that
    could not be answered in time, or would make another late, is refused at once. While a step has outlived the
    deadline of its request the thread is taken to be stalled, and requests pass it by instead of queueing behind it.
    """

    def __init__(self, proposer: Proposer | StepwiseProposer, clock: Clock) -> None:
        self._proposer, self._clock = proposer, clock
        shape = proposer.shape if _is_stepwise(proposer) else _ONE_STEP
        self._costs = LearnedCosts(shape.levels, shape.prompt_rows, shape.widths, _MARGIN)
        self._scheduler = FixedStepScheduler(self._costs, SchedulerConfig.of(shape.widths), clock)
        self._calls: dict[int, _Call] = {}  # by the number of their flights
        self._numbers = itertools.count()
        # Held for microseconds, never while a step is done: whoever asks is told at once whether there is room.
        self._turn = threading.Condition()
        self._closed = False
        self._refused_idle = 0
        self._running: ProposalContext | None = None
        self.lateness: Counter[str] = Counter()
        self.widths: Counter[int] = Counter()  # levels searched with each number of beams
        # A daemon, since a stalled call must not keep the process from ending.
        threading.Thread(target=self._work, name="proposer", daemon=True).start()

    @property
    def model(self) -> str:
        return self._proposer.model

    async def propose(self, context: ProposalContext) -> Proposal:
        """The proposal, or an empty one with its reason: at once where there is no room, else by the deadline."""
        started = self._clock.monotonic_ns()
        proposal = await self._within_deadline(context, started)
        if proposal.reason in (LATE, STALLED, BROKEN, REFUSED, NO_TIME):
            self.lateness[proposal.reason] += 1
        return proposal

    async def _within_deadline(self, context: ProposalContext, started: int) -> Proposal:
        running = self._running
        if running is not None and running.deadline.remaining_ms < 0:
            return self._empty(STALLED, started)
        if context.deadline.remaining_ms <= 0:
            return self._empty(NO_TIME, started)
        call = self._accepted(context, started)
        if call is None:
            return self._empty(REFUSED, started)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(context.deadline.remaining_ms, 0) / 1000):
                return await asyncio.shield(asyncio.wrap_future(call.answer))
        call.answer.cancel()
        return self._empty(LATE, started)

    def _accepted(self, context: ProposalContext, started: int) -> _Call | None:
        """The call on its way; None where there is no room for it."""
        flight = Flight(next(self._numbers), context.deadline.earlier_by_ms(_WAY_BACK_MS), started)
        with self._turn:
            if not self._scheduler.submit(flight):
                self._refused_idle += not self._calls
                if self._calls or self._refused_idle % _TRIED:
                    return None
                self._scheduler.take(flight)
            call = _Call(context, self._begun(context), flight, Future(), started)
            self._calls[flight.number] = call
            self._turn.notify()
        return call

    def _begun(self, context: ProposalContext) -> ProposalInSteps:
        return self._proposer.begin(context) if _is_stepwise(self._proposer) else _Whole(self._proposer, context)

    def _work(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._calls or self._closed)
                if self._closed:
                    return
                steps = self._scheduler.plan()
            for step in steps:
                self._do(step, self._calls[step.flight.number])

    def _do(self, step: Step, call: _Call) -> None:
        """Afterwards the step is done, or its flight has left with an answer that says why."""
        answer, error = None, None
        if call.answer.cancelled() or call.context.deadline.remaining_ms <= 0:
            answer = self._empty(LATE, call.started)
        else:
            self._running, began = call.context, self._clock.monotonic_ns()
            try:
                answer = call.steps.advance(step.width)
            except Exception as broken:
                answer, error = self._empty(BROKEN, call.started), broken
            finally:
                self._running = None
        with self._turn:
            if error is None and (answer is None or not answer.reason):
                self._costs.observe(step.level, step.width, elapsed_ms(began, self._clock))
            if answer is None and self._scheduler.done(step):
                answer = self._empty(BROKEN, call.started)  # more steps than the proposer said it had
            if answer is not None:
                self._costs.kept(call.context.deadline.remaining_ms > 0)
                self._scheduler.leave(step.flight)
                del self._calls[step.flight.number]
        self.widths[step.width] += step.width > 0
        # The answer first: writing a traceback down takes longer than a request may.
        if answer is not None and call.answer.set_running_or_notify_cancel():
            call.answer.set_result(answer)
        if error is not None:
            _log.error("the proposer broke; this request falls back", exc_info=error, model=self._proposer.model)

    def _empty(self, reason: str, started: int) -> Proposal:
        return Proposal((), reason, elapsed_ms(started, self._clock), self._proposer.model)

    def close(self) -> None:
        """Afterwards no further step starts; a running one is left to end by itself."""
        with self._turn:
            self._closed = True
            self._turn.notify()


class _Whole:
    """A proposal that is made in one step (core.ports.ProposalInSteps)."""

    def __init__(self, proposer: Proposer, context: ProposalContext) -> None:
        self._proposer, self._context = proposer, context

    def advance(self, width: int) -> Proposal:  # noqa: ARG002 - one step has no beams
        return self._proposer.propose(self._context)


def _is_stepwise(proposer: Proposer | StepwiseProposer) -> TypeGuard[StepwiseProposer]:
    return hasattr(proposer, "begin")
