"""Whatever a producer sends, or an encoder makes of it: each has its own reason, and the partition moves on."""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from kept_dead_letters import KeptDeadLetters

from adgram.core.catalogue import EncodedItem, Item, Offer
from adgram.core.clock import NS_PER_HOUR, NS_PER_SECOND, ManualClock
from adgram.core.event import Event, Outcome, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.core.money import Money
from adgram.core.ports import Unmeasured
from adgram.proto import events
from adgram.streaming.config import StreamingConfig
from adgram.streaming.records import Records
from adgram.streaming.shard import Shard, Surroundings

NOW = 1_000 * NS_PER_HOUR
MAX_BYTES = 4_096
SOUND_BEFORE = 20  # enough that offers are folded together, and the bad one must be found among them


@dataclass
class Counted(Unmeasured):
    """Implements StreamMetrics in counters."""

    outcomes: Counter[tuple[Topic, Outcome]] = field(default_factory=Counter)
    late_events: Counter[Topic] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)

    def folded(self, topic, outcome, count=1):
        self.outcomes[topic, outcome] += count

    def late(self, topic, count=1):
        self.late_events[topic] += count

    def dead_lettered(self, topic, reason):
        self.dead[reason] += 1


@pytest.fixture
def around(memory_log, hashing_encoder):
    config = StreamingConfig(shards=1, topic_prefix="", lateness_ms=5_000, max_event_bytes=MAX_BYTES)
    return Surroundings(
        config, memory_log(), hashing_encoder, KeptDeadLetters(), ManualClock(NOW), metrics=Counted(), vector_width=4
    )


def _event(topic, key, event_time=NOW, title="t", event_id=""):
    values = {
        Topic.ITEMS: Item(key, title),
        Topic.OFFERS: Offer(key, Money(5, "CNY"), 3),
        Topic.FEEDBACK: Feedback(FeedbackKind.CLICK, key, "i"),
    }
    return events.encode(Event(event_id or f"{key}@{event_time}", event_time, key, values[topic]))


