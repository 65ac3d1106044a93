"""Which distribution over all items teaches the codes, apart from how a loss is made of it."""

import copy
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from ..decoder import SemanticDecoder
from .counted import CountedCompanions
from .schedule import Batch

_ROWS = 128  # events at once, so that their distributions stay near the core


class Teacher(Protocol):
    """Says what else might have been chosen at each event of a batch."""

    def distributions(self, batch: Batch) -> Iterator[Tensor]:
        """The distributions over all items of the batch's M real events, in their order, some rows at a time.

        Each piece is [R, N] over the rows of items, each row a distribution without what was chosen before; nothing
        keeps it, and no gradient flows through it.
        """
        ...


class ProfileTeacher:
    """Implements Teacher: the softmax of a frozen decoder's profile over the item vectors."""

    def __init__(self, decoder: SemanticDecoder, vectors: Tensor) -> None:
        """The decoder as it is now, over `vectors` [N, D]."""
        self._decoder = copy.deepcopy(decoder).eval().requires_grad_(False)
        self._vectors = vectors

    def distributions(self, batch: Batch) -> Iterator[Tensor]:
        """See Teacher."""
        with torch.no_grad():
            states = self._decoder.states(self._vectors[batch.rows[:, :-1]])[batch.real]
            profiles = self._decoder.query(states)  # [M, D]
            before = chosen_before(batch)
            for start in range(0, len(profiles), _ROWS):
                matches = profiles[start : start + _ROWS] @ self._vectors.T  # [R, N]
                within = (before[0] >= start) & (before[0] < start + _ROWS)
                matches[before[0][within] - start, before[1][within]] = -torch.inf
                yield matches.softmax(dim=1)


class MixedTeacher:
    """Implements Teacher: what a profile says, and what counted companions say where they know anything."""

    def __init__(self, profile: Teacher, companions: CountedCompanions, share: float) -> None:
        """`share` of the companions; the profile has the rest."""
        self._profile, self._companions, self._share = profile, companions, share

    def distributions(self, batch: Batch) -> Iterator[Tensor]:
        """See Teacher."""
        likely, start = self._companions.likely(batch), 0
        shares = self._share * likely.known  # [M, 1]
        for piece in self._profile.distributions(batch):
            stop = start + len(piece)
            share = shares[start:stop]
            mixed = piece.mul_(1 - share)
            yield mixed.scatter_add_(1, likely.rows[start:stop], share * likely.weights[start:stop])
            start = stop


def chosen_before(batch: Batch) -> Tensor:
    """Every event's number among the batch's M and the row of an item chosen before it. [2, S]

    What was chosen is not admitted again. The teacher likes it all the same, and a node that keeps this liking
    would hand it on, once the item is masked, to whatever else lies below.
    """
    numbers = torch.cumsum(batch.real.flatten(), dim=0).view(batch.real.shape) - 1  # [B, T] each event's number
    length = batch.rows.shape[1]
    sequence, later, earlier = torch.nonzero(
        batch.real[:, :, None] & torch.ones(length, length, dtype=torch.bool).tril(-1), as_tuple=True
    )
    return torch.stack((numbers[sequence, later], batch.rows[sequence, earlier]))
