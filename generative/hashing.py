"""Content vectors from hashed words: fast, trained on the catalogue in seconds, for Latin and Chinese script alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.catalogue import Item
from .features import BUCKETS, hashed_counts

_TINY = 1e-12  # keeps an item without a single known word from dividing by zero


@dataclass(frozen=True, slots=True)
class HashingWeights:
    """TF-IDF over F buckets, projected to C dimensions."""

    idf: npt.NDArray[np.float32]  # [F]
    projection: npt.NDArray[np.float32]  # [F, C] right singular vectors of the catalogue's TF-IDF rows

    def __post_init__(self) -> None:
        if self.idf.shape != (BUCKETS,) or self.projection.shape[0] != BUCKETS:
            raise ValueError(f"{self.idf.shape} idf, {self.projection.shape} projection; expected {BUCKETS} buckets")


@dataclass(frozen=True, slots=True)
class HashingTextEncoder:
    """Implements core.ports.TextEncoder."""

    weights: HashingWeights
    model: str

    @property
    def width(self) -> int:
        return int(self.weights.projection.shape[1])

    def vectors(self, items: Sequence[Item]) -> npt.NDArray[np.float64]:
        """See core.ports.TextEncoder; row by row in float64, so that companions cannot change a row by rounding."""
        rows = np.zeros((len(items), self.width))
        for row, item in enumerate(items):
            rows[row] = content_vector(item, self.weights)
        return rows


def content_vector(item: Item, weights: HashingWeights) -> npt.NDArray[np.float64]:
    """The item's content, of unit length (zero if it has no known words). [C]"""
    counts = hashed_counts(item)
    buckets = np.fromiter(sorted(counts), dtype=np.int64, count=len(counts))
    values = tf_idf(counts, buckets, weights.idf)
    vector = (values[:, None] * weights.projection[buckets].astype(np.float64)).sum(axis=0)
    length = float(np.sqrt((vector * vector).sum()))
    return np.asarray(vector / max(length, _TINY))


def tf_idf(
    counts: dict[int, float], buckets: npt.NDArray[np.int64], idf: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """The weights of one item's buckets, damped and of unit length. [len(buckets)]"""
    values = np.log1p(np.array([counts[int(bucket)] for bucket in buckets], dtype=np.float64)) * idf[buckets]
    return np.asarray(values / max(float(np.sqrt((values * values).sum())), _TINY))
