"""What memory takes and how long it is in coming back, at several sizes of the catalogue."""

import ctypes
import gc
import multiprocessing
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from memory_reads import SHARDS, WIDTH, Load, World, records

from adgram.core.commit import Commit
from adgram.memory.committer import decoded
from adgram.memory.config import MemoryConfig
from adgram.memory.recovery import recovered
from adgram.memory.snapshot import MemorySnapshot
from adgram.memory.store import MilvusStore
from adgram.streaming.local_broker import start_milvus

STORED_TOGETHER = 4  # commits a batch of the store, one of each shard
NOTHING = Load(0, 0, 0.0)


@dataclass(frozen=True, slots=True)
class Size:
    """One catalogue, loaded from Milvus alone."""

    items: int
    cold_start_s: float
    bytes_per_item: float  # resident, beyond the vector's 4 bytes a dimension


class _Ended:
    """Implements the reading half of core.ports.CommitLog for a log that ends where the store does."""

    def __init__(self, store: MilvusStore) -> None:
        self._store = store

    def last(self, shard: int) -> Commit:
        return Commit(shard, self._store.head(shard), 1, 0, 0, {}, ())

    def append(self, commit: Commit) -> int:
        raise NotImplementedError(f"commit {commit.number} comes after the end")

    def read(self, shard: int, after_number: int) -> Sequence[Commit]:
        return () if after_number >= self._store.head(shard) else (self.last(shard),)

    def close(self) -> None:
        pass


def measured(folder: Path, counts: Sequence[int], seed: int) -> Iterator[Size]:
    """Each size from an empty Milvus Lite server: written batch by batch, then loaded by a process that has nothing."""
    context = multiprocessing.get_context("spawn")
    for count in counts:
        with start_milvus(folder / f"milvus-{count}") as milvus:
            config = MemoryConfig(
                milvus_uri=f"http://{milvus.address}", collection=f"c{uuid.uuid4().hex[:12]}", timeout_s=60
            )
            for target in (_write, _load):
                ours, theirs = context.Pipe()
                process = context.Process(target=target, args=(theirs, config, count, seed))
                process.start()
                while not ours.poll(1.0):
                    if not process.is_alive():
                        raise SystemExit(f"{target.__name__} of {count} items ended with {process.exitcode}")
                told = ours.recv()
                process.join()
            yield told


def _write(end: Connection, config: MemoryConfig, count: int, seed: int) -> None:
    store = MilvusStore(config)
    made = records(World(seed), count, NOTHING)
    commits = [commit for commit in map(decoded, made.loaded) if commit is not None]
    for first in range(0, len(commits), STORED_TOGETHER):
        store.write(commits[first : first + STORED_TOGETHER])
    store.close()
    end.send("written")


def _load(end: Connection, config: MemoryConfig, count: int, seed: int) -> None:
    store = MilvusStore(config)
    for commit in map(decoded, records(World(seed), 2_000, NOTHING).loaded):
        assert commit is not None
        MemorySnapshot.empty(SHARDS).fold(commit)  # libraries and compiled loops are there before anything counts
    before, began = _resident(), time.perf_counter()
    snapshot = MemorySnapshot.empty(SHARDS)
    for snapshot in recovered(snapshot, _Ended(store), store):  # noqa: B007, B020 the last one is wanted
        pass
    took_s = time.perf_counter() - began
    if len(snapshot.trie.leaf_slots) != count or not all(snapshot.offer(f"i{n}") for n in range(0, count, 997)):
        raise SystemExit(f"{len(snapshot.trie.leaf_slots)} of {count} items came back")
    end.send(Size(count, took_s, (_resident() - before) / count - 4 * WIDTH))


def _resident() -> int:
    """Bytes of this process in memory, after what is free was given back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def plotted(sizes: Sequence[Size], path: Path) -> None:
    """A picture of both figures over the number of items, on logarithmic axes, where a straight line is a law."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    items = [size.items for size in sizes]
    left.loglog(items, [size.bytes_per_item * size.items / 1e6 for size in sizes], "o-")
    left.set(xlabel="items", ylabel="MB beyond the vectors")
    right.loglog(items, [size.cold_start_s for size in sizes], "o-")
    right.set(xlabel="items", ylabel="s from Milvus to a snapshot")
    for axes in (left, right):
        axes.grid(visible=True, which="both", alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
