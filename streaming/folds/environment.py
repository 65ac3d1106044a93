"""A place's environment, merged from readings that each tell a part, of now or of one hour."""

from dataclasses import replace

from ...core.clock import NS_PER_HOUR
from ...core.commit import Table
from ...core.environment import Environment, EnvironmentReading, HourlyReading, Weather
from ...core.errors import InvalidEvent
from ...core.event import Event, Outcome
from ...core.surroundings import require_readable
from .state import ShardState

FORECAST_HOURS = 16 * 24  # the longest forecast anybody gives


def fold(state: ShardState, event: Event) -> Outcome:
    """Afterwards the place's row holds the newest of each reading. A late one only fills in what nobody has told.

    InvalidEvent for a place or an hour that nobody would ever read.
    """
    late = state.is_late(Table.ENVIRONMENT, event.key, event.event_time)
    if event.value is None:
        if not late:
            state.put(Table.ENVIRONMENT, event.key, None, event.event_time)
        return Outcome.OUT_OF_ORDER if late else Outcome.FOLDED
    reading: EnvironmentReading = event.value
    require_readable(reading.place_id)
    before = state.merged.get((Table.ENVIRONMENT, event.key))
    if before is None and late:  # deleted since
        return Outcome.OUT_OF_ORDER
    told = told_of_hour if reading.hour else merged
    after = told(before, reading, event.event_time, late)
    if before is None and not after.hours and reading.hour:  # of an hour that was over when it was told
        return Outcome.IGNORED
    if after == before:
        return Outcome.OUT_OF_ORDER if late else Outcome.REPEATED
    state.put(Table.ENVIRONMENT, event.key, after, event.event_time)
    return Outcome.OUT_OF_ORDER if late else Outcome.FOLDED


def merged(before: Environment | None, reading: EnvironmentReading, event_time: int, late: bool) -> Environment:
    """The environment after one more reading of now.

    What had expired by the reading's time is forgotten. The merged row expires with the first of its parts that came
    from another reading, so that nothing is believed longer than its source said.
    """
    hours = () if before is None else before.hours
    if before is None or (not late and not before.fresh_at(event_time)):
        before = Environment(reading.place_id)
    weather = reading.weather if _tells(reading.weather, before.weather, late) else before.weather
    temperature = reading.temperature_c if _tells(reading.temperature_c, before.temperature_c, late) else None
    crowd = reading.crowd if _tells(reading.crowd, before.crowd, late) else None
    events = reading.local_events if reading.local_events is not None and not late else before.local_events
    return Environment(
        place_id=reading.place_id,
        weather=weather or Weather.UNKNOWN,
        temperature_c=before.temperature_c if temperature is None else temperature,
        crowd=before.crowd if crowd is None else crowd,
        local_events=events,
        event_time=max(event_time, before.event_time),
        expires=_expiry(before, reading),
        hours=hours,
    )


def told_of_hour(before: Environment | None, reading: EnvironmentReading, event_time: int, late: bool) -> Environment:  # noqa: ARG001 an hour knows itself what is late
    """The environment after one more reading of an hour; hours that are over are dropped.

    Within the hour the newest reading of each part counts, whatever the arrival, and an older one fills in.
    """
    if not 0 < reading.hour <= event_time // NS_PER_HOUR + FORECAST_HOURS:
        raise InvalidEvent(
            "wrong-value", f"$.value.hour is {reading.hour}; it counts hours since 1970, {FORECAST_HOURS} ahead at most"
        )
    before = before or Environment(reading.place_id)
    now = max(event_time, before.event_time, *(one.event_time for one in before.hours))
    old = next((one for one in before.hours if one.hour == reading.hour), None)
    others = [one for one in before.hours if one.hour != reading.hour]
    known = (*others, _hour_after(old, reading, event_time))
    kept = sorted((one for one in known if one.hour >= now // NS_PER_HOUR), key=lambda one: one.hour)
    return replace(before, hours=tuple(kept))


def _hour_after(old: HourlyReading | None, reading: EnvironmentReading, event_time: int) -> HourlyReading:
    new = HourlyReading(
        reading.hour,
        reading.weather or Weather.UNKNOWN,
        reading.temperature_c,
        reading.crowd,
        reading.local_events or (),
        event_time,
    )
    if old is None:
        return new
    first, second = (new, old) if event_time >= old.event_time else (old, new)
    return HourlyReading(
        hour=first.hour,
        weather=second.weather if first.weather is Weather.UNKNOWN else first.weather,
        temperature_c=second.temperature_c if first.temperature_c is None else first.temperature_c,
        crowd=second.crowd if first.crowd is None else first.crowd,
        local_events=first.local_events or second.local_events,
        event_time=first.event_time,
    )


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
