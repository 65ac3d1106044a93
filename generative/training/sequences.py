"""What each user chose, in order: the last event is for testing, the one before for validation, the rest to learn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...core.marketplace import Marketplace
from ..history import CHOSEN, without_runs

HELD_OUT = 2  # validation and test event of every user


@dataclass(frozen=True, slots=True)
class UserSequence:
    """One user's chosen items, oldest first, without immediate repeats."""

    user_id: str
    item_ids: tuple[str, ...]

    @property
    def training(self) -> tuple[str, ...]:
        """What models may learn from; empty for users with too few events to be tested."""
        return self.item_ids[:-HELD_OUT]

    @property
    def history(self) -> tuple[str, ...]:
        """What is known when the test item is asked for: everything before it, the validation item included."""
        return self.item_ids[:-1]

    @property
    def target(self) -> str:
        return self.item_ids[-1]

    @property
    def testable(self) -> bool:
        """Whether something is left to train on, and the test item is not in the (masked) history."""
        return len(self.item_ids) > HELD_OUT and self.target not in self.history


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Users asked about: what each had chosen, and what came next. All as item rows."""

    histories: list[npt.NDArray[np.int64]]  # [U], oldest first
    targets: npt.NDArray[np.int64]  # [U]

    def first(self, users: int) -> "HeldOut":
        """The first `users` of them."""
        return HeldOut(self.histories[:users], self.targets[:users])


def user_sequences(marketplace: Marketplace) -> list[UserSequence]:
    """Every user's sequence from the interactions log, by (event time, stored order); users by id."""
    table = marketplace.log("interactions")
    known = {item.item_id for item in marketplace.items()}
    kinds = {kind.value for kind in CHOSEN}
    events: dict[str, list[str]] = {}
    users, items, stored_kinds = (table.column(name).to_pylist() for name in ("user_id", "item_id", "kind"))
    for user_id, item_id, kind in zip(users, items, stored_kinds, strict=True):
        if kind in kinds and item_id in known:
            events.setdefault(user_id, []).append(item_id)
    return [UserSequence(user_id, tuple(without_runs(events[user_id]))) for user_id in sorted(events)]


def as_rows(sequences: Sequence[Sequence[str]], row_of: dict[str, int]) -> list[npt.NDArray[np.int64]]:
    """The sequences as item rows, the empty ones left out."""
    return [np.array([row_of[item_id] for item_id in sequence]) for sequence in sequences if sequence]


def windows(sequences: Sequence[npt.NDArray[np.int64]], length: int) -> list[npt.NDArray[np.int64]]:
    """The sequences cut into pieces of at most `length` events, so that long ones are learned from wholly."""
    return [sequence[start : start + length] for sequence in sequences for start in range(0, len(sequence), length)]
