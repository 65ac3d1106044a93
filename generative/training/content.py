"""Fits what content alone says of an item, and where behaviour would put it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse
import scipy.sparse.linalg

from ...core.catalogue import Item
from ..features import BUCKETS, hashed_counts
from ..hashing import HashingTextEncoder, HashingWeights, tf_idf
from ..need_text import words_of
from ..pretrained import Embed, PretrainedWeights


@dataclass(frozen=True, slots=True)
class ContentSpace:
    """A content encoder's weights, with the content vectors of the items it was fitted on."""

    weights: HashingWeights
    vectors: npt.NDArray[np.float32]  # [N, C] unit


def fit_content(items: Sequence[Item], width: int, rng: np.random.Generator) -> ContentSpace:
    """The hashing encoder of these items: the truncated SVD of their hashed TF-IDF rows; narrower than `width` only for
    very small catalogues."""
    counts = [hashed_counts(item) for item in items]
    documents = np.zeros(BUCKETS)
    for row in counts:
        documents[list(row)] += 1
    idf = np.where(documents > 0, np.log((1 + len(items)) / (1 + documents)) + 1, 0).astype(np.float32)
    buckets = [np.fromiter(sorted(row), dtype=np.int64, count=len(row)) for row in counts]
    values = [tf_idf(row, columns, idf) for row, columns in zip(counts, buckets, strict=True)]
    lengths = np.cumsum([0, *map(len, buckets)])
    matrix = scipy.sparse.csr_matrix(
        (np.concatenate(values), np.concatenate(buckets), lengths), shape=(len(items), BUCKETS)
    )
    projection = np.zeros((BUCKETS, width), dtype=np.float32)
    leading = _singular_vectors(matrix, width, rng)
    projection[:, : len(leading)] = leading.T
    weights = HashingWeights(idf, projection)
    return ContentSpace(weights, HashingTextEncoder(weights, "").vectors(items).astype(np.float32))


def fit_pretrained(
    items: Sequence[Item], width: int, embed: Embed, version: str, told: Callable[[float, str], None]
) -> PretrainedWeights:
    """What the pretrained encoder learns of these items: their mean, and the directions in which they differ most."""
    raw = []
    for row, item in enumerate(items):
        raw.append(embed(words_of(item).strip() or "-"))
        told(row / len(items), f"{row + 1} of {len(items)} texts")
    rows = np.array(raw)
    mean = rows.mean(axis=0)
    _, _, directions = np.linalg.svd(rows - mean, full_matrices=False)
    return PretrainedWeights(version, mean.astype(np.float32), directions[:width].T.astype(np.float32))


def behaviour_vectors(
    sequences: Sequence[npt.NDArray[np.int64]], items: int, width: int, rng: np.random.Generator, window: int = 20
) -> npt.NDArray[np.float32]:
    """Unit vectors of items by who is chosen near whom: the SVD of their positive PMI; zero for items nobody chose.

    [N, width]

    Neighbours at distance d within `window` count 1/d, in both directions.
    """
    counts = cooccurrence(sequences, items, window)
    degrees = np.asarray(counts.sum(axis=0)).ravel()
    total = degrees.sum()
    if total == 0:
        return np.zeros((items, width), dtype=np.float32)
    pairs = counts.tocoo()
    smoothed = degrees**0.75  # rare items would otherwise get the largest PMI of all
    expected = degrees[pairs.row] * smoothed[pairs.col] / smoothed.sum()
    values = np.maximum(np.log(pairs.data / expected), 0)
    ppmi = scipy.sparse.csr_matrix((values, (pairs.row, pairs.col)), shape=counts.shape)
    ppmi = (ppmi + ppmi.T) / 2
    vectors = np.zeros((items, width), dtype=np.float32)
    leading = _singular_vectors(ppmi, width, rng)
    projected = ppmi @ leading.T  # [N, <= width] = U · S
    strength = np.linalg.norm(projected, axis=0).clip(min=1e-12)
    vectors[:, : len(leading)] = projected / np.sqrt(strength)  # U · sqrt(S)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths > 1e-9, vectors / lengths.clip(min=1e-9), 0).astype(np.float32)


def cooccurrence(
    sequences: Sequence[npt.NDArray[np.int64]], items: int, window: int, gamma: float = 1.0, backward: float = 1.0
) -> scipy.sparse.csr_matrix:
    """[N, N] how often column j was chosen within `window` events after row i, weighted 1/distance^gamma; `backward`
    weighs the reverse direction.
    """
    rows: list[npt.NDArray[np.int64]] = []
    columns: list[npt.NDArray[np.int64]] = []
    weights: list[npt.NDArray[np.float64]] = []
    for distance in range(1, window + 1):
        longer = [sequence for sequence in sequences if len(sequence) > distance]
        if not longer:
            break
        earlier = np.concatenate([sequence[:-distance] for sequence in longer])
        later = np.concatenate([sequence[distance:] for sequence in longer])
        rows.append(earlier)
        columns.append(later)
        weights.append(np.full(len(earlier), distance**-gamma))
    if not rows:
        return scipy.sparse.csr_matrix((items, items))
    shape = (items, items)
    forward = scipy.sparse.csr_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=shape
    )
    both = (forward + backward * forward.T).tocsr()
    both.setdiag(0)
    both.eliminate_zeros()
    return both


def ridge(inputs: npt.NDArray[np.float32], targets: npt.NDArray[np.float32], penalty: float) -> npt.NDArray[np.float32]:
    """The linear map [C, D] from inputs [N, C] to targets [N, D] with the smallest penalised squared error."""
    gram = inputs.T @ inputs + penalty * np.eye(inputs.shape[1], dtype=np.float32)
    return np.asarray(np.linalg.solve(gram, inputs.T @ targets), dtype=np.float32)


def _singular_vectors(matrix: scipy.sparse.csr_matrix, width: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """The leading right singular vectors, strongest first, each with its largest entry positive. [<= width, columns]"""
    rank = min(width, min(matrix.shape) - 1)
    if rank < 1 or matrix.nnz == 0:
        return np.zeros((0, matrix.shape[1]), dtype=np.float32)
    start = rng.standard_normal(min(matrix.shape))
    _, _, vectors = scipy.sparse.linalg.svds(matrix.astype(np.float64), k=rank, v0=start)
    leading = vectors[::-1]
    signs = np.sign(leading[np.arange(rank), np.abs(leading).argmax(axis=1)])
    return np.asarray(leading * signs[:, None], dtype=np.float32)
