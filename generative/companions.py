"""The second kind of memory: what people chose beside what, counted and never learned by gradient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class CompanionTable:
    """For each of M items its companions, as rows of the same M items, in compressed rows.

    A history speaks through its newest `last` items, each one weighing `decay` times the one chosen after it.
    """

    item_ids: npt.NDArray[np.str_]  # [M] sorted
    bounds: npt.NDArray[np.int64]  # [M + 1] where each row begins and ends
    companions: npt.NDArray[np.int32]  # [S]
    weights: npt.NDArray[np.float32]  # [S]
    decay: float
    last: int

    @classmethod
    def empty(cls) -> "CompanionTable":
        """A table that knows no item."""
        nothing = np.empty(0, dtype=np.int32)
        return cls(np.empty(0, dtype=np.str_), np.zeros(1, dtype=np.int64), nothing, nothing.astype(np.float32), 1.0, 0)


@dataclass(frozen=True, slots=True)
class Companions:
    """Items chosen beside those of a history, with their weights, in the table's order."""

    item_ids: list[str]  # [M]
    weights: npt.NDArray[np.floating]  # [M], above 0


class CompanionMemory:
    """A companion table ready to be asked."""

    def __init__(self, table: CompanionTable) -> None:
        self._table = table
        self._ids = [str(item_id) for item_id in table.item_ids]
        self._row = {item_id: row for row, item_id in enumerate(self._ids)}

    def of(self, history: Sequence[str]) -> Companions:
        """The companions of a history (oldest first); items the table does not know take their turn but say nothing."""
        table = self._table
        rows: list[npt.NDArray[np.int32]] = []
        weights: list[npt.NDArray[np.floating]] = []
        for age, item_id in enumerate(reversed(history[-table.last :] if table.last else ())):
            row = self._row.get(item_id)
            if row is not None:
                low, high = table.bounds[row], table.bounds[row + 1]
                rows.append(table.companions[low:high])
                weights.append(table.weights[low:high] * table.decay**age)
        if not rows:
            return Companions([], np.empty(0))
        found, places = np.unique(np.concatenate(rows), return_inverse=True)
        totals = np.bincount(places, weights=np.concatenate(weights)).astype(np.float64)
        return Companions([self._ids[row] for row in found.tolist()], totals)
