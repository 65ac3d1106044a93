"""A store is driven at random beside a plain dictionary of histories, and must answer every question as that does."""

import shutil
import tempfile
import uuid
from pathlib import Path

import pytest
from file_milvus import FileBackedMilvus
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from adgram.core import rows
from adgram.core.catalogue import Offer, Rule
from adgram.core.clock import ManualClock
from adgram.core.commit import Commit, Table
from adgram.core.errors import VersionUnavailable
from adgram.core.money import Money
from adgram.core.offers import packed
from adgram.memory import runs
from adgram.memory.committer import Fenced
from adgram.memory.config import MemoryConfig
from adgram.memory.eviction import evict
from adgram.memory.leases import Lease, Leases
from adgram.memory.milvus import connected
from adgram.memory.store import MilvusStore
from adgram.memory.verification import verify

SHARDS = 2
KEYS = st.sampled_from("abcde")
ENTRY = st.one_of(
    st.tuples(st.just("rule"), KEYS, st.none() | st.integers(0, 9)),
    st.tuples(st.just("offer"), KEYS, st.none() | st.integers(0, 9)),
    st.tuples(st.just("block"), st.sets(KEYS, min_size=1).map(sorted).map(tuple), st.integers(10, 19)),
)
World = dict[tuple[str, str], int]


class Crashed(BaseException):
    """The process that held the store is gone."""


class DyingMilvus:
    """Passes calls on until `left` writes are done, then dies before or after the next."""

    def __init__(self, inner):
        self.inner, self.left, self.after = inner, None, False

    def __getattr__(self, name):
        call = getattr(self.inner, name)
        if name not in ("upsert", "delete"):
            return call

        def dying(*arguments, **named):
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    if self.after:
                        call(*arguments, **named)
                    raise Crashed
            return call(*arguments, **named)

        return dying


