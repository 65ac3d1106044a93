"""The recent versions, for reads as of a past event time."""

from collections import deque

from ..core.errors import VersionUnavailable
from .snapshot import MemorySnapshot


class History:
    """At most `limit` snapshots, newest last. Replaced as a whole by its one writer, so that readers need no lock."""

    def __init__(self, limit: int) -> None:
        self._snapshots: deque[MemorySnapshot] = deque(maxlen=limit)
        self._evicted = False

    def add(self, snapshot: MemorySnapshot) -> None:
        """Afterwards `snapshot` is the newest version; the oldest may be gone."""
        self._evicted = self._evicted or len(self._snapshots) == self._snapshots.maxlen
        self._snapshots.append(snapshot)

    def as_of(self, event_time: int) -> MemorySnapshot:
        """The newest version none of whose shards has a watermark later than `event_time` (ns UTC).

        VersionUnavailable when that version is older than the ones kept.
        """
        for snapshot in reversed(tuple(self._snapshots)):
            if all(watermark <= event_time for watermark in snapshot.version.watermarks):
                return snapshot
        oldest = self._snapshots[0].version.watermark if self._snapshots else 0
        raise VersionUnavailable(
            f"no version as of {event_time} is kept in process, the oldest is of {oldest}; load it from the store"
        )
