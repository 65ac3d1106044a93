"""Dead letters as records, chosen, and sent back: with a publisher in a list."""

from dataclasses import replace

import pytest

from adgram.core.clock import NS_PER_SECOND, ManualClock
from adgram.core.event import Topic
from adgram.streaming import dead_letter_queue
from adgram.streaming.config import StreamingConfig
from adgram.streaming.dead_letter_queue import REPLAYED, REPLAYED_FROM, Buried, Wanted
from adgram.streaming.dead_letters import MAX_VALUE_BYTES, CountedDeadLetters, DeadLetter

CONFIG = StreamingConfig(topic_prefix="x.", shards=2)
LETTER = DeadLetter("x.items", 1, 7, 5_000, b"k", b"{", "decode", "not-json", "Input data was truncated")


class KeptRecords:
    """Publishes into lists: `sent` records, `marks` of letters, and how many of both each flush made sure of."""

    def __init__(self):
        self.sent, self.marks, self.flushes = [], [], []

    def publish_record(self, topic, key, value, partition, headers):
        self.sent.append((topic, key, value, partition, dict(headers)))

    def publish_dead_letter(self, key, value, headers):
        self.marks.append((key, value, dict(headers)))

    def flush(self, timeout_s):
        self.flushes.append((len(self.sent), len(self.marks)))


def _buried(number, replayed=False, at_ms=0, **changes):
    return Buried(number, at_ms, replace(LETTER, **changes), replayed)


def _replay(letters, publisher, rate=1e9, wait=lambda seconds: False, clock=None):
    return dead_letter_queue.replay(letters, publisher, CONFIG, rate, clock or ManualClock(0), wait)


@pytest.mark.parametrize("letter", [LETTER, replace(LETTER, key=None, timestamp_ms=-1), replace(LETTER, problem="ö\n")])
def test_a_letter_comes_back_from_its_headers_as_it_was(letter):
    """What Kafka holds of it tells all of it."""
    assert DeadLetter.of(letter.key, letter.value, letter.headers) == letter


def test_headers_are_those_of_kafka_connect():
    """Connect's own tools find topic, partition, offset, stage and message under their names."""
    told = {name.removeprefix("__connect.errors."): value.decode() for name, value in LETTER.headers}
    assert (told["topic"], told["partition"], told["offset"], told["stage"]) == ("x.items", "1", "7", "VALUE_CONVERTER")
    assert told["exception.message"] == LETTER.problem and told["adgram.reason"] == "not-json"


def test_a_huge_value_is_kept_in_part_and_an_empty_record_has_an_empty_value():
    """Whatever came in, the letter is one that a broker takes, and says how long the value was."""
    publisher = KeptRecords()
    letters = CountedDeadLetters(publisher)
    letters.put(replace(LETTER, value=b"x" * (MAX_VALUE_BYTES + 1)))
    letters.put(replace(LETTER, key=None, value=None))
    (_, huge, headers), (_, empty, _) = publisher.marks
    assert len(huge) == MAX_VALUE_BYTES and empty == b""
    assert DeadLetter.of(b"k", huge, list(headers.items())).whole_bytes == MAX_VALUE_BYTES + 1
    assert letters.counts == {"not-json": 2}


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Wanted(), [0, 1, 2]),
        (Wanted(topic="items"), [0, 2]),
        (Wanted(topic="x.offers"), [1]),
        (Wanted(topic="ems"), []),
        (Wanted(reason="far-future"), [2]),
        (Wanted(since_ms=10), [1, 2]),
        (Wanted(since_ms=10, until_ms=20), [1]),
        (Wanted(numbers=frozenset({0, 2}), reason="not-json"), [0]),
    ],
)
def test_letters_are_chosen_by_topic_reason_time_and_number(wanted, numbers):
    """All that is asked for must hold; times are from since to before until."""
    letters = (_buried(0), _buried(1, at_ms=10, topic="x.offers"), _buried(2, at_ms=20, reason="far-future"))
    assert [one.number for one in letters if wanted.accepts(one)] == numbers


def test_a_letter_goes_back_under_its_key_and_is_marked_once_it_has_arrived():
    """The key decides the partition anew; only what has no key goes to where it lay."""
    publisher = KeptRecords()
    done = _replay([_buried(4), _buried(5, key=None)], publisher)
    assert (done.sent, done.refused, done.stopped) == (2, {}, False)
    assert publisher.sent == [
        (Topic.ITEMS, b"k", b"{", None, {REPLAYED_FROM: b"4"}),
        (Topic.ITEMS, None, b"{", 1, {REPLAYED_FROM: b"5"}),
    ]
    assert [headers[REPLAYED] for _, _, headers in publisher.marks] == [b"4", b"5"]
    assert publisher.flushes == [(2, 0), (2, 2)], "acknowledged before marked"


def test_what_cannot_go_back_stays_with_its_reason_and_a_rehearsal_says_the_same():
    """Replayed before, of another deployment, kept in part, or nothing at all: passed over, the rest goes."""
    letters = [
        _buried(0, replayed=True),
        _buried(1, topic="other.items"),
        _buried(2, whole_bytes=MAX_VALUE_BYTES + 1),
        _buried(3, key=None, value=b""),
        _buried(4),
    ]
    publisher = KeptRecords()
    done = _replay(letters, publisher)
    assert done.sent == 1 and sorted(done.refused.values()) == [1, 1, 1, 1]
    assert dead_letter_queue.rehearsed(letters, CONFIG) == done


def test_no_faster_than_asked_and_stopped_between_two_letters():
    """At 2 a second the n-th letter waits for its half-second; a stop leaves the rest unsent and unmarked."""
    clock, waits, publisher = ManualClock(0), [], KeptRecords()

    def wait(seconds):
        waits.append(round(seconds, 6))
        clock.advance(int(seconds * NS_PER_SECOND))
        return len(waits) > 3

    done = _replay([_buried(number) for number in range(9)], publisher, rate=2, wait=wait, clock=clock)
    assert waits == [0, 0.5, 0.5, 0.5]
    assert (done.sent, done.stopped) == (3, True) and len(publisher.marks) == len(publisher.sent) == 3
