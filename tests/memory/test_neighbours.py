import numpy as np
import pytest

from adgram.core import rows
from adgram.core.catalogue import EncodedItem, Item
from adgram.core.commit import Commit, Row, Table
from adgram.memory import indexing
from adgram.memory.indexing import IndexBuilder
from adgram.memory.neighbours import BuiltIndex
from adgram.memory.snapshot import MemorySnapshot

D, COUNT = 16, 50


def _vectors(rng, count, centres):
    vectors = centres[rng.integers(0, len(centres), count)] + 0.3 * rng.normal(size=(count, D))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _put(snapshot, vectors, first=0):
    entries = [
        rows.row(Table.ITEM, f"i{n}", EncodedItem(Item(f"i{n}", ""), (n % 16, n // 16 % 16), vector.tobytes(), "m"))
        for n, vector in enumerate(vectors, start=first)
    ]
    return snapshot.fold(Commit(0, snapshot.version.numbers[0] + 1, 1, 0, 0, {}, tuple(entries)))


def _exact(snapshot, profile, admitted, count=COUNT):
    matches = np.where(admitted, snapshot.items.vectors @ profile, -np.inf)
    order = np.argsort(-matches, kind="stable")[:count]
    return order[np.isfinite(matches[order])].tolist()


def _recall(snapshot, profiles, admitted):
    shares = []
    for profile in profiles:
        wanted = _exact(snapshot, profile, admitted)
        found = snapshot.nearest(profile, admitted, COUNT)
        assert admitted[found.slots].all() and len(set(found.slots.tolist())) == len(found.slots)
        assert (np.diff(found.matches) <= 0).all()
        assert np.allclose(found.matches, snapshot.items.vectors[found.slots] @ profile, atol=1e-5)
        shares.append(len(set(found.slots.tolist()) & set(wanted)) / len(wanted))
    return float(np.mean(shares))


@pytest.fixture
def world():
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(80, D))
    snapshot = _put(MemorySnapshot.empty(1, 16), _vectors(rng, 5_000, centres))
    return rng, centres, snapshot


def _indexed(snapshot):
    builder = IndexBuilder()
    builder.look_at(snapshot)
    builder.wait(60)
    built = builder.taken()
    assert built is not None and builder.taken() is None
    return snapshot.indexed(built)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.02])
def test_an_index_finds_nearly_all_of_the_nearest_admitted_items(world, share):
    """At least 95 of 100, however few are admitted, never one that is not, best first."""
    rng, centres, snapshot = world
    admitted = rng.random(5_000) < share
    assert _recall(snapshot, _vectors(rng, 20, centres), admitted) == 1.0
    assert _recall(_indexed(snapshot), _vectors(rng, 20, centres), admitted) >= 0.95


def test_items_that_come_move_or_go_after_the_build_are_found_where_they_are(world):
    """A new item and a moved one are nearest to themselves, a deleted one is nowhere, a pinned version as it was."""
    rng, centres, snapshot = world
    pinned = _indexed(snapshot)
    fresh = _vectors(rng, 2, centres)
    later = _put(_put(pinned, fresh[:1], first=5_000), fresh[1:], first=7)
    later = later.fold(Commit(0, later.version.numbers[0] + 1, 1, 0, 0, {}, (Row(Table.ITEM, "i9", None),)))
    assert later.built is pinned.built
    assert later.nearest(fresh[0], later.items.alive, 1).slots.tolist() == [5_000]
    assert later.nearest(fresh[1], later.items.alive, 1).slots.tolist() == [7]
    gone = pinned.items.vectors[9]
    assert 9 in pinned.nearest(gone, pinned.items.alive, 3).slots
    assert 9 not in later.nearest(gone, later.items.alive, 5_000).slots
    before = pinned.nearest(fresh[1], pinned.items.alive, COUNT)
    assert before.slots.tolist() == pinned.nearest(fresh[1], pinned.items.alive, COUNT).slots.tolist()
    assert 7 not in before.slots[:1]


def test_an_index_is_extended_when_it_falls_behind_and_laid_out_anew_when_it_outgrew_its_lists(world, monkeypatch):
    """The extended copy covers everything and leaves the old one as it was."""
    rng, centres, snapshot = world
    monkeypatch.setattr(indexing, "TAIL", 100)
    first = _indexed(snapshot)
    second = _indexed(_put(first, _vectors(rng, 200, centres), first=5_000))
    assert (first.built.covered, second.built.covered, second.built.trained_at) == (5_000, 5_200, 5_000)
    assert first.built.index.ntotal == 5_000
    third = _indexed(_put(second, _vectors(rng, 3_000, centres), first=5_200))
    assert third.built.trained_at == 8_200
    assert _recall(third, _vectors(rng, 20, centres), third.items.alive) >= 0.95


def test_a_small_or_empty_catalogue_is_compared_one_by_one():
    """No index is built, and nothing admitted is an empty answer."""
    snapshot = MemorySnapshot.empty(1, 16)
    assert len(snapshot.nearest(np.zeros(0, np.float32), snapshot.items.alive, 5).slots) == 0
    snapshot = _put(snapshot, np.eye(D, dtype=np.float32))
    builder = IndexBuilder()
    builder.look_at(snapshot)
    builder.wait(1)
    assert builder.taken() is None
    assert snapshot.nearest(np.eye(D, dtype=np.float32)[3], snapshot.items.alive, 1).slots.tolist() == [3]
    assert len(snapshot.nearest(np.eye(D, dtype=np.float32)[3], np.zeros(D, np.bool_), 1).slots) == 0


def test_admission_that_excludes_all_the_index_covers_leaves_what_is_newer(world):
    """Nothing admitted within the index is no error."""
    rng, centres, snapshot = world
    later = _put(_indexed(snapshot), _vectors(rng, 3, centres), first=5_000)
    admitted = np.arange(5_003) >= 5_001
    assert sorted(later.nearest(centres[0].astype(np.float32), admitted, COUNT).slots.tolist()) == [5_001, 5_002]
    assert isinstance(later.built, BuiltIndex)
