"""Shows how far a cold start is: a bar on a terminal, elsewhere a line in the log now and then."""

import time
from collections.abc import Callable

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY_S = 5.0
logger = structlog.get_logger(__name__)


class Loading:
    """Told of (pages read, pages in all) while the store is read, shard after shard; draws on `console`."""

    def __init__(self, console: Console, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._console, self._monotonic_s = console, monotonic_s
        self._bar: Progress | None = None
        self._told_at = monotonic_s()

    def __call__(self, done: int, total: int) -> None:
        """Afterwards it is shown; the bar goes away with the last page of a shard."""
        if self._console.is_terminal:
            self._draw(done, total)
        elif self._monotonic_s() - self._told_at >= EVERY_S:
            self._told_at = self._monotonic_s()
            logger.info("memory is being read from the store", pages=done, of=total)

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task("pages of memory read from the store", total=total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=total)
        if done >= total:
            self._bar.stop()
            self._bar = None
