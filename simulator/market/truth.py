"""The latent truth of a made world: who likes what, how much weather matters, and thereby how likely a click is.

Nothing here is observable by an engine: interests, qualities, sensitivities and theme effects reach it only through
what people do. `World` in the simulator and the maker of the logs share this one model.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import MarketplaceError
from .climate import RAIN, Climate

THEMES = ("plain", "rain", "heat")
# ours: a scene that fits the weather lifts the click probability by 35 %, one that does not lowers it by 25 %.
THEME_FITS, THEME_CLASHES = 1.35, 0.75
HOT_C = 25.0  # from here on the heat scene fits
WARM_FROM_C, COLD_FROM_C, DEGREES_PER_UNIT = 20.0, 10.0, 8.0
# ours: on the logit. Affinity and quality dominate, so that a good guess at interests pays.
AFFINITY_WEIGHT, QUALITY_WEIGHT, POSITION_WEIGHT, PHONE_WEIGHT = 1.0, 0.45, -0.12, 0.15
CONVERSION_AFFINITY, CONVERSION_QUALITY = 0.5, 0.5
CONVERSION_RATE = 0.08  # ours: conversions per click, no source
VISIT_RATE = 0.05  # ours: visits to a shop per click at the usual crowd, no source
MAX_PROBABILITY = 0.95

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Showing:
    """[B] impressions by index: who saw which item, in which scene, where and when."""

    user: Ints
    item: Ints
    theme: Ints  # index into THEMES
    place: Ints
    hour: Ints  # since the climate's start
    position: Ints
    phone: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """[B] each: the environment of impressions."""

    raining: npt.NDArray[np.bool_]
    temperature_c: Floats
    crowd: Floats


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything latent, with U users, I items, C kinds, D days and width d."""

    climate: Climate
    user_vectors: npt.NDArray[np.float32]  # [U, D, d]
    user_kinds: npt.NDArray[np.int16]  # [U, D, 3] kinds a user cares about that day
    user_activity: npt.NDArray[np.float32]  # [U] relative
    user_place: npt.NDArray[np.int16]  # [U]
    item_vectors: npt.NDArray[np.float32]  # [I, d]
    item_quality: npt.NDArray[np.float32]  # [I]
    item_appeal: npt.NDArray[np.float32]  # [I] quality once clicked
    item_weight: npt.NDArray[np.float32]  # [I] intended popularity ÷ mean
    item_kind: npt.NDArray[np.int16]  # [I]
    item_next: npt.NDArray[np.int32]  # [I, 6] items often taken after this one
    sensitivity: npt.NDArray[np.float32]  # [C, 4] rain, heat, cold, crowd
    click_intercept: float = 0.0
    convert_intercept: float = 0.0

    def p_click(self, shown: Showing) -> Floats:
        """[B] the probability that each impression is clicked."""
        return _clicked(self.click_intercept + self._click_logit(shown), self._theme_factor(shown))

    def _click_logit(self, shown: Showing) -> Floats:
        logit: Floats = (
            AFFINITY_WEIGHT * self._affinity(shown)
            + QUALITY_WEIGHT * self.item_quality[shown.item]
            + POSITION_WEIGHT * shown.position
            + PHONE_WEIGHT * shown.phone
            + _pull(self.sensitivity[self.item_kind[shown.item]], self._surroundings(shown.place, shown.hour))
        )
        return logit

    def p_convert(self, shown: Showing) -> Floats:
        """[B] the probability that a click on each becomes a conversion."""
        return _sigmoid(self.convert_intercept + self._convert_logit(shown))

    def _convert_logit(self, shown: Showing) -> Floats:
        quality = self.item_appeal[shown.item].astype(np.float64)
        return CONVERSION_AFFINITY * self._affinity(shown) + CONVERSION_QUALITY * quality

    def p_visit(self, shown: Showing) -> Floats:
        """[B] the probability that a click on each becomes a visit to a shop: more where the crowd is, fewer in
        rain."""
        now = self._surroundings(shown.place, shown.hour)
        return np.minimum(VISIT_RATE * now.crowd * np.where(now.raining, 0.6, 1.0), MAX_PROBABILITY)

    def kind_pull(self, place: Ints, hour: Ints) -> Floats:
        """[B, C] how much weather and crowd at these places and hours draw people to each kind, on the logit."""
        now = self._surroundings(place, hour)
        return np.stack([_pull(kind[None, :], now) for kind in self.sensitivity], axis=1)

    def _surroundings(self, place: Ints, hour: Ints) -> "_Surroundings":
        inside = np.minimum(hour, self.climate.hours - 1)
        return _Surroundings(
            self.climate.weather[place, inside] == RAIN,
            self.climate.temperature_c[place, inside].astype(np.float64),
            self.climate.crowd[place, inside].astype(np.float64),
        )

    def _affinity(self, shown: Showing) -> Floats:
        day = np.minimum(shown.hour // 24, self.user_vectors.shape[1] - 1)
        users = self.user_vectors[shown.user, day]
        affinity: Floats = np.einsum("bd,bd->b", users, self.item_vectors[shown.item]).astype(np.float64)
        return affinity

    def _theme_factor(self, shown: Showing) -> Floats:
        now = self._surroundings(shown.place, shown.hour)
        fits = np.where(shown.theme == THEMES.index("rain"), now.raining, now.temperature_c >= HOT_C)
        factor: Floats = np.where(shown.theme == 0, 1.0, np.where(fits, THEME_FITS, THEME_CLASHES))
        return factor

    def calibrated(self, shown: Showing, click_rate: float) -> "Truth":
        """The same truth with intercepts such that these impressions have that mean click probability (and
        CONVERSION_RATE)."""
        logit, factor = self._click_logit(shown), self._theme_factor(shown)
        click = _bisect(lambda intercept: float(_clicked(intercept + logit, factor).mean()), click_rate)
        weights, converting = _clicked(click + logit, factor), self._convert_logit(shown)
        convert = _bisect(lambda x: float(np.average(_sigmoid(x + converting), weights=weights)), CONVERSION_RATE)
        return replace(self, click_intercept=click, convert_intercept=convert)

    def save(self, folder: Path) -> None:
        """Afterwards `folder` holds this truth."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "climate"}
        climate = {f"climate_{field.name}": getattr(self.climate, field.name) for field in fields(Climate)}
        np.savez(folder / "truth.npz", **arrays, **climate)

    @classmethod
    def load(cls, folder: Path) -> "Truth":
        """The truth saved in `folder`; MarketplaceError where there is none."""
        try:
            with np.load(folder / "truth.npz") as stored:
                values: dict[str, Any] = {name: stored[name] for name in stored.files}
        except OSError as error:
            problem = f"no truth in {folder}; only marketplaces of `adgram world` have one"
            raise MarketplaceError(problem) from error
        climate = Climate(
            start=int(values.pop("climate_start")),
            place_ids=tuple(str(place) for place in values.pop("climate_place_ids")),
            weather=values.pop("climate_weather"),
            temperature_c=values.pop("climate_temperature_c"),
            crowd=values.pop("climate_crowd"),
        )
        click, convert = float(values.pop("click_intercept")), float(values.pop("convert_intercept"))
        return cls(climate=climate, click_intercept=click, convert_intercept=convert, **values)


def warmth(temperature_c: Floats) -> Floats:
    """0 below WARM_FROM_C, rising by one for every DEGREES_PER_UNIT above it."""
    return np.maximum(temperature_c - WARM_FROM_C, 0.0) / DEGREES_PER_UNIT


def coldness(temperature_c: Floats) -> Floats:
    """0 above COLD_FROM_C, rising by one for every DEGREES_PER_UNIT below it."""
    return np.maximum(COLD_FROM_C - temperature_c, 0.0) / DEGREES_PER_UNIT


def _pull(sensitivity: npt.NDArray[np.float32], now: _Surroundings) -> Floats:
    """[B] what weather and crowd add to the logit, with [B or 1, 4] sensitivities to rain, heat, cold and crowd."""
    rain, heat, cold, crowd = sensitivity.astype(np.float64).T
    pull: Floats = (
        rain * now.raining
        + heat * warmth(now.temperature_c)
        + cold * coldness(now.temperature_c)
        + crowd * (now.crowd - 1.0)
    )
    return pull


def _clicked(logit: Floats, theme_factor: Floats) -> Floats:
    return np.minimum(_sigmoid(logit) * theme_factor, MAX_PROBABILITY)


def _sigmoid(logit: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-logit))


def _bisect(mean_at: Callable[[float], float], target: float) -> float:
    low, high = -12.0, 6.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_at(middle) < target else (low, middle)
    return (low + high) / 2
