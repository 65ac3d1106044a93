"""The same promises, kept by every commit store: a dictionary, and Milvus through its Lite server."""

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adgram.core import rows
from adgram.core.catalogue import Rule
from adgram.core.commit import Commit, Row, Table
from adgram.core.errors import ConfigError, Unavailable
from adgram.memory import mvcc
from adgram.memory.config import MemoryConfig
from adgram.memory.snapshot import MemorySnapshot
from adgram.memory.store import MilvusStore


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


@pytest.fixture(params=["dictionary", "milvus-lite"])
def open_store(request):
    """Opens the same store each time it is called, as another process would."""
    if request.param == "dictionary":
        store = DictionaryStore()
        return lambda: store
    uri = request.getfixturevalue("milvus_uri")
    collection = f"c{uuid.uuid4().hex[:12]}"
    return lambda: MilvusStore(MemoryConfig(milvus_uri=uri, collection=collection))


def _rule(key, expression="true"):
    return rows.row(Table.RULE, key, Rule(key, expression, "r"), event_time=3)


def _commit(number, *entries, shard=0, watermark=0):
    return Commit(shard, number, 1, watermark, 0, {"items": number}, entries).sealed()


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


def test_a_milvus_that_is_away_is_told_in_one_line():
    """No traceback and no waiting: the address, and what to do."""
    with pytest.raises(Unavailable, match=r"^no Milvus at http://127.0.0.1:9 .*start one"):
        MilvusStore(MemoryConfig(milvus_uri="http://127.0.0.1:9"))
    with pytest.raises(ConfigError, match="is not http://host:port"):
        MilvusStore(MemoryConfig(milvus_uri="./file.db"))
