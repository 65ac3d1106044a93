"""Kill switches in force, always the newest, whatever snapshot a request reads."""

from collections.abc import Iterable

from ..core.event import Stop, StopScope


class StopBoard:
    """The targets halted in each scope. Reading is one reference, so requests never wait for a stop that arrives."""

    def __init__(self) -> None:
        self._newest: dict[tuple[StopScope, str], Stop] = {}
        self._active: dict[StopScope, frozenset[str]] = {scope: frozenset() for scope in StopScope}

    def apply(self, stops: Iterable[Stop]) -> None:
        """Afterwards the stops (and lifted stops) are in force; an older one never undoes a newer one of the same
        target.
        """
        for stop in stops:
            key = (stop.scope, stop.target)
            known = self._newest.get(key)
            if known is None or stop.event_time >= known.event_time:
                self._newest[key] = stop
        self._active = {
            scope: frozenset(target for (of, target), stop in self._newest.items() if of is scope and not stop.lifted)
            for scope in StopScope
        }

    @property
    def active(self) -> dict[StopScope, frozenset[str]]:
        """By scope, what is halted now."""
        return self._active

    @property
    def names(self) -> tuple[str, ...]:
        """What is halted now, as `scope:target`, for the record."""
        return tuple(f"{scope}:{target}" for scope, targets in self._active.items() for target in sorted(targets))
