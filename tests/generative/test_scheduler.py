"""The scheduler with a clock moved by hand: promises kept, widths that follow the load, rows that stay bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core.clock import NS_PER_MS, Deadline, ManualClock
from adgram.generative.costs import PROMPT, LearnedCosts, StepCosts
from adgram.generative.scheduler import FixedStepScheduler, Flight, SchedulerConfig

COSTS = StepCosts(prompt_ms=4.0, prompt_rows=100, level_ms=(0.2, 0.5, 0.5), row_ms=(0.0, 0.05, 0.03))


def flight(number: int, clock: ManualClock, timeout_ms: float) -> Flight:
    return Flight(number, Deadline.after_ms(timeout_ms, clock), clock.monotonic_ns())


@settings(max_examples=150, deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.floats(0, 30), st.floats(1, 120)), min_size=1, max_size=60),
    rows=st.integers(1, 600),
    in_flight=st.integers(1, 2_000),
    backlog=st.floats(0.1, 20),
    between_steps=st.booleans(),
)
def test_no_accepted_deadline_is_missed_and_none_is_forgotten(arrivals, rows, in_flight, backlog, between_steps):
    """Whatever arrives whenever, within an iteration too: what was accepted leaves in time, having read its prompt and
    then each level once.
    """
    clock = ManualClock()
    config = SchedulerConfig(iteration_rows=rows, rows_in_flight=in_flight, backlog=backlog)
    scheduler = FixedStepScheduler(COSTS, config, clock)
    due, at = [], 0.0
    for gap_ms, timeout_ms in arrivals:
        at += gap_ms
        due.append((int(at * NS_PER_MS), timeout_ms))
    accepted, left, seen = 0, 0, {}

    def arrive() -> None:
        nonlocal accepted
        while due and due[0][0] <= clock.monotonic_ns():
            arrived_ns, timeout_ms = due.pop(0)
            late_ms = (clock.monotonic_ns() - arrived_ns) / NS_PER_MS
            accepted += scheduler.submit(flight(len(due), clock, timeout_ms - late_ms))

    while due or scheduler.flights:
        arrive()
        steps = scheduler.plan()
        assert bool(steps) == bool(scheduler.flights)
        assert len({step.flight.number for step in steps}) == len(steps)
        taken = sum(COSTS.prompt_rows if step.level == PROMPT else step.width for step in steps)
        assert len(steps) <= 1 or taken <= rows
        for step in steps:
            assert step.level == seen.get(step.flight.number, PROMPT)
            seen[step.flight.number] = step.level + 1
            clock.advance(int(COSTS.of(step.level, step.width) * NS_PER_MS))
            if scheduler.done(step):
                left += 1
                assert step.flight.deadline.remaining_ms >= -1e-3
                assert len(step.flight.widths) == COSTS.levels
            if between_steps:
                arrive()
        if not steps and due:
            clock.advance(max(0, due[0][0] - clock.monotonic_ns()))
    assert left == accepted


def test_beams_are_wide_when_alone_and_narrow_under_load():
    """One request gets the widest beams; twenty at once get narrower ones, and then wider ones again as they drain."""
    clock = ManualClock()
    scheduler = FixedStepScheduler(COSTS, SchedulerConfig(backlog=4), clock)
    assert scheduler.submit(flight(0, clock, 1_000))
    widths = []
    for number in range(1, 20):
        assert scheduler.submit(flight(number, clock, 1_000))
    while scheduler.flights:
        for step in scheduler.plan():
            widths += [step.width] if step.level != PROMPT else []
            scheduler.done(step)
    assert widths[0] == min(SchedulerConfig().widths)
    assert widths[-1] == 128
    assert widths == sorted(widths)


def test_whoever_is_alone_gets_the_widest_beams():
    """Also where levels cost all and the prompt nothing, so that one request is as long as the longest queue."""
    clock, costs = ManualClock(), StepCosts(0.0, 10, (1.0, 1.0), (0.1, 0.1))
    scheduler, widths = FixedStepScheduler(costs, SchedulerConfig(), clock), []
    assert scheduler.submit(flight(0, clock, 1_000))
    while scheduler.flights:
        for step in scheduler.plan():
            widths += [step.width] if step.level != PROMPT else []
            scheduler.done(step)
    assert widths == [128, 128]


def test_a_request_that_would_be_late_or_make_another_late_is_refused():
    """Refusal comes at once, and the one that was there first is served."""
    clock = ManualClock()
    scheduler = FixedStepScheduler(COSTS, SchedulerConfig(), clock)
    shortest = COSTS.rest(PROMPT, min(SchedulerConfig().widths))
    assert not scheduler.submit(flight(1, clock, shortest - 0.1))
    assert scheduler.submit(flight(2, clock, shortest + 0.1))
    assert not scheduler.submit(flight(3, clock, shortest + 0.05))  # it would go first
    assert not scheduler.submit(flight(4, clock, 2 * shortest - 0.1))
    assert scheduler.submit(flight(5, clock, 2 * shortest + 0.1))
    assert [each.number for each in scheduler.flights] == [2, 5]


def test_prompts_and_levels_share_an_iteration_within_its_rows():
    """While one request searches, the next one's prompt is read beside it; a prompt waits for room among the beams."""
    clock = ManualClock()
    config = SchedulerConfig(widths=(64,), iteration_rows=170, rows_in_flight=128, backlog=100)
    scheduler = FixedStepScheduler(COSTS, config, clock)
    for number in range(3):
        assert scheduler.submit(flight(number, clock, 500 + number))
    planned = []
    while scheduler.flights:
        steps = scheduler.plan()
        planned.append([(step.flight.number, step.level) for step in steps])
        for step in steps:
            scheduler.done(step)
    assert planned[0] == [(0, PROMPT)]  # two prompts are more rows than an iteration has
    assert planned[1] == [(0, 0), (1, PROMPT)]
    assert planned[2] == [(0, 1), (1, 0)]  # the third prompt waits: 128 beams are begun
    assert (2, PROMPT) in planned[4]