def _bad(topic):
    sound = _event(topic, "bad")
    return {
        "truncated": (sound[: len(sound) // 2], "not-json", "decode"),
        "oversized": (sound + b" " * MAX_BYTES, "oversized", "decode"),
        "wrong schema": (sound.replace(b'"event_time":', b'"event_time":"then","was":'), "wrong-schema", "decode"),
        "wrong encoding": (sound.replace(b'"bad"', '"bäd"'.encode("latin-1")), "wrong-encoding", "decode"),
        "far future": (_event(topic, "bad", NOW + 2 * NS_PER_HOUR), "far-future", "check"),
        "of another row": (_event(topic, "good"), "wrong-key", "check"),
        "a tombstone of Kafka": (None, "empty", "decode"),
    }


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in a batch"])
@pytest.mark.parametrize("kind", _bad(Topic.OFFERS))
@pytest.mark.parametrize("topic", [Topic.ITEMS, Topic.OFFERS, Topic.FEEDBACK])
def test_each_kind_of_bad_event_has_its_reason_and_the_partition_moves_on(around, topic, kind, together):
    """The record is kept byte for byte with its reason; what came before and after it is committed."""
    payload, reason, stage = _bad(topic)[kind]
    keys = [f"k{number}" for number in range(SOUND_BEFORE)]
    keys = [key.encode() for key in (*keys, "bad", "after")]
    payloads = [payload if key == b"bad" else _event(topic, key.decode()) for key in keys]
    shard = Shard.open(0, around)
    records = Records(range(len(keys)), keys, payloads, [7] * len(keys))
    if together:
        shard.feed_many(topic, records)
    else:
        for offset, key in enumerate(keys):
            shard.feed(topic, offset, key, payloads[offset], 7)
    commit = shard.commit(0)
    (letter,) = around.dead_letters.letters
    assert (letter.reason, letter.stage, letter.value, letter.key) == (reason, stage, payload, b"bad")
    assert (letter.topic, letter.partition, letter.offset, letter.timestamp_ms) == (topic.value, 0, SOUND_BEFORE, 7)
    assert commit.offsets == {topic.value: len(keys) - 1} and around.dead_letters.flushed == 1
    assert around.metrics.dead == {reason: 1}
    assert sum(around.metrics.outcomes.values()) == len(keys) - 1


def test_repeated_and_out_of_order_events_are_counted_and_no_dead_letters(around):
    """Nothing is wrong with either: a repeat changes nothing, an older event does not override."""
    shard = Shard.open(0, around)
    shard.feed(Topic.ITEMS, 0, b"a", _event(Topic.ITEMS, "a", NOW, "new"))
    shard.feed(Topic.ITEMS, 1, b"a", _event(Topic.ITEMS, "a", NOW - 1, "old"))
    for offset in (0, 1):
        shard.feed(Topic.FEEDBACK, offset, b"u", _event(Topic.FEEDBACK, "u", NOW, event_id="same"))
    shard.commit(0)
    assert not around.dead_letters.letters
    assert around.metrics.outcomes == {
        (Topic.ITEMS, Outcome.FOLDED): 1,
        (Topic.ITEMS, Outcome.OUT_OF_ORDER): 1,
        (Topic.FEEDBACK, Outcome.FOLDED): 1,
        (Topic.FEEDBACK, Outcome.REPEATED): 1,
    }


@pytest.mark.parametrize(
    ("topic", "key", "outcome"),
    [
        (Topic.ITEMS, "other", Outcome.FOLDED),  # the newest of its row, however old
        (Topic.ITEMS, "a", Outcome.OUT_OF_ORDER),
        (Topic.OFFERS, "other", Outcome.FOLDED),
        (Topic.FEEDBACK, "u", Outcome.FOLDED),
    ],
)
def test_a_late_event_is_folded_by_its_own_rule_and_counted(around, topic, key, outcome):
    """Below the watermark nothing is thrown away: the row's own order decides, and the figure tells."""
    shard = Shard.open(0, around)
    shard.feed(Topic.ITEMS, 0, b"a", _event(Topic.ITEMS, "a", NOW))
    shard.feed(topic, 1, key.encode(), _event(topic, key, NOW - 6 * NS_PER_SECOND))
    assert around.metrics.late_events == {topic: 1}
    assert around.metrics.outcomes[topic, outcome] >= 1 and not around.dead_letters.letters


FAULTS = {
    "narrow": np.ones(3, np.float32).tobytes(),
    "wide": np.ones(5, np.float32).tobytes(),
    "torn": np.ones(4, np.float32).tobytes()[:-1],
    "nan": np.array([1, np.nan, 0, 0], np.float32).tobytes(),
    "infinite": np.array([1, np.inf, 0, 0], np.float32).tobytes(),
}


class Faulty:
    """Implements ItemEncoder; an item that is called after a fault gets a vector with it."""

    model = "faulty"

    def encode(self, items):
        sound = np.eye(1, 4, dtype=np.float32).tobytes()
        return tuple(EncodedItem(item, (1, 2, 3), FAULTS.get(item.title, sound), self.model) for item in items)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_item_whose_vector_is_none_is_a_dead_letter_and_stays_as_it_was(around, fault):
    """Neither its row nor its neighbours' are touched; the record is kept for when the model is mended."""
    around = replace(around, encoder=Faulty())
    shard = Shard.open(0, around)
    shard.feed(Topic.ITEMS, 0, b"a", _event(Topic.ITEMS, "a", NOW, "sound"))
    shard.commit(0)
    record = _event(Topic.ITEMS, "a", NOW + 1, fault)
    shard.feed(Topic.ITEMS, 1, b"a", record)
    shard.feed(Topic.ITEMS, 2, b"b", _event(Topic.ITEMS, "b"))
    commit = shard.commit(0)
    assert [row.key for row in commit.rows] == ["b"] and commit.offsets == {"items": 2}
    (letter,) = around.dead_letters.letters
    assert (letter.reason, letter.offset, letter.key, letter.value) == ("bad-vector", 1, b"a", record)
    assert around.dead_letters.flushed == 1, "kept before the commit that passes over it"
    shard.feed(Topic.ITEMS, 3, b"a", _event(Topic.ITEMS, "a", NOW + 1, "mended"))
    assert [row.key for row in shard.commit(0).rows] == ["a"]
