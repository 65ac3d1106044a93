"""Up to which event time a shard is complete, as far as can be known."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(slots=True)
class Watermark:
    """Follows the newest event time at a distance of `lateness_ns`; it never falls.

    An idle shard has no events to follow. It keeps up with `others`, the newest event time its worker has seen
    anywhere, or the versions of memory, whose watermark is the least of all shards', would stand still.
    """

    lateness_ns: int
    value: int = 0
    newest: int = 0

    def observe(self, event_time: int) -> None:
        """Afterwards an event of this time (ns UTC) counts as seen."""
        self.newest = max(self.newest, event_time)
        self.value = max(self.value, self.newest - self.lateness_ns)

    def observe_all(self, event_times: npt.NDArray[np.int64]) -> int:
        """As `observe` for each in order; how many of them lay below the watermark as they came."""
        before = np.maximum.accumulate(event_times) - self.lateness_ns
        reached = np.append(self.value, np.maximum(before[:-1], self.value))
        self.observe(int(event_times.max()))
        return int(np.count_nonzero(event_times < reached))

    def idle(self, others: int) -> None:
        """Afterwards a shard without events since the last commit is as far as the others."""
        self.value = max(self.value, others - self.lateness_ns)
