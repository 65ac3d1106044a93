"""The same promises, kept by every commit store: a dictionary, and a Milvus in a file, a Lite server and a real one."""

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adgram.core import rows
from adgram.core.catalogue import Rule
from adgram.core.clock import ManualClock
from adgram.core.commit import Commit, Row, Table
from adgram.core.errors import ConfigError, Unavailable, VersionUnavailable
from adgram.memory import mvcc, runs
from adgram.memory.committer import Fenced
from adgram.memory.config import MemoryConfig
from adgram.memory.eviction import evict
from adgram.memory.leases import Lease
from adgram.memory.snapshot import MemorySnapshot
from adgram.memory.store import Damaged, MilvusStore
from adgram.memory.verification import verify


class DictionaryStore:
    """Implements core.ports.CommitStore in memory, one version a commit."""

    def __init__(self):
        self._commits = {}

    def write(self, commits):
        for commit in sorted(commits, key=lambda one: one.number):
            head = self.head(commit.shard)
            if commit.number > head + 1:
                raise mvcc.CommitGap(commit.shard, head, commit.number)
            self._commits.setdefault(commit.shard, {}).setdefault(commit.number, commit)

    def head(self, shard):
        return max(self._commits.get(shard, {}), default=0)

    def load(self, shard, after_number, up_to_number):
        kept = self._commits.get(shard, {})
        return [kept[number] for number in sorted(kept) if after_number < number <= up_to_number]

    def as_of(self, shard, event_time):
        kept = self._commits.get(shard, {})
        return mvcc.as_of([(number, kept[number].watermark) for number in sorted(kept)], event_time)

    def close(self):
        pass


@pytest.fixture
def milvus(request, milvus_server):
    """Names a collection of its own in a file, in Milvus Lite and in a Milvus server; opens clients of it."""
    return milvus_server(request.param)


every_milvus = pytest.mark.parametrize("milvus", ["file", "lite", "server"], indirect=True)


@pytest.fixture(params=["dictionary", "file", "lite", "server"])
def open_store(request, milvus_server):
    """Opens the same store each time it is called, as another process would."""
    if request.param == "dictionary":
        store = DictionaryStore()
        return lambda: store
    return milvus_server(request.param).store


def _rule(key, expression="true"):
    return rows.row(Table.RULE, key, None if expression is None else Rule(key, expression, "r"), event_time=3)


def _commit(number, *entries, shard=0, watermark=0, ingest_time=0):
    return Commit(shard, number, 1, watermark, ingest_time, {"items": number}, entries).sealed()


def _rules(store, up_to=None, shard=0):
    snapshot = MemorySnapshot.empty(shard + 1)
    for commit in store.load(shard, 0, store.head(shard) if up_to is None else up_to):
        snapshot = snapshot.leap(commit)
    return {rule.rule_id: rule.expression for rule in snapshot.rules}


def test_what_was_written_is_loaded_by_the_next_process(open_store):
    """Newest rows, heads and offsets survive; deleted rows stay deleted; shards are apart."""
    store = open_store()
    assert store.head(0) == 0 and list(store.load(0, 0, 0)) == []
    store.write([_commit(1, _rule("a"), _rule("b")), _commit(1, _rule("other"), shard=1)])
    store.write([_commit(2, _rule("a", "false")), _commit(3, Row(Table.RULE, "b", None))])
    again = open_store()
    assert (again.head(0), again.head(1)) == (3, 1)
    assert _rules(again) == {"a": "false"}
    last = again.load(0, 0, 3)[-1]
    assert (last.number, last.offsets) == (3, {"items": 3})


def test_writing_again_changes_nothing(open_store):
    """A sink that died between rows and head writes the same commits once more."""
    store = open_store()
    commits = [_commit(1, _rule("a")), _commit(2, _rule("a", "false"))]
    store.write(commits)
    store.write(commits)
    store.write([*commits, _commit(3, _rule("b"))])
    assert store.head(0) == 3
    assert _rules(store) == {"a": "false", "b": "true"}


def test_a_gap_is_refused(open_store):
    """A store never holds a version whose predecessors it lacks."""
    store = open_store()
    store.write([_commit(1, _rule("a"))])
    with pytest.raises(mvcc.CommitGap):
        store.write([_commit(3, _rule("b"))])


def test_an_earlier_version_is_loaded_as_it_was(open_store):
    """Loading up to a number shows nothing later, and as_of finds the number for a time."""
    store = open_store()
    for number, expression in ((1, "one"), (2, "two"), (3, "three")):
        store.write([_commit(number, _rule("a", expression), watermark=10 * number)])
    assert _rules(store, up_to=2) == {"a": "two"}
    assert [store.as_of(0, time) for time in (9, 10, 29, 99)] == [0, 1, 2, 3]


def test_empty_commits_move_the_head(open_store):
    """An idle shard's commits are covered, so that reading goes on in the log behind them."""
    store = open_store()
    store.write([_commit(1, _rule("a"))])
    store.write([_commit(2), _commit(3, watermark=5)])
    assert store.head(0) == 3
    assert store.load(0, 0, 3)[-1].number == 3
    assert _rules(store) == {"a": "true"}


