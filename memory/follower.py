"""Keeps one current snapshot: follows the commits in a thread, folds, warms, swaps one reference."""

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from ..core.commit import Commit, Version
from ..core.errors import AdgramError, Unavailable
from ..core.ports import CommitFeed, CommitLog, CommitStore
from ..core.snapshot import Snapshot
from .config import MemoryConfig
from .history import History
from .indexing import IndexBuilder
from .mvcc import CommitGap, Progress
from .recovery import LogTooShort, recovered, retained
from .snapshot import Fold, MemorySnapshot

POLL_S = 0.05
RETRY_S = 1.0  # after the log or the store was away
ROWS_PER_SLICE = 16  # rows, or new items, between two looks at the clock: some 0.2 ms
logger = structlog.get_logger(__name__)

DEFAULTS = MemoryConfig()
Warmer = Callable[[Snapshot], None]


class Follower:
    """Reads never wait: `current()` is one reference. Until the first one is `ready`, it is the empty version.

    Each warmer sees a snapshot before any request does. A warmer that raises is an error of its owner: it is logged,
    and the snapshot is served all the same, since the alternative is to serve an old world for ever.
    """

    def __init__(
        self,
        shards: int,
        log: CommitLog,
        open_feed: Callable[[Version], CommitFeed],
        store: CommitStore | None = None,
        warmers: Sequence[Warmer] = (),
        config: MemoryConfig = DEFAULTS,
    ) -> None:
        self._log, self._open_feed, self._store = log, open_feed, store
        self._warmers, self._config = tuple(warmers), config
        self._snapshot = MemorySnapshot.empty(shards, config.codes_per_level)
        self._history = History(config.recent_versions)
        self._indexes = IndexBuilder()
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._left_behind = False  # the log has moved on without us: memory is rebuilt from the store
        self._thread = threading.Thread(target=self._run, name="memory-follower", daemon=True)
        self._rested_at = 0.0  # perf_counter seconds
        self.failure = ""  # why memory does not move on just now; empty while it does

    def start(self) -> None:
        """Afterwards the follower runs; see `wait_ready`."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Afterwards the thread is gone; the current snapshot stays readable."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def ready(self) -> bool:
        """Whether all that was committed before the start can be read."""
        return self._ready.is_set()

    def wait_ready(self, timeout_s: float) -> bool:
        """Whether the follower became ready within `timeout_s`."""
        return self._ready.wait(timeout_s)

    def current(self) -> MemorySnapshot:
        """The newest version."""
        return self._snapshot

    def as_of(self, event_time: int) -> MemorySnapshot:
        """See History.as_of: among the versions this process has seen, the newest as of `event_time` (ns UTC)."""
        return self._history.as_of(event_time)

    def _run(self) -> None:
        """The thread's edge: whatever goes wrong is told, and following starts again from the current version."""
        while not self._stopping.is_set():
            try:
                if not self.ready or self._left_behind:
                    self._recover()
                self._follow()
            except LogTooShort as error:
                self._left_behind = True
                self._pause(str(error))
            except AdgramError as error:
                self._pause(str(error))
            except Exception as error:
                logger.exception("the memory follower failed; it starts again")
                self._pause(repr(error))

    def _pause(self, failure: str) -> None:
        if failure != self.failure:
            logger.warning("memory does not move on", reason=failure)
        self.failure = failure
        self._stopping.wait(RETRY_S)

    def _recover(self) -> None:
        store = self._store
        try:
            self._take_over(store)
        except Unavailable as error:
            if store is None:
                raise
            logger.warning("the store is away, reading the log alone", reason=str(error))
            self._take_over(None)

    def _take_over(self, store: CommitStore | None) -> None:
        snapshot = self._snapshot
        empty = MemorySnapshot.empty(len(snapshot.version.numbers), self._config.codes_per_level)
        for snapshot in recovered(empty, self._log, store):  # noqa: B007 the last one is wanted
            if self._stopping.is_set():
                return
        self._swap(snapshot)
        self._left_behind = False
        self._ready.set()

    def _follow(self) -> None:
        snapshot = self._snapshot
        self._indexes.look_at(snapshot)
        progress = [Progress(*at) for at in zip(snapshot.version.numbers, snapshot.epochs, strict=True)]
        feed = self._open_feed(snapshot.version)
        try:
            while not self._stopping.is_set():
                for record in feed.poll(POLL_S):
                    self._rest_when_due()
                    try:
                        reading = progress[record.shard].read(record)
                    except CommitGap as gap:
                        for commit in retained(gap.shard, gap.after_number, self._log):
                            snapshot = self._folded(snapshot, commit)
                            progress[gap.shard] = Progress(commit.number, commit.epoch)
                        continue
                    progress[record.shard] = reading.progress
                    if reading.commit is not None:
                        snapshot = self._folded(snapshot, reading.commit)
                self.failure = ""
                built = self._indexes.taken()
                if built is not None:
                    snapshot = snapshot.indexed(built)
                if snapshot is not self._snapshot:
                    self._swap(snapshot)
                    self._indexes.look_at(snapshot)
        finally:
            feed.close()

    def _folded(self, snapshot: MemorySnapshot, commit: Commit) -> MemorySnapshot:
        """The next version, folded with pauses, so that serving threads get the interpreter in between."""
        fold = Fold(snapshot, commit)
        for _ in fold.slices(ROWS_PER_SLICE):
            self._rest_when_due()
        return fold.result

    def _rest_when_due(self) -> None:
        """Pauses once the thread has worked for a slice of time since its last pause."""
        if time.perf_counter() - self._rested_at >= self._config.slice_ms / 1000:
            time.sleep(self._config.pause_ms / 1000)
            self._rested_at = time.perf_counter()

    def _swap(self, snapshot: MemorySnapshot) -> None:
        for warm in self._warmers:
            try:
                warm(snapshot)
            except Exception:
                logger.exception("a part could not warm itself for a new version", part=repr(warm))
        self._history.add(snapshot)
        self._snapshot = snapshot
