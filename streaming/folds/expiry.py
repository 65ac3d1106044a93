"""Rows that end by themselves: users without a contact for long, places nobody reports of any more."""

import heapq

from ...core.environment import Environment
from ...core.feedback import UserState
from .state import RowKey, ShardState

MOST_AT_ONCE = 1_000  # tombstones of one commit, so that a whole generation of users leaves in passing


class Expiry:
    """When each row of a shard ends, kept in a heap that is corrected only where a row comes to the top."""

    def __init__(self, state: ShardState) -> None:
        self._state = state
        self._ends: list[tuple[int, RowKey]] = []
        self._known: set[RowKey] = set()
        for key in state.merged:
            self._follow(key)

    def drop_ended(self, event_time: int) -> int:
        """How many rows that ended by `event_time` (ns UTC) are tombstones now, MOST_AT_ONCE at most.

        Call it before each commit: rows that changed since the last one are followed from now on.
        """
        for key in self._state.changed:
            if key not in self._known and key in self._state.merged:
                self._follow(key)
        dropped = 0
        while self._ends and self._ends[0][0] <= event_time and dropped < MOST_AT_ONCE:
            _, key = heapq.heappop(self._ends)
            self._known.discard(key)
            value = self._state.merged.get(key)
            end = _end(value)
            if value is None or end == 0:
                continue
            if end > event_time:  # it was told of again meanwhile
                self._follow(key)
                continue
            table, name = key
            self._state.put(table, name, None, end)
            dropped += 1
        return dropped

    def _follow(self, key: RowKey) -> None:
        end = _end(self._state.merged.get(key))
        if end:
            self._known.add(key)
            heapq.heappush(self._ends, (end, key))


def _end(value: object) -> int:
    match value:
        case UserState(expires=expires):
            return expires
        case Environment():
            return value.ends
    return 0
