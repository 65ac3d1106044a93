"""One thread shared among requests step by step: who is served, how wide, and who is told at once that it is full."""

import asyncio
import threading
import time
from dataclasses import dataclass, field

import numpy as np

from adgram.core.clock import Deadline, SystemClock
from adgram.core.decision import NoBidReason, Proposal, Tier
from adgram.core.ports import ProposalContext, StepShape
from adgram.engine.tier import BROKEN, LATE, REFUSED, GuardedProposer

CLOCK = SystemClock()
TWO_LEVELS = StepShape(levels=2, prompt_rows=2, widths=(8, 4))


@dataclass
class SteppedProposer:
    """Proposes nothing, in a prompt and two levels, each of `step_ms` and a part that goes with its beams."""

    step_ms: float = 0.0
    beam_ms: float = 0.0
    breaks_on: str = ""  # the need whose second level raises
    shape: StepShape = TWO_LEVELS
    model: str = "stepped"
    done: list[tuple[str, int, int]] = field(default_factory=list)  # need, step, width
    gate: threading.Event = field(default_factory=threading.Event)  # the first step waits for it

    def __post_init__(self) -> None:
        self.gate.set()

    def propose(self, context: ProposalContext) -> Proposal:
        raise AssertionError("it works in steps")

    def begin(self, context: ProposalContext) -> "SteppedProposal":
        return SteppedProposal(self, context.need)


@dataclass
class SteppedProposal:
    proposer: SteppedProposer
    need: str
    step: int = -1

    def advance(self, width: int) -> Proposal | None:
        proposer = self.proposer
        proposer.gate.wait(30)
        proposer.done.append((self.need, self.step, width))
        time.sleep((proposer.step_ms + proposer.beam_ms * (width if self.step >= 0 else 0)) / 1e3)
        if self.step == 1 and self.need == proposer.breaks_on:
            raise RuntimeError("weights on fire")
        self.step += 1
        return Proposal((), "", 0.0, "stepped") if self.step == proposer.shape.levels else None


class SlowProposer:
    """Takes a moment, in one piece."""

    model = "slow"

    def __init__(self, takes_ms: float) -> None:
        self.takes_ms = takes_ms

    def propose(self, context: ProposalContext) -> Proposal:
        time.sleep(self.takes_ms / 1e3)
        return Proposal((), "", self.takes_ms, self.model)


def context(make, need: str, timeout_ms: float) -> ProposalContext:
    snapshot = make.catalogue(1)
    deadline = Deadline.after_ms(timeout_ms, CLOCK)
    return ProposalContext(snapshot, np.ones(1, dtype=bool), (), 5, deadline, need)


async def asked(guarded: GuardedProposer, *contexts: ProposalContext) -> list[Proposal]:
    return await asyncio.gather(*(guarded.propose(each) for each in contexts))


def learned(make, proposer: object, rounds: int = 4) -> GuardedProposer:
    """A proposer on its thread that has answered a few requests alone, so that it knows what its steps take."""
    guarded = GuardedProposer(proposer, CLOCK)  # type: ignore[arg-type]
    for _ in range(rounds):
        asyncio.run(asked(guarded, context(make, "earlier", 5_000)))
    return guarded


def test_requests_in_flight_take_steps_in_turn(make) -> None:
    """While one searches, the next one's prompt is read: nobody waits for a whole request of somebody else."""
    proposer = SteppedProposer()
    guarded = GuardedProposer(proposer, CLOCK)
    proposer.gate.clear()

    async def both() -> None:
        answers = asyncio.ensure_future(asked(guarded, context(make, "a", 20_000), context(make, "b", 21_000)))
        await asyncio.sleep(0.05)
        proposer.gate.set()
        assert [each.reason for each in await answers] == ["", ""]

    asyncio.run(both())
    steps = [(need, step) for need, step, _ in proposer.done]
    assert steps.index(("b", -1)) < steps.index(("a", 1))
    assert [step for need, step in steps if need == "a"] == [-1, 0, 1]
    guarded.close()


def test_a_request_alone_gets_the_widest_beams_and_a_queue_narrower_ones(make) -> None:
    """Width follows the load, where narrower beams were seen to be quicker."""
    proposer = SteppedProposer(beam_ms=1.0)
    guarded = learned(make, proposer)
    assert {width for _, step, width in proposer.done if step >= 0} == {8}
    proposer.done.clear()
    asyncio.run(asked(guarded, *(context(make, f"{number}", 60_000 + number) for number in range(12))))
    widths = [width for _, step, width in proposer.done if step >= 0]
    assert widths[0] == 4
    assert widths[-1] == 8
    assert guarded.widths[4] > 0
    guarded.close()


