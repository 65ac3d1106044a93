"""Which request's next step runs now, and how wide: a fixed-step scheduler for one thread of decoding.

A request is a prompt and L levels; each is one step whose cost is known beforehand. An iteration takes steps of
several requests, prompts and levels mixed, up to a fixed number of rows, so that its length is bounded and whoever
arrives waits no longer than that. The scheduler only decides; whoever runs it does the steps and says when.

- Admission by deadline: a request is refused at once if, even with the narrowest beams for all, it or a request
  accepted before it would be late. None that was accepted is late while steps cost no more than was said.
- Admission by beam rows: a prompt is read only while the beams of all requests begun leave room for its own.
- Load-aware width: the widest beam for which everything accepted stays in time and the queue drains soon enough.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..core.clock import NS_PER_MS, Clock, Deadline

PROMPT = -1  # the "level" of reading the prompt


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Milliseconds of each step, as measured or a little above: what is promised rests on them."""

    prompt_ms: float
    prompt_rows: int  # tokens of a prompt: what reading it takes of an iteration's rows
    level_ms: tuple[float, ...]  # [L] of a level without a beam
    row_ms: tuple[float, ...]  # [L] more for each beam of the width searched with

    @property
    def levels(self) -> int:
        return len(self.level_ms)

    def of(self, level: int, width: int) -> float:
        """Milliseconds of one step."""
        return self.prompt_ms if level == PROMPT else self.level_ms[level] + width * self.row_ms[level]

    def rest(self, level: int, width: int) -> float:
        """Milliseconds from `level` (or PROMPT) to the end at one width."""
        return sum(self.of(step, width) for step in range(level, self.levels))


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """How the scheduler shares one thread."""

    widths: tuple[int, ...] = (128, 96, 64, 48, 32)  # beams a request may get, widest first
    iteration_rows: int = 160  # beams and prompt tokens of one iteration; one step is always taken
    rows_in_flight: int = 512  # beams of all requests begun and not finished, counted at the widest
    backlog: float = 1.0  # a width is too wide if, kept by all, the queue took as long as this many of the widest


@dataclass(slots=True)
class Flight:
    """A request on its way."""

    number: int
    deadline: Deadline
    arrived_ns: int
    level: int = PROMPT  # of its next step
    widths: list[int] = field(default_factory=list)  # what each level was searched with


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do now: read the flight's prompt, or search one level with `width` beams."""

    flight: Flight
    level: int
    width: int  # 0 for a prompt


class FixedStepScheduler:
    """Accepts flights and plans iterations. Not thread-safe: the thread that decodes also asks."""

    def __init__(self, costs: StepCosts, config: SchedulerConfig, clock: Clock) -> None:
        self._costs, self._config, self._clock = costs, config, clock
        self._flights: list[Flight] = []  # earliest deadline first
        self._narrowest = min(config.widths)

    @property
    def flights(self) -> Sequence[Flight]:
        """Accepted and not finished, earliest deadline first."""
        return tuple(self._flights)

    def submit(self, flight: Flight) -> bool:
        """Whether the flight is accepted; if so it will be in time, and so will all that were accepted before it."""
        wanted = [*self._flights]
        insort(wanted, flight, key=_due)
        if not self._in_time([(each, each.level) for each in wanted], 0.0):
            return False
        self._flights = wanted
        return True

    def plan(self) -> list[Step]:
        """The steps of the next iteration in their order, one a flight; empty if nothing is to do.

        The most urgent flight always gets its step, others beside it while rows are left and nobody would be late for
        it. Each step planned must be reported by `done` before the next plan.
        """
        config, costs = self._config, self._costs
        levels = [(flight, flight.level) for flight in self._flights]  # as they will be after the steps planned
        steps: list[Step] = []
        rows = begun = 0
        spent_ms = 0.0
        for place, flight in enumerate(self._flights):
            starts = flight.level == PROMPT
            begun += config.widths[0]
            if starts and place > 0 and begun > config.rows_in_flight:
                break
            levels[place] = (flight, flight.level + 1)
            width = 0 if starts else self._width(flight, levels, spent_ms)
            rows += costs.prompt_rows if starts else width
            spent_ms += costs.of(flight.level, width)
            if steps and (rows > config.iteration_rows or not self._in_time(levels, spent_ms)):
                break
            steps.append(Step(flight, flight.level, width))
        return steps

    def done(self, step: Step) -> bool:
        """Takes note of a step; True if it was its flight's last, which then has left."""
        flight = step.flight
        flight.level += 1
        if step.level != PROMPT:
            flight.widths.append(step.width)
        if flight.level < self._costs.levels:
            return False
        self._flights.remove(flight)
        return True

    def _width(self, flight: Flight, levels: Sequence[tuple[Flight, int]], spent_ms: float) -> int:
        """The widest beam that load and all deadlines allow for the flight's next level.

        Args:
            levels: every flight with its next level once this one's step is done.
        """
        most_ms = self._config.backlog * self._costs.rest(PROMPT, self._config.widths[0])
        for width in self._config.widths:
            drain_ms = sum(self._costs.rest(each.level, width) for each in self._flights)
            if drain_ms <= most_ms and self._in_time(levels, spent_ms + self._costs.of(flight.level, width)):
                return width
        return self._narrowest

    def _in_time(self, levels: Sequence[tuple[Flight, int]], spent_ms: float) -> bool:
        """Whether all are in time if, after `spent_ms`, they are served one by one with the narrowest beams.

        That order is always open to the scheduler, and every step is checked to leave it open: hence the promise.

        Args:
            levels: flights with their next levels, earliest deadline first.
        """
        now_ns = self._clock.monotonic_ns()
        finished_ms = spent_ms
        for flight, level in levels:
            finished_ms += self._costs.rest(level, self._narrowest)
            if finished_ms > (flight.deadline.at_monotonic_ns - now_ns) / NS_PER_MS:
                return False
        return True


def _due(flight: Flight) -> int:
    return flight.deadline.at_monotonic_ns
