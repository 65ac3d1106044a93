"""Which request's next step runs now, and how wide: a fixed-step scheduler for one thread of decoding.

A request is a prompt and L levels; each is one step whose cost is known beforehand. An iteration takes steps of
several requests, prompts and levels mixed, up to a fixed number of rows, so that its length is bounded and whoever
arrives waits no longer than that. The scheduler only decides; whoever runs it does the steps and says when.

- Admission by deadline: a request is refused at once if, even with the narrowest beams for all, it or a request
  accepted before it would be late. None that was accepted is late while steps cost no more than was said.
- Admission by beam rows: a prompt is read only while the beams of all requests begun leave room for its own.
- Load-aware width: the widest beam for which everything accepted stays in time and the queue drains soon enough; the
  widest of all for whoever is alone.
"""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..core.clock import NS_PER_MS, Clock, Deadline
from .costs import PROMPT, Costs

WORTH_NARROWING = 0.9  # a queue is not made shorter by narrow beams that save less than a tenth of a request


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """How the scheduler shares one thread."""

    widths: tuple[int, ...] = (128, 96, 64, 48, 32, 16)  # beams a request may get, widest first
    # Beams and prompt tokens of one iteration; one step is always taken. On one thread of a CPU two requests in one
    # product gain nothing, so few share one: a wide step beside another only makes the more urgent one wait.
    iteration_rows: int = 96
    rows_in_flight: int = 512  # beams of all requests begun and not finished, counted at the widest
    backlog: float = 0.75  # of a widest request: beams are narrowed until all in flight take no longer than this

    @classmethod
    def of(cls, widths: Sequence[int]) -> "SchedulerConfig":
        """The same proportions for other beams."""
        usual = cls()
        share = widths[0] / usual.widths[0]
        return cls(tuple(widths), round(share * usual.iteration_rows), round(share * usual.rows_in_flight))


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
    """Accepts flights and plans iterations. Not thread-safe: one caller at a time, though any may `submit` at any time,
    also between the steps of an iteration.
    """

    def __init__(self, costs: Costs, config: SchedulerConfig, clock: Clock) -> None:
        self._costs, self._config, self._clock = costs, config, clock
        self._flights: list[Flight] = []  # earliest deadline first
        self._planned: list[Step] = []  # and neither done nor left
        self._narrowest = min(config.widths)

    @property
    def flights(self) -> Sequence[Flight]:
        """Accepted and not finished, earliest deadline first."""
        return tuple(self._flights)

    def submit(self, flight: Flight) -> bool:
        """Whether the flight is accepted; if so it will be in time, and so will all that were accepted before it."""
        place = bisect(self._flights, _due(flight), key=_due)
        planned = {id(step.flight) for step in self._planned}  # these steps are done before anything else
        finished_ms = sum(self._costs.of(step.level, step.width) for step in self._planned)
        own_ms = self._costs.rest(flight.level, self._narrowest)
        now_ns = self._clock.monotonic_ns()
        for each in self._flights[:place]:  # they go first, and do not notice
            finished_ms += self._costs.rest(each.level + (id(each) in planned), self._narrowest)
        if finished_ms + own_ms > _left_ms(flight, now_ns):
            return False
        for each in self._flights[place:]:  # whoever would be late without it as well is not made late by it
            finished_ms += self._costs.rest(each.level + (id(each) in planned), self._narrowest)
            if finished_ms <= _left_ms(each, now_ns) < finished_ms + own_ms:
                return False
        self._flights.insert(place, flight)
        return True

    def take(self, flight: Flight) -> None:
        """Afterwards the flight is accepted, whatever was promised: to learn what steps cost now."""
        self._flights.insert(bisect(self._flights, _due(flight), key=_due), flight)

    def plan(self) -> list[Step]:
        """The steps of the next iteration in their order, one a flight; empty if nothing is to do.

        The most urgent flight always gets its step, others beside it while rows are left and nobody would be late for
        it. Each step planned must be reported by `done`, or its flight by `leave`, before the next plan.
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
        self._planned = [*steps]
        return steps

    def done(self, step: Step) -> bool:
        """Takes note of a step; True if it was its flight's last, which then has left."""
        flight = step.flight
        self._planned.remove(step)
        flight.level += 1
        if step.level != PROMPT:
            flight.widths.append(step.width)
        if flight.level < self._costs.levels:
            return False
        self._flights.remove(flight)
        return True

    def leave(self, flight: Flight) -> None:
        """Afterwards the flight, done or given up before its last step, is no more; none of its steps is to be done."""
        self._planned = [step for step in self._planned if step.flight is not flight]
        self._flights = [each for each in self._flights if each is not flight]

    def _width(self, flight: Flight, levels: Sequence[tuple[Flight, int]], spent_ms: float) -> int:
        """The widest beam that load and all deadlines allow for the flight's next level.

        Args:
            levels: every flight with its next level once this one's step is done.
        """
        costs, widths = self._costs, self._config.widths
        whole_ms = costs.rest(PROMPT, widths[0])
        saves = costs.rest(PROMPT, self._narrowest) < WORTH_NARROWING * whole_ms
        free = len(self._flights) == 1 or not saves
        most_ms = self._config.backlog * whole_ms
        for width in widths:
            drains = free or sum(costs.rest(each.level, width) for each in self._flights) <= most_ms
            if drains and self._in_time(levels, spent_ms + costs.of(flight.level, width)):
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
            if finished_ms > _left_ms(flight, now_ns):
                return False
        return True


def _due(flight: Flight) -> int:
    return flight.deadline.at_monotonic_ns


def _left_ms(flight: Flight, now_ns: int) -> float:
    return (flight.deadline.at_monotonic_ns - now_ns) / NS_PER_MS
