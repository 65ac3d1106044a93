"""What items say, as the decoder and the ranker read it: words weighed by rarity, and the vector learned of them."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ..core.catalogue import Item
from ..core.snapshot import Snapshot
from .features import BUCKETS, hashed_counts
from .hashing import tf_idf

_WORDS_KEPT = 1 << 15  # items; some 100 MB
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Words:
    """An item's features weighed by rarity, to unit length; never empty, the last one matches nothing."""

    buckets: npt.NDArray[np.int64]  # [M] ascending
    weights: npt.NDArray[np.float64]  # [M]
    vector: npt.NDArray[np.float32]  # [E] unit, as the decoder reads the item; zero where it says nothing known


@dataclass(frozen=True, slots=True)
class Wording:
    """How rare each of F features is among the items learned from, and the E numbers that were learned of it."""

    rarity: npt.NDArray[np.float32]  # [F]
    meanings: npt.NDArray[np.float32]  # [F, E], zero for features never met; E may be 0

    def __post_init__(self) -> None:
        if self.rarity.shape != (BUCKETS,) or self.meanings.shape[0] != BUCKETS:
            raise ValueError(f"{self.rarity.shape} rarity, {self.meanings.shape} meanings; expected {BUCKETS} buckets")

    @classmethod
    def of(cls, items: Sequence[Item]) -> "Wording":
        """Rarity among these items, and no meanings: an item's vector is empty."""
        return cls(_rarity(items), np.zeros((BUCKETS, 0), dtype=np.float32))

    @property
    def width(self) -> int:
        """E."""
        return int(self.meanings.shape[1])

    def words_of(self, item: Item) -> Words:
        """What the item says."""
        counts = hashed_counts(item)
        buckets = np.fromiter(sorted(counts), dtype=np.int64, count=len(counts))
        weights = tf_idf(counts, buckets, self.rarity) if len(buckets) else np.empty(0)
        vector = weights @ self.meanings[buckets].astype(np.float64)
        vector /= max(float(np.sqrt(vector @ vector)), _TINY)
        return Words(np.append(buckets, BUCKETS), np.append(weights, 0.0), vector.astype(np.float32))


class KeptWords:
    """Words of a snapshot's items, kept under the stamp of what an item says (core.snapshot.ItemColumns), since
    decoding an item takes many times what looking its words up does."""

    def __init__(self, wording: Wording) -> None:
        self.wording = wording
        self._kept: OrderedDict[int, Words] = OrderedDict()
        self._warmed = np.empty(0, dtype=np.uint64)  # the stamps that `warm` saw last

    def of(self, snapshot: Snapshot, slots: npt.NDArray[np.int64] | list[int]) -> list[Words]:
        """The words of these living items."""
        stamps = snapshot.items.stamps
        return [self.at(int(stamps[slot]), partial(_living, snapshot, int(slot))) for slot in slots]

    def at(self, stamp: int, item: Callable[[], Item]) -> Words:
        """The words under a stamp; `item` is asked once a stamp."""
        words = self._kept.pop(stamp, None)  # put back as the newest
        if words is None:
            words = self.wording.words_of(item())
            if len(self._kept) >= _WORDS_KEPT:
                self._kept.popitem(last=False)
        self._kept[stamp] = words
        return words

    def warm(self, snapshot: Snapshot) -> None:
        """Afterwards the words of all items are kept, where they all can be; a later version costs what changed.
        For one thread at a time, beside any that asks for words."""
        stamps, before = snapshot.items.stamps, self._warmed
        if stamps is before or len(stamps) > _WORDS_KEPT:
            return
        fresh = np.ones(len(stamps), dtype=np.bool_)
        both = min(len(before), len(stamps))
        fresh[:both] = stamps[:both] != before[:both]
        for slot in np.flatnonzero(fresh).tolist():
            entry = snapshot.item(snapshot.items.item_ids[slot])
            if entry is not None:
                self.at(int(stamps[slot]), partial(_itself, entry.item))
        self._warmed = stamps


def _living(snapshot: Snapshot, slot: int) -> Item:
    entry = snapshot.item(snapshot.items.item_ids[slot])
    assert entry is not None, "candidates and known choices are living items of this snapshot"
    return entry.item


def _itself(item: Item) -> Item:
    return item


def vectors_of(words: Sequence[Words], width: int) -> npt.NDArray[np.float32]:
    """Their vectors as rows. [M, E]"""
    rows = np.empty((len(words), width), dtype=np.float32)
    for row, one in zip(rows, words, strict=True):
        row[:] = one.vector
    return rows


def overlap(some: Sequence[Words], others: Sequence[Words]) -> npt.NDArray[np.float64]:
    """The cosine of every text with every other. [M, T]"""
    theirs = np.concatenate([words.buckets for words in others])
    known, places = np.unique(theirs, return_inverse=True)
    table = np.zeros((len(known) + 1, len(others)))  # the last row stands for what none of the others says
    table[places, np.repeat(np.arange(len(others)), [len(words.buckets) for words in others])] = np.concatenate(
        [words.weights for words in others]
    )
    said = np.concatenate([words.buckets for words in some])
    found = np.minimum(np.searchsorted(known, said), len(known) - 1)
    rows = np.where(known[found] == said, found, len(known))
    products = table[rows] * np.concatenate([words.weights for words in some])[:, None]
    starts = np.cumsum([0, *(len(words.buckets) for words in some[:-1])])
    return np.asarray(np.add.reduceat(products, starts, axis=0))


def _rarity(items: Sequence[Item]) -> npt.NDArray[np.float32]:
    """How rare each feature is among a catalogue's items; one that none has is as rare as can be. [BUCKETS]"""
    held = np.zeros(BUCKETS)
    for item in items:
        held[list(hashed_counts(item))] += 1
    return np.log((1 + len(items)) / (1 + held)).astype(np.float32)
