"""What any proposer has to be compared with: popularity and item-kNN, built on the same training events."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse

from .content import cooccurrence


@dataclass(frozen=True, slots=True)
class KnnSettings:
    """score(j) = Σ over the newest `last` items i of decay^age · co(i, j) · (deg_i + a)^-pi · (deg_j + b)^-pj."""

    window: int
    gamma: float
    backward: float
    a: float
    b: float
    pi: float
    pj: float
    decay: float
    last: int


PLAIN_KNN = KnnSettings(window=200, gamma=0.0, backward=1.0, a=0.0, b=0.0, pi=0.5, pj=0.5, decay=1.0, last=200)
"""Cosine of the items' users, every item of the history alike: the textbook form."""

TUNED_KNN = KnnSettings(window=20, gamma=1.0, backward=0.2, a=3.0, b=5.0, pi=0.25, pj=0.15, decay=0.6, last=8)
"""Tuned on the validation events of Amazon Beauty; elsewhere it is merely a sensible setting."""


class Popularity:
    """Scores items by their number of training events."""

    def __init__(self, training: Sequence[npt.NDArray[np.int64]], items: int) -> None:
        events = np.concatenate(training) if training else np.empty(0, dtype=np.int64)
        self._scores = np.bincount(events, minlength=items).astype(np.float64)

    def scores(self, history: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """[N], the same for every history."""
        del history
        return self._scores.copy()


class ItemKnn:
    """Scores items by how often they were chosen near the history's items."""

    def __init__(self, training: Sequence[npt.NDArray[np.int64]], items: int, settings: KnnSettings) -> None:
        self._settings, self._items = settings, items
        events = np.concatenate(training) if training else np.empty(0, dtype=np.int64)
        degrees = np.bincount(events, minlength=items).astype(np.float64)
        counts = cooccurrence(training, items, settings.window, settings.gamma, settings.backward)
        left = np.maximum(degrees + settings.a, 1.0) ** -settings.pi
        right = np.maximum(degrees + settings.b, 1.0) ** -settings.pj
        self.similar = (scipy.sparse.diags(left) @ counts @ scipy.sparse.diags(right)).tocsr()

    def scores(self, history: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """[N]"""
        newest = history[-self._settings.last :][::-1]
        weights = self._settings.decay ** np.arange(len(newest))
        scores = np.zeros(self._items)
        for row, weight in zip(newest.tolist(), weights.tolist(), strict=True):
            low, high = self.similar.indptr[row], self.similar.indptr[row + 1]
            scores[self.similar.indices[low:high]] += weight * self.similar.data[low:high]
        return scores


def best(
    scores: npt.NDArray[np.float64], masked: npt.NDArray[np.int64], top: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """The rows of the `top` best scores outside `masked`, ties in random order. [top]"""
    scores[masked] = -np.inf
    threshold = np.partition(scores, -top)[-top] if top < len(scores) else -np.inf
    rows = rng.permutation(np.flatnonzero((scores >= threshold) & (scores > -np.inf)))
    return np.asarray(rows[np.argsort(-scores[rows], kind="stable")][:top])
