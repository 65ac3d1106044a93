"""Notices a consumer that has stopped without saying so: records wait, and its position does not move."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from ..core.clock import NS_PER_SECOND, Clock
from ..core.errors import AdgramError
from .lag import Standing

LOOK_EVERY_S = 2.0
logger = structlog.get_logger(__name__)


class Probe(Protocol):
    """Tells where a worker stands; streaming.lag.LagProbe is one."""

    def look(self) -> Sequence[Standing]: ...
    def readable(self, standing: Standing) -> bool: ...
    def close(self) -> None: ...


class Stalls:
    """Which partitions have had records waiting for `patience_s` without a step forward."""

    def __init__(self, patience_s: float) -> None:
        self._patience_ns = int(patience_s * NS_PER_SECOND)
        self._since: dict[tuple[str, int], tuple[int, int]] = {}  # the position, and since when (monotonic ns)

    def observe(self, standings: Sequence[Standing], now_ns: int) -> tuple[Standing, ...]:
        """The stalled ones as of `now_ns` (monotonic)."""
        since = {}
        for one in standings:
            if one.lag == 0:
                continue
            key = (one.topic, one.partition)
            position, began = self._since.get(key, (one.position, now_ns))
            since[key] = (one.position, began if one.position == position else now_ns)
        self._since = since  # partitions that caught up or left begin anew
        return tuple(
            one for one in standings if one.lag > 0 and now_ns - since[one.topic, one.partition][1] >= self._patience_ns
        )

    def forget(self) -> None:
        """Afterwards every partition begins to wait now."""
        self._since.clear()


class Watchdog:
    """A thread that looks every LOOK_EVERY_S and calls `on_trouble(reason, may_restart)` once, at the first trouble.

    Nothing is concluded while the broker does not answer: what stands still then is not the consumer. Before a stall
    is believed, the watchdog has read a waiting record itself.
    """

    def __init__(
        self,
        probe: Probe,
        patience_s: float,
        clock: Clock,
        on_trouble: Callable[[str, bool], None],
        on_lags: Callable[[Mapping[tuple[str, int], int]], None] | None = None,
    ) -> None:
        self._probe, self._clock = probe, clock
        self._stalls = Stalls(patience_s) if patience_s else None
        self._patience_s, self._on_trouble, self._on_lags = patience_s, on_trouble, on_lags
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Afterwards the thread runs."""
        self._thread.start()

    def stop(self) -> None:
        """Afterwards it does not look any more."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(LOOK_EVERY_S + 10.0)

    def _run(self) -> None:
        every_s = min(LOOK_EVERY_S, self._patience_s / 4 or LOOK_EVERY_S)
        while not self._stopping.wait(every_s):
            if self.look():
                break
        self._probe.close()

    def look(self) -> bool:
        """Whether there was trouble, and it has been told."""
        try:
            standings = self._probe.look()
            if self._on_lags is not None:
                self._on_lags({(one.topic, one.partition): one.lag for one in standings})
            for one in standings:
                if one.position > one.end:
                    self._on_trouble(
                        f"the topic {one.topic} ends at {one.end}, but partition {one.partition} was folded up to "
                        f"{one.position}: it was made anew; stop all workers and run `adgram ingest reset`",
                        False,
                    )
                    return True
            waiting = self._stalls.observe(standings, self._clock.monotonic_ns()) if self._stalls else ()
            stalled = next((one for one in waiting if self._probe.readable(one)), None)
        except AdgramError as error:
            logger.warning("the watchdog cannot see the topics", reason=str(error))
            if self._stalls is not None:
                self._stalls.forget()
            return False
        except Exception:  # the thread's edge: a watchdog that fails looks again
            logger.exception("the watchdog failed; it looks again")
            return False
        if stalled is None:
            return False
        self._on_trouble(
            f"{stalled.topic}[{stalled.partition}] has stood at {stalled.position} for {self._patience_s:g} s with "
            f"{stalled.lag} records waiting",
            True,
        )
        return True
