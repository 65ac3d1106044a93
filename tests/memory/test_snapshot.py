import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core import rows
from adgram.core.catalogue import Advertiser, Campaign, Creative, EncodedItem, Item, Objective, Offer, Rule
from adgram.core.commit import Commit, Table
from adgram.core.environment import Environment, Weather
from adgram.core.feedback import UserState
from adgram.core.money import Money
from adgram.core.request import AdFormat, Size
from adgram.memory.mvcc import CommitGap
from adgram.memory.snapshot import Fold, MemorySnapshot

K, L, D = 4, 2, 3
USD = "USD"


def _item(key, codes, popularity=0.0):
    vector = np.asarray([1.0, codes[0], codes[1]], np.float32)
    return EncodedItem(Item(key, f"title {key}", popularity=popularity), codes, vector.tobytes(), "m")


def _offer(key, stock):
    return None if stock is None else Offer(key, Money(1, USD), stock)


def _creative(key, item, campaign):
    return Creative(key, item, campaign, AdFormat.BANNER, Size(300, 250), key, "", "https://a.example", "a.example")


def _campaign(key):
    return Campaign(key, "a", Objective.CLICK, Money(1, USD), Money(1, USD))


KEYS = st.sampled_from("abcde")
CODES = st.tuples(st.integers(0, K - 1), st.integers(0, K - 1))
ROW = st.one_of(
    st.builds(lambda k, c: (Table.ITEM, k, c and _item(k, c)), KEYS, st.none() | CODES),
    st.builds(
        lambda k, n: (Table.OFFER, k, None if n is None else Offer(k, Money(1, USD), n)),
        KEYS,
        st.none() | st.integers(0, 9),
    ),
    st.builds(
        lambda k, i, c, dead: (Table.CREATIVE, k, None if dead else _creative(k, i, c)), KEYS, KEYS, KEYS, st.booleans()
    ),
    st.builds(lambda k, dead: (Table.CAMPAIGN, k, None if dead else _campaign(k)), KEYS, st.booleans()),
    st.builds(lambda k, on: (Table.RULE, k, Rule(k, "true", "r", on)), KEYS, st.booleans()),
    st.builds(lambda k, dead: (Table.USER, k, None if dead else UserState(k, events=1)), KEYS, st.booleans()),
)
HISTORY = st.lists(st.lists(ROW, max_size=8), max_size=8)


def _commit(number, entries, shard=0, epoch=1, watermark=0):
    return Commit(shard, number, epoch, watermark, 0, {}, tuple(rows.row(*entry) for entry in entries))


def _folded(history):
    snapshot, naive = MemorySnapshot.empty(1, K), {table: {} for table in Table}
    for number, entries in enumerate(history, start=1):
        snapshot = snapshot.fold(_commit(number, entries))
        for table, key, value in entries:
            naive[table][key] = value
    return snapshot, {table: {k: v for k, v in keys.items() if v is not None} for table, keys in naive.items()}


@settings(max_examples=200)
@given(HISTORY)
def test_a_snapshot_equals_a_dict_of_the_newest_rows(history):
    """By key, a snapshot holds the newest value of each row and nothing that was deleted."""
    snapshot, naive = _folded(history)
    for key in "abcde":
        assert snapshot.item(key) == naive[Table.ITEM].get(key)
        assert snapshot.offer(key) == naive[Table.OFFER].get(key)
        assert snapshot.creative(key) == naive[Table.CREATIVE].get(key)
        assert snapshot.campaign(key) == naive[Table.CAMPAIGN].get(key)
        assert snapshot.user(key) == naive[Table.USER].get(key)
    assert [rule.rule_id for rule in snapshot.rules] == sorted(k for k, r in naive[Table.RULE].items() if r.active)


@settings(max_examples=200)
@given(HISTORY)
def test_columns_and_joins_agree_with_the_objects(history):
    """Arrays by slot say what the objects say, whichever of item, offer, campaign and creative came last."""
    snapshot, naive = _folded(history)
    items, creatives = snapshot.items, snapshot.creatives
    for slot, key in enumerate(items.item_ids):
        assert items.alive[slot] == (key in naive[Table.ITEM]) == (snapshot.slot(key) is not None)
        offer = naive[Table.OFFER].get(key)
        if items.alive[slot]:
            assert tuple(items.sids[slot]) == naive[Table.ITEM][key].semantic_id
            assert np.linalg.norm(items.vectors[slot]) == pytest.approx(1, abs=1e-5)
            assert items.stock[slot] == (-1 if offer is None else offer.stock)
    by_item = {}
    for slot, creative in enumerate(creatives.creatives):
        assert creatives.alive[slot] == (creative.creative_id in naive[Table.CREATIVE])
        if creatives.alive[slot]:
            by_item.setdefault(creative.item_id, []).append(slot)
            item_slot, campaign_slot = creatives.item_slot[slot], creatives.campaign_slot[slot]
            assert (creative.item_id in items.item_ids) == (item_slot >= 0)
            assert item_slot < 0 or items.item_ids[item_slot] == creative.item_id
            assert campaign_slot < 0 or snapshot.campaigns[campaign_slot].campaign_id == creative.campaign_id
            assert campaign_slot >= 0 or creative.campaign_id not in naive[Table.CAMPAIGN]
    for key in "abcde":
        assert sorted(snapshot.creative_slots(key)) == by_item.get(key, [])
    for campaign in snapshot.campaigns:
        assert campaign.active == (campaign.campaign_id in naive[Table.CAMPAIGN])
    living = [slot for slot in range(items.count) if items.alive[slot]]
    assert snapshot.trie.leaf_slots.tolist() == sorted(living, key=lambda slot: (*items.sids[slot], slot))


