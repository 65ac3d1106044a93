import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adgram.memory import trie as trie_module
from adgram.memory.trie import SortedTrie

SLOTS = 31
# (K, L): heads of no, one and several codes; one page and many; a bucket of one code and of several.
SHAPES = st.sampled_from([(4, 3), (2, 5), (3, 1), (7, 2), (300, 2), (1, 2)])


@st.composite
def churn(draw):
    """A trie after many small changes, and the naive dict it should equal."""
    base, levels = draw(SHAPES)
    sid = st.tuples(*[st.integers(0, base - 1)] * levels)
    trie, naive = SortedTrie.empty(base), {}
    for insert, changes in draw(
        st.lists(st.tuples(st.booleans(), st.dictionaries(st.integers(0, SLOTS - 1), sid, max_size=9)), max_size=25)
    ):
        if insert:
            new = {slot: codes for slot, codes in changes.items() if slot not in naive}
            naive |= new
            trie = trie.inserted(_sids(new.values(), levels), np.asarray(list(new), np.int32))
        else:
            old = {slot: naive.pop(slot) for slot in changes if slot in naive}
            trie = trie.removed(_sids(old.values(), levels), np.asarray(list(old), np.int32))
    return trie, naive, base, levels, sid


def _sids(sids, levels):
    return np.asarray(list(sids), np.int32).reshape(-1, levels)


def _leaves(trie):
    return list(zip(trie.keys.tolist(), trie.leaf_slots.tolist(), strict=True))


def _packed(prefix, base):
    key = 0
    for code in prefix:
        key = key * base + code
    return key


@given(churn())
def test_leaves_are_ordered_by_semantic_id_then_slot(played):
    """Whatever was inserted and removed, leaf order is that of sorting from scratch."""
    trie, naive, base, _, _ = played
    assert _leaves(trie) == sorted((_packed(sid, base), slot) for slot, sid in naive.items())
    assert trie.count == len(naive)


@given(churn(), st.sets(st.integers(0, SLOTS - 1)), st.data())
def test_children_equal_a_walk_over_all_admitted_items(played, admitted, data):
    """A child lives exactly when an admitted item's ID starts with its prefix, and its worth is the best of these."""
    trie, naive, base, levels, sid = played
    level = data.draw(st.integers(0, levels - 1))
    prefixes = [codes[:level] for codes in data.draw(st.lists(sid, min_size=1, max_size=12))]
    packed = np.asarray([_packed(prefix, base) for prefix in prefixes], np.int64)
    bits = np.isin(np.arange(SLOTS), list(admitted))
    worths = np.random.default_rng(len(naive)).normal(size=SLOTS).astype(np.float32)
    below = [
        [[s for s in naive if s in admitted and naive[s][: level + 1] == (*p, k)] for k in range(base)]
        for p in prefixes
    ]
    assert trie.live_children(packed, level, bits).tolist() == [[bool(slots) for slots in row] for row in below]
    best = trie.best_children(packed, level, np.where(bits, worths, np.float32(-np.inf))).tolist()
    assert best == [[max((worths[s] for s in slots), default=-np.inf) for slots in row] for row in below]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("count", [300, 3_000])
def test_masks_of_many_beams_equal_a_walk_in_every_version(share, count):
    """Buckets of none to many leaves, thin to full admissions, and a version to which later items mean nothing."""
    rng = np.random.default_rng(count)
    sids = rng.integers(0, 16, (count, 3)).astype(np.int32)
    before = SortedTrie.empty(16).inserted(sids[: count - 40], np.arange(count - 40, dtype=np.int32))
    after = before
    for slot in range(count - 40, count):
        after = after.inserted(sids[slot : slot + 1], np.asarray([slot], np.int32))
    for trie, known in ((before, count - 40), (after, count)):
        admitted = rng.random(known) < share
        for level in range(3):
            prefixes = np.unique(before.pack(sids[:, :level])) if level else np.zeros(1, np.int64)
            expected = np.zeros((len(prefixes), 16), np.bool_)
            for sid in sids[:known][admitted]:
                expected[np.searchsorted(prefixes, before.pack(sid[None, :level])[0] if level else 0), sid[level]] = (
                    True
                )
            assert np.array_equal(trie.live_children(prefixes, level, admitted), expected)


@given(churn(), st.data())
def test_a_semantic_id_finds_exactly_its_items(played, data):
    """`leaves` returns the slots that carry the ID, and none for IDs of another depth or with codes out of range."""
    trie, naive, base, _, sids = played
    sid = data.draw(sids)
    assert trie.leaves(sid).tolist() == sorted(slot for slot, other in naive.items() if other == sid)
    assert trie.leaves((*sid, 0)).tolist() == trie.leaves((*sid[:-1], base)).tolist() == []


