"""What weather, temperature and crowd do to an ad's clicks: learned factors, exactly 1.0 wherever nothing was
proven.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from ..core.environment import Environment, Weather

ANY_THEME = "*"

# Twice or half as many clicks is a strong effect of weather; beyond this a factor is a freak of few clicks.
LIFT_BOUNDS = (0.2, 5.0)

UNBOUNDED = 1e9  # no reading is as large, and unlike infinity it can be written in JSON


class Reading(StrEnum):
    """What a condition looks at."""

    WEATHER = "weather"
    TEMPERATURE = "temperature"
    CROWD = "crowd"


@dataclass(frozen=True, slots=True)
class Condition:
    """A yes-or-no question to an environment. An unknown reading answers no."""

    name: str
    reading: Reading
    weather: Weather = Weather.UNKNOWN
    at_least: float = -UNBOUNDED
    at_most: float = UNBOUNDED

    def holds(self, environment: Environment) -> bool:
        """Whether it is so there and then."""
        if self.reading is Reading.WEATHER:
            return environment.weather == self.weather
        value = environment.temperature_c if self.reading is Reading.TEMPERATURE else environment.crowd
        return value is not None and self.at_least <= value <= self.at_most

    def mask(
        self,
        weather: npt.NDArray[np.str_],
        temperature_c: npt.NDArray[np.float64],
        crowd: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.bool_]:
        """[R] the same of R rows of a log, where NaN is an unknown reading."""
        if self.reading is Reading.WEATHER:
            return np.asarray(weather == self.weather.value)
        value = temperature_c if self.reading is Reading.TEMPERATURE else crowd
        return np.asarray((value >= self.at_least) & (value <= self.at_most))


# Temperatures a person would call by these names; several steps, so that an effect finds the one nearest to where it
# sets in.
CONDITIONS = (
    Condition("rain", Reading.WEATHER, weather=Weather.RAIN),
    Condition("snow", Reading.WEATHER, weather=Weather.SNOW),
    Condition("sun", Reading.WEATHER, weather=Weather.SUN),
    Condition("warm", Reading.TEMPERATURE, at_least=22.0),
    Condition("hot", Reading.TEMPERATURE, at_least=28.0),
    Condition("cool", Reading.TEMPERATURE, at_most=10.0),
    Condition("cold", Reading.TEMPERATURE, at_most=4.0),
    Condition("busy", Reading.CROWD, at_least=1.25),
    Condition("crowded", Reading.CROWD, at_least=1.6),
)


@dataclass(frozen=True, slots=True)
class Lift:
    """One proven effect: in `condition`, ads of `category` (and `theme`, unless that is ANY_THEME) get `factor` times
    the clicks they get without it. `z` and the counts are the evidence."""

    category: str
    theme: str
    condition: str
    factor: float
    z: float
    clicks: float
    expected: float


class Lifts:
    """Answers what the environment does to an ad; categories and themes without a proven effect have exactly 1.0."""

    def __init__(self, lifts: Sequence[Lift], conditions: Sequence[Condition] = CONDITIONS) -> None:
        self.all = tuple(lifts)
        self._conditions = tuple(conditions)
        self._factors = {(lift.category, lift.theme, lift.condition): lift.factor for lift in lifts}

    def holding(self, environment: Environment) -> tuple[str, ...]:
        """The names of the conditions that hold."""
        return tuple(condition.name for condition in self._conditions if condition.holds(environment))

    def factor(self, category: str, theme: str, holding: Sequence[str]) -> float:
        """The product of the effects proven for this category (its whole path) and theme while `holding` holds."""
        if not self._factors or not holding:
            return 1.0
        factor = 1.0
        for condition in holding:
            factor *= self._factors.get((category, ANY_THEME, condition), 1.0)
            factor *= self._factors.get((category, theme, condition), 1.0)
        return min(max(factor, LIFT_BOUNDS[0]), LIFT_BOUNDS[1])


def category_path(category: Sequence[str]) -> str:
    """A category's whole path as one name."""
    return "/".join(category)
