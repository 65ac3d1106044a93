"""What is still to happen, in order of virtual time."""

import heapq
from dataclasses import dataclass
from enum import IntEnum

from ..core.environment import EnvironmentReading
from ..core.feedback import Feedback
from .market_maker import Offering


class Rank(IntEnum):
    """Which of several happenings at the same instant comes first."""

    READING = 0  # the weather is known before anything of that instant
    REACTION = 1  # what people did is told before the next request
    ARRIVAL = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """An environment reading is published."""

    reading: EnvironmentReading


@dataclass(frozen=True, slots=True)
class Reaction:
    """Somebody clicks, converts or visits."""

    event_id: str
    feedback: Feedback


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request comes in."""

    offering: Offering


Happening = Reading | Reaction | Arrival
_RANKS: dict[type[Happening], Rank] = {Reading: Rank.READING, Reaction: Rank.REACTION, Arrival: Rank.ARRIVAL}


@dataclass(frozen=True, slots=True)
class Due:
    """A happening with its virtual time (ns UTC)."""

    at: int
    happening: Happening


class Agenda:
    """An ordered heap: by time, then by rank, then in the order of adding. Nothing is lost, nothing comes twice."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, Happening]] = []
        self._added = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def first(self) -> Due | None:
        """The next happening, left on the agenda."""
        return Due(self._heap[0][0], self._heap[0][3]) if self._heap else None

    def add(self, at: int, happening: Happening) -> None:
        """Afterwards the happening is due at `at`, behind what is due then with the same rank."""
        heapq.heappush(self._heap, (at, _RANKS[type(happening)], self._added, happening))
        self._added += 1

    def pop(self) -> Due:
        """The next happening, taken off; IndexError when nothing is due."""
        at, _, _, happening = heapq.heappop(self._heap)
        return Due(at, happening)
