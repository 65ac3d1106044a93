import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core import offers as core_offers
from adgram.core import rows
from adgram.core.catalogue import EncodedItem, Item, Offer
from adgram.core.commit import Commit, Row, Table
from adgram.core.money import Money
from adgram.memory import hashes
from adgram.memory import offers as memory_offers
from adgram.memory.columns import Column, Objects
from adgram.memory.hashes import HashIndex
from adgram.memory.snapshot import MemorySnapshot

KEYS = "abcdef"
OFFER = st.builds(
    lambda key, micros, currency, stock, promotion: Offer(key, Money(micros, currency), stock, promotion),
    st.sampled_from(KEYS),
    st.integers(0, 3),
    st.sampled_from(["USD", "CNY", "EUR"]),
    st.integers(-1, 3),
    st.sampled_from(["", "", "2 for 1"]),
)
CHANGE = OFFER | st.sampled_from(KEYS) | st.sampled_from(KEYS).map(lambda key: ("item", key))
HISTORY = st.lists(st.lists(CHANGE, max_size=8), max_size=8)


def _item(key):
    vector = np.eye(3, dtype=np.float32)[ord(key) % 3]
    return rows.row(Table.ITEM, key, EncodedItem(Item(key, key), (ord(key) % 4, 0), vector.tobytes(), "m"))


def _rows(changes, event_time):
    """One by one: an offer, a withdrawal (a bare key), or an item."""
    told = {}
    for change in changes:
        if isinstance(change, Offer):
            told[Table.OFFER, change.item_id] = rows.row(Table.OFFER, change.item_id, change, event_time)
        elif isinstance(change, str):
            told[Table.OFFER, change] = Row(Table.OFFER, change, None, event_time)
        else:
            told[Table.ITEM, change[1]] = _item(change[1])
    return tuple(told.values())


def _packed(entries, event_time):
    """The same rows with every offer that can be packed in one block."""
    plain, rest = [], []
    for entry in entries:
        value = rows.value(entry)
        (plain if isinstance(value, Offer) and not value.promotion else rest).append(
            value if isinstance(value, Offer) and not value.promotion else entry
        )
    if not plain:
        return tuple(rest)
    block = core_offers.packed(plain, [event_time] * len(plain))
    return (rows.row(Table.OFFERS, str(event_time), block, event_time), *rest)


def _folded(commits):
    snapshot = MemorySnapshot.empty(1, 4)
    for number, entries in enumerate(commits, start=1):
        snapshot = snapshot.fold(Commit(0, number, 1, 0, 0, {}, entries))
    return snapshot


@settings(max_examples=200)
@given(HISTORY)
def test_offers_read_the_same_whether_they_were_packed_or_told_one_by_one(history):
    """As objects, as stock by slot and in the stamp of cached verdicts; whichever of item and offer came first."""
    commits = [_rows(changes, number) for number, changes in enumerate(history, start=1)]
    single = _folded(commits)
    packed = _folded([_packed(entries, number) for number, entries in enumerate(commits, start=1)])
    assert list(packed.items.item_ids) == list(single.items.item_ids)
    assert packed.items.stock.tolist() == single.items.stock.tolist()
    for key in KEYS:
        assert packed.offer(key) == single.offer(key)
        assert packed.facts_changed(key) == single.facts_changed(key)


@given(HISTORY, st.lists(CHANGE, max_size=8))
def test_a_pinned_version_keeps_its_offers(history, more):
    """Later blocks change nothing that an earlier version tells."""
    commits = [_packed(_rows(changes, number), number) for number, changes in enumerate(history, start=1)]
    snapshot = _folded(commits)
    before = [snapshot.offer(key) for key in KEYS], snapshot.items.stock.tolist()
    snapshot.fold(Commit(0, len(commits) + 1, 1, 0, 0, {}, _packed(_rows(more, 99), 99)))
    assert before == ([snapshot.offer(key) for key in KEYS], snapshot.items.stock.tolist())