def test_keys_and_values_of_any_kind_come_back(open_store):
    """Quotes, slashes, Chinese, and a value far longer than a field of the store."""
    store = open_store()
    keys = ["a'b\"c\\", "外卖/满减", "x@1#2~3", "y in [1] or true", "%s"]
    long = rows.row(Table.RULE, "long", Rule("long", "x" * 200_000, "r"))
    store.write([_commit(1, *(_rule(key) for key in keys), long)])
    found = _rules(open_store())
    assert set(found) == {*keys, "long"}
    assert len(found["long"]) == 200_000


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.sampled_from("xy")), max_size=3), max_size=6))
def test_a_load_equals_a_dictionary_of_the_newest_rows(milvus_uri, history):
    """However commits are batched, the loaded state is that of replaying them all."""
    store = MilvusStore(MemoryConfig(milvus_uri=milvus_uri, collection=f"c{uuid.uuid4().hex[:12]}"))
    naive, commits = {}, []
    for number, entries in enumerate(history, start=1):
        newest = dict(entries)
        naive |= newest
        told = (Row(Table.RULE, key, None) if new is None else _rule(key, new) for key, new in newest.items())
        commits.append(_commit(number, *told))
    half = len(commits) // 2
    store.write(commits[:half])
    store.write(commits[half:])
    assert _rules(store) == {key: value for key, value in naive.items() if value is not None}
    store.close()


@every_milvus
def test_a_stale_writer_is_fenced_off_and_its_rows_stay_invisible(milvus):
    """Who was taken over from gets an error, and nothing that it wrote is ever read."""
    stale, fresh = milvus.store(), milvus.store()
    stale.write([_commit(1, _rule("a", "one"))])
    fresh.write([_commit(2, _rule("a", "two"))])
    with pytest.raises(Fenced, match="another writer has taken the store over"):
        stale.write([_commit(3, _rule("a", "stale"), _rule("b"))])
    fresh.write([_commit(3, _rule("c"))])
    assert _rules(milvus.store()) == {"a": "two", "c": "true"}


@every_milvus
def test_many_batches_read_as_few_and_every_one_of_them_still_reads_as_it_was(milvus):
    """Merged runs change nothing but the speed of a load; another process finds each version by number and by time."""
    store = milvus.store()
    for number in range(1, 2 * runs.FAN + 3):
        row = _rule("gone", None) if number == 20 else _rule(str(number % 7), f"v{number}")
        store.write([_commit(number, row, watermark=number)])
    again = milvus.store()
    assert len(again.load(0, 0, again.head(0))) == 4
    for version in (1, 15, 16, 17, 33):
        wanted = {str(n % 7): f"v{n}" for n in range(1, version + 1) if n != 20}
        assert _rules(again, up_to=again.as_of(0, version)) == wanted


@every_milvus
def test_eviction_keeps_what_a_lease_needs_and_refuses_what_is_gone(milvus):
    """Superseded versions go, reads below the horizon are refused, and the newest state is as it was."""
    store, leases = milvus.store(), milvus.leases(ManualClock(1))
    for number in range(1, 9):
        store.write([_commit(number, _rule("a", f"v{number}"), watermark=10 * number, ingest_time=number)])
    store.write([_commit(9, Row(Table.RULE, "b", None), watermark=90, ingest_time=9)])
    leases.take(Lease("replay", "test", 35, 100), store, shards=1)
    (found,) = evict(store, leases, 1, 2)
    assert (found.horizon, found.held_by) == (3, "replay")
    assert _rules(store, up_to=store.as_of(0, 35)) == {"a": "v3"}
    leases.release("replay")
    (found,) = evict(store, leases, 1, 2)
    assert (found.horizon, found.held_by) == (7, "")
    again = milvus.store()
    assert _rules(again) == {"a": "v8"} and _rules(again, up_to=7) == {"a": "v7"}
    for too_old in (lambda: again.load(0, 0, 6), lambda: again.load(0, 3, 9), lambda: again.as_of(0, 69)):
        with pytest.raises(VersionUnavailable):
            too_old()
    with pytest.raises(VersionUnavailable):
        leases.take(Lease("late", "test", 35, 100), store, shards=1)
    assert leases.held() == []
    assert verify(again, 0).problems == ()


@every_milvus
def test_damage_is_found_where_it_is(milvus):
    """A page that is not what was written is told by verify, and a load does not answer from it."""
    store = milvus.store()
    store.write([_commit(1, _rule("a")), _commit(2, _rule("b"))])
    assert verify(store, 0).problems == ()
    (run,) = store.markers(0, store.heads([0])[0].cover(1))
    store.table.put([(run.page_id(0), b"something else")])
    (problem,) = verify(milvus.store(), 0).problems
    assert run.page_id(0) in problem and "damaged" in problem
    with pytest.raises(Damaged):
        milvus.store().load(0, 0, 2)


def test_a_milvus_that_is_away_is_told_in_one_line():
    """No traceback and no waiting: the address, and what to do."""
    with pytest.raises(Unavailable, match=r"^no Milvus at http://127.0.0.1:9 .*start one"):
        MilvusStore(MemoryConfig(milvus_uri="http://127.0.0.1:9"))
    with pytest.raises(ConfigError, match="is not http://host:port"):
        MilvusStore(MemoryConfig(milvus_uri="./file.db"))
