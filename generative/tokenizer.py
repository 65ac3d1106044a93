"""Items to semantic IDs and content vectors, with everything frozen at training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..core.artifact import seal, verified
from ..core.catalogue import EncodedItem, Item
from ..kernels.reference import residual_codes
from .features import BUCKETS, hashed_counts

KIND = "tokenizer"
FORMAT = 2
_WEIGHTS = "weights.npz"
_TINY = 1e-12  # keeps an item without a single known word from dividing by zero


@dataclass(frozen=True, slots=True)
class TokenizerWeights:
    """Content → space of interest → codes. With F buckets, C content width, D vector width, M items met in training."""

    idf: npt.NDArray[np.float32]  # [F]
    content: npt.NDArray[np.float32]  # [F, C] projection of the TF-IDF row (right singular vectors)
    interest: npt.NDArray[np.float32]  # [C, D] where people's behaviour puts such content
    known_ids: npt.NDArray[np.str_]  # [M] sorted
    known_offsets: npt.NDArray[np.float32]  # [M, D] what behaviour adds to the content of each item met in training
    known_last_codes: npt.NDArray[np.int32]  # [M] the last code of each, which tells apart those that nearness cannot
    default: npt.NDArray[np.float32]  # [D] unit, of an item that says nothing about itself
    codebooks: npt.NDArray[np.float32]  # [L, K, D]


class ItemTokenizer:
    """Encodes items one by one (core.ports.ItemEncoder).

    An item's vector is the unit vector of `content(item) · interest + offset(item)`: content alone places a new item,
    and what was learned of behaviour moves an item met in training. Its semantic ID is the residual quantisation of
    that vector; only the last code of an item met in training was settled then, so that no two such items share an ID.
    """

    def __init__(self, weights: TokenizerWeights, model: str) -> None:
        self._weights = weights
        self._model = model
        self._known = {str(item_id): row for row, item_id in enumerate(weights.known_ids)}
        self._codebooks = weights.codebooks.astype(np.float64)
        self._interest = weights.interest.astype(np.float64)

    @property
    def model(self) -> str:
        """The artefact's checksum."""
        return self._model

    @property
    def weights(self) -> TokenizerWeights:
        return self._weights

    def encode(self, items: Sequence[Item]) -> tuple[EncodedItem, ...]:
        """Each item encoded, in order; row by row in float64, so that companions cannot flip a code by rounding."""
        return tuple(self._encode_one(item) for item in items)

    def _encode_one(self, item: Item) -> EncodedItem:
        vector = self.vector(item)
        codes = residual_codes(vector.astype(np.float64)[None, :], self._codebooks)[0]
        known = self._known.get(item.item_id)
        if known is not None:
            codes[-1] = self._weights.known_last_codes[known]
        return EncodedItem(item, tuple(int(code) for code in codes), vector.tobytes(), self._model)

    def vector(self, item: Item) -> npt.NDArray[np.float32]:
        """The item's unit vector. [D]"""
        weights = self._weights
        vector = content_vector(item, weights.idf, weights.content) @ self._interest
        row = self._known.get(item.item_id)
        if row is not None:
            vector = vector + weights.known_offsets[row]
        length = float(np.sqrt((vector * vector).sum()))
        return weights.default if length < _TINY else np.asarray(vector / length, dtype=np.float32)


def content_vector(
    item: Item, idf: npt.NDArray[np.float32], projection: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """The item's content alone, of unit length (zero if it has no known words). [C]"""
    counts = hashed_counts(item)
    buckets = np.fromiter(sorted(counts), dtype=np.int64, count=len(counts))
    values = tf_idf(counts, buckets, idf)
    vector = (values[:, None] * projection[buckets].astype(np.float64)).sum(axis=0)
    length = float(np.sqrt((vector * vector).sum()))
    return np.asarray(vector / max(length, _TINY))


def tf_idf(
    counts: dict[int, float], buckets: npt.NDArray[np.int64], idf: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """The weights of one item's buckets, damped and of unit length. [len(buckets)]"""
    values = np.log1p(np.array([counts[int(bucket)] for bucket in buckets], dtype=np.float64)) * idf[buckets]
    return np.asarray(values / max(float(np.sqrt((values * values).sum())), _TINY))


def save_tokenizer(folder: Path, weights: TokenizerWeights, notes: dict[str, object]) -> None:
    """Afterwards `folder` is a tokenizer artefact."""
    if weights.idf.shape != (BUCKETS,):
        raise ValueError(f"idf has shape {weights.idf.shape}, expected ({BUCKETS},)")
    folder.mkdir(parents=True, exist_ok=True)
    columns = {name: getattr(weights, name) for name in TokenizerWeights.__dataclass_fields__}
    np.savez(folder / _WEIGHTS, allow_pickle=False, **columns)
    seal(folder, KIND, FORMAT, notes)


def load_encoder(folder: Path) -> ItemTokenizer:
    """The tokenizer stored in `folder`; ArtifactError if it is missing, changed or of another version."""
    manifest = verified(folder, KIND, FORMAT)
    with np.load(folder / _WEIGHTS, allow_pickle=False) as file:
        weights = TokenizerWeights(**{name: file[name] for name in TokenizerWeights.__dataclass_fields__})
    return ItemTokenizer(weights, manifest.checksum)
