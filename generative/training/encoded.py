"""A whole catalogue as it is served: vectors, semantic IDs and words of every item."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

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
    words: Sequence[Words]  # [N]

    @classmethod
    def of(cls, tokenizer: ItemTokenizer, items: Sequence[Item], wording: Wording | None = None) -> "EncodedCatalogue":
        """As this tokenizer serves the items, and as they are read by what learned this wording (or by nobody yet)."""
        encoded = tokenizer.encode(items)
        vectors = np.stack([np.frombuffer(entry.vector, dtype=np.float32) for entry in encoded])
        sids = np.array([entry.semantic_id for entry in encoded], dtype=np.int32)
        whole = cls([item.item_id for item in items], vectors, sids, [])
        return whole.reworded(items, wording or Wording.of(items))

    def reworded(self, items: Sequence[Item], wording: Wording) -> "EncodedCatalogue":
        """The same items, read by what learned this wording."""
        return replace(self, words=[wording.words_of(item) for item in items])

    @cached_property
    def as_read(self) -> npt.NDArray[np.float32]:
        """Every item as the decoder reads it. [N, R]"""
        width = len(self.words[0].vector) if self.words else 0
        return np.concatenate((self.vectors, vectors_of(self.words, width)), axis=1)

    def tree(self, codes: int) -> CatalogueTree:
        """The semantic IDs as a tree of `codes` codes a level."""
        return CatalogueTree.of(self.sids, codes)

    def described(self, rows: npt.NDArray[np.int64]) -> Described:
        """Some items as a ranker reads them."""
        return Described(self.vectors[rows], [self.words[row] for row in rows.tolist()])

    def past(self, history: npt.NDArray[np.int64]) -> Described:
        """What a ranker reads of a history: its newest items, newest first."""
        return self.described(history[::-1][:NEWEST])
