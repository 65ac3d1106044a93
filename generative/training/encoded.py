"""A whole catalogue as it is served: vectors, semantic IDs and words of every item."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...core.catalogue import Item
from ..ranker import NEWEST, Described
from ..tokenizer import ItemTokenizer
from ..wording import Wording, Words, vectors_of
from .catalogue_tree import CatalogueTree


@dataclass(frozen=True)
class EncodedCatalogue:
    """All N items, in one order of rows."""

    item_ids: Sequence[str]  # [N]
    vectors: npt.NDArray[np.float32]  # [N, D]
    sids: npt.NDArray[np.int32]  # [N, L]
    words: Sequence[Words]  # [N], or none where nobody reads them
    word_width: int  # E

    @classmethod
    def of(cls, tokenizer: ItemTokenizer, items: Sequence[Item], wording: Wording | None = None) -> "EncodedCatalogue":
        """As this tokenizer serves the items, and as they are read by what learned this wording."""
        encoded = tokenizer.encode(items)
        vectors = np.stack([np.frombuffer(entry.vector, dtype=np.float32) for entry in encoded])
        sids = np.array([entry.semantic_id for entry in encoded], dtype=np.int32)
        words = [] if wording is None else [wording.words_of(item) for item in items]
        width = 0 if wording is None else wording.width
        return cls([item.item_id for item in items], vectors, sids, words, width)

    @cached_property
    def as_read(self) -> Tensor:
        """Every item as the decoder reads it. [N, R]"""
        spoken = vectors_of(self.words, self.word_width) if self.word_width else self.vectors[:, :0]
        return torch.from_numpy(np.concatenate((self.vectors, spoken), axis=1))

    def tree(self, codes: int) -> CatalogueTree:
        """The semantic IDs as a tree of `codes` codes a level."""
        return CatalogueTree.of(self.sids, codes)

    def described(self, rows: npt.NDArray[np.int64]) -> Described:
        """Some items as a ranker reads them."""
        return Described(self.vectors[rows], [self.words[row] for row in rows.tolist()])

    def past(self, history: npt.NDArray[np.int64]) -> Described:
        """What a ranker reads of a history: its newest items, newest first."""
        return self.described(history[::-1][:NEWEST])
