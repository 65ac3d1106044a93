"""What the world is like at a place and time, as far as the streams tell."""

from dataclasses import dataclass
from enum import StrEnum


class Weather(StrEnum):
    """Coarse weather; UNKNOWN when nothing fresh was reported."""

    UNKNOWN = "unknown"
    SUN = "sun"
    CLOUDS = "clouds"
    RAIN = "rain"
    SNOW = "snow"


@dataclass(frozen=True, slots=True)
class Environment:
    """The newest readings of one place. `crowd` is people relative to the place's usual (1.0); `expires` is ns UTC,
    0 = never.
    """

    place_id: str
    weather: Weather = Weather.UNKNOWN
    temperature_c: float | None = None
    crowd: float | None = None
    local_events: tuple[str, ...] = ()
    event_time: int = 0
    expires: int = 0

    def fresh_at(self, event_time: int) -> bool:
        """Whether these readings still hold at `event_time` (ns UTC)."""
        return self.expires == 0 or event_time < self.expires


@dataclass(frozen=True, slots=True)
class EnvironmentReading:
    """One source event: any subset of a place's readings; None leaves the earlier value."""

    place_id: str
    weather: Weather | None = None
    temperature_c: float | None = None
    crowd: float | None = None
    local_events: tuple[str, ...] | None = None
    expires: int = 0
