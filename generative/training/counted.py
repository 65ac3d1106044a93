"""Counted companions as a teacher of networks, each sequence taught by counts in which it had no part."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from torch import Tensor

from .baselines import ItemKnn, KnnSettings, weighed, without_history
from .schedule import Batch

FOLDS = 5
"""Counts for a sequence come from the other four fifths; with its own among them they would tell what came next."""
LIKELY = 20
"""Items kept an event: the rest has a tenth of the counts' weight and costs as much again."""

Matrix: TypeAlias = scipy.sparse.csr_matrix


@dataclass(frozen=True, slots=True)
class Likely:
    """For each of M events some items that might be chosen then; all weights of a row are 0 where nothing is known."""

    rows: Tensor  # [M, A] int64
    weights: Tensor  # [M, A], each row sums to one or to nothing

    @property
    def known(self) -> Tensor:
        """1.0 where anything is known, else 0.0. [M, 1]"""
        return (self.weights.sum(dim=1, keepdim=True) > 0).to(self.weights.dtype)


class CountedCompanions:
    """Cross-fitted item-kNN over training sequences: what goes with a history, as counted from other people.

    A network of D dimensions cannot hold every pair that was counted, and learned from single choices it holds few.
    Taught what the counts say at each event, it learns the pairs that matter to what it reads.
    """

    def __init__(
        self,
        sequences: Sequence[npt.NDArray[np.int64]],
        items: int,
        settings: KnnSettings,
        rng: np.random.Generator,
        likely: int = LIKELY,
    ) -> None:
        """`sequences` as batches number them (see Batch.sources)."""
        self._settings, self._items, self._likely = settings, items, min(likely, items)
        self._fold_of = rng.integers(0, FOLDS, len(sequences))
        self._similar: list[dict[bool, Matrix]] = []
        for fold in range(FOLDS):
            others = [one for one, own in zip(sequences, self._fold_of.tolist(), strict=True) if own != fold]
            forward = ItemKnn(others, items, settings).similar.astype(np.float32).tocsr()
            self._similar.append({False: forward, True: forward.T.tocsr()})

    def likely(self, batch: Batch) -> Likely:
        """What goes with the history before each of the batch's M real events, that history left out."""
        lengths = batch.real.sum(dim=1).tolist()
        sequences = [row[:length] for row, length in zip(batch.rows.numpy(), lengths, strict=True)]
        histories = [sequence[:end] for sequence in sequences for end in range(len(sequence))]
        folds = np.repeat(np.where(batch.sources < 0, 0, self._fold_of[batch.sources]), lengths)
        backwards = np.repeat(batch.reversed, lengths)
        rows = np.zeros((len(histories), self._likely), dtype=np.int64)
        weights = np.zeros(rows.shape, dtype=np.float32)
        for fold in range(FOLDS):
            for backward in (False, True):
                places = np.flatnonzero((folds == fold) & (backwards == backward))
                if len(places):
                    scores = self._scores([histories[place] for place in places], self._similar[fold][backward])
                    _strongest(scores, places, rows, weights)
        return Likely(torch.from_numpy(rows), torch.from_numpy(weights))

    def _scores(self, histories: Sequence[npt.NDArray[np.int64]], similar: Matrix) -> Matrix:
        newest = [history[-self._settings.last :][::-1] for history in histories]
        spoken = weighed(newest, self._settings.decay, self._items).astype(np.float32)
        return without_history(spoken @ similar, histories)


def _strongest(
    scores: Matrix, places: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], weights: npt.NDArray[np.float32]
) -> None:
    """Writes the strongest entries of each row of `scores`, as shares, at its place in `rows` and `weights` [M, A]."""
    for row, place in enumerate(places.tolist()):
        low, high = scores.indptr[row], scores.indptr[row + 1]
        data, indices = scores.data[low:high], scores.indices[low:high]
        if len(data) > rows.shape[1]:
            kept = np.argpartition(-data, rows.shape[1])[: rows.shape[1]]
            data, indices = data[kept], indices[kept]
        rows[place, : len(data)] = indices
        weights[place, : len(data)] = data / max(data.sum(), 1e-12)
