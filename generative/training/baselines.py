"""What any proposer has to be compared with: popularity and item-kNN, built on the same training events."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse

from .content import cooccurrence
from .sequences import HeldOut


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
"""A sensible setting to start a search from (it was the best for Amazon Beauty)."""


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

    def ranks(self, asked: HeldOut) -> npt.NDArray[np.float64]:
        """How many items stand before each target, the histories masked; half of those that tie count. [U]

        A target without a score ties with all that have none, so it is put last.
        """
        scores = self.all_scores(asked.histories)
        users = np.arange(len(asked.histories))
        hits = np.asarray(scores[users, asked.targets]).ravel()
        counts = np.diff(scores.indptr)
        beside = np.repeat(hits, counts)
        row = np.repeat(users, counts)
        before = np.bincount(row, weights=(scores.data > beside) + 0.5 * (scores.data == beside), minlength=len(users))
        return np.where(hits > 0, before - 0.5, float(self._items))

    def all_scores(self, histories: Sequence[npt.NDArray[np.int64]]) -> scipy.sparse.csr_matrix:
        """[U, N] the scores of many histories, without their own items."""
        settings = self._settings
        newest = [history[-settings.last :][::-1] for history in histories]
        return without_history(weighed(newest, settings.decay, self._items) @ self.similar, histories)


def weighed(newest: Sequence[npt.NDArray[np.int64]], decay: float, items: int) -> scipy.sparse.csr_matrix:
    """[U, N] each history's items (newest first), each one worth `decay` times the one before."""
    lengths = np.array([len(history) for history in newest], dtype=np.int64)
    bounds = np.concatenate(([0], np.cumsum(lengths)))
    ages = np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths)
    columns = np.concatenate(newest) if newest else np.empty(0, dtype=np.int64)
    return scipy.sparse.csr_matrix((decay**ages, columns, bounds), shape=(len(newest), items))


def without_history(
    scores: scipy.sparse.csr_matrix, histories: Sequence[npt.NDArray[np.int64]]
) -> scipy.sparse.csr_matrix:
    """The scores without those of each history's own items."""
    scores = scores.tocsr()
    scores.sum_duplicates()
    items = scores.shape[1]
    row = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    lengths = np.array([len(history) for history in histories], dtype=np.int64)
    masked = np.repeat(np.arange(len(histories)), lengths) * items + np.concatenate(list(histories))
    kept = ~np.isin(row * items + scores.indices, masked) & (scores.data > 0)
    bounds = np.concatenate(([0], np.cumsum(np.bincount(row[kept], minlength=scores.shape[0]))))
    return scipy.sparse.csr_matrix((scores.data[kept], scores.indices[kept], bounds), shape=scores.shape)


def best(
    scores: npt.NDArray[np.float64], masked: npt.NDArray[np.int64], top: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """The rows of the `top` best scores outside `masked`, ties in random order. [top]"""
    scores[masked] = -np.inf
    threshold = np.partition(scores, -top)[-top] if top < len(scores) else -np.inf
    rows = rng.permutation(np.flatnonzero((scores >= threshold) & (scores > -np.inf)))
    return np.asarray(rows[np.argsort(-scores[rows], kind="stable")][:top])
