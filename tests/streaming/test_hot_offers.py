from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adgram.core.catalogue import Item, Offer
from adgram.core.clock import NS_PER_HOUR, ManualClock
from adgram.core.commit import Table
from adgram.core.event import Event, Topic
from adgram.core.money import Money
from adgram.memory.snapshot import MemorySnapshot
from adgram.proto import events, hot_offers
from adgram.streaming.config import StreamingConfig
from adgram.streaming.folds import offers as offer_folds
from adgram.streaming.records import Records
from adgram.streaming.shard import Shard, Surroundings

NOW = 1_000 * NS_PER_HOUR
KEYS = "abcd"


class Tally:
    """Dead letters and metrics of one shard."""

    def __init__(self):
        self.letters, self.outcomes, self.lates = [], Counter(), 0

    def put(self, letter):
        self.letters.append((letter.offset, letter.reason))

    def flush(self):
        pass

    def folded(self, topic, outcome, count=1):
        self.outcomes[outcome] += count

    def late(self, topic, count=1):
        self.lates += count

    def dead_lettered(self, topic, reason):
        pass

    def committed(self, shard, rows, took_s, watermark):
        pass


def _event(key, event_time, value, event_id="e"):
    return key.encode(), events.encode(Event(event_id, event_time, key, value))


PLAIN = st.builds(
    lambda key, time, micros, currency, stock: _event(key, NOW + time, Offer(key, Money(micros, currency), stock)),
    st.sampled_from(KEYS),
    st.integers(0, 6),
    st.integers(0, 3),
    st.sampled_from(["USD", "CNY"]),
    st.integers(-1, 3),
)
ODD = st.one_of(
    st.builds(
        lambda key, time: _event(key, NOW + time, Offer(key, Money(1, "USD"), 1, "2 for 1")),
        st.sampled_from(KEYS),
        st.integers(0, 6),
    ),
    st.builds(lambda key, time: _event(key, NOW + time, None), st.sampled_from(KEYS), st.integers(0, 6)),
    st.sampled_from(
        [
            (b"a", b"{not json"),
            (b"a", None),
            (b"a", b"\n"),
            (None, _event("a", NOW, Offer("a", Money(1, "USD"), 1))[1]),
            (b"b", _event("a", NOW, Offer("a", Money(1, "USD"), 1))[1]),
            _event("a", NOW + 2 * NS_PER_HOUR, Offer("a", Money(1, "USD"), 1)),
            _event("a", NOW, Offer("b", Money(1, "USD"), 1)),
            _event("a", NOW, Offer("a", Money(-1, "USD"), 1)),
            _event("a", NOW, Offer("a", Money(1, "USD"), 1), event_id=""),
            (b"a", _event("a", NOW, Offer("a", Money(1, "USD"), 1))[1] + b"\n" + _event("a", NOW, None)[1]),
            (b"a", _event("a", NOW, Offer("a", Money(1, "USD"), 7))[1].replace(b",", b",\n")),
        ]
    ),
)


def _shard(log, encoder, tally):
    config = StreamingConfig(shards=1, topic_prefix="", lateness_ms=0)
    return Shard.open(0, Surroundings(config, log, encoder, tally, ManualClock(NOW), metrics=tally))


def _records(told, first=0):
    return Records(
        range(first, first + len(told)), [key for key, _ in told], [payload for _, payload in told], [-1] * len(told)
    )


def _memory(log):
    snapshot = MemorySnapshot.empty(1, 16)
    for commit in log.read(0, 0):
        snapshot = snapshot.fold(commit)
    return snapshot


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.one_of(PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, ODD), max_size=80), max_size=3))
def test_folding_together_does_what_folding_one_by_one_does(memory_log, hashing_encoder, batches):
    """Memory, dead letters, outcomes, watermark and offsets are the same, whatever is mixed and however it is cut."""
    results = []
    for together in (False, True):
        log, tally, first = memory_log(), Tally(), 0
        shard = _shard(log, hashing_encoder, tally)
        for told in batches:
            records = _records(told, first)
            first += len(told)
            if together:
                shard.feed_many(Topic.OFFERS, records)
            else:
                for offset, (key, payload) in zip(records.offsets, told, strict=True):
                    shard.feed(Topic.OFFERS, offset, key, payload)
            shard.commit(0)
        memory = _memory(log)
        offers = [memory.offer(key) for key in KEYS]
        results.append(
            (offers, tally.letters, +tally.outcomes, tally.lates, shard.next_offset(Topic.OFFERS), memory.version)
        )
    assert results[0] == results[1]


