"""Events the ledger owes the log: written in the ledger's own transaction, relayed until the log has them."""

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from ..core.errors import Unavailable
from ..core.event import Event, Topic
from ..core.feedback import Feedback
from ..core.ports import EventPublisher

_SCHEMA = "CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, event BLOB NOT NULL)"
_CHECKPOINT_ROUNDS = 20  # a second at the default interval
_BATCH = 500  # events acknowledged by the log before they are struck out together
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Owed:
    """One event to publish to the feedback topic."""

    event_id: str
    event_time: int
    feedback: Feedback


_DECODER = msgspec.msgpack.Decoder(Owed)


class Outbox:
    """The table of owed events, on the ledger's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        connection.execute(_SCHEMA)

    def put(self, owed: Owed) -> None:
        """Owes one more event, within the caller's transaction."""
        self._db.execute("INSERT INTO outbox (event) VALUES (?)", (msgspec.msgpack.encode(owed),))


class OutboxRelay:
    """A thread that publishes owed events in order and strikes them out once the log has acknowledged them.

    After a crash between the two an event is published again, under the same event id, which folds take once.
    """

    def __init__(self, path: Path, publisher: EventPublisher, interval_s: float = 0.05) -> None:
        self._path, self._publisher, self._interval_s = path, publisher, interval_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Afterwards everything owed is published, or the log was away for `timeout_s` and it stays owed on disk."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        connection = connect(self._path)
        rounds = 0
        while True:
            try:
                published = self._relay(connection)
                rounds += 1
                if rounds % _CHECKPOINT_ROUNDS == 0:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            except (Unavailable, sqlite3.Error) as error:
                _log.warning("owed events wait on disk", reason=str(error))
                published = 0
            if published < _BATCH and self._stopping.wait(self._interval_s):
                break
        connection.close()

    def _relay(self, connection: sqlite3.Connection) -> int:
        rows = connection.execute("SELECT seq, event FROM outbox ORDER BY seq LIMIT ?", (_BATCH,)).fetchall()
        for _, blob in rows:
            owed = _DECODER.decode(blob)
            key = owed.feedback.user_key or owed.feedback.bid_id
            self._publisher.publish(Topic.FEEDBACK, Event(owed.event_id, owed.event_time, key, owed.feedback))
        if rows:
            self._publisher.flush(timeout_s=5.0)
            with connection:
                connection.execute("DELETE FROM outbox WHERE seq <= ?", (rows[-1][0],))
        return len(rows)


def connect(path: Path) -> sqlite3.Connection:
    """A connection whose committed transactions outlive a killed process (WAL; a power cut may lose the newest).

    It never checkpoints by itself: that waits for the disk, which a request must not. The relay's thread does it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection
