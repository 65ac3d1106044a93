import pytest
from kept_dead_letters import KeptDeadLetters

from adgram.core.catalogue import Creative, Item, Rule
from adgram.core.clock import NS_PER_HOUR, NS_PER_MS, ManualClock
from adgram.core.commit import Table
from adgram.core.errors import InvalidEvent
from adgram.core.event import Event, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.core.request import AdFormat, Size
from adgram.memory.snapshot import MemorySnapshot
from adgram.proto import events
from adgram.streaming.config import StreamingConfig
from adgram.streaming.partitions import partition_of
from adgram.streaming.shard import Shard, Surroundings
from adgram.streaming.shards import Shards

NOW = 1_000 * NS_PER_HOUR


@pytest.fixture
def around(memory_log, hashing_encoder):
    config = StreamingConfig(shards=1, topic_prefix="", lateness_ms=0)
    return Surroundings(config, memory_log(), hashing_encoder, KeptDeadLetters(), ManualClock(NOW))


def _item(key, event_time=NOW, title="t"):
    return key.encode(), events.encode(Event(f"{key}{event_time}", event_time, key, Item(key, title)))


def _click(number, user="u", event_time=NOW):
    return user.encode(), events.encode(
        Event(f"e{number}", event_time, user, Feedback(FeedbackKind.CLICK, user, f"i{number}"))
    )


def _memory(around):
    snapshot = MemorySnapshot.empty(1, 16)
    for commit in around.log.read(0, 0):
        snapshot = snapshot.fold(commit)
    return snapshot


def test_items_are_encoded_and_committed_with_what_belongs_to_them(around):
    """One commit holds the item, encoded, and its creative; both are seen at once."""
    shard = Shard.open(0, around)
    shard.feed(Topic.ITEMS, 0, *_item("a"))
    creative = Creative("c", "a", "k", AdFormat.NATIVE, Size(0, 0), "t", "", "https://a", "a")
    shard.feed(Topic.CREATIVES, 0, b"a", events.encode(Event("c", NOW, "c", creative)))
    commit = shard.commit(0)
    assert {(row.table, row.key) for row in commit.rows} == {(Table.ITEM, "a"), (Table.CREATIVE, "c")}
    memory = _memory(around)
    assert memory.slot("a") == 0 and list(memory.creative_slots("a")) == [0]
    assert memory.item("a").model == "hashing"


def test_replayed_records_are_dropped_before_and_after_a_restart(around):
    """Offsets at or below the covered ones never fold again, whoever replays them."""
    # Each delivery has an event id of its own here, so that nothing but the offset can tell a replay.
    shard = Shard.open(0, around)
    for delivery in range(2):
        for number in range(5):
            shard.feed(Topic.FEEDBACK, number, *_click(f"{number}.{delivery}"))
    shard.commit(0)
    restarted = Shard.open(0, around)
    for number in range(8):
        restarted.feed(Topic.FEEDBACK, number, *_click(f"{number}.2"))
    restarted.commit(0)
    assert _memory(around).user("u").events == 8


def test_uncommitted_events_are_folded_again_by_the_next_owner(around):
    """What a dead owner had folded but not committed is nowhere, and the replay brings it back once."""
    dead = Shard.open(0, around)
    dead.feed(Topic.FEEDBACK, 0, *_click(0))
    dead.commit(0)
    dead.feed(Topic.FEEDBACK, 1, *_click(1))
    successor = Shard.open(0, around)
    assert successor.next_offset(Topic.FEEDBACK) == 1
    for number in (1, 2):
        successor.feed(Topic.FEEDBACK, number, *_click(number))
    successor.commit(0)
    assert [one.item_id for one in _memory(around).user("u").history] == ["i0", "i1", "i2"]


def test_late_events_are_known_for_late_after_a_restart(around):
    """Event times come back with the rows: an older event does not override across a restart."""
    shard = Shard.open(0, around)
    shard.feed(Topic.ITEMS, 0, *_item("a", NOW, "new"))
    shard.commit(0)
    restarted = Shard.open(0, around)
    restarted.feed(Topic.ITEMS, 1, *_item("a", NOW - 1, "old"))
    restarted.commit(0)
    assert _memory(around).item("a").item.title == "new"


@pytest.mark.parametrize(
    ("key", "payload", "reason"),
    [
        (b"a", b"{not json", "not-json"),
        (None, _item("a")[1], "missing-key"),
        (b"b", _item("a")[1], "wrong-key"),
        (b"a", _item("a", NOW + 2 * NS_PER_HOUR)[1], "far-future"),
        (b"a", None, "empty"),
    ],
)
def test_a_bad_event_becomes_a_dead_letter_and_the_shard_lives_on(around, key, payload, reason):
    """It is counted as covered, kept with reason and origin before the commit, and the next event is folded."""
    shard = Shard.open(0, around)
    shard.feed(Topic.ITEMS, 0, key, payload)
    shard.feed(Topic.ITEMS, 1, *_item("z"))
    commit = shard.commit(0)
    letter = around.dead_letters.letters[0]
    assert (letter.reason, letter.topic, letter.partition, letter.offset) == (reason, "items", 0, 0)
    assert dict(letter.headers)["adgram.reason"] == reason.encode()
    assert around.dead_letters.flushed == 1
    assert commit.offsets == {"items": 1} and [row.key for row in commit.rows] == ["z"]


