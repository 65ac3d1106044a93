"""Reads of memory as a request makes them, in a process that follows commits at the same time."""

import gc
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adgram.core import rows
from adgram.core.catalogue import EncodedItem, Item, Offer
from adgram.core.commit import Commit, Row, Table
from adgram.core.money import Money
from adgram.core.offers import PackedOffers, packed
from adgram.core.snapshot import Snapshot
from adgram.memory.committer import decoded, encoded
from adgram.memory.follower import Follower
from adgram.memory.mvcc import Progress, counted

WIDTH, LEVELS, CODES = 64, 3, 256
CENTRES = 1_000  # content clusters: vectors lie around so many centres
SPREAD = 0.7  # of the noise around a centre, whose own coordinates have 1; a vector has cosine .82 with its centre
TOP = 50
ADMITTED = 0.9  # of the items pass a request's own filter, besides stock
OUT_OF_STOCK = 0.05
SHARDS = 4
TICK_S = 0.1  # a commit a shard so often, as a worker makes them
SWITCH_INTERVAL_S = 0.0005  # as `adgram serve` sets it
WORDS = "light running shoe for rainy days with a soft sole and reflecting stripes of recycled yarn".split()  # noqa: SIM905
PINS = 10_000


class World:
    """Items and offers to any number, from one seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._centres = self._rng.normal(size=(CENTRES, WIDTH))

    def vectors(self, count: int) -> npt.NDArray[np.float32]:
        """[count, WIDTH] of unit length."""
        places = self._rng.integers(0, CENTRES, count)
        vectors = self._centres[places] + SPREAD * self._rng.normal(size=(count, WIDTH))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def items(self, first: int, count: int) -> Iterator[Row]:
        """Item rows i{first} … as a worker commits them, with some 200 bytes of words each."""
        codes = self._rng.integers(0, CODES, (count, LEVELS)).tolist()
        words = self._rng.integers(0, len(WORDS), (count, 30)).tolist()
        for number, vector, sid, text in zip(
            range(first, first + count), self.vectors(count), codes, words, strict=True
        ):
            body = " ".join(WORDS[word] for word in text)
            item = Item(
                f"i{number}", body[:40], ("shoes", f"kind {sid[0]}"), f"brand {sid[1]}", body[40:], float(sid[2])
            )
            yield rows.row(
                Table.ITEM, item.item_id, EncodedItem(item, tuple(sid), vector.tobytes(), "bench"), number + 1
            )

    def offers(self, item_numbers: Sequence[int], event_time: int) -> PackedOffers:
        """A block of random offers for these items."""
        prices = self._rng.integers(1_000_000, 90_000_000, len(item_numbers)).tolist()
        stocks = np.where(self._rng.random(len(item_numbers)) < OUT_OF_STOCK, 0, 7).tolist()
        told = [
            Offer(f"i{number}", Money(price, "USD"), stock)
            for number, price, stock in zip(item_numbers, prices, stocks, strict=True)
        ]
        return packed(told, [event_time] * len(told))

    def touched(self, of: int, count: int) -> list[int]:
        """Distinct numbers below `of`, whose offers change."""
        return self._rng.choice(of, count, replace=False).tolist()


class Records:
    """Implements CommitLog and CommitFeed over records made beforehand.

    `begin` lets records out by the clock, `speed` times as fast as they were meant; 0 lets all out at once.
    """

    def __init__(self, loaded: Sequence[bytes], live: Sequence[Sequence[bytes]]) -> None:
        self.loaded, self._live = loaded, live
        self._began, self._speed, self._next = 0.0, 1.0, 0

    def begin(self, speed: float) -> None:
        self._began, self._speed = time.monotonic(), speed

    @property
    def done(self) -> bool:
        return self._next == len(self._live)

    def last(self, shard: int) -> Commit | None:
        return next(iter(self.read(shard, 0)[-1:]), None)

    def append(self, commit: Commit) -> int:
        raise NotImplementedError("nothing is written here")

    def read(self, shard: int, after_number: int) -> Sequence[Commit]:
        commits = [commit for commit in map(decoded, self.loaded) if commit is not None and commit.shard == shard]
        return counted(commits, Progress(after_number))

    def poll(self, timeout_s: float) -> Sequence[Commit]:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            due = len(self._live) if not self._speed else int((time.monotonic() - self._began) / TICK_S * self._speed)
            if self._began and self._next < min(due, len(self._live)):
                payloads = self._live[self._next]
                self._next += 1
                return [commit for commit in map(decoded, payloads) if commit is not None]
            time.sleep(0.002)
        return ()

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long reads took, and what share of the true nearest they found."""

    took_ms: npt.NDArray[np.float64]
    cpu_ms: npt.NDArray[np.float64]  # of the reading thread alone: what a machine without other work would need
    recall: float

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.took_ms, share))


@dataclass(frozen=True, slots=True)
class Load:
    """What the follower applies meanwhile, each second."""

    updates: int
    new_items: int
    seconds: float