class StoreMachine(RuleBasedStateMachine):
    """Commits, crashes, reads, evictions, leases and stale writers; `history` holds each version of each shard."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock(1)
        self.history: list[list[tuple[int, World]]] = [[(0, {})] for _ in range(SHARDS)]
        self.commits: list[list[Commit]] = [[] for _ in range(SHARDS)]
        self.kept: list[list[int]] = [[0] for _ in range(SHARDS)]  # version numbers that ended a batch
        self.leases: dict[str, Lease] = {}

    @initialize()
    def begin(self):
        self.opened()
        self.stale = None

    def opened(self):
        raise NotImplementedError

    @rule(
        shard=st.integers(0, SHARDS - 1),
        batches=st.lists(st.lists(ENTRY, max_size=4), min_size=1, max_size=6),
        step=st.integers(0, 3),
    )
    def commits_and_batches(self, shard, batches, step):
        """Several commits, each a batch of its own."""
        for entries in batches:
            self._commit(shard, entries, step)
            self._sink(None, False)

    @rule(shard=st.integers(0, SHARDS - 1), entries=st.lists(ENTRY, max_size=4), step=st.integers(0, 3))
    def commit(self, shard, entries, step):
        """What the log acknowledged; the sink has not written it yet."""
        self._commit(shard, entries, step)

    def _commit(self, shard, entries, step):
        number = len(self.history[shard])
        watermark, before = self.history[shard][-1]
        told = {}
        for kind, key, value in entries:
            told[kind, key] = value
        world = dict(before)
        for (kind, key), value in sorted(told.items(), key=lambda one: one[0][0]):  # blocks come before own rows
            if kind == "block":
                world.update({("offer", one): value for one in key})
            elif value is None:
                world.pop((kind, key), None)
            else:
                world[kind, key] = value
        self.history[shard].append((watermark + step, world))
        self.clock.advance(1)
        written = tuple(_row(number, index, *one) for index, one in enumerate((*kind, v) for kind, v in told.items()))
        self.commits[shard].append(
            Commit(shard, number, 1, watermark + step, self.clock.now_ns(), {"items": number}, written).sealed()
        )

    @rule(crash=st.integers(0, 6), after=st.booleans())
    def sink(self, crash, after):
        """Writes what is pending, as a batch a shard; perhaps dies between any two writes."""
        self._sink(crash, after)

    def _sink(self, crash, after):
        pending = [one for shard in range(SHARDS) for one in self.commits[shard][self.kept[shard][-1] :]]
        if not pending:
            return
        self.client.left, self.client.after = crash, after
        try:
            self.store.write(pending)
        except Crashed:
            self.reopened()
        finally:
            self.client.left = None
        for shard in range(SHARDS):
            head = self.store.head(shard)
            assert head in (self.kept[shard][-1], len(self.commits[shard])), "half of a batch is there"
            if head != self.kept[shard][-1]:
                self.kept[shard].append(head)

    @rule()
    def another_process(self):
        """The sink is started again elsewhere; the old one lives on without knowing."""
        self.stale = self.store
        self.reopened()

    @precondition(lambda self: self.stale is not None)
    @rule(shard=st.integers(0, SHARDS - 1))
    def stale_writer(self, shard):
        """A writer that was taken over from has no effect on what is read."""
        if not self.store._mine.get(shard) or not self.stale._mine.get(shard):
            return
        number = self.kept[shard][-1] + 1
        with pytest.raises(Fenced):
            self.stale.write([Commit(shard, number, 1, 10**9, 0, {}, (_row(1, 0, "rule", "a", 99),)).sealed()])
        self.stale = None

    @rule(age=st.integers(0, 4), crash=st.sampled_from([None] * 8 + list(range(9))), after=st.booleans())
    def evicted(self, age, crash, after):
        """Everything older than `age` goes, except what a lease needs; a crash in the midst harms nothing."""
        self._evicted(age, crash, after)

    def _evicted(self, age, crash, after):
        leases = Leases(self.config, self.clock, self.client)
        needed = self.needed()
        self.client.left, self.client.after = crash, after
        try:
            evict(self.store, leases, SHARDS, age)
        except Crashed:
            self.clock.advance(2 * 3600 * 10**9)  # until the dead one's right to evict has expired
            self.reopened()
        finally:
            self.client.left = None
        for shard in range(SHARDS):
            horizon = self.store.heads([shard])[shard].base.number
            assert horizon <= needed[shard], "a lease was not respected"
            self.kept[shard] = [one for one in self.kept[shard] if one >= horizon] or [horizon]

    @rule(back=st.integers(0, 6), age=st.integers(0, 2))
    def lease_and_eviction(self, back, age):
        """Whoever holds a lease reads on, however much is evicted."""
        self.lease(back)
        self._evicted(age, None, False)

    @rule(back=st.integers(0, 6))
    def lease(self, back):
        newest = min(self.history[shard][self.kept[shard][-1]][0] for shard in range(SHARDS))
        one = Lease(uuid.uuid4().hex, "replay", max(0, newest - back), self.clock.now_ns() + 10**9)
        try:
            Leases(self.config, self.clock, self.client).take(one, self.store, SHARDS)
        except VersionUnavailable:
            return
        self.leases[one.lease_id] = one

    @precondition(lambda self: self.leases)
    @rule()
    def release(self):
        lease_id = next(iter(self.leases))
        del self.leases[lease_id]
        held = Leases(self.config, self.clock, self.client)
        if any(one.lease_id == lease_id for one in held.held()):
            held.release(lease_id)

    @rule()
    def every_kept_version_reads_as_it_was(self):
        for shard in range(SHARDS):
            kept = self.kept[shard]
            for number in kept:
                assert _world(self.store, shard, number) == self.history[shard][number][1]
            for time in range(self.history[shard][kept[-1]][0] + 2):
                older = [one for one in kept if self.history[shard][one][0] <= time]
                if older and (older[-1] or self.store.heads([shard])[shard].base.number == 0):
                    found = self.store.as_of(shard, time)
                    assert self.history[shard][found][1] == self.history[shard][older[-1]][1]
                elif not older:
                    with pytest.raises(VersionUnavailable):
                        self.store.as_of(shard, time)
            assert verify(self.store, shard, _Log(self.commits)).problems == ()

    def needed(self):
        live = [one for one in self.leases.values() if one.expires > self.clock.now_ns()]
        return [
            max(
                (
                    n
                    for n in self.kept[shard]
                    if self.history[shard][n][0] <= min((one.since for one in live), default=10**9)
                ),
                default=0,
            )
            for shard in range(SHARDS)
        ]


class FileMachine(StoreMachine):
    """On a Milvus in a file, opened anew after each crash."""

    def opened(self):
        self.folder = Path(tempfile.mkdtemp())
        self.config = MemoryConfig(milvus_uri="file", collection="c")
        self.client = DyingMilvus(FileBackedMilvus(self.folder / "milvus"))
        self.store = MilvusStore(self.config, self.client)

    def reopened(self):
        self.client = DyingMilvus(FileBackedMilvus(self.folder / "milvus"))
        self.store = MilvusStore(self.config, self.client)

    def teardown(self):
        self.every_kept_version_reads_as_it_was()
        shutil.rmtree(self.folder)


class LiteMachine(StoreMachine):
    """On a Milvus Lite server, through a client that dies."""

    uri = ""

    def opened(self):
        self.config = MemoryConfig(milvus_uri=self.uri, collection=f"c{uuid.uuid4().hex[:12]}")
        self.reopened()

    def reopened(self):
        self.client = DyingMilvus(connected(self.config))
        self.store = MilvusStore(self.config, self.client)

    def teardown(self):
        self.every_kept_version_reads_as_it_was()


class _Log:
    """The log that the commits came from, retained from the beginning."""

    def __init__(self, commits):
        self._commits = commits

    def read(self, shard, after_number):
        return self._commits[shard][after_number:]


def _row(number, index, kind, key, value):
    if kind == "block":
        offers = [Offer(one, Money(value, "EUR"), 1) for one in key]
        return rows.row(Table.OFFERS, f"{number}/{index}", packed(offers, [number] * len(offers)), number)
    if kind == "offer":
        return rows.row(Table.OFFER, key, None if value is None else Offer(key, Money(value, "EUR"), 1), number)
    return rows.row(Table.RULE, key, None if value is None else Rule(key, str(value), "r"), number)


def _world(store, shard, number):
    """What a reader of this version finds, folded as an engine does."""
    world: World = {}
    for commit in store.load(shard, 0, number):
        for row in sorted(commit.rows, key=lambda one: one.table is not Table.OFFERS):
            value = rows.value(row)
            if row.table is Table.OFFERS:
                world.update({("offer", one.item_id): one.price.micros for one in value.offers()})
            elif value is None:
                world.pop((row.table.value, row.key), None)
            else:
                world[row.table.value, row.key] = (
                    int(value.expression) if row.table is Table.RULE else value.price.micros
                )
    return world


def test_a_store_answers_as_a_dictionary_of_histories(monkeypatch):
    """Whatever is committed, torn, evicted, leased or written by a stale owner, every kept version reads as it was."""
    monkeypatch.setattr(runs, "FAN", 2)  # so that a few batches have merged runs of several levels
    run_state_machine_as_test(
        FileMachine,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.e2e
def test_milvus_lite_answers_as_a_dictionary_of_histories(milvus_uri, monkeypatch):
    """The same on the real thing, in fewer examples."""
    monkeypatch.setattr(runs, "FAN", 2)
    monkeypatch.setattr(LiteMachine, "uri", milvus_uri)
    run_state_machine_as_test(
        LiteMachine,
        settings=settings(
            max_examples=4, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
