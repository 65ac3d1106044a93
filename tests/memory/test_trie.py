import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adgram.memory.trie import SortedTrie

K, L = 4, 3
SIDS = st.tuples(*[st.integers(0, K - 1)] * L)
STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 30), SIDS), max_size=60)


def _played(steps):
    """A trie and the naive dict it should equal, after inserting and removing leaves one by one."""
    trie, naive = SortedTrie.empty(K), {}
    for insert, slot, sid in steps:
        if insert and slot not in naive:
            naive[slot] = sid
            trie = trie.inserted(np.asarray([sid], np.int32), np.asarray([slot], np.int32))
        elif not insert and slot in naive:
            del naive[slot]
            trie = trie.removed(np.asarray([slot], np.int32))
    return trie, naive


@given(STEPS)
def test_leaves_are_ordered_by_semantic_id_then_slot(steps):
    """Whatever was inserted and removed, leaf order is that of sorting from scratch."""
    trie, naive = _played(steps)
    assert trie.leaf_slots.tolist() == [slot for _, slot in sorted((sid, slot) for slot, sid in naive.items())]


@given(STEPS, st.sets(st.integers(0, 30)), st.integers(0, L - 1), st.data())
def test_live_children_equals_a_walk_over_all_admitted_items(steps, admitted, level, data):
    """A child lives exactly when an admitted item's semantic ID starts with its prefix."""
    trie, naive = _played(steps)
    prefixes = data.draw(st.lists(st.tuples(*[st.integers(0, K - 1)] * level), min_size=1, max_size=5))
    packed = [sum(code * K ** (level - 1 - place) for place, code in enumerate(prefix)) for prefix in prefixes]
    bits = np.asarray([slot in admitted for slot in trie.leaf_slots], np.int32)
    before = np.concatenate(([0], np.cumsum(bits))).astype(np.int32)
    live = trie.live_children(np.asarray(packed, np.int64), level, before)
    expected = [
        [any(naive[s][: level + 1] == (*p, k) for s in naive if s in admitted) for k in range(K)] for p in prefixes
    ]
    assert live.tolist() == expected


@given(STEPS, SIDS)
def test_a_semantic_id_finds_exactly_its_items(steps, sid):
    """`leaves` returns the slots that carry the ID, and none for IDs of another depth."""
    trie, naive = _played(steps)
    assert trie.leaves(sid).tolist() == sorted(slot for slot, other in naive.items() if other == sid)
    assert trie.leaves((*sid, 0)).tolist() == []


@given(STEPS, st.lists(SIDS, max_size=40))
def test_inserting_many_at_once_equals_one_by_one(steps, more):
    """A batch of leaves gives the same trie as its leaves in any order."""
    trie, _ = _played(steps)
    slots = np.arange(100, 100 + len(more), dtype=np.int32)
    sids = np.asarray(more, np.int32).reshape(-1, L)
    at_once, one_by_one = trie.inserted(sids, slots), trie
    for index in reversed(range(len(more))):
        one_by_one = one_by_one.inserted(sids[index : index + 1], slots[index : index + 1])
    assert at_once.keys.tolist() == one_by_one.keys.tolist()
    assert at_once.leaf_slots.tolist() == one_by_one.leaf_slots.tolist()