@given(churn(), st.data())
def test_versions_answer_differently_at_the_same_time(played, data):
    """Copy on write: changes made on top of a version, in two branches, are seen by themselves alone."""
    trie, naive, _, levels, sids = played
    before, children = _leaves(trie), _root(trie)
    more = data.draw(st.dictionaries(st.integers(SLOTS, SLOTS + 9), sids, max_size=6))
    fewer = {slot: naive[slot] for slot in data.draw(st.sets(st.sampled_from(sorted(naive) or [0]))) if slot in naive}
    grown = trie.inserted(_sids(more.values(), levels), np.asarray(list(more), np.int32))
    shrunk = trie.removed(_sids(fewer.values(), levels), np.asarray(list(fewer), np.int32))
    assert _leaves(trie) == before and np.array_equal(_root(trie), children)
    assert {slot for _, slot in _leaves(grown)} == {*naive, *more}
    assert {slot for _, slot in _leaves(shrunk)} == {*naive} - {*fewer}


@given(SHAPES, st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 10_000), max_size=6)), max_size=25))
def test_every_version_knows_which_of_its_buckets_hold_a_leaf(shape, steps):
    """The bits that readers take for the counts say the same as these, whatever was written behind a version since."""
    base, levels = shape
    sids = np.random.default_rng(1).integers(0, base, (len(steps) * 6 + 1, levels)).astype(np.int32)
    versions, living, fresh = [SortedTrie.empty(base)], [], 0
    for insert, chosen in steps:
        if insert:
            slots = np.arange(fresh, fresh + len(chosen), dtype=np.int32)
            fresh += len(chosen)
            living += slots.tolist()
            versions.append(versions[-1].inserted(sids[slots], slots))
        else:
            gone = {living[number % len(living)] for number in chosen} if living else set()
            living = [slot for slot in living if slot not in gone]
            slots = np.array(sorted(gone), np.int32)
            versions.append(versions[-1].removed(sids[slots], slots))
    for trie in versions[1:]:
        counts = trie.arrays.ranges[trie.root, :, 1]
        told = np.unpackbits(trie.arrays.occupied[trie.root], axis=1, bitorder="little")[:, : counts.shape[1]]
        assert np.array_equal(told, counts > 0)
        assert counts.sum() == trie.count


def _root(trie):
    return trie.live_children(np.zeros(1, np.int64), 0, np.ones(SLOTS + 10, np.bool_))


@given(churn(), st.data())
def test_inserting_many_at_once_equals_one_by_one(played, data):
    """A batch of leaves gives the same trie as its leaves in any order."""
    trie, _, _, levels, sid = played
    more = _sids(data.draw(st.lists(sid, max_size=40)), levels)
    slots = np.arange(100, 100 + len(more), dtype=np.int32)
    at_once, one_by_one = trie.inserted(more, slots), trie
    for index in reversed(range(len(more))):
        one_by_one = one_by_one.inserted(more[index : index + 1], slots[index : index + 1])
    assert _leaves(at_once) == _leaves(one_by_one)


@pytest.mark.parametrize("base", [16, 8192])
def test_a_full_pool_is_made_anew_without_anyone_noticing(base, monkeypatch):
    """With hardly any room to change in, a long churn gives what sorting from scratch gives."""
    monkeypatch.setattr(trie_module, "SLACK_LEAVES", 8)
    monkeypatch.setattr(trie_module, "SLACK_BYTES", 8)
    rng = np.random.default_rng(0)
    sids = rng.integers(0, base, (600, 3)).astype(np.int32)
    trie = SortedTrie.empty(base).inserted(sids[:300], np.arange(300, dtype=np.int32))
    for slot in range(300):
        trie = trie.inserted(sids[300 + slot][None], np.asarray([300 + slot], np.int32))
        trie = trie.removed(sids[slot][None], np.asarray([slot], np.int32))
    keys = trie.pack(sids[300:])
    assert trie.leaf_slots.tolist() == (300 + np.lexsort((np.arange(300), keys))).tolist()


def test_ids_that_fit_with_their_slots_into_no_number_are_ordered_all_the_same():
    """Deep or wide codebooks, whose keys leave no room for a slot beside them, sort by key and slot."""
    sids = np.random.default_rng(1).integers(0, 2, (500, 4)).astype(np.int32) * 30_000
    trie = SortedTrie.empty(40_000).inserted(sids, np.arange(500, dtype=np.int32))
    assert trie.leaf_slots.tolist() == np.lexsort((np.arange(500), trie.pack(sids))).tolist()


def test_what_does_not_fit_is_refused_in_words():
    """Keys beyond 62 bits and admissions shorter than the catalogue raise, since the loops check no bounds."""
    with pytest.raises(ValueError, match="do not fit"):
        SortedTrie.empty(1 << 20).inserted(np.zeros((1, 4), np.int32), np.zeros(1, np.int32))
    trie = SortedTrie.empty(4).inserted(np.zeros((1, 2), np.int32), np.full(1, 5, np.int32))
    with pytest.raises(ValueError, match="the trie knows 6"):
        trie.live_children(np.zeros(1, np.int64), 0, np.ones(5, np.bool_))
    with pytest.raises(ValueError, match="the trie knows 6"):
        trie.best_children(np.zeros(1, np.int64), 0, np.zeros(5, np.float32))
