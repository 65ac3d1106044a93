"""One shard: folds the events of its partition of every source topic into rows, and commits them together."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core import rows
from ..core.catalogue import EncodedItem, Item, Rule
from ..core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from ..core.commit import Commit, Row
from ..core.errors import InvalidEvent, Unavailable
from ..core.event import Event, Outcome, Topic
from ..core.ports import UNMEASURED, CommitLog, CommitStore, ItemEncoder, StreamMetrics
from ..memory.committer import Committer
from ..memory.mvcc import CommitGap
from ..memory.recovery import history
from ..proto import events, hot_offers
from .config import StreamingConfig
from .dead_letters import DeadLetter, DeadLetters
from .folds import catalogue, environment, feedback
from .folds.expiry import Expiry
from .folds.offers import Told
from .folds.state import ShardState
from .partitions import partition_of
from .records import Record, Records
from .vectors import require_sound
from .watermark import Watermark

TOGETHER = 16  # fewer offers than this are folded one by one as fast

RuleCheck = Callable[[str], None]  # InvalidEvent when an expression cannot be taken


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all shards of a worker share."""

    config: StreamingConfig
    log: CommitLog
    encoder: ItemEncoder
    dead_letters: DeadLetters
    clock: Clock
    store: CommitStore | None = None
    check_rule: RuleCheck | None = None
    metrics: StreamMetrics = UNMEASURED
    vector_width: int = 0  # of every item's vector; 0: whatever the encoder gives