@pytest.fixture
def told():
    return [_event(key, NOW + n, Offer(key, Money(n, "USD"), n)) for n in range(50) for key in KEYS]


def test_hot_offers_are_committed_as_one_row_with_the_newest_of_each(memory_log, hashing_encoder, told):
    """Two hundred events of four items are one row of four offers, which a follower reads as objects."""
    log = memory_log()
    shard = _shard(log, hashing_encoder, Tally())
    shard.feed(Topic.ITEMS, 0, *_event("a", NOW, Item("a", "title")))
    shard.feed_many(Topic.OFFERS, _records(told))
    commit = shard.commit(0)
    assert [row.table for row in commit.rows] == [Table.ITEM, Table.OFFERS]
    memory = _memory(log)
    assert [memory.offer(key) for key in KEYS] == [Offer(key, Money(49, "USD"), 49) for key in KEYS]
    assert memory.items.stock.tolist() == [49]


def test_replayed_and_late_hot_offers_change_nothing_after_a_restart(memory_log, hashing_encoder, told):
    """Offsets drop what was covered, event times drop what is older than what the row was committed with."""
    log = memory_log()
    first = _shard(log, hashing_encoder, Tally())
    first.feed_many(Topic.OFFERS, _records(told))
    first.commit(0)
    again = _shard(log, hashing_encoder, Tally())
    older = [_event(key, NOW + 48, Offer(key, Money(7, "USD"), 7)) for key in KEYS] * 5
    again.feed_many(Topic.OFFERS, _records([*told, *older]))
    assert again.next_offset(Topic.OFFERS) == len(told) + len(older)
    again.commit(0)
    assert [_memory(log).offer(key).stock for key in KEYS] == [49] * 4


def test_more_offers_than_a_block_takes_are_several_rows(memory_log, hashing_encoder, monkeypatch):
    """Each row stays well below the size of a record."""
    monkeypatch.setattr(offer_folds, "MOST_OFFERS", 10)
    log = memory_log()
    shard = _shard(log, hashing_encoder, Tally())
    shard.feed_many(
        Topic.OFFERS, _records([_event(f"i{n}", NOW, Offer(f"i{n}", Money(n, "USD"), n)) for n in range(25)])
    )
    commit = shard.commit(0)
    assert [len(row.key) > 0 for row in commit.rows] == [True] * 3 and len({row.key for row in commit.rows}) == 3
    assert [_memory(log).offer(f"i{n}").stock for n in range(25)] == list(range(25))


def test_more_currencies_than_a_block_numbers_still_arrive(memory_log, hashing_encoder):
    """The first 256 are packed, the rest get rows of their own."""
    log = memory_log()
    shard = _shard(log, hashing_encoder, Tally())
    told = [_event(f"i{n}", NOW, Offer(f"i{n}", Money(n, f"C{n}"), n)) for n in range(300)]
    shard.feed_many(Topic.OFFERS, _records(told))
    shard.commit(0)
    memory = _memory(log)
    assert [memory.offer(f"i{n}").price for n in range(300)] == [Money(n, f"C{n}") for n in range(300)]


def test_lines_are_decoded_only_where_all_of_them_are_plain_offers():
    """A line break inside, a promotion, a withdrawal or a key that is not the item's leave it to the other decoder."""
    plain = _event("a", NOW, Offer("a", Money(1, "USD"), 1))[1]
    assert hot_offers.decode([plain, plain], 1_000).keys == ["a", "a"]
    for odd in (None, b"", b"[]", plain.replace(b",", b",\n"), plain + b"\n" + plain, b"x" * 2_000):
        assert hot_offers.decode([plain, odd], 1_000) is None
