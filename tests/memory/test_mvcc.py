from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adgram.core.clock import ManualClock
from adgram.core.commit import Commit, Row, Table
from adgram.core.errors import VersionUnavailable
from adgram.memory import mvcc
from adgram.memory.committer import Committer, Fenced, encoded, split


def _commit(number, epoch=1, rows=(), shard=0, watermark=0):
    return Commit(shard, number, epoch, watermark, 0, {}, tuple(rows)).sealed()


def _rows(count, value_bytes=10):
    return [Row(Table.USER, f"u{index}", b"x" * value_bytes) for index in range(count)]


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3)), max_size=30))
def test_numbers_that_count_never_repeat_or_skip_and_epochs_never_fall(records):
    """Whatever stale or repeated records a log holds, those that count are 1, 2, 3 … with rising epochs."""
    progress, numbers, epochs = mvcc.Progress(), [], []
    for number, epoch in records:
        try:
            reading = progress.read(_commit(number, epoch))
        except mvcc.CommitGap:
            break
        progress = reading.progress
        if reading.commit is not None:
            numbers.append(reading.commit.number)
            epochs.append(reading.commit.epoch)
    assert numbers == list(range(1, len(numbers) + 1))
    assert epochs == sorted(epochs)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=6), st.data())
def test_a_commit_in_parts_counts_with_its_last_part_or_never(parts_of, data):
    """Torn commits of a dead owner are invisible; the next owner's take their numbers."""
    log, epoch, number, whole = [], 1, 1, []
    for parts in parts_of:
        commit = _commit(number, epoch, _rows(parts))
        records = [
            replace(commit, rows=(row,), part=part, parts=parts).sealed() for part, row in enumerate(commit.rows)
        ]
        written = data.draw(st.integers(1, parts))
        log += records[:written]
        if written == parts:
            whole.append((number, commit.rows))
            number += 1
        else:
            epoch += 1
    seen = mvcc.counted(log, mvcc.Progress())
    assert [(commit.number, commit.rows) for commit in seen] == whole
    assert all(commit.parts == 1 and commit.intact for commit in seen)


def test_a_fenced_owner_is_ignored_even_when_the_fence_itself_came_too_late():
    """A newer epoch counts from its record on, although its number had been taken by the older owner."""
    seen = mvcc.counted([_commit(1, 1), _commit(1, 2), _commit(2, 1), _commit(2, 2)], mvcc.Progress())
    assert [(commit.number, commit.epoch) for commit in seen] == [(1, 1), (2, 2)]


@given(st.lists(st.integers(0, 20)), st.integers(-1, 21))
def test_as_of_finds_the_newest_version_not_past_the_time(watermarks, event_time):
    """Bisection equals looking through all versions."""
    versions = list(enumerate(sorted(watermarks), start=1))
    naive = max((number for number, watermark in versions if watermark <= event_time), default=0)
    assert mvcc.as_of(versions, event_time) == naive


def test_versions_below_the_horizon_are_refused():
    """A version older than the oldest kept raises instead of answering from less than it held."""
    mvcc.require_retained(5, 5, shard=0)
    with pytest.raises(VersionUnavailable, match="version 4 was evicted"):
        mvcc.require_retained(4, 5, shard=0)


def test_a_large_commit_is_split_into_records_that_fit_and_joins_to_itself(memory_log):
    """Every record stays under a megabyte, and readers see one commit with all rows."""
    log = memory_log()
    committer = Committer.open(log, 0, ManualClock(7))
    commit = committer.append(_rows(50, 60_000), {"items": 3}, watermark=9)
    assert all(len(encoded(one)) < 1_000_000 for one in log.records[0])
    assert len(split(commit)) == len(log.records[0]) - 1 > 1
    assert log.last(0) == commit


def test_the_second_owner_fences_the_first(memory_log):
    """The first owner learns at its next append that it is fenced, and nothing it appended counts."""
    log, clock = memory_log(), ManualClock(1)
    first = Committer.open(log, 0, clock)
    first.append(_rows(1), {"items": 1}, 1)
    second = Committer.open(log, 0, clock)
    assert second.last.offsets == {"items": 1}
    with pytest.raises(Fenced):
        first.append(_rows(2), {"items": 2}, 2)
    second.append(_rows(3), {"items": 3}, 3)
    assert [(len(one.rows), one.epoch) for one in log.read(0, 0)] == [(0, 1), (1, 1), (0, 2), (3, 2)]


def test_an_append_that_slips_in_before_the_fence_is_kept_by_the_new_owner(memory_log):
    """The new owner starts from the last commit that counts, even one appended while it was opening."""
    log, clock = memory_log(), ManualClock(1)
    first = Committer.open(log, 0, clock)

    class SlippingLog(memory_log):
        def append(self, commit):
            if commit.epoch == 2:
                log.append(replace(first.last, number=2, offsets={"items": 5}).sealed())
            return log.append(commit)

        def last(self, shard):
            return log.last(shard)

        def read(self, shard, after_number):
            return log.read(shard, after_number)

    second = Committer.open(SlippingLog(), 0, clock)
    assert second.last.offsets == {"items": 5}
    assert second.last.number == 3
