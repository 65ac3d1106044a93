"""What was decided about creatives, kept as long as neither words, policy nor the item's facts change."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")


class VerdictKey(NamedTuple):
    """Under what a verdict is known. A new wording, policy or offer makes a new key; the old one ages out."""

    content_hash: str
    policy_version: str
    facts: str


class Remembered(Generic[Key, Kept]):
    """The `limit` most recently used values by key. Safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self.hits = 0
        self.misses = 0
        self._limit = limit
        self._values: OrderedDict[Key, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Kept | None:
        """The value of `key`, now the most recently used; None when it is not known."""
        with self._lock:
            value = self._values.get(key)
            if value is None:
                self.misses += 1
                return None
            self.hits += 1
            self._values.move_to_end(key)
            return value

    def put(self, key: Key, value: Kept) -> None:
        """Afterwards `key` is known, and the least recently used beyond the limit are not."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._limit:
                self._values.popitem(last=False)

    def __len__(self) -> int:
        return len(self._values)
