"""Writes the log into the store, from where the store left off, in a thread that outlives the store's absences."""

import threading
import time
from collections.abc import Callable, Sequence

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential

from ..core.commit import Commit, Version
from ..core.errors import AdgramError, Unavailable
from ..core.ports import CommitFeed, CommitLog, CommitStore
from .committer import Fenced
from .config import MemoryConfig
from .mvcc import CommitGap, Progress
from .recovery import require_same_log, retained

POLL_S = 0.1
BATCH_COMMITS = 2_000  # bounds what one batch holds in memory while the sink catches up
LONGEST_WAIT_S = 15.0
STANDBY_S = 30.0  # a fenced sink takes over again when the other one has written nothing for so long
EVICT_EVERY_S = 3_600.0
logger = structlog.get_logger(__name__)


class Sink:
    """The one writer of a store. `lag` is how many commits it has read and not yet written."""

    def __init__(
        self,
        shards: int,
        log: CommitLog,
        open_feed: Callable[[Version], CommitFeed],
        store: CommitStore,
        config: MemoryConfig,
        evict: Callable[[], object] | None = None,
        standby_s: float = STANDBY_S,
    ) -> None:
        """Args:
        evict: makes room in the store; called once an hour, between two batches, since Lite takes one writer.
        standby_s: see STANDBY_S.
        """
        self._shards, self._log, self._open_feed, self._store, self._config = shards, log, open_feed, store, config
        self._evict, self._standby_s, self._evicted_at = evict, standby_s, time.monotonic()
        self._stopping = threading.Event()
        self._pending: list[Commit] = []
        self._thread = threading.Thread(target=self._run, name="milvus-sink", daemon=True)

    @property
    def lag(self) -> int:
        return len(self._pending)

    def start(self) -> None:
        """Afterwards the sink runs until `stop`."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Afterwards what had been read is written, unless the store is away; the log keeps it in any case."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        """The thread's edge: the sink starts again from the store's own head after whatever went wrong."""
        retrying = Retrying(
            retry=retry_if_exception_type((Unavailable, CommitGap, Fenced)),
            wait=wait_random_exponential(multiplier=0.2, max=LONGEST_WAIT_S),
            stop=stop_when_event_set(self._stopping),
            sleep=self._wait,
            before_sleep=_tell,
            reraise=True,
        )
        try:
            retrying(self._sink_or_stand_by)
        except (Unavailable, CommitGap, Fenced) as error:
            logger.warning(
                "the sink stopped before it had caught up; it goes on from the log next time", reason=str(error)
            )
        except AdgramError as error:
            logger.error("the sink stopped", reason=str(error))  # noqa: TRY400 one line says all
        except Exception:
            logger.exception("the sink failed")

    def _wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _sink_or_stand_by(self) -> None:
        """Ends when told to. Fenced once the other writer has been silent for so long that this one takes over."""
        try:
            self._sink()
        except Fenced as error:
            logger.warning("the sink stands by", reason=str(error))
            before: tuple[int, ...] = ()
            while not self._stopping.wait(self._standby_s) and before != (now := self._heads()):
                before = now
            raise

    def _heads(self) -> tuple[int, ...]:
        return tuple(self._store.head(shard) for shard in range(self._shards))

    def _sink(self) -> None:
        self._pending = []
        heads = self._heads()
        for shard, head in enumerate(heads):
            require_same_log(shard, head, self._log)
        feed = self._open_feed(Version(heads, (0,) * self._shards))
        progress = [Progress(head) for head in heads]
        written_at = time.monotonic()
        stopping = False
        try:
            while not stopping:
                stopping = self._stopping.is_set()  # asked before the poll: what was appended by then is still read
                self._read(feed.poll(POLL_S), progress)
                due = (time.monotonic() - written_at) * 1000 >= self._config.sink_interval_ms
                if stopping or due or len(self._pending) >= BATCH_COMMITS:
                    self._write()
                    written_at = time.monotonic()
                    self._make_room(written_at)
        finally:
            feed.close()

    def _read(self, records: Sequence[Commit], progress: list[Progress]) -> None:
        """Afterwards the commits that count among these records are pending, what the feed had missed included."""
        for record in records:
            try:
                reading = progress[record.shard].read(record)
            except CommitGap as gap:
                for commit in retained(gap.shard, gap.after_number, self._log):
                    self._pending.append(commit)
                    progress[gap.shard] = Progress(commit.number, commit.epoch)
                continue
            progress[record.shard] = reading.progress
            if reading.commit is not None:
                self._pending.append(reading.commit)

    def _make_room(self, now: float) -> None:
        if self._evict is not None and now - self._evicted_at >= EVICT_EVERY_S and not self._stopping.is_set():
            self._evicted_at = now
            try:
                self._evict()
            except AdgramError as error:
                logger.warning("nothing was evicted; the next try is in an hour", reason=str(error))

    def _write(self) -> None:
        if self._pending:
            self._store.write(self._pending)
            self._pending = []


def _tell(state: RetryCallState) -> None:
    failure = state.outcome.exception() if state.outcome is not None else None
    logger.warning("the sink starts again from the store's head", reason=str(failure), attempt=state.attempt_number)
