"""Open-Meteo's forecast service (https://open-meteo.com/en/docs, or one's own), as readings of the environment."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import requests

from ...core.clock import NS_PER_HOUR, NS_PER_SECOND
from ...core.environment import EnvironmentReading, Weather
from ...core.errors import ConfigError, Unavailable

SPOTS_PER_REQUEST = 100  # the address of a request carries every coordinate, and servers cut addresses at some 8 kB
TRY_AGAIN = (408, 425, 429)  # beside every 5xx
# WMO code table 4677 as the service groups it; what falls as ice but melts on the way counts as rain.
SUN, CLOUDS, SNOW = (0, 1), (2, 3, 45, 48), (71, 73, 75, 77, 85, 86)


@dataclass(frozen=True, slots=True)
class Spot:
    """A point whose weather is told as that of a place: an H3 cell or a named one."""

    place_id: str
    latitude: float
    longitude: float


class _Current(msgspec.Struct):
    temperature_2m: float | None
    weather_code: int | None


class _Hourly(msgspec.Struct):
    time: list[int]
    temperature_2m: list[float | None]
    weather_code: list[int | None]


class _Forecast(msgspec.Struct):
    current: _Current
    hourly: _Hourly


class _Refusal(msgspec.Struct):
    reason: str = ""


_FORECASTS = msgspec.json.Decoder(list[_Forecast])
_REFUSAL = msgspec.json.Decoder(_Refusal)


class OpenMeteo:
    """One request for up to SPOTS_PER_REQUEST spots: the weather now, and by hour for `forecast_hours`."""

    def __init__(self, url: str, forecast_hours: int, timeout_s: float) -> None:
        self._url = url.rstrip("/") + "/v1/forecast"
        self._hours, self._timeout_s = forecast_hours, timeout_s
        self._session = requests.Session()

    def readings(self, spots: Sequence[Spot], now_ns: int, valid_s: float) -> list[EnvironmentReading]:
        """What the service says of each spot: a reading of now, which holds for `valid_s`, and one an hour.

        Unavailable when it is worth trying again, ConfigError when the service refuses the question.
        """
        asked = {
            "latitude": ",".join(f"{spot.latitude:.5f}" for spot in spots),
            "longitude": ",".join(f"{spot.longitude:.5f}" for spot in spots),
            "current": "temperature_2m,weather_code",
            "hourly": "temperature_2m,weather_code",
            "forecast_hours": str(self._hours),
            "timeformat": "unixtime",
        }
        body = self._answer(asked)
        try:
            forecasts = _FORECASTS.decode(body if body.lstrip().startswith(b"[") else b"[" + body + b"]")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable(f"{self._url} answered what is no forecast: {error}") from error
        if len(forecasts) != len(spots):
            raise Unavailable(f"{self._url} answered {len(forecasts)} forecasts for {len(spots)} places")
        told: list[EnvironmentReading] = []
        for spot, forecast in zip(spots, forecasts, strict=True):
            told += _told(spot, forecast, now_ns, valid_s)
        return told

    def close(self) -> None:
        """Afterwards no connection is open."""
        self._session.close()

    def _answer(self, asked: dict[str, str]) -> bytes:
        try:
            answer = self._session.get(self._url, params=asked, timeout=self._timeout_s)
        except requests.RequestException as error:
            raise Unavailable(f"no weather service answers at {self._url}: {error}") from error
        if answer.ok:
            return answer.content
        try:
            reason = _REFUSAL.decode(answer.content).reason
        except (msgspec.DecodeError, UnicodeDecodeError):
            reason = ""
        refusal = f"{self._url} answered {answer.status_code} {reason or answer.reason}"
        if answer.status_code >= 500 or answer.status_code in TRY_AGAIN:
            raise Unavailable(refusal)
        raise ConfigError(f"{refusal}; correct the places or the address")


def weather_of(code: int | None) -> Weather | None:
    """The coarse weather of a WMO code; None for none."""
    if code is None:
        return None
    if code in SUN:
        return Weather.SUN
    if code in CLOUDS:
        return Weather.CLOUDS
    return Weather.SNOW if code in SNOW else Weather.RAIN


def _told(spot: Spot, forecast: _Forecast, now_ns: int, valid_s: float) -> list[EnvironmentReading]:
    expires = now_ns + int(valid_s * NS_PER_SECOND)
    now = EnvironmentReading(
        spot.place_id, weather_of(forecast.current.weather_code), forecast.current.temperature_2m, expires=expires
    )
    hourly = forecast.hourly
    if not len(hourly.time) == len(hourly.temperature_2m) == len(hourly.weather_code):
        raise Unavailable(f"the forecast of {spot.place_id} has hours without values")
    hours = (
        EnvironmentReading(spot.place_id, weather_of(code), temperature, hour=time * NS_PER_SECOND // NS_PER_HOUR)
        for time, temperature, code in zip(hourly.time, hourly.temperature_2m, hourly.weather_code, strict=True)
    )
    this_hour = now_ns // NS_PER_HOUR
    return [now, *(reading for reading in hours if reading.hour >= this_hour)]