@pytest.mark.parametrize("newest", ["block", "row"])
def test_in_one_commit_the_later_event_holds_whatever_its_form(newest):
    """A store may put commits together in which an item was told both ways."""
    plain, promoted = Offer("a", Money(1, "USD"), 1), Offer("a", Money(2, "USD"), 2, "2 for 1")
    block = rows.row(Table.OFFERS, "x", core_offers.packed([plain], [5]), 5)
    row = rows.row(Table.OFFER, "a", promoted, 4 if newest == "block" else 6)
    for entries in ((block, row), (row, block)):
        assert _folded([(_item("a"), *entries)]).offer("a") == (plain if newest == "block" else promoted)


@given(st.lists(st.lists(OFFER, min_size=1, max_size=6), min_size=1, max_size=5))
def test_blocks_joined_hold_the_newest_offer_of_every_item(told):
    """What a store writes in place of several blocks says the same as all of them in order."""
    blocks, newest = [], {}
    for time, offers in enumerate(told, start=1):
        plain = {one.item_id: Offer(one.item_id, one.price, one.stock) for one in offers}
        blocks.append(core_offers.packed(list(plain.values()), [time] * len(plain)))
        newest |= {key: (offer, time) for key, offer in plain.items()}
    one = core_offers.joined(blocks)
    assert {
        offer.item_id: (offer, time) for offer, time in zip(one.offers(), one.event_times.tolist(), strict=True)
    } == newest
    assert one.item_hashes.tolist() == [core_offers.item_hash(key) for key in one.item_ids()]


def test_an_offer_with_a_promotion_cannot_be_packed():
    """A block has no room for words."""
    with pytest.raises(ValueError, match="promotion"):
        core_offers.packed([Offer("a", Money(1, "USD"), 1, "2 for 1")], [1])


def test_items_that_share_a_hash_are_told_apart_by_their_ids(monkeypatch):
    """Two ids with one hash never get each other's price."""
    monkeypatch.setattr(core_offers, "item_hash", lambda item_id: 7)
    monkeypatch.setattr(memory_offers, "item_hash", lambda item_id: 7)
    told = [Offer(key, Money(ord(key), "USD"), 1) for key in "abc"]
    block = rows.row(Table.OFFERS, "x", core_offers.packed(told, [1] * 3), 1)
    snapshot = _folded([(_item("a"), _item("b")), (block,), (_item("c"),)])
    assert [snapshot.offer(key) for key in "abc"] == told


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 40), max_size=6)), max_size=12))
def test_every_version_of_a_hash_index_finds_its_own_items_and_names_what_is_ambiguous(told):
    """Whichever version grows next, and whether in place or in a table of its own, none sees another one's items."""
    versions = [(HashIndex.empty(), [])]
    kept, hashes.LEAST_PLACES = hashes.LEAST_PLACES, 4
    try:
        for which, keys in told:
            index, naive = versions[-1 - which % len(versions)]
            versions.append((index.appended(np.array(keys, np.uint64)), [*naive, *keys]))
    finally:
        hashes.LEAST_PLACES = kept
    for index, naive in versions:
        wanted = [
            hashes.UNKNOWN if key not in naive else naive.index(key) if naive.count(key) == 1 else hashes.AMBIGUOUS
            for key in range(42)
        ]
        assert index.found(np.arange(42, dtype=np.uint64)).tolist() == wanted


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 9)), max_size=30))
def test_columns_that_share_a_buffer_never_see_each_others_rows(steps):
    """Every version ever made reads as the list it was made from, whichever of them grows or is written next."""
    versions = [(Column.of(np.empty(0, np.int64)), Objects(), [])]
    for which, append, value in steps:
        column, objects, naive = versions[which % len(versions)]
        if append or not naive:
            versions.append(
                (
                    column.appended(np.array([value, value + 1])),
                    objects.appended([value, value + 1]),
                    [*naive, value, value + 1],
                )
            )
        else:
            place = value % len(naive)
            versions.append(
                (
                    column.written([place], value),
                    objects.written({place: value}),
                    [*naive[:place], value, *naive[place + 1 :]],
                )
            )
    for column, objects, naive in versions:
        assert column.view.tolist() == naive == list(objects)
        assert not column.view.flags.writeable