def test_a_request_without_room_is_told_at_once(make) -> None:
    """Its answer is empty, with the reason, long before its deadline; the one before it is served."""
    guarded = learned(make, SlowProposer(150))

    async def both() -> tuple[Proposal, Proposal, float]:
        first = asyncio.ensure_future(guarded.propose(context(make, "", 2_000)))
        await asyncio.sleep(0.02)
        begun = time.perf_counter()
        second = await guarded.propose(context(make, "", 250))
        took_s = time.perf_counter() - begun
        return await first, second, took_s

    first, second, took_s = asyncio.run(both())
    assert (first.reason, second.reason) == ("", REFUSED)
    assert took_s < 0.1
    assert guarded.lateness[REFUSED] == 1
    guarded.close()


def test_costs_of_a_slow_spell_do_not_refuse_for_ever(make) -> None:
    """Of requests refused though nothing is in flight, some are tried, and what they take is believed."""
    slow = SlowProposer(120)
    guarded = learned(make, slow, rounds=6)
    slow.takes_ms = 0
    answers = [asyncio.run(asked(guarded, context(make, "", 60)))[0].reason for _ in range(100)]
    assert answers[0] == REFUSED
    assert answers[-1] == ""
    guarded.close()


def test_a_request_that_breaks_half_way_takes_nobody_along(make) -> None:
    """The broken one says so; those beside it and after it are served."""
    proposer = SteppedProposer(step_ms=2, breaks_on="b")
    guarded = GuardedProposer(proposer, CLOCK)
    answers = asyncio.run(asked(guarded, *(context(make, need, 20_000) for need in "abc")))
    assert [each.reason for each in answers] == ["", BROKEN, ""]
    assert asyncio.run(asked(guarded, context(make, "d", 20_000)))[0].reason == ""
    guarded.close()


def test_a_request_nobody_waits_for_any_more_takes_no_further_step(make) -> None:
    """Once its deadline has passed its flight leaves, and its place is free."""
    proposer = SteppedProposer()
    guarded = GuardedProposer(proposer, CLOCK)
    proposer.gate.clear()

    async def late() -> Proposal:
        answer = await guarded.propose(context(make, "late", 80))
        proposer.gate.set()
        return answer

    assert asyncio.run(late()).reason == LATE
    while guarded._running is not None:
        time.sleep(0.001)
    assert asyncio.run(asked(guarded, context(make, "next", 20_000)))[0].reason == ""
    assert [step for need, step, _ in proposer.done if need == "late"] == [-1]
    guarded.close()


def test_a_proposer_with_more_steps_than_it_said_is_broken(make) -> None:
    """It is a value like any other breakage, and the thread goes on."""
    proposer = SteppedProposer()
    guarded = GuardedProposer(proposer, CLOCK)
    proposer.shape = StepShape(levels=5, prompt_rows=2, widths=(8, 4))
    assert asyncio.run(asked(guarded, context(make, "a", 20_000)))[0].reason == BROKEN
    proposer.shape = TWO_LEVELS
    assert asyncio.run(asked(guarded, context(make, "b", 20_000)))[0].reason == ""
    guarded.close()


async def _burst(built, make, in_flight: int) -> list:
    request = make.bid_request(timeout_ms=400)
    return await asyncio.gather(
        *(built.pipeline.decide(request, Deadline.after_ms(400, CLOCK)) for _ in range(in_flight))
    )


def test_a_refused_request_is_answered_by_the_fallback_at_once(bench, make) -> None:
    """A burst that the learned tier has no room for is bid on all the same, its record saying why."""

    class Slow(make.ScriptedProposer):
        def propose(self, context: ProposalContext) -> Proposal:
            time.sleep(0.1)
            return super().propose(context)

    built = bench(make.catalogue(), Slow())
    for _ in range(4):
        asyncio.run(_burst(built, make, 1))
    decisions = asyncio.run(_burst(built, make, 8))
    assert all(decision.bids for decision in decisions), [decision.no_bid_reason for decision in decisions]
    refused = [each for each in decisions if each.record.tiers[0].proposal.reason == REFUSED]
    assert refused
    assert all(each.record.tiers[-1].tier is Tier.FALLBACK for each in refused)
    assert all(each.record.took_ms < 200 for each in refused)
    assert not any(each.no_bid_reason is NoBidReason.INSUFFICIENT_AUCTION_TIME for each in decisions)
