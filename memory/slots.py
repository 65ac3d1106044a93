"""Numbers names in the order of their arrival; all versions share one dictionary."""

from collections.abc import Iterator, Sequence

PARTS = 64  # a dictionary that outgrows its table copies it in one go: a 64th of it is no pause that anybody sees


class Slots:
    """The slots of the first N names, under Column's rule: the version with the last word grows in place.

    To a version of N names, a name with a slot from N on is not there. Reading is safe beside the one thread that adds.
    """

    __slots__ = ("_count", "_parts", "_used")

    def __init__(self, names: Sequence[str] = ()) -> None:
        """The distinct `names` get slots 0 … N-1."""
        self._parts: tuple[dict[str, int], ...] = tuple({} for _ in range(PARTS))
        self._used = [0]  # names in the dictionaries, shared like them
        self._count = 0
        self._add(names)

    def get(self, name: str) -> int | None:
        """The slot of a name, None where it has none."""
        slot = self._parts[hash(name) % PARTS].get(name)
        return slot if slot is not None and slot < self._count else None

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __getitem__(self, name: str) -> int:
        slot = self.get(name)
        if slot is None:
            raise KeyError(name)
        return slot

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        """The names, in no order."""
        return (name for part in self._parts for name, slot in tuple(part.items()) if slot < self._count)

    def appended(self, names: Sequence[str]) -> "Slots":
        """With the next slots for these distinct names, none of which has one."""
        if not names:
            return self
        if self._used[0] != self._count:
            return Slots([*sorted(self, key=self.__getitem__), *names])
        after = Slots.__new__(Slots)
        after._parts, after._used, after._count = self._parts, self._used, self._count
        after._add(names)
        return after

    def _add(self, names: Sequence[str]) -> None:
        parts = self._parts
        for slot, name in enumerate(names, self._count):
            parts[hash(name) % PARTS][name] = slot
        self._count += len(names)
        self._used[0] = self._count
