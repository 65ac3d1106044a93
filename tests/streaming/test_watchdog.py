"""The watchdog, with a consumer double that stalls, idles, crawls, or cannot be seen."""

import threading

import pytest

from adgram.core.clock import NS_PER_SECOND, ManualClock
from adgram.core.errors import Unavailable
from adgram.streaming.lag import Standing
from adgram.streaming.watchdog import Watchdog

PATIENCE_S = 10


class Seen:
    """Implements watchdog.Probe: `at` and `end` are what it sees of one partition."""

    def __init__(self, at=0, end=0):
        self.at, self.end, self.away, self.markers_only, self.closed = at, end, False, False, False

    def look(self):
        if self.away:
            raise Unavailable("no broker")
        return (Standing("items", 0, self.at, self.end),)

    def readable(self, standing):
        return not self.markers_only

    def close(self):
        self.closed = True


class Watch:
    """A watchdog that looks once a second of a clock in hand; `troubles` is what it told."""

    def __init__(self, seen):
        self.seen, self.clock, self.troubles, self.lags = seen, ManualClock(0), [], {}
        self._dog = Watchdog(
            seen, PATIENCE_S, self.clock, lambda reason, restart: self.troubles.append((reason, restart)), self._lag
        )

    def _lag(self, lags):
        self.lags = dict(lags)

    def after(self, seconds):
        for _ in range(seconds):
            self.clock.advance(NS_PER_SECOND)
            self._dog.look()
        return self.troubles


def test_a_consumer_that_stands_still_while_records_wait_is_restarted_when_patience_ends():
    """Not a second before; the reason names partition, position and what waits."""
    watch = Watch(Seen(at=5, end=9))
    assert not watch.after(PATIENCE_S)
    (reason, restart), *_ = watch.after(1)
    assert restart and "items[0] has stood at 5 for 10 s with 4 records waiting" in reason
    assert watch.lags == {("items", 0): 4}


def test_an_idle_consumer_is_never_restarted():
    """Nothing waits, so nothing stalls, however long that takes; and the next record has all its time."""
    seen = Seen(at=5, end=5)
    watch = Watch(seen)
    assert not watch.after(20 * PATIENCE_S)
    seen.end = 6
    assert not watch.after(PATIENCE_S)


def test_a_slow_consumer_is_never_restarted():
    """A step forward in each spell of patience is enough, whatever the lag."""
    seen = Seen(at=0, end=1_000_000)
    watch = Watch(seen)
    for _ in range(20):
        assert not watch.after(PATIENCE_S - 1)
        seen.at += 1


def test_lag_that_nobody_can_read_is_no_stall():
    """Transaction markers take offsets and are no records: the watchdog reads before it believes."""
    seen = Seen(at=5, end=6)
    seen.markers_only = True
    assert not Watch(seen).after(5 * PATIENCE_S)


def test_nothing_is_concluded_while_the_broker_is_away():
    """Patience begins anew with the first answer: the consumer could not have done better."""
    seen = Seen(at=5, end=9)
    watch = Watch(seen)
    watch.after(PATIENCE_S - 1)
    seen.away = True
    assert not watch.after(5 * PATIENCE_S)
    seen.away = False
    assert not watch.after(PATIENCE_S)
    assert watch.after(1)


def test_a_topic_that_was_made_anew_is_told_and_not_restarted():
    """No restart mends offsets beyond a topic's end; the reason says which command does."""
    (reason, restart), *_ = Watch(Seen(at=9, end=2)).after(1)
    assert not restart and "adgram ingest reset" in reason


@pytest.mark.parametrize("stalled", [True, False])
def test_its_thread_tells_once_and_leaves_no_connection_open(stalled):
    """At the first trouble, or when stopped, it ends."""
    told, seen = threading.Event(), Seen(at=0, end=1 if stalled else 0)
    clock = ManualClock(0)
    seen_by = Watchdog(seen, 0.01, clock, lambda reason, restart: told.set(), lambda lags: clock.advance(NS_PER_SECOND))
    seen_by.start()
    if stalled:
        assert told.wait(60)
    seen_by.stop()
    assert seen.closed and told.is_set() == stalled