class Shard:
    """The single owner of a shard, from `open` until Committer says that it is Fenced."""

    def __init__(self, around: Surroundings, committer: Committer, state: ShardState) -> None:
        last = committer.last
        self.number = last.shard
        self._around, self._committer, self._state = around, committer, state
        self._covered = dict(last.offsets)  # by topic: the last offset folded, committed or not
        self._expiry = Expiry(state)
        self._forgetting = feedback.Forgetting(
            around.config.interest_half_life_days * feedback.DAY_NS, around.config.user_ttl_days * feedback.DAY_NS
        )
        self._arrived: dict[str, Record] = {}  # by item of the next commit, should its vector turn out to be none
        self._uncommitted = False
        self._committed_at = around.clock.monotonic_ns()
        self._watermark = Watermark(around.config.lateness_ms * NS_PER_MS, last.watermark)

    @classmethod
    def open(cls, number: int, around: Surroundings, before: "Shard | None" = None) -> "Shard":
        """The shard, taken over from whoever had it, with the state that its commits tell.

        `before` is the same shard as this worker had it last: what it knew need not be read again.
        """
        committer = Committer.open(around.log, number, around.clock)
        state, after = ShardState(), 0
        if before is not None and before.settled:
            state, after = before._state, before._committer.last.number
        try:
            commits = history(number, around.log, around.store, after)
        except CommitGap:  # the log has forgotten what came since
            state, after, commits = ShardState(), 0, history(number, around.log, around.store, 0)
        for commit in commits:
            for entry in commit.rows:
                state.restore(entry)
            after = commit.number
        if after < committer.last.number:
            raise Unavailable(
                f"shard {number}: the log lost its commit {committer.last.number}; start the worker again"
            )
        return cls(around, committer, state)

    @property
    def settled(self) -> bool:
        """Whether everything that was folded is committed."""
        return not self._uncommitted

    @property
    def newest_event_time(self) -> int:
        """The newest event time folded since the shard was opened (ns UTC), 0 for none."""
        return self._watermark.newest

    def next_offset(self, topic: Topic) -> int:
        """The first offset of a topic that is not covered."""
        return self._covered.get(topic.value, -1) + 1

    def feed(self, topic: Topic, offset: int, key: bytes | None, payload: bytes | None, timestamp_ms: int = -1) -> None:
        """Afterwards the record at `offset` is folded, or among the dead letters, or was covered before.

        `timestamp_ms` is the record's own (-1: unknown); it is kept with a dead letter.
        """
        if offset <= self._covered.get(topic.value, -1):
            return
        record = Record(offset, key, payload, timestamp_ms)
        stage = "decode"
        try:
            event = events.decode(topic, payload, self._around.config.max_event_bytes)
            stage = "check"
            self._require_here(topic, event, key)
            stage = "fold"
            outcome = self._fold(topic, event)
        except InvalidEvent as error:
            self._bury(topic, record, stage, error)
        else:
            if topic is Topic.ITEMS and outcome is not Outcome.OUT_OF_ORDER:
                self._arrived[event.key] = record
            self._around.metrics.folded(topic, outcome)
            if event.event_time < self._watermark.value:
                self._around.metrics.late(topic)
            self._watermark.observe(event.event_time)
        self._covered[topic.value] = offset
        self._uncommitted = True

    def feed_many(self, topic: Topic, records: Records) -> None:
        """As `feed` for each record in order; plain offers together, at a fraction of the cost."""
        covered = self._covered.get(topic.value, -1)
        records = records.between(bisect_right(records.offsets, covered), len(records))
        if topic is Topic.OFFERS:
            self._feed_offers(records)
        else:
            self._feed_each(topic, records)

    def _feed_each(self, topic: Topic, records: Records) -> None:
        rows = zip(records.offsets, records.keys, records.payloads, records.timestamps_ms, strict=True)
        for offset, key, payload, timestamp_ms in rows:
            self.feed(topic, offset, key, payload, timestamp_ms)

    def _feed_offers(self, records: Records) -> None:
        """Halves the records around whatever needs a look of its own, so that the rest is still folded together."""
        if len(records) < TOGETHER:
            self._feed_each(Topic.OFFERS, records)
        elif not self._folds_together(records):
            middle = len(records) // 2
            self._feed_offers(records.between(0, middle))
            self._feed_offers(records.between(middle, len(records)))

    def _folds_together(self, records: Records) -> bool:
        """Whether all of these were plain offers of this shard in order of time, and are folded now."""
        config, book = self._around.config, self._state.offers
        hot = hot_offers.decode(records.payloads, config.max_event_bytes)
        handles = None if hot is None else self._handles(records.keys, hot.keys)
        if hot is None or handles is None:
            return False
        newest = int(hot.event_times.max())
        ahead_ms = (newest - self._around.clock.now_ns()) // NS_PER_MS
        if not config.simulated_time and ahead_ms > config.future_tolerance_ms:
            return False
        currencies = book.currency(hot.currencies)
        if currencies is None:
            return False
        outcomes = book.fold_many(
            Told(np.array(handles, np.int64), hot.event_times, hot.price_micros, currencies, hot.stock)
        )
        if outcomes is None:
            return False
        for outcome, count in outcomes.items():
            if count:
                self._around.metrics.folded(Topic.OFFERS, outcome, count)
        late = self._watermark.observe_all(hot.event_times)
        if late:
            self._around.metrics.late(Topic.OFFERS, late)
        self._covered[Topic.OFFERS.value] = records.offsets[-1]
        self._uncommitted = True
        return True

    def _handles(self, keys: Sequence[bytes | None], event_keys: list[str]) -> list[int] | None:
        """The handle of each record's item; None unless each Kafka key is its event's and belongs into this shard."""
        try:
            if [key.decode() for key in keys] != event_keys:  # type: ignore[union-attr] # a None is found out by trying
                return None
        except (AttributeError, UnicodeDecodeError):
            return None
        book = self._state.offers
        handles = book.known(keys)
        for place, handle in enumerate(handles if -1 in handles else ()):
            key = keys[place]
            if handle >= 0 or key is None:
                continue
            if partition_of(key, self._around.config.shards) != self.number:
                return None
            handles[place] = book.handle(key)
        return handles

    def commit(self, others: int) -> Commit | None:
        """The commit of all that was fed since the last one; None when there was nothing and it is not yet time.

        Args:
            others: the newest event time this worker has seen in any shard (ns UTC).
        """
        now = self._around.clock.monotonic_ns()
        if not self._uncommitted:
            before = self._watermark.value
            if now - self._committed_at < self._around.config.idle_commit_ms * NS_PER_MS:
                return None
            self._watermark.idle(others)
            if self._watermark.value == before:
                return None
        self._expiry.drop_ended(self._watermark.value)
        told = self._rows()
        self._around.dead_letters.flush()
        began = self._around.clock.monotonic_ns()
        commit = self._committer.append(told, self._covered, self._watermark.value)
        took_s = (self._around.clock.monotonic_ns() - began) / NS_PER_SECOND
        self._around.metrics.committed(self.number, len(commit.rows), took_s, commit.watermark)
        self._state.changed.clear()
        self._arrived.clear()
        self._state.offers.settle()
        self._uncommitted = False
        self._committed_at = now
        return commit

    def _require_here(self, topic: Topic, event: Event, key: bytes | None) -> None:
        config = self._around.config
        if key is None:
            raise InvalidEvent(
                "missing-key", "the record has no Kafka key; send the row's key, for creatives their item's"
            )
        wanted = events.partition_key(topic, event)
        if wanted is not None and key != wanted.encode():
            raise InvalidEvent("wrong-key", f"the Kafka key is {key!r}, this event belongs under {wanted!r}")
        if partition_of(key, config.shards) != self.number:
            right = partition_of(key, config.shards)
            raise InvalidEvent("wrong-partition", f"belongs into partition {right}; use Kafka's default partitioner")
        if not config.simulated_time:
            ahead_ms = (event.event_time - self._around.clock.now_ns()) // NS_PER_MS
            if ahead_ms > config.future_tolerance_ms:
                raise InvalidEvent("far-future", f"$.event_time is {ahead_ms} ms ahead of this worker's clock")

    def _fold(self, topic: Topic, event: Event) -> Outcome:
        if topic is Topic.ENVIRONMENT:
            return environment.fold(self._state, event)
        if topic is Topic.FEEDBACK:
            return feedback.fold(self._state, event, self._forgetting)
        if isinstance(event.value, Rule) and self._around.check_rule is not None:
            self._around.check_rule(event.value.expression)
        return catalogue.fold(self._state, topic, event)

    def _rows(self) -> tuple[Row, ...]:
        """All that changed. An item without a sound vector is left out, as it was before or not at all."""
        encoded = self._encoded()
        others = []
        for (table, key), value in self._state.changed.items():
            kept = encoded.get(key) if isinstance(value, Item) else value
            if kept is not None or value is None:
                others.append(rows.row(table, key, kept, self._state.event_times[table, key]))
        return (*others, *self._state.offers.rows())

    def _encoded(self) -> dict[str, EncodedItem]:
        """The changed items by id, as the encoder sees them; one with an unsound vector is a dead letter."""
        items = [value for value in self._state.changed.values() if isinstance(value, Item)]
        sound = {}
        for one in self._around.encoder.encode(items) if items else ():
            try:
                require_sound(one, self._around.vector_width)
            except InvalidEvent as error:
                self._bury(Topic.ITEMS, self._arrived[one.item.item_id], "fold", error)
            else:
                sound[one.item.item_id] = one
        return sound

    def _bury(self, topic: Topic, record: Record, stage: str, error: InvalidEvent) -> None:
        name = self._around.config.topic(topic)
        letter = DeadLetter(
            name,
            self.number,
            record.offset,
            record.timestamp_ms,
            record.key,
            record.payload,
            stage,
            error.reason,
            str(error),
        )
        self._around.dead_letters.put(letter)
        self._around.metrics.dead_lettered(name, error.reason)
