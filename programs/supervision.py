"""Looks after a running worker: its figures, and its restart when the consumer has stalled."""

import os
import signal
import sys
import threading
import time
from contextlib import ExitStack

import structlog

from ..core.clock import SystemClock
from ..core.errors import Unavailable
from ..core.ports import UNMEASURED, StreamMetrics
from ..streaming.config import StreamingConfig
from ..streaming.lag import LagProbe
from ..streaming.shards import Shards
from ..streaming.watchdog import Watchdog

STOP_GRACE_S = 20.0  # for the batch under way; a worker that is stuck altogether is replaced without it
_RESTARTS = "ADGRAM_RESTARTS"  # how often this process has replaced itself, for the count in the metrics
logger = structlog.get_logger(__name__)


class Supervision:
    """Restarting is replacing the program in place: same command, same process id, nothing of the old state.

    That is safe at any moment, because a worker may be killed at any moment: what was not committed is folded again.
    """

    def __init__(self, streaming: StreamingConfig, metrics_port: int) -> None:
        self._streaming = streaming
        self._restarts = int(os.environ.get(_RESTARTS, "0"))
        self._may_restart, self._reason = False, ""
        self.metrics: StreamMetrics = UNMEASURED
        self._on_lags = None
        if metrics_port:
            from ..streaming.metrics import WorkerMetrics, serve_metrics

            figures = WorkerMetrics(SystemClock(), self._restarts)
            serve_metrics(figures.registry, metrics_port)
            self.metrics, self._on_lags = figures, figures.lags

    def watch(self, shards: Shards, stack: ExitStack) -> None:
        """Afterwards a watchdog looks at these shards' lag until `stack` is closed."""
        if not self._streaming.stall_s and self._on_lags is None:
            return
        probe = LagProbe(self._streaming, shards)
        watchdog = Watchdog(probe, self._streaming.stall_s, SystemClock(), self._trouble, self._on_lags)
        watchdog.start()
        stack.callback(watchdog.stop)

    def restart_if_asked(self) -> None:
        """Replaces the process when the watchdog wanted that; Unavailable with its reason when only a person can help.

        Call it once the worker has stopped.
        """
        if self._may_restart:
            self._replace()
        if self._reason:
            raise Unavailable(self._reason)

    def _trouble(self, reason: str, may_restart: bool) -> None:
        """The watchdog's finding, on its thread: the worker is asked to stop, and not waited for beyond a grace."""
        logger.error("the watchdog stops the worker", reason=reason, restart=may_restart)
        self._reason, self._may_restart = reason, may_restart
        if may_restart:
            threading.Thread(target=self._insist, name="restart", daemon=True).start()
        os.kill(os.getpid(), signal.SIGTERM)

    def _insist(self) -> None:
        time.sleep(STOP_GRACE_S)
        logger.error("the worker did not stop; it is replaced as it stands")
        self._replace()

    def _replace(self) -> None:
        os.environ[_RESTARTS] = str(self._restarts + 1)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
