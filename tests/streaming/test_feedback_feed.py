"""Feedback as it arrives, for whoever counts it."""

import time
from collections.abc import Callable

from adgram.core.event import Event, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.streaming.config import StreamingConfig
from adgram.streaming.feedback_feed import KafkaFeedbackFeed
from adgram.streaming.log import KafkaPublisher
from adgram.streaming.topics import ensure_topics

PATIENCE_S = 20.0


def _until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until


def test_every_event_comes_once_from_the_oldest_on(broker: str, topic_prefix: str) -> None:
    """What was published before the feed opened, repeats of it, and nonsense: each sound event is told once."""
    config = StreamingConfig(bootstrap=broker, topic_prefix=topic_prefix, shards=2)
    ensure_topics(config)
    publisher = KafkaPublisher(config)
    told = [Feedback(FeedbackKind.CLICK, f"u{n}", f"i{n}", bid_id=f"b{n}") for n in range(6)]
    for number in (0, 1, 2, 1, 0):
        publisher.publish(Topic.FEEDBACK, Event(f"e{number}", 1, told[number].user_key, told[number]))
    publisher.flush(PATIENCE_S)
    feed, seen = KafkaFeedbackFeed(config), list[Feedback]()
    _until(lambda: seen.extend(feed.poll(0.05)) or len(seen) >= 3)
    for number in (2, 3, 4, 5):
        publisher.publish(Topic.FEEDBACK, Event(f"e{number}", 1, told[number].user_key, told[number]))
    publisher.publish(Topic.FEEDBACK, Event("gone", 1, "u1", None))
    publisher.flush(PATIENCE_S)
    _until(lambda: seen.extend(feed.poll(0.05)) or len(seen) >= 6)
    assert sorted(one.item_id for one in [*seen, *feed.poll(0.2)]) == [f"i{n}" for n in range(6)]
    feed.close()
    publisher.close()
