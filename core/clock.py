"""Time as an argument: clocks that can be swapped, and one deadline shared by all steps of a request."""

import time
from dataclasses import dataclass
from typing import Protocol

NS_PER_MS = 1_000_000
NS_PER_SECOND = 1_000_000_000
NS_PER_HOUR = 3600 * NS_PER_SECOND


class Clock(Protocol):
    """Tells wall time for stamping events and monotonic time for measuring waits."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that never run backwards; only differences mean anything."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class ManualClock:
    """A clock that moves only when told, for tests and simulations."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self._now_ns

    def advance(self, nanoseconds: int) -> None:
        """Afterwards both times are later by `nanoseconds`."""
        self._now_ns += nanoseconds


@dataclass(frozen=True, slots=True)
class Deadline:
    """The instant, on a clock's monotonic scale, by which an answer must have left."""

    at_monotonic_ns: int
    clock: Clock

    @classmethod
    def after_ms(cls, timeout_ms: float, clock: Clock) -> "Deadline":
        """A deadline `timeout_ms` from now."""
        return cls(clock.monotonic_ns() + int(timeout_ms * NS_PER_MS), clock)

    @property
    def remaining_ms(self) -> float:
        """Milliseconds left; negative once it has passed."""
        return (self.at_monotonic_ns - self.clock.monotonic_ns()) / NS_PER_MS

    def earlier_by_ms(self, margin_ms: float) -> "Deadline":
        """The same deadline, moved forward to leave `margin_ms` for what comes after."""
        return Deadline(self.at_monotonic_ns - int(margin_ms * NS_PER_MS), self.clock)


def elapsed_ms(since_monotonic_ns: int, clock: Clock) -> float:
    """Milliseconds since a monotonic reading of the same clock."""
    return (clock.monotonic_ns() - since_monotonic_ns) / NS_PER_MS
