"""A place's environment, merged from readings that each tell a part."""

from ...core.commit import Table
from ...core.environment import Environment, EnvironmentReading, Weather
from ...core.event import Event, Outcome
from .state import ShardState


def fold(state: ShardState, event: Event) -> Outcome:
    """Afterwards the place's row holds the newest of each reading. A late one only fills in what nobody has told."""
    late = state.is_late(Table.ENVIRONMENT, event.key, event.event_time)
    if event.value is None:
        if not late:
            state.put(Table.ENVIRONMENT, event.key, None, event.event_time)
        return Outcome.OUT_OF_ORDER if late else Outcome.FOLDED
    before = state.merged.get((Table.ENVIRONMENT, event.key))
    if before is None and late:  # deleted since
        return Outcome.OUT_OF_ORDER
    after = merged(before, event.value, event.event_time, late)
    if after == before:
        return Outcome.OUT_OF_ORDER if late else Outcome.REPEATED
    state.put(Table.ENVIRONMENT, event.key, after, event.event_time)
    return Outcome.OUT_OF_ORDER if late else Outcome.FOLDED


def merged(before: Environment | None, reading: EnvironmentReading, event_time: int, late: bool) -> Environment:
    """The environment after one more reading.

    What had expired by the reading's time is forgotten. The merged row expires with the first of its parts that came
    from another reading, so that nothing is believed longer than its source said.
    """
    if before is None or (not late and not before.fresh_at(event_time)):
        before = Environment(reading.place_id)
    weather = reading.weather if _tells(reading.weather, before.weather, late) else before.weather
    temperature = reading.temperature_c if _tells(reading.temperature_c, before.temperature_c, late) else None
    crowd = reading.crowd if _tells(reading.crowd, before.crowd, late) else None
    events = reading.local_events if reading.local_events is not None and not late else before.local_events
    after = Environment(
        place_id=reading.place_id,
        weather=weather or Weather.UNKNOWN,
        temperature_c=before.temperature_c if temperature is None else temperature,
        crowd=before.crowd if crowd is None else crowd,
        local_events=events,
        event_time=max(event_time, before.event_time),
    )
    return _expiring(after, _expiry(before, reading))


def _tells(new: object | None, old: object | None, late: bool) -> bool:
    return new is not None and (not late or old in (None, Weather.UNKNOWN))


def _expiry(before: Environment, reading: EnvironmentReading) -> int:
    """The reading's own expiry when it tells all that was known before, else the earlier of both."""
    outlived = (
        (before.weather is Weather.UNKNOWN or reading.weather is not None)
        and (before.temperature_c is None or reading.temperature_c is not None)
        and (before.crowd is None or reading.crowd is not None)
        and (not before.local_events or reading.local_events is not None)
    )
    if outlived:
        return reading.expires
    return min((one for one in (before.expires, reading.expires) if one), default=0)


def _expiring(environment: Environment, expires: int) -> Environment:
    return Environment(
        environment.place_id,
        environment.weather,
        environment.temperature_c,
        environment.crowd,
        environment.local_events,
        environment.event_time,
        expires,
    )
