"""Records of a source topic as they were consumed, one or many at a time."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a known partition of a topic; `timestamp_ms` is its own, -1 if unknown."""

    offset: int
    key: bytes | None
    payload: bytes | None
    timestamp_ms: int = -1


@dataclass(frozen=True, slots=True)
class Records:
    """M records of one partition of one topic, by offset."""

    offsets: Sequence[int]  # [M] ascending
    keys: Sequence[bytes | None]  # [M]
    payloads: Sequence[bytes | None]  # [M]
    timestamps_ms: Sequence[int]  # [M] the records' own; -1: unknown

    def __len__(self) -> int:
        return len(self.offsets)

    def between(self, first: int, end: int) -> "Records":
        """The records at places first … end - 1."""
        if first == 0 and end == len(self):
            return self
        return Records(
            self.offsets[first:end], self.keys[first:end], self.payloads[first:end], self.timestamps_ms[first:end]
        )
