"""Places and their hourly weather and crowd: a seeded Markov chain with the shape of Seattle's figures."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ...core.clock import NS_PER_HOUR
from ...core.environment import Environment, Weather
from ...core.request import Place
from .figures import (
    SEATTLE_HOUR_SHAPE,
    SEATTLE_SWING_DRY_C,
    SEATTLE_SWING_WET_C,
    SEATTLE_WET_AFTER_DRY,
    SEATTLE_WET_AFTER_WET,
    SEATTLE_WET_SHARE,
)

WEATHERS = (Weather.SUN, Weather.CLOUDS, Weather.RAIN, Weather.SNOW)
SUN, CLOUDS, RAIN, SNOW = range(4)
RAIN_HOURS_OF_WET_DAY = 0.45  # ours: the daily figures say whether it rained, not for how long
RAIN_GOES_ON = 0.8  # ours: rain comes in spells of five hours on average

# Twelve places with a usual temperature from cold to hot, so that every kind of weather happens somewhere.
PLACES = (
    (Place("CN", "heilongjiang", "harbin", 45.80, 126.53), 1.0),
    (Place("CN", "beijing", "beijing", 39.90, 116.41), 9.0),
    (Place("CN", "shaanxi", "xian", 34.34, 108.94), 12.0),
    (Place("CN", "shanghai", "shanghai", 31.23, 121.47), 17.0),
    (Place("CN", "sichuan", "chengdu", 30.57, 104.07), 16.0),
    (Place("CN", "guangdong", "guangzhou", 23.13, 113.26), 25.0),
    (Place("CN", "guangdong", "shenzhen", 22.54, 114.06), 26.0),
    (Place("CN", "hainan", "sanya", 18.25, 109.51), 29.0),
    (Place("US", "wa", "seattle", 47.61, -122.33), 12.3),
    (Place("GB", "eng", "london", 51.51, -0.13), 11.0),
    (Place("SG", "sg", "singapore", 1.35, 103.82), 28.0),
    (Place("US", "tx", "austin", 30.27, -97.74), 24.0),
)


@dataclass(frozen=True, slots=True)
class Climate:
    """What it is like by place and hour, from `start` (ns UTC, a full hour) on. Later hours than known hold the last
    one."""

    start: int
    place_ids: tuple[str, ...]
    weather: npt.NDArray[np.int8]  # [P, H] index into WEATHERS
    temperature_c: npt.NDArray[np.float32]  # [P, H]
    crowd: npt.NDArray[np.float32]  # [P, H], 1.0 = usual

    @property
    def hours(self) -> int:
        """H, the number of hours known."""
        return int(self.weather.shape[1])

    def hour_of(self, event_time: int) -> int:
        """The column of a time, kept inside what is known."""
        return min(max((event_time - self.start) // NS_PER_HOUR, 0), self.hours - 1)

    def place_index(self, place_id: str) -> int | None:
        """The row of a place, None for one this climate does not know."""
        return self.place_ids.index(place_id) if place_id in self.place_ids else None

    def at(self, place_id: str, event_time: int) -> Environment:
        """The true environment of a place; all unknown for a strange place."""
        place = self.place_index(place_id)
        if place is None:
            return Environment(place_id)
        hour = self.hour_of(event_time)
        return Environment(
            place_id,
            WEATHERS[int(self.weather[place, hour])],
            round(float(self.temperature_c[place, hour]), 1),
            round(float(self.crowd[place, hour]), 2),
            event_time=self.start + hour * NS_PER_HOUR,
        )

    def with_rain(self, place_id: str, from_time: int, hours: int) -> "Climate":
        """The same climate, but raining in one place for some hours."""
        return self._with_shock(place_id, from_time, hours, weather=RAIN)

    def with_crowd(self, place_id: str, from_time: int, hours: int, crowd: float) -> "Climate":
        """The same climate, but with that much crowd in one place for some hours."""
        return self._with_shock(place_id, from_time, hours, crowd=crowd)

    def _with_shock(
        self, place_id: str, from_time: int, hours: int, weather: int | None = None, crowd: float | None = None
    ) -> "Climate":
        place = self.place_ids.index(place_id)
        first = self.hour_of(from_time)
        skies, people = self.weather.copy(), self.crowd.copy()
        if weather is not None:
            skies[place, first : first + hours] = weather
        if crowd is not None:
            people[place, first : first + hours] = crowd
        return replace(self, weather=skies, crowd=people)


def make_climate(start: int, days: int, hour_profile: npt.NDArray[np.float64], rng: np.random.Generator) -> Climate:
    """Hourly weather, temperature and crowd of PLACES for some days; `hour_profile` [24] is people's usual day, mean
    1."""
    places, hours = len(PLACES), days * 24
    wet = _wet_days(places, days, rng)  # [P, D]
    raining = _rain_hours(np.repeat(wet, 24, axis=1), rng)  # [P, H]
    cloudy = rng.random((places, days)) < np.where(wet, 1.0, 0.35)
    usual = np.array([temperature for _, temperature in PLACES])[:, None]
    anomaly = np.zeros((places, days))
    steps = rng.normal(0.0, 1.6, (places, days))  # ours: a day differs from the day before by about 1.6 °C
    for day in range(days):
        anomaly[:, day] = 0.7 * (anomaly[:, day - 1] if day else 0.0) + steps[:, day]
    swing = np.where(wet, SEATTLE_SWING_WET_C, SEATTLE_SWING_DRY_C)
    shape = np.tile(np.array(SEATTLE_HOUR_SHAPE), days) - 0.5
    temperature = usual + np.repeat(anomaly, 24, axis=1) + np.repeat(swing, 24, axis=1) * shape
    weather = np.where(np.repeat(cloudy, 24, axis=1), CLOUDS, SUN)
    weather = np.where(raining, np.where(temperature < 0.0, SNOW, RAIN), weather)
    busy_days = 1.0 + 0.9 * (
        rng.random((places, days)) < 0.2
    )  # ours: one day in five there is a fair, a match, a holiday
    crowd = np.tile(0.6 + 0.4 * hour_profile, days) * np.repeat(busy_days, 24, axis=1)
    crowd = crowd * rng.lognormal(0.0, 0.1, (places, hours)) * np.where(raining, 0.7, 1.0)
    return Climate(
        start,
        tuple(place.place_id for place, _ in PLACES),
        weather.astype(np.int8),
        np.round(temperature, 1).astype(np.float32),
        np.round(crowd, 2).astype(np.float32),
    )


def _wet_days(places: int, days: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    draws = rng.random((places, days))
    wet = np.zeros((places, days), dtype=np.bool_)
    wet[:, 0] = draws[:, 0] < SEATTLE_WET_SHARE
    for day in range(1, days):
        wet[:, day] = draws[:, day] < np.where(wet[:, day - 1], SEATTLE_WET_AFTER_WET, SEATTLE_WET_AFTER_DRY)
    return wet


def _rain_hours(wet: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """[P, H]: a two-state chain inside wet days whose stationary share is RAIN_HOURS_OF_WET_DAY."""
    starts = (1.0 - RAIN_GOES_ON) * RAIN_HOURS_OF_WET_DAY / (1.0 - RAIN_HOURS_OF_WET_DAY)
    draws = rng.random(wet.shape)
    raining = np.zeros(wet.shape, dtype=np.bool_)
    for hour in range(wet.shape[1]):
        before = raining[:, hour - 1] if hour else np.zeros(wet.shape[0], dtype=np.bool_)
        raining[:, hour] = wet[:, hour] & (draws[:, hour] < np.where(before, RAIN_GOES_ON, starts))
    return raining