@given(HISTORY, st.lists(ROW, max_size=8))
def test_folding_leaves_the_earlier_version_as_it_was(history, more):
    """A pinned snapshot reads the same after any later commit was folded on top of it."""
    snapshot, _ = _folded(history)
    arrays = (snapshot.items.alive, snapshot.items.sids, snapshot.creatives.alive, snapshot.trie.keys)
    before = [array.copy() for array in arrays]
    kept = {key: (snapshot.item(key), snapshot.creative(key), snapshot.user(key)) for key in "abcde"}
    snapshot.fold(_commit(len(history) + 1, more))
    assert all(np.array_equal(one, other) for one, other in zip(before, arrays, strict=True))
    assert kept == {key: (snapshot.item(key), snapshot.creative(key), snapshot.user(key)) for key in "abcde"}


@given(HISTORY, st.integers(1, 3))
def test_folding_in_slices_equals_folding_at_once(history, rows_per_slice):
    """Pauses during a fold change nothing about its result."""
    whole, _ = _folded(history)
    sliced = MemorySnapshot.empty(1, K)
    for number, entries in enumerate(history, start=1):
        fold = Fold(sliced, _commit(number, entries))
        for _ in fold.slices(rows_per_slice):
            pass
        sliced = fold.result
    assert sliced.items.item_ids == whole.items.item_ids
    assert sliced.trie.leaf_slots.tolist() == whole.trie.leaf_slots.tolist()
    assert sliced.version == whole.version


def test_a_seen_or_fenced_commit_changes_nothing_and_a_gap_is_signalled():
    """Numbers already seen and older epochs give the same snapshot back; a missing commit raises CommitGap."""
    snapshot = MemorySnapshot.empty(2, K).fold(_commit(1, [], shard=1, epoch=3))
    assert snapshot.fold(_commit(1, [(Table.ITEM, "a", _item("a", (0, 0)))], shard=1, epoch=3)) is snapshot
    assert snapshot.fold(_commit(2, [(Table.ITEM, "a", _item("a", (0, 0)))], shard=1, epoch=2)) is snapshot
    with pytest.raises(CommitGap) as gap:
        snapshot.fold(_commit(3, [], shard=1, epoch=3))
    assert (gap.value.shard, gap.value.after_number) == (1, 1)


def test_facts_change_with_the_item_and_with_its_offer_only():
    """The stamp of a cached verdict changes when the item or its offer does, and comes back with the same content."""
    first = [(Table.ITEM, "a", _item("a", (0, 0))), (Table.OFFER, "a", Offer("a", Money(5, USD), 1))]
    one = MemorySnapshot.empty(1, K).fold(_commit(1, first))
    other = one.fold(_commit(2, [(Table.ITEM, "b", _item("b", (0, 1)))]))
    assert one.facts_changed("a") == other.facts_changed("a") != other.facts_changed("b")
    dearer = other.fold(_commit(3, [(Table.OFFER, "a", Offer("a", Money(6, USD), 1))]))
    assert dearer.facts_changed("a") != other.facts_changed("a")
    again = dearer.fold(_commit(4, [(Table.OFFER, "a", Offer("a", Money(5, USD), 1))]))
    assert again.facts_changed("a") == other.facts_changed("a")


def test_items_leave_the_collector_nothing_to_look_at():
    """A version of a thousand more items holds a few objects more, not a few an item: collections stay short."""
    snapshot = MemorySnapshot.empty(1, K).fold(_commit(1, [(Table.ITEM, "first", _item("first", (0, 0)))]))
    commit = _commit(2, [(Table.ITEM, f"i{n}", _item(f"i{n}", (n % K, n % 3))) for n in range(1_000)])
    gc.collect()
    before = len(gc.get_objects())
    snapshot = snapshot.fold(commit)
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert snapshot.items.count == 1_001


def test_the_trie_is_the_same_object_while_no_leaf_changes():
    """Whoever keeps something by a version's trie keeps it; one that changes is told all items' semantic IDs."""
    before, _ = _folded([[(Table.ITEM, "a", _item("a", (0, 1))), (Table.ITEM, "b", _item("b", (2, 1)))]])
    renamed = before.fold(_commit(2, [(Table.ITEM, "a", _item("a", (0, 1), popularity=3.0))]))
    moved = renamed.fold(_commit(3, [(Table.ITEM, "a", _item("a", (3, 3))), (Table.ITEM, "c", _item("c", (1, 1)))]))
    assert renamed.trie is before.trie
    assert moved.trie is not renamed.trie
    assert before.trie.arrays.sids.tolist() == [[0, 1], [2, 1]]
    assert moved.trie.arrays.sids.tolist() == [[3, 3], [2, 1], [1, 1]]


