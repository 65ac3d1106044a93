"""What items say: words weighed by rarity, the vector learned of them, and how both are kept."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core.catalogue import EncodedItem, Item
from adgram.core.commit import Commit, Table
from adgram.core.rows import row
from adgram.generative.features import BUCKETS, hashed_counts
from adgram.generative.hashing import tf_idf
from adgram.generative.wording import KeptWords, Wording, Words, overlap, vectors_of
from adgram.memory.snapshot import MemorySnapshot

words = st.lists(st.sampled_from(["lego", "duplo", "box", "fire", "跑步鞋", "engine", ""]), max_size=4)


def item(name: str, said: list[str]) -> Item:
    return Item(name, " ".join(said), tuple(said[:1]), said[-1] if said else "", "")


ITEMS = [
    item(f"{brand}{place}", [brand, f"{brand}{place}"]) for brand in ("lego", "duplo", "box") for place in range(2)
]


def stored(one: Item) -> EncodedItem:
    return EncodedItem(one, (0, 0), np.ones(4, dtype=np.float32).tobytes(), "random")


def snapshot_of(items: list[Item], before: MemorySnapshot | None = None) -> MemorySnapshot:
    since = MemorySnapshot.empty(1) if before is None else before
    puts = tuple(row(Table.ITEM, one.item_id, stored(one)) for one in items)
    return since.fold(Commit(0, 1 if before is None else 2, 1, 0, 0, {}, puts))


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=5), st.lists(words, min_size=1, max_size=5))
def test_overlap_is_the_cosine_of_what_two_texts_say(some: list[list[str]], others: list[list[str]]):
    """Feature by feature, for texts of any length, empty ones too."""
    items = [item(f"i{place}", said) for place, said in enumerate((*some, *others))]
    wording = Wording.of(items)

    def weights(one: Item) -> dict[int, float]:
        counts = hashed_counts(one)
        buckets = np.array(sorted(counts), dtype=np.int64)
        return dict(zip(buckets.tolist(), tf_idf(counts, buckets, wording.rarity), strict=True)) if counts else {}

    wanted = [
        [math.fsum(value * weights(there).get(bucket, 0.0) for bucket, value in weights(here).items())
         for there in items[len(some) :]]
        for here in items[: len(some)]
    ]  # fmt: skip
    found = overlap(
        [wording.words_of(one) for one in items[: len(some)]], [wording.words_of(one) for one in items[len(some) :]]
    )
    assert found == pytest.approx(np.array(wanted), abs=1e-9)


@settings(deadline=None)
@given(words, st.integers(0, 4))
def test_a_vector_is_the_mean_of_what_its_words_mean(said: list[str], width: int):
    """Weighed by rarity, to unit length; a text that says nothing known has none, and so has a wording without any."""
    rng, one = np.random.default_rng(len(said)), item("a", said)
    meanings = np.zeros((BUCKETS, width), dtype=np.float32)
    known = [bucket for bucket in hashed_counts(one) if bucket % 2]
    meanings[known] = rng.standard_normal((len(known), width))
    wording = replace(Wording.of(ITEMS), meanings=meanings)
    found = wording.words_of(one)
    assert found.vector.shape == (width,)
    expected = sum(
        (weight * meanings[bucket] for bucket, weight in zip(found.buckets[:-1], found.weights, strict=False)),
        np.zeros(width),
    )
    length = np.linalg.norm(expected)
    assert found.vector == pytest.approx(expected / length if length else expected, abs=1e-5)
    assert (vectors_of([found, found], width) == found.vector).all()


def test_wording_of_other_features_is_refused():
    """Neither rarity nor meanings of another number of buckets."""
    with pytest.raises(ValueError, match="expected 32768 buckets"):
        Wording(np.ones(5, dtype=np.float32), np.ones((BUCKETS, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="expected 32768 buckets"):
        Wording(np.ones(BUCKETS, dtype=np.float32), np.ones((5, 2), dtype=np.float32))


def test_an_items_words_are_worked_out_once_a_stamp(monkeypatch: pytest.MonkeyPatch):
    """And those not asked for the longest make room where there are more stamps than are kept."""
    monkeypatch.setattr("adgram.generative.wording._WORDS_KEPT", 2)
    kept, asked = KeptWords(Wording.of(ITEMS)), []

    def words_at(place: int) -> Words:
        def told() -> Item:
            asked.append(place)
            return ITEMS[place]

        return kept.at(place, told)

    for place in (0, 1, 1, 0, 2, 1, 0):
        assert (words_at(place).buckets == kept.wording.words_of(ITEMS[place]).buckets).all()
    assert asked == [0, 1, 2, 1, 0]


def test_warming_reads_every_item_once_and_then_what_changed(monkeypatch: pytest.MonkeyPatch):
    """Afterwards nobody decodes an item for its words; more items than are kept are left to who asks."""
    first, decoded = snapshot_of(ITEMS), []
    told = MemorySnapshot.item

    def counted(snapshot: MemorySnapshot, item_id: str) -> EncodedItem | None:
        decoded.append(item_id)
        return told(snapshot, item_id)

    monkeypatch.setattr(MemorySnapshot, "item", counted)
    kept = KeptWords(Wording.of(ITEMS))
    kept.warm(first)
    kept.warm(first)
    assert sorted(decoded) == sorted(one.item_id for one in ITEMS)
    decoded.clear()
    found = kept.of(first, list(range(len(ITEMS))))
    assert decoded == []
    for slot, words_ in enumerate(found):
        own = next(one for one in ITEMS if one.item_id == first.items.item_ids[slot])
        assert (words_.buckets == kept.wording.words_of(own).buckets).all()
    renamed = replace(ITEMS[0], item_id=ITEMS[3].item_id)
    later = snapshot_of([renamed, item("new", ["fire"])], first)
    kept.warm(later)
    assert sorted(decoded) == sorted([ITEMS[3].item_id, "new"])
    decoded.clear()
    monkeypatch.setattr("adgram.generative.wording._WORDS_KEPT", 2)
    KeptWords(Wording.of(ITEMS)).warm(later)
    assert decoded == []