def records(world: World, items: int, load: Load) -> Records:
    """The catalogue, and then the load as commits of TICK_S each, encoded as the log holds them."""
    numbers = [0] * SHARDS
    per_commit = 2_000

    def commit(shard: int, entries: Sequence[Row]) -> bytes:
        numbers[shard] += 1
        now = time.time_ns()
        return encoded(Commit(shard, numbers[shard], 1, now, now, {}, tuple(entries)).sealed())

    loaded = []
    for place, first in enumerate(range(0, items, per_commit)):
        count = min(per_commit, items - first)
        block = world.offers(range(first, first + count), 1)
        entries = [*world.items(first, count), rows.row(Table.OFFERS, f"load{first}", block, 1)]
        loaded.append(commit(place % SHARDS, entries))
    live, known = [], items
    for tick in range(int(load.seconds / TICK_S)):
        payloads = []
        for shard in range(SHARDS):
            new = int(load.new_items * TICK_S / SHARDS)
            entries = list(world.items(known, new))
            known += new
            changed = world.touched(items, int(load.updates * TICK_S / SHARDS))
            entries.append(rows.row(Table.OFFERS, f"{tick}.{shard}", world.offers(changed, tick + 2), tick + 2))
            payloads.append(commit(shard, entries))
        live.append(payloads)
    return Records(loaded, live)


class Reader:
    """Asks as a request does: pin, filter, nearest, payload."""

    def __init__(self, world: World, room: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._profiles = world.vectors(512)
        self._wanted = rng.random((16, room)) < ADMITTED

    def read(self, number: int, snapshot: Snapshot) -> list[tuple[EncodedItem | None, Offer | None]]:
        """The nearest admitted items with their words, price and stock."""
        items = snapshot.items
        admitted = self._admitted(number, snapshot)
        near = snapshot.nearest(self._profiles[number % len(self._profiles)], admitted, TOP)
        ids = [items.item_ids[slot] for slot in near.slots.tolist()]
        return [(snapshot.item(item_id), snapshot.offer(item_id)) for item_id in ids]

    def recall(self, snapshot: Snapshot, reads: int) -> float:
        """The share of the exactly nearest that `nearest` finds, over so many reads."""
        shares = []
        for number in range(reads):
            profile, admitted = self._profiles[number % len(self._profiles)], self._admitted(number, snapshot)
            matches = np.where(admitted, snapshot.items.vectors @ profile, -np.inf)
            exact = np.argpartition(-matches, TOP)[:TOP]
            found = snapshot.nearest(profile, admitted, TOP).slots
            shares.append(len(np.intersect1d(exact, found)) / TOP)
        return float(np.mean(shares))

    def _admitted(self, number: int, snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        items = snapshot.items
        admitted = items.stock != 0
        admitted &= items.alive
        admitted &= self._wanted[number % len(self._wanted), : items.count]
        return admitted


def measured(follower: Follower, reader: Reader, seconds: float, rate: float) -> Latencies:
    """Reads at a steady rate for so long, each from the newest version."""
    took, cpu, number, began = [], [], 0, time.perf_counter()
    while (now := time.perf_counter()) - began < seconds:
        due = began + number / rate
        if now < due:
            time.sleep(due - now)
        start, used = time.perf_counter(), time.thread_time()
        read = reader.read(number, follower.current())
        cpu.append((time.thread_time() - used) * 1_000)
        took.append((time.perf_counter() - start) * 1_000)
        assert len(read) == TOP and all(item is not None for item, _ in read)
        number += 1
    return Latencies(np.array(took), np.array(cpu), reader.recall(follower.current(), 100))


@dataclass(frozen=True, slots=True)
class Pins:
    """How long pinning took, and what was copied for it."""

    took_us: npt.NDArray[np.float64]
    copies: int


@dataclass(frozen=True, slots=True)
class Reads:
    """Latencies on an idle machine, beside the stated load, and beside a writer that never rests."""

    idle: Latencies
    in_turn: Latencies  # idle too, but one behind another: nothing has left the nearer caches between two reads
    beside_load: Latencies
    beside_saturation: Latencies
    pins: Pins
    saturated_updates: float  # a second


def run(items: int, load: Load, seconds: float, rate: float, seed: int) -> Reads:
    """All reads of one process. Items: how many before the load begins."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    world = World(seed)
    made = records(world, items, load)
    follower = Follower(SHARDS, made, lambda _: made)
    follower.start()
    if not follower.wait_ready(600):
        raise SystemExit(f"memory did not become ready: {follower.failure}")
    while follower.current().built is None:
        time.sleep(0.05)
    gc.collect()
    gc.freeze()
    room = items + int(load.new_items * load.seconds) + 1
    reader = Reader(world, room, seed)
    try:
        measured(follower, reader, 1.0, rate)
        idle = measured(follower, reader, seconds, rate)
        in_turn = measured(follower, reader, seconds, math.inf)
        pins = _pinned(follower)
        made.begin(1.0)
        beside_load = measured(follower, reader, seconds, rate)
        before, start = sum(follower.current().version.numbers), time.perf_counter()
        made.begin(0.0)
        beside_saturation = measured(follower, reader, seconds, rate)
        folded = sum(follower.current().version.numbers) - before
        updates = folded * load.updates * TICK_S / SHARDS / (time.perf_counter() - start)
    finally:
        follower.stop()
    return Reads(idle, in_turn, beside_load, beside_saturation, pins, updates)


def _pinned(follower: Follower) -> "Pins":
    """Pins as requests take them, and how many arrays beyond the first pin's the rest hold."""
    took_us, held = [], []
    for _ in range(PINS):
        start = time.perf_counter_ns()
        snapshot = follower.current()
        took_us.append((time.perf_counter_ns() - start) / 1_000)
        held.append(snapshot)
    arrays = {
        id(array) for one in held for array in (one.items.vectors, one.items.stock, one.items.sids, one.trie.pool)
    }
    versions = {id(one) for one in held}
    return Pins(np.array(took_us), len(arrays) - 4 * len(versions))