def test_an_item_of_another_models_shape_is_kept_but_never_alive():
    """A semantic ID that does not fit the trie cannot be generated, so its item has no leaf and no living slot."""
    odd = EncodedItem(Item("z", "z"), (1, 2, 3), b"\0" * 12, "other")
    snapshot = MemorySnapshot.empty(1, K).fold(_commit(1, [(Table.ITEM, "a", _item("a", (0, 0)))]))
    snapshot = snapshot.fold(_commit(2, [(Table.ITEM, "z", odd)]))
    assert snapshot.item("z") == odd and snapshot.slot("z") is None
    assert snapshot.catalogue.misfits == 1 and snapshot.trie.leaf_slots.tolist() == [0]


def test_readings_that_expired_are_unknown():
    """The environment of a place holds until it expires, and is all unknown after that or where none was told."""
    rain = Environment("CN/beijing", Weather.RAIN, event_time=5, expires=10)
    snapshot = MemorySnapshot.empty(1).fold(_commit(1, [(Table.ENVIRONMENT, "CN/beijing", rain)]))
    assert snapshot.environment("CN/beijing", 9) == rain
    assert snapshot.environment("CN/beijing", 10) == Environment("CN/beijing")
    assert snapshot.environment("CN", 9) == Environment("CN")


@given(HISTORY, st.lists(ROW, max_size=8), st.lists(ROW, max_size=8))
def test_two_versions_made_from_one_do_not_disturb_each_other(history, one_way, another_way):
    """Versions share buffers, yet each of two successors reads as if it were alone."""
    number = len(history) + 1
    snapshot, _ = _folded(history)
    first = snapshot.fold(_commit(number, one_way))
    before = (first.items.vectors.copy(), first.items.sids.copy(), first.items.alive.copy())
    second = snapshot.fold(_commit(number, another_way))
    alone, _ = _folded([*history, another_way])
    for snapshot, expected in ((first, before), (second, (alone.items.vectors, alone.items.sids, alone.items.alive))):
        read = (snapshot.items.vectors, snapshot.items.sids, snapshot.items.alive)
        assert all(np.array_equal(mine, theirs) for mine, theirs in zip(read, expected, strict=True))


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 3), st.lists(ROW, max_size=5)), max_size=8))
def test_creatives_differ_between_two_versions_only_where_they_are_said_to(steps):
    """Whichever of the two came first, and whether or not one was made from the other."""
    versions = [MemorySnapshot.empty(1, K)]
    for which, entries in steps:
        before = versions[-1 - which % len(versions)]
        versions.append(before.fold(_commit(before.version.numbers[0] + 1, entries)))
    for one in versions:
        for other in versions:
            said = one.creatives.differing(other.creatives)
            assert said is None or one is not other or not len(said)
            if said is None:
                continue
            for slot in range(max(one.creatives.count, other.creatives.count)):
                if slot not in said:
                    assert _creative_facts(one, slot) == _creative_facts(other, slot)


def _creative_facts(snapshot, slot):
    columns = snapshot.creatives
    return (
        columns.creatives[slot],
        bool(columns.alive[slot]),
        int(columns.item_slot[slot]),
        int(columns.campaign_slot[slot]),
    )


def test_campaigns_are_another_object_once_a_campaign_or_an_advertiser_changes():
    """Who keeps something made of them may go by identity."""
    told = [(Table.CAMPAIGN, "a", _campaign("a"))]
    first = MemorySnapshot.empty(1, K).fold(_commit(1, told))
    same = first.fold(_commit(2, [(Table.ITEM, "a", _item("a", (0, 0)))]))
    assert same.campaigns is first.campaigns
    other = same.fold(_commit(3, [(Table.ADVERTISER, "a", Advertiser("a", "A", "a.example"))]))
    assert other.campaigns is not first.campaigns and other.campaigns == first.campaigns


def test_a_version_that_was_followed_by_another_copies_before_it_grows_again():
    """Both successors append an item behind the same two; neither writes into the other's."""
    both = [(Table.ITEM, "a", _item("a", (0, 0))), (Table.ITEM, "b", _item("b", (1, 1)))]
    snapshot = MemorySnapshot.empty(1, K).fold(_commit(1, both))
    first = snapshot.fold(_commit(2, [(Table.ITEM, "c", _item("c", (2, 3)))]))
    kept = first.items.vectors.copy()
    second = snapshot.fold(_commit(2, [(Table.ITEM, "d", _item("d", (3, 0)))]))
    assert np.array_equal(first.items.vectors, kept)
    assert not np.array_equal(second.items.vectors[2], kept[2])
    third = first.fold(_commit(3, [(Table.ITEM, "d", _item("d", (3, 0)))]))
    assert np.array_equal(third.items.vectors[:3], kept)
