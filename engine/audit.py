"""Writes decision records behind the answer: to the trail on disk and to the log, never on a request's path."""

import queue
import threading

import structlog

from ..core.decision import DecisionRecord
from ..core.ports import EventPublisher
from .trail import Trail

_log = structlog.get_logger(__name__)


class AuditWriter:
    """A bounded queue and the thread that empties it. What does not fit is counted in `dropped`, not waited for."""

    def __init__(self, trail: Trail, publisher: EventPublisher, capacity: int) -> None:
        self._trail, self._publisher = trail, publisher
        self._queue: queue.Queue[DecisionRecord | None] = queue.Queue(capacity)
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        self._thread.start()

    def record(self, record: DecisionRecord) -> None:
        """Queues the record, or counts it as dropped when the queue is full."""
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def settle(self, timeout_s: float = 1.0) -> None:
        """Afterwards what was queued before this call can be found in the trail, or `timeout_s` has passed."""
        with self._queue.all_tasks_done:
            self._queue.all_tasks_done.wait_for(lambda: not self._queue.unfinished_tasks, timeout_s)

    def stop(self) -> None:
        """Afterwards the queue is written out."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            try:
                encoded = self._trail.append(record)
                self._publisher.publish_decision(record.decision_id, encoded)
            except Exception:
                # The thread's edge: one record lost and told of beats every later one lost in silence.
                self.dropped += 1
                _log.exception("a decision record was not written", decision_id=record.decision_id)
            finally:
                self._queue.task_done()
        self._queue.task_done()