@pytest.mark.parametrize("level", range(PROMPT, 3))
def test_the_rest_of_a_flight_costs_what_its_steps_cost(level):
    """The sum behind every promise."""
    assert COSTS.rest(level, 32) == pytest.approx(sum(COSTS.of(step, 32) for step in range(level, 3)))


def test_a_flight_that_leaves_makes_room():
    """Given up between its steps, it takes neither its planned step nor anybody's time any more."""
    clock = ManualClock()
    scheduler = FixedStepScheduler(COSTS, SchedulerConfig(), clock)
    shortest = COSTS.rest(PROMPT, min(SchedulerConfig().widths))
    first = flight(1, clock, shortest + 0.1)
    assert scheduler.submit(first)
    scheduler.plan()
    assert not scheduler.submit(flight(2, clock, shortest + 0.2))
    scheduler.leave(first)
    assert scheduler.submit(flight(3, clock, shortest + 0.2))
    assert [step.flight.number for step in scheduler.plan()] == [3]


def test_a_flight_that_is_late_anyway_refuses_nobody_behind_it():
    """Who would be late without the newcomer as well is not made late by it."""
    clock = ManualClock()
    scheduler = FixedStepScheduler(COSTS, SchedulerConfig(), clock)
    doomed = flight(1, clock, 1.0)
    assert not scheduler.submit(doomed)
    scheduler.take(doomed)
    assert scheduler.submit(flight(2, clock, 100))


def test_beams_stay_wide_where_narrow_ones_save_nothing():
    """Under load too: a width that makes no queue shorter would only cost answers."""
    clock = ManualClock()
    flat = StepCosts(prompt_ms=4.0, prompt_rows=100, level_ms=(1.0, 1.0, 1.0), row_ms=(0.0, 0.0, 0.0))
    scheduler = FixedStepScheduler(flat, SchedulerConfig(), clock)
    for number in range(20):
        assert scheduler.submit(flight(number, clock, 1_000))
    widths = []
    while scheduler.flights:
        for step in scheduler.plan():
            widths += [step.width] if step.level != PROMPT else []
            scheduler.done(step)
    assert set(widths) == {128}


def learned() -> LearnedCosts:
    return LearnedCosts(levels=2, prompt_rows=10, widths=(32, 16, 8), margin=1.25)


def test_costs_are_learned_from_the_usual_step_with_a_margin():
    """Nothing costs anything until it was seen; the first call, which loads, or one that stalled hardly counts."""
    costs = learned()
    assert costs.rest(PROMPT, 32) == 0.0
    for took_ms in (3_000.0, *(4.0,) * 20, 30_000.0, 4.0):
        costs.observe(PROMPT, 0, took_ms)
    assert 1.25 * 4 <= costs.of(PROMPT, 0) < 1.25 * 6
    for _ in range(25):
        costs.observe(PROMPT, 0, 4.0)
    assert costs.of(PROMPT, 0) == pytest.approx(5.0)
    for _ in range(3):
        costs.observe(0, 32, 2.0)
        costs.observe(1, 32, 1.0)
    assert costs.rest(PROMPT, 32) == pytest.approx(1.25 * 7)
    assert costs.rest(1, 32) == pytest.approx(1.25)
    assert costs.rest(2, 32) == 0.0


def test_what_narrow_beams_save_is_learned_from_narrow_beams():
    """Half of a level is thought to go with its beams until they were seen; then what was seen is believed."""
    costs = learned()
    for _ in range(5):
        costs.observe(0, 32, 2.0)
    assert costs.of(0, 16) == pytest.approx(0.75 * costs.of(0, 32))
    for _ in range(200):
        costs.observe(0, 32, 2.0)
        costs.observe(0, 16, 1.9)
    assert costs.of(0, 16) == pytest.approx(1.25 * 1.9, rel=0.03)
    assert costs.of(0, 32) == pytest.approx(1.25 * 2.0, rel=0.03)


def test_costs_follow_a_machine_that_slows_down():
    """After a window of slower steps, all is promised by those."""
    costs = learned()
    for _ in range(100):
        costs.observe(0, 32, 1.0)
    for _ in range(25):
        costs.observe(0, 32, 3.0)
    assert costs.of(0, 32) == pytest.approx(1.25 * 3)


def test_broken_promises_make_the_next_ones_cautious():
    """What steps cost on paper grows with every late request, and eases back to the margin it began with."""
    costs = learned()
    for _ in range(3):
        costs.observe(0, 32, 2.0)
        costs.kept(False)
    costs.observe(0, 32, 2.0)
    assert costs.of(0, 32) == pytest.approx(1.25 * 1.1**3 * 2)
    for _ in range(50):
        costs.kept(False)
    assert costs.margin == 4.0
    for _ in range(3_000):
        costs.kept(True)
    assert costs.margin == 1.25
