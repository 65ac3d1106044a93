"""What the world is like at a place and time, as far as the streams tell."""

from dataclasses import dataclass
from enum import StrEnum

from .clock import NS_PER_HOUR


class Weather(StrEnum):
    """Coarse weather; UNKNOWN when nothing fresh was reported."""

    UNKNOWN = "unknown"
    SUN = "sun"
    CLOUDS = "clouds"
    RAIN = "rain"
    SNOW = "snow"


@dataclass(frozen=True, slots=True)
class HourlyReading:
    """What was told at `event_time` (ns UTC) of one hour, counted since 1970 in UTC; it holds within that hour only."""

    hour: int
    weather: Weather = Weather.UNKNOWN
    temperature_c: float | None = None
    crowd: float | None = None
    local_events: tuple[str, ...] = ()
    event_time: int = 0


@dataclass(frozen=True, slots=True)
class Environment:
    """The newest readings of one place: a named place, or an H3 cell by its id.

    `crowd` is people relative to the place's usual (1.0). These hold until `expires` (ns UTC, 0 = never); `hours` hold
    each in its own hour, oldest first, and are forecasts or plans more often than not.
    """

    place_id: str
    weather: Weather = Weather.UNKNOWN
    temperature_c: float | None = None
    crowd: float | None = None
    local_events: tuple[str, ...] = ()
    event_time: int = 0
    expires: int = 0
    hours: tuple[HourlyReading, ...] = ()

    def fresh_at(self, event_time: int) -> bool:
        """Whether the readings without an hour still hold at `event_time` (ns UTC)."""
        return self.expires == 0 or event_time < self.expires

    def at(self, event_time: int) -> "Environment":
        """What holds at `event_time` (ns UTC), without hours; unknown where nothing does.

        Where the hour and the standing readings both tell, the one told later speaks: an observation beats the
        forecast made before it.
        """
        standing = self if self.fresh_at(event_time) else Environment(self.place_id)
        if not self.hours:
            return standing
        hour = next((one for one in self.hours if one.hour == event_time // NS_PER_HOUR), None)
        if hour is None:
            return Environment(self.place_id).filled(standing)
        told = Environment(
            self.place_id, hour.weather, hour.temperature_c, hour.crowd, hour.local_events, hour.event_time
        )
        newer, older = (told, standing) if hour.event_time > standing.event_time else (standing, told)
        return Environment(self.place_id).filled(newer).filled(older)

    def filled(self, other: "Environment") -> "Environment":
        """These readings, and what they do not tell from `other`; hours are neither kept nor taken."""
        return Environment(
            place_id=self.place_id,
            weather=other.weather if self.weather is Weather.UNKNOWN else self.weather,
            temperature_c=other.temperature_c if self.temperature_c is None else self.temperature_c,
            crowd=other.crowd if self.crowd is None else self.crowd,
            local_events=self.local_events or other.local_events,
            event_time=max(self.event_time, other.event_time),
            expires=min((one for one in (self.expires, other.expires) if one), default=0),
        )

    @property
    def complete(self) -> bool:
        """Whether nothing is left that another place could fill in."""
        known = self.weather is not Weather.UNKNOWN and self.temperature_c is not None
        return known and self.crowd is not None and bool(self.local_events)

    @property
    def ends(self) -> int:
        """When nothing of this holds any more (ns UTC), 0 = never."""
        standing = self.weather is not Weather.UNKNOWN or bool(self.local_events)
        standing = standing or self.temperature_c is not None or self.crowd is not None
        if standing and self.expires == 0:
            return 0
        last_hour = (self.hours[-1].hour + 1) * NS_PER_HOUR if self.hours else 0
        return max(self.expires if standing else 0, last_hour) or self.event_time


@dataclass(frozen=True, slots=True)
class EnvironmentReading:
    """One source event: any subset of a place's readings; None leaves the earlier value.

    With an `hour` (counted since 1970, UTC) it tells of that hour alone, and `expires` is not needed.
    """

    place_id: str
    weather: Weather | None = None
    temperature_c: float | None = None
    crowd: float | None = None
    local_events: tuple[str, ...] | None = None
    expires: int = 0
    hour: int = 0
