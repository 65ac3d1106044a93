"""Leaves the commit path by os._exit at chosen calls, and proves after each that nothing is lost, doubled or mixed.

    python tests/chaos/exits.py FOLDER EXITS SEED        (tests/doubles on PYTHONPATH; prints one line of JSON)

One warmed process forks a worker and sink for each life; log, group offsets and Milvus are files that outlive them.
"""

import json
import logging
import os
import random
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from file_log import FileBackedLog
from file_milvus import FileBackedMilvus

from adgram.core.catalogue import EncodedItem, Item
from adgram.core.clock import NS_PER_HOUR, ManualClock
from adgram.core.commit import Commit, Version
from adgram.core.event import Event, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.memory import committer, milvus, runs
from adgram.memory.config import MemoryConfig
from adgram.memory.eviction import evict
from adgram.memory.leases import Leases
from adgram.memory.sink import Sink
from adgram.memory.snapshot import MemorySnapshot
from adgram.memory.store import MilvusStore
from adgram.memory.verification import verify
from adgram.proto import events
from adgram.streaming.config import StreamingConfig
from adgram.streaming.shard import Surroundings
from adgram.streaming.shards import Shards

NOW = 1_000 * NS_PER_HOUR
CHUNKS = 24  # each a click, and two items that only make sense together
USERS = ("u", "v", "w")
LEFT = 77  # the exit code of a life that ended where it was told to
STREAMING = StreamingConfig(shards=1, topic_prefix="", lateness_ms=0)
MEMORY = MemoryConfig(milvus_uri="file", collection="c")
CALLS = (
    "append", "read", "offsets", "get", "rows", "marker", "head", "horizon", "base", "eviction", "delete",
)  # fmt: skip


@dataclass
class Exit:
    """Where a life ends: before or after the `nth` call of its kind."""

    call: str
    after: bool
    nth: int

    def around(self, call: str, work: Callable[[], Any]) -> Any:
        """The work's result, unless this is where it ends."""
        ends = call == self.call and self.nth == 0
        self.nth -= call == self.call
        if ends and not self.after:
            os._exit(LEFT)
        result = work()
        if ends:
            os._exit(LEFT)
        return result


class LeavingLog:
    """A log whose calls may be where the process ends."""

    def __init__(self, inner: FileBackedLog, exit_: Exit) -> None:
        self._inner, self._exit = inner, exit_

    def append(self, commit: Commit) -> int:
        return int(self._exit.around("append", lambda: self._inner.append(commit)))

    def last(self, shard: int) -> Commit | None:
        return self._inner.last(shard)

    def read(self, shard: int, after_number: int) -> Sequence[Commit]:
        found: Sequence[Commit] = self._exit.around("read", lambda: self._inner.read(shard, after_number))
        return found


class LeavingMilvus:
    """A Milvus whose calls may be where the process ends; writes are named for what they write."""

    def __init__(self, inner: FileBackedMilvus, exit_: Exit) -> None:
        self._inner, self._exit = inner, exit_

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get(self, *arguments: Any, **named: Any) -> Any:
        return self._exit.around("get", lambda: self._inner.get(*arguments, **named))

    def upsert(self, name: str, written: list[dict[str, Any]]) -> None:
        kind = written[0]["id"].partition("/")[0]
        named = {"p": "rows", "m": "marker"}.get(kind, kind)
        self._exit.around(named, lambda: self._inner.upsert(name, written))

    def delete(self, *arguments: Any, **named: Any) -> None:
        self._exit.around("delete", lambda: self._inner.delete(*arguments, **named))


class TailFeed:
    """The records of a log beyond a version, once."""

    def __init__(self, log: FileBackedLog, version: Version) -> None:
        self._records = [one for one in log.records(0) if one.number > version.numbers[0]]

    def poll(self, _: float) -> Sequence[Commit]:
        found, self._records = self._records, []
        return found

    def close(self) -> None:
        pass


class ZeroEncoder:
    """Encodes items without a model."""

    model = "zero"

    def encode(self, items: Sequence[Item]) -> tuple[EncodedItem, ...]:
        vector = np.eye(1, 4, dtype=np.float32)[0].tobytes()
        return tuple(EncodedItem(item, (1, 2, 3), vector, self.model) for item in items)


class NoDeadLetters:
    """There are no bad events here."""

    def put(self, letter: object) -> None:
        raise AssertionError(f"a sound event became a dead letter: {letter}")

    def flush(self) -> None:
        pass


def source() -> dict[Topic, list[tuple[bytes, bytes]]]:
    """The records of two topics, as producers had them acknowledged before anything was folded."""
    clicks, items = [], []
    for chunk in range(CHUNKS):
        user = USERS[chunk % len(USERS)]
        click = Feedback(FeedbackKind.CLICK, user, f"i{chunk}")
        clicks.append((user.encode(), events.encode(Event(f"e{chunk}", NOW + chunk, user, click))))
        for item_id in ("left", "right"):
            item = Item(item_id, f"title {chunk}", text="x" * 200)
            items.append((item_id.encode(), events.encode(Event(f"{item_id}{chunk}", NOW + chunk, item_id, item))))
    return {Topic.FEEDBACK: clicks, Topic.ITEMS: items}


