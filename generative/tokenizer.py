"""Items to semantic IDs and content vectors, with everything frozen at training."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..core.artifact import seal, verified
from ..core.catalogue import EncodedItem, Item
from ..core.errors import ArtifactError
from ..core.ports import TextEncoder
from ..kernels.reference import residual_codes
from .content import load_content

KIND = "tokenizer"
FORMAT = 3
_WEIGHTS = "weights.npz"
_CONTENT = "content"  # a copy of the content encoder it was built on, so that the tokenizer encodes alone
_TINY = 1e-12  # keeps an item without a single known word from dividing by zero


@dataclass(frozen=True, slots=True)
class TokenizerWeights:
    """Content → space of interest → codes. With C content width, D vector width, M items met in training."""

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

    def __init__(self, content: TextEncoder, weights: TokenizerWeights, model: str) -> None:
        self._content = content
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
    def content(self) -> TextEncoder:
        """What places an item before anything is known of behaviour."""
        return self._content

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
        vector = self._content.vectors((item,))[0] @ self._interest
        row = self._known.get(item.item_id)
        if row is not None:
            vector = vector + weights.known_offsets[row]
        length = float(np.sqrt((vector * vector).sum()))
        return weights.default if length < _TINY else np.asarray(vector / length, dtype=np.float32)


def save_tokenizer(folder: Path, content: Path, weights: TokenizerWeights, notes: dict[str, object]) -> str:
    """Afterwards `folder` is a tokenizer artefact over the content artefact in `content`; its checksum."""
    encoder = load_content(content)
    if encoder.width != len(weights.interest):
        raise ValueError(f"the content has width {encoder.width}, its map to interest {len(weights.interest)}")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(content, folder / _CONTENT, dirs_exist_ok=True)
    columns = {name: getattr(weights, name) for name in TokenizerWeights.__dataclass_fields__}
    np.savez(folder / _WEIGHTS, allow_pickle=False, **columns)
    return seal(folder, KIND, FORMAT, {**notes, "content": encoder.model}).checksum


def load_encoder(folder: Path) -> ItemTokenizer:
    """The tokenizer stored in `folder`; ArtifactError if it is missing, changed or of another version."""
    manifest = verified(folder, KIND, FORMAT)
    content = load_content(folder / _CONTENT)
    if manifest.notes.get("content") != content.model:
        raise ArtifactError(
            f"{folder} was built on content {manifest.notes.get('content')}, its copy is {content.model}; "
            "run `adgram train --stage tokenizer`"
        )
    with np.load(folder / _WEIGHTS, allow_pickle=False) as file:
        weights = TokenizerWeights(**{name: file[name] for name in TokenizerWeights.__dataclass_fields__})
    return ItemTokenizer(content, weights, manifest.checksum)