def test_simulated_time_may_be_any_time(around):
    """With a simulation's clock no event is ahead of the worker's."""
    config = StreamingConfig(shards=1, topic_prefix="", simulated_time=True)
    shard = Shard.open(0, Surroundings(config, around.log, around.encoder, around.dead_letters, around.clock))
    shard.feed(Topic.ITEMS, 0, *_item("a", NOW * 2))
    assert shard.commit(0).rows and not around.dead_letters.letters


def test_a_key_in_the_wrong_partition_is_refused(around):
    """A row has one shard: a producer with another partitioner would put it into two."""
    config = StreamingConfig(shards=4, topic_prefix="")
    right = partition_of(b"a", 4)
    around = Surroundings(config, type(around.log)(4), around.encoder, around.dead_letters, around.clock)
    wrong = Shard.open((right + 1) % 4, around)
    wrong.feed(Topic.ITEMS, 0, *_item("a"))
    assert around.dead_letters.letters[0].reason == "wrong-partition"
    Shard.open(right, around).feed(Topic.ITEMS, 0, *_item("a"))
    assert len(around.dead_letters.letters) == 1


def test_a_rule_that_does_not_compile_never_reaches_memory(around):
    """The check handed in refuses it with its reason."""

    def refuse(expression):
        raise InvalidEvent("invalid-rule", f"{expression} is no CEL")

    around = Surroundings(
        around.config, around.log, around.encoder, around.dead_letters, around.clock, check_rule=refuse
    )
    shard = Shard.open(0, around)
    shard.feed(Topic.RULES, 0, b"r", events.encode(Event("e", NOW, "r", Rule("r", "1 +", "x"))))
    assert shard.commit(0).rows == ()
    assert around.dead_letters.letters[0].reason == "invalid-rule"


def test_an_idle_shard_follows_the_watermark_of_the_others_once_a_second(around):
    """Without events of its own a shard commits an empty commit when a second has passed and others moved on."""
    shard, clock = Shard.open(0, around), around.clock
    assert shard.commit(others=NOW) is None
    clock.advance(1_001 * NS_PER_MS)
    commit = shard.commit(others=NOW)
    assert commit.rows == () and commit.watermark == NOW
    clock.advance(1_001 * NS_PER_MS)
    assert shard.commit(others=NOW) is None


def test_a_fenced_shard_stops_itself_and_the_others_go_on(memory_log, hashing_encoder):
    """When another worker takes a shard over, this one lets go of it alone."""
    config = StreamingConfig(shards=2, topic_prefix="")
    around = Surroundings(config, memory_log(2), hashing_encoder, KeptDeadLetters(), ManualClock(NOW))
    shards = Shards(around)
    shards.own({0, 1})
    Shard.open(0, around)
    for key in "abcdefgh":
        shards.feed(Topic.ITEMS, partition_of(key.encode(), 2), ord(key), *_item(key))
    shards.commit()
    assert not shards.owns(0) and shards.owns(1)
    assert not shards.feed(Topic.ITEMS, 0, 200, *_item("a"))


def test_a_rebalance_that_gives_a_shard_back_reads_only_what_was_committed_since(memory_log, hashing_encoder):
    """What this worker knew is kept, what another one committed meanwhile is read, and nothing counts twice."""

    asked = []

    class Counting(memory_log):
        def read(self, shard, after_number):
            asked.append(after_number)
            return super().read(shard, after_number)

    log = Counting()
    config = StreamingConfig(shards=1, topic_prefix="", lateness_ms=0)
    around = Surroundings(config, log, hashing_encoder, KeptDeadLetters(), ManualClock(NOW))
    shards = Shards(around)
    shards.own({0})
    for number in range(3):
        shards.feed(Topic.FEEDBACK, 0, number, *_click(number))
    shards.feed(Topic.ITEMS, 0, 0, *_item("a", NOW, "new"))
    shards.commit()
    shards.own(())
    meanwhile = Shard.open(0, around)
    for number in range(5):
        meanwhile.feed(Topic.FEEDBACK, number, *_click(number))
    meanwhile.commit(0)
    known = log.last(0).number
    asked.clear()
    shards.own({0})
    assert min(asked) > 1 and max(asked) <= known
    for number in range(7):
        shards.feed(Topic.FEEDBACK, 0, number, *_click(number))
    shards.feed(Topic.ITEMS, 0, 1, *_item("a", NOW - 1, "old"))
    shards.commit()
    assert [one.item_id for one in _memory(around).user("u").history] == [f"i{n}" for n in range(7)]
    assert _memory(around).user("u").events == 7 and _memory(around).item("a").item.title == "new"


def test_what_was_not_committed_at_a_rebalance_is_forgotten_and_folded_again(around):
    """A shard that comes back unsettled is read from its commits, as by anybody else."""
    shards = Shards(around)
    shards.own({0})
    shards.feed(Topic.FEEDBACK, 0, 0, *_click(0))
    shards.own(())
    shards.own({0})
    assert shards.next_offset(Topic.FEEDBACK, 0) == 0
    shards.feed(Topic.FEEDBACK, 0, 0, *_click(0))
    shards.commit()
    assert _memory(around).user("u").events == 1
