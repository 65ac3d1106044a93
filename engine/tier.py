"""Runs a part that may be late or broken, and turns lateness and breakage into a value."""

import asyncio
import contextlib
import queue
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from ..core.clock import Clock, elapsed_ms
from ..core.decision import Proposal
from ..core.ports import ProposalContext, Proposer
from .trace import NO_TIME

LATE, STALLED, BROKEN = "late", "stalled", "broken"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Call:
    context: ProposalContext
    answer: "Future[Proposal]"


class GuardedProposer:
    """A proposer on a thread of its own, asked with a deadline; whatever happens, the answer is a Proposal in time.

    One thread, because a decode already uses the cores it may use. While a call has outlived its own deadline the
    thread
    is taken to be stalled, and requests pass it by at once instead of queueing behind it.
    """

    def __init__(self, proposer: Proposer, clock: Clock) -> None:
        self._proposer = proposer
        self._clock = clock
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        # A daemon, since a stalled call must not keep the process from ending.
        threading.Thread(target=self._work, name="proposer", daemon=True).start()
        self._running: ProposalContext | None = None
        self.lateness: Counter[str] = Counter()

    @property
    def model(self) -> str:
        return self._proposer.model

    async def propose(self, context: ProposalContext) -> Proposal:
        """The proposal, or an empty one with its reason once the context's deadline has passed."""
        started = self._clock.monotonic_ns()
        proposal = await self._within_deadline(context, started)
        if proposal.reason in (LATE, STALLED, BROKEN, NO_TIME):
            self.lateness[proposal.reason] += 1
        return proposal

    async def _within_deadline(self, context: ProposalContext, started: int) -> Proposal:
        running = self._running
        if running is not None and running.deadline.remaining_ms < 0:
            return self._empty(STALLED, started)
        if context.deadline.remaining_ms <= 0:
            return self._empty(NO_TIME, started)
        call = _Call(context, Future())
        self._calls.put(call)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(context.deadline.remaining_ms, 0) / 1000):
                return await asyncio.shield(asyncio.wrap_future(call.answer))
        call.answer.cancel()
        return self._empty(LATE, started)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if not call.answer.set_running_or_notify_cancel():
                continue
            started = self._clock.monotonic_ns()
            try:
                call.answer.set_result(self._call(call.context, started))
            except Exception as error:
                # The answer first: writing a traceback down takes longer than a request may.
                call.answer.set_result(self._empty(BROKEN, started))
                _log.error("the proposer broke; this request falls back", exc_info=error, model=self._proposer.model)

    def _call(self, context: ProposalContext, started: int) -> Proposal:
        if context.deadline.remaining_ms <= 0:
            return self._empty(LATE, started)
        self._running = context
        try:
            return self._proposer.propose(context)
        finally:
            self._running = None

    def _empty(self, reason: str, started: int) -> Proposal:
        return Proposal((), reason, elapsed_ms(started, self._clock), self._proposer.model)

    def close(self) -> None:
        """Afterwards no further call starts; a running one is left to end by itself."""
        self._calls.put(None)
