"""What each step of a proposal costs: as told, or as learned from the steps that were done."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

PROMPT = -1  # the "level" of reading the prompt
PER_BEAM = 0.5  # share of a level taken to go with its beams until narrower ones were seen: so that they are tried
WINDOW = 25  # newest steps of a kind that count
STRAY = 4.0  # times the median: what a step counts at most, so that one that stalled is not expected again
CAUTION, EASE, MOST = 1.1, 0.9995, 4.0  # the margin after a promise broken, after one kept, and at most
ENOUGH = 3  # steps seen before one costs anything: the first ones load what is loaded lazily


class Costs(Protocol):
    """Milliseconds of steps, all that a promise rests on."""

    @property
    def levels(self) -> int: ...
    @property
    def prompt_rows(self) -> int:
        """How many beams' worth of an iteration's rows a prompt takes."""
        ...

    def of(self, level: int, width: int) -> float:
        """Milliseconds of one step; of the prompt whatever the width."""
        ...

    def rest(self, level: int, width: int) -> float:
        """Milliseconds from `level` (or PROMPT) to the end at one width."""
        ...


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Implements Costs by numbers measured beforehand, or a little above."""

    prompt_ms: float
    prompt_rows: int
    level_ms: tuple[float, ...]  # [L] of a level without a beam
    row_ms: tuple[float, ...]  # [L] more for each beam of the width searched with
    _from_ms: tuple[float, ...] = field(init=False, repr=False)  # [L + 1] the sum of level_ms from each level on
    _from_row_ms: tuple[float, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_from_ms", _sums_from(self.level_ms))
        object.__setattr__(self, "_from_row_ms", _sums_from(self.row_ms))

    @property
    def levels(self) -> int:
        return len(self.level_ms)

    def of(self, level: int, width: int) -> float:
        return self.prompt_ms if level == PROMPT else self.level_ms[level] + width * self.row_ms[level]

    def rest(self, level: int, width: int) -> float:
        if level == PROMPT:
            return self.prompt_ms + self.rest(0, width)
        return self._from_ms[level] + width * self._from_row_ms[level]


class LearnedCosts:
    """Implements Costs by the mean of what each step took lately with each width, times a margin, which grows where
    requests are late all the same: on a quiet machine it stays what it was, on a busy one about a half per cent are.

    Nothing costs anything until it was seen often enough with the widest beams. Only the widths given may be asked for.
    Not thread-safe.
    """

    def __init__(self, levels: int, prompt_rows: int, widths: Sequence[int], margin: float) -> None:
        """`widths` come widest first; `margin` is at least 1."""
        self.levels, self.prompt_rows = levels, prompt_rows
        self._places = {width: place for place, width in enumerate(widths)}
        self._thought = [1 - PER_BEAM + PER_BEAM * width / widths[0] for width in widths]  # of the widest, if unseen
        self._least_margin = self.margin = margin
        steps = levels + 1  # the prompt first, which has but one width
        self._took: list[list[deque[float]]] = [[deque(maxlen=WINDOW) for _ in widths] for _ in range(steps)]
        self._costs = [[0.0] * len(widths) for _ in range(steps)]
        self._rest = [[0.0] * len(widths) for _ in range(steps + 1)]

    def of(self, level: int, width: int) -> float:
        return self._costs[level + 1][0 if level == PROMPT else self._places[width]]

    def rest(self, level: int, width: int) -> float:
        return self._rest[level + 1][self._places[width]]

    def observe(self, level: int, width: int, took_ms: float) -> None:
        """Afterwards the next steps of this kind are expected to take a little more like this one."""
        step = level + 1
        took = self._took[step]
        took[0 if level == PROMPT else self._places[width]].append(took_ms)
        widest = self.margin * _usual(took[0]) if len(took[0]) >= ENOUGH else 0.0
        for place, window in enumerate(took):
            if level == PROMPT:
                self._costs[step][place] = widest
            elif len(window) >= ENOUGH:  # no narrower beam is thought slower than the widest
                self._costs[step][place] = min(self.margin * _usual(window), widest)
            else:
                self._costs[step][place] = self._thought[place] * widest
        for each in range(step, -1, -1):
            self._rest[each] = [a + b for a, b in zip(self._costs[each], self._rest[each + 1], strict=True)]

    def kept(self, promise: bool) -> None:
        """Whether an accepted request was in time: the next steps are promised with as much caution."""
        self.margin = min(max(self.margin * (EASE if promise else CAUTION), self._least_margin), MOST)


def _usual(values: Collection[float]) -> float:
    """The mean: a queue takes the sum of its steps, and on a busy machine few slow ones make most of it."""
    most = STRAY * sorted(values)[len(values) // 2]
    return sum(min(value, most) for value in values) / len(values)


def _sums_from(values: Sequence[float]) -> tuple[float, ...]:
    """[L + 1] the sum of the values from each place on."""
    return tuple(sum(values[place:]) for place in range(len(values) + 1))
