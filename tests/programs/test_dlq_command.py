"""`adgram dlq` on a real broker: what could not be folded is listed, shown, sent back, and doubles nothing."""

import json
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from inline_worker import folded

from adgram.core.clock import SystemClock
from adgram.core.errors import ConfigError, NotFound
from adgram.core.event import Event, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.programs.dlq import moment_ms
from adgram.proto import events
from adgram.streaming.config import StreamingConfig
from adgram.streaming.log import KafkaPublisher
from adgram.streaming.partitions import partition_of
from adgram.streaming.topics import ensure_topics

USER = "u"


@pytest.fixture
def dlq(adgram_here, local_broker, topic_prefix):
    """Runs `adgram dlq …` on the test's own topics."""
    return lambda *arguments: adgram_here("dlq", *arguments, "--bootstrap", local_broker, "--prefix", topic_prefix)


def _events_of_user(config, encoder):
    """How many events of USER memory holds after a worker has folded all there is."""
    user = folded(config, encoder).user(USER)
    return 0 if user is None else user.events


@pytest.mark.e2e
def test_a_letter_whose_cause_is_mended_is_folded_once_however_often_it_is_replayed(
    dlq, local_broker, topic_prefix, hashing_encoder
):
    """A click from a producer with another partitioner is counted after its replay, and never again.

    Broken JSON becomes a dead letter anew. A rehearsal sends nothing.
    """
    config = StreamingConfig(bootstrap=local_broker, topic_prefix=topic_prefix, shards=2)
    ensure_topics(config)
    click = events.encode(Event("click", SystemClock().now_ns(), USER, Feedback(FeedbackKind.CLICK, USER, "i")))
    astray = 1 - partition_of(USER.encode(), 2)
    with ExitStack() as stack:
        publisher = KafkaPublisher(config, linger_ms=0)
        stack.callback(publisher.close)
        publisher.publish_record(Topic.FEEDBACK, USER.encode(), click, partition=astray, headers=[])
        publisher.flush(10)
        assert _events_of_user(config, hashing_encoder) == 0
        publisher.publish_record(Topic.FEEDBACK, USER.encode(), click[:20], partition=None, headers=[])
        publisher.flush(10)
        assert _events_of_user(config, hashing_encoder) == 0

        letters = [json.loads(line) for line in dlq("list", "--json").stdout.splitlines()]
        assert [(one["reason"], one["partition"], one["replayed"]) for one in letters] == [
            ("wrong-partition", astray, False),
            ("not-json", 1 - astray, False),
        ]
        assert "2 dead letters: 1 wrong-partition, 1 not-json" in dlq("list").stdout
        shown = dlq("show", letters[0]["number"]).stdout
        assert click.decode() in shown and "wrong-partition" in shown

        rehearsed = json.loads(
            dlq("replay", "--shards", 2, "--reason", "wrong-partition", "--dry-run", "--json").stdout
        )
        assert rehearsed == {"sent": 1, "refused": {}, "stopped": False}
        assert _events_of_user(config, hashing_encoder) == 0

        replayed = dlq("replay", "--shards", 2, "--reason", "wrong-partition")
        assert replayed.stdout == "sent 1 dead letters back\n", replayed.output
        assert _events_of_user(config, hashing_encoder) == 1
        again = dlq("replay", "--shards", 2, letters[0]["number"])
        assert again.stdout == "sent 0 dead letters back; passed over 1: replayed before\n", again.output
        # As if the first replay had died between sending and marking:
        publisher.publish_record(Topic.FEEDBACK, USER.encode(), click, partition=None, headers=[])
        publisher.flush(10)
        assert _events_of_user(config, hashing_encoder) == 1

        assert json.loads(dlq("replay", "--shards", 2, "--json").stdout)["sent"] == 1
        assert _events_of_user(config, hashing_encoder) == 1
    letters = [json.loads(line) for line in dlq("list", "--json").stdout.splitlines()]
    assert [(one["reason"], one["replayed"]) for one in letters] == [
        ("wrong-partition", True),
        ("not-json", True),
        ("not-json", False),
    ]
    missing = dlq("show", 10_000)
    assert isinstance(missing.exception, NotFound) and "adgram dlq list" in str(missing.exception)


def test_times_are_written_as_people_write_them():
    """So long ago, or a date and a time, in UTC unless it says otherwise; an error says how to write it."""
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    now_ms = int(now.timestamp() * 1000)
    assert moment_ms("", now) == 0
    assert [moment_ms(text, now) for text in ("30m", "2h", "7d")] == [
        now_ms - 1_800_000,
        now_ms - 7_200_000,
        now_ms - 7 * 86_400_000,
    ]
    assert moment_ms("2026-11-24T12:00", now) == moment_ms("2026-11-24T20:00+08:00", now) == now_ms
    with pytest.raises(ConfigError, match="30m, 2h, 7d"):
        moment_ms("yesterday", now)
