"""Columns that versions share: a later version appends behind an earlier one, or copies before it writes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar, overload

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
LEAST_ROOM = 64


@dataclass(slots=True)
class _Buffer:
    """Rows up to `used` belong to some version and are never written again."""

    rows: npt.NDArray[Any]  # [capacity, ...]
    used: int


@dataclass(frozen=True, slots=True)
class Column:
    """A read-only array of N rows, and the room behind it.

    The version that has the last word (it ends where the buffer's used rows end) may append in place, which no other
    version can see; any other copies. To be changed by one thread at a time; read by any.
    """

    view: npt.NDArray[Any]  # [N, ...]
    buffer: _Buffer

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> Self:
        """A column that begins as `array`, which nobody may write from now on."""
        return cls(_frozen(array), _Buffer(array, len(array)))

    def appended(self, more: npt.NDArray[Any]) -> "Column":
        """The column with these rows behind its own, in amortised time proportional to them."""
        count, end = len(self.view), len(self.view) + len(more)
        if end == count:
            return self
        buffer = self.buffer
        if buffer.used != count or end > len(buffer.rows):
            buffer = _copied(self.view, end + max(end // 2, LEAST_ROOM), more)
        buffer.rows[count:end] = more
        buffer.used = end
        return Column(_frozen(buffer.rows[:end]), buffer)

    def written(self, slots: npt.NDArray[Any] | Sequence[int], values: Any) -> "Column":
        """The column with these rows replaced, in a copy that has as much room."""
        if len(slots) == 0:
            return self
        buffer = _copied(self.view, max(len(self.buffer.rows), len(self.view)), self.view)
        rows = buffer.rows[: len(self.view)]
        rows[slots] = values
        return Column(_frozen(rows), buffer)


@dataclass(slots=True)
class _Shared(Generic[T]):
    values: list[T] = field(default_factory=list)


class Objects(Sequence[T]):
    """The first N objects of a list that versions share, under the same rule as Column."""

    __slots__ = ("_count", "_shared")

    def __init__(self, values: Iterable[T] = ()) -> None:
        self._shared: _Shared[T] = _Shared(list(values))
        self._count = len(self._shared.values)

    def appended(self, more: Sequence[T]) -> "Objects[T]":
        """The objects with these behind them."""
        if not more:
            return self
        if len(self._shared.values) != self._count:
            return Objects([*self, *more])
        self._shared.values.extend(more)
        return self._ending(self._count + len(more))

    def written(self, changed: dict[int, T]) -> "Objects[T]":
        """The objects with those at these places replaced, in a copy."""
        if not changed:
            return self
        copy = Objects(self)
        for place, value in changed.items():
            copy._shared.values[place] = value
        return copy

    def _ending(self, count: int) -> "Objects[T]":
        other: Objects[T] = Objects.__new__(Objects)
        other._shared, other._count = self._shared, count
        return other

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            return self._shared.values[slice(*place.indices(self._count))]
        if 0 <= place < self._count:
            return self._shared.values[place]
        if -self._count <= place < 0:
            return self._shared.values[self._count + place]
        raise IndexError(f"{place} of {self._count} objects")

    def __iter__(self) -> Iterator[T]:
        return iter(self._shared.values[: self._count])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]


def _copied(view: npt.NDArray[Any], capacity: int, like: npt.NDArray[Any]) -> _Buffer:
    """A buffer that begins with `view`; rows are shaped as those of `like`, since an empty column has no width yet."""
    rows = np.empty((capacity, *like.shape[1:]), like.dtype)
    if len(view):
        rows[: len(view)] = view
    return _Buffer(rows, len(view))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