def live(folder: Path, exit_: Exit) -> None:
    """One life of worker and sink: on from where the last one ended, to the end of the topics or to the exit."""
    log = LeavingLog(FileBackedLog(folder), exit_)
    client = LeavingMilvus(FileBackedMilvus(folder / "milvus"), exit_)
    store, clock = MilvusStore(MEMORY, client), ManualClock(NOW)
    topics = source()
    shards = Shards(Surroundings(STREAMING, log, ZeroEncoder(), NoDeadLetters(), clock, store))
    shards.own([0])
    clock.advance(shards.next_offset(Topic.FEEDBACK, 0) * NS_PER_HOUR)  # a dead one's right to evict runs out meanwhile
    while (chunk := shards.next_offset(Topic.FEEDBACK, 0)) < CHUNKS:
        for offset in (2 * chunk, 2 * chunk + 1):
            shards.feed(Topic.ITEMS, 0, offset, *topics[Topic.ITEMS][offset])
        shards.feed(Topic.FEEDBACK, 0, chunk, *topics[Topic.FEEDBACK][chunk])
        shards.commit()
        exit_.around("offsets", lambda done=chunk: (folder / "offsets").write_text(str(done)))
        clock.advance(NS_PER_HOUR)
        if chunk % 2:
            sink(log, store, folder)
        if chunk % 6 == 5:
            evict(store, Leases(MEMORY, clock, client), 1, 3 * NS_PER_HOUR)
    sink(log, store, folder)


def sink(log: LeavingLog, store: MilvusStore, folder: Path) -> None:
    """Writes what is in the log into the store, once."""
    writer = Sink(1, log, lambda version: TailFeed(FileBackedLog(folder), version), store, MEMORY)
    writer._stopping.set()
    writer._sink()


def problems(folder: Path, finished: bool) -> list[str]:
    """What does not hold of the files that a life left."""
    log, store = FileBackedLog(folder), MilvusStore(MEMORY, FileBackedMilvus(folder / "milvus"))
    found = list(verify(store, 0, log).problems)
    whole = MemorySnapshot.empty(1, 16)
    versions = {}
    for commit in log.read(0, 0):
        whole = whole.fold(commit)
        versions[commit.number] = whole
        if _titles(whole)[0] != _titles(whole)[1]:
            found.append(f"version {commit.number} is mixed: {_titles(whole)}")
    stored = MemorySnapshot.empty(1, 16)
    for commit in store.load(0, 0, store.head(0)):
        stored = stored.leap(commit)
    if store.head(0) and _seen(stored) != _seen(versions[store.head(0)]):
        found.append(f"the store's version {store.head(0)} is not the log's")
    covered = max((commit.offsets.get("feedback", -1) for commit in log.read(0, 0)), default=-1)
    told = (folder / "offsets").read_text() if (folder / "offsets").exists() else ""
    if told and int(told) > covered:
        found.append(f"the group's offset {told} is beyond the committed {covered}")
    for snapshot, upto in ((whole, covered), *(((stored, covered),) if finished else ())):
        for user in USERS:
            state = snapshot.user(user)
            wanted = [f"i{chunk}" for chunk in range(upto + 1) if USERS[chunk % len(USERS)] == user]
            seen = [one.item_id for one in state.history] if state else []
            if seen != wanted or (state.events if state else 0) != len(wanted):
                found.append(f"{user} has {state}, not {wanted}")
    if finished and covered != CHUNKS - 1:
        found.append(f"{CHUNKS - 1 - covered} acknowledged events are missing")
    return found


def _titles(snapshot: MemorySnapshot) -> list[str]:
    return [found.item.title if (found := snapshot.item(one)) else "" for one in ("left", "right")]


def _seen(snapshot: MemorySnapshot) -> tuple[Any, ...]:
    return (*_titles(snapshot), *(snapshot.user(user) for user in USERS))


def forked(work: Callable[[], None]) -> int:
    """The exit code of a child that did the work; 0 when it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path, exits: int, seed: int) -> int:
    """0 when after so many exits everything held; 1 and the first failure in words otherwise."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    runs.FAN, milvus.WRITE_ROWS, committer.PART_BYTES = 2, 1, 400  # every kind of call comes often in a short life
    rng, hit, world = random.Random(seed), Counter[str](), 0
    place = folder / "0"
    place.mkdir(parents=True)
    lives = 0
    while sum(hit.values()) < exits:
        points = [(call, after) for call in CALLS for after in (False, True)]
        call, after = points[lives % len(points)]
        exit_ = Exit(call, after, rng.randrange(6))
        lives += 1
        code = forked(lambda place=place, exit_=exit_: live(place, exit_))
        if code not in (0, LEFT):
            return _failed(place, exit_, [f"exit code {code}"])
        if found := problems(place, finished=code == 0):
            return _failed(place, exit_, found)
        if code == LEFT:
            hit[f"{'after' if after else 'before'} {call}"] += 1
        else:
            world += 1
            place = folder / str(world)
            place.mkdir()
    if found := problems(place, finished=forked(lambda: live(place, Exit("", False, 0))) == 0):
        return _failed(place, Exit("", False, 0), found)
    print(json.dumps({"exits": sum(hit.values()), "histories": world + 1, "points": hit}))
    return 0


def _failed(place: Path, exit_: Exit, found: list[str]) -> int:
    print(f"{place}: after {exit_}: {found[0]}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
