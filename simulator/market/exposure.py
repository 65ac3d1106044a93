"""The impressions of a made world: a mixed random and popular policy showed ads, people clicked by the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.catalogue import Creative
from ...core.clock import NS_PER_HOUR
from .climate import WEATHERS
from .market_prices import PriceModel
from .truth import THEMES, Showing, Truth

RANDOM_SHARE = 0.5  # ours: half the log shows any item, so that no item is unseen; the other half shows popular ones
DEVICE_TYPES = (4, 2, 5)  # AdCOM: phone, personal computer, tablet
DEVICE_SHARES = (0.72, 0.22, 0.06)
OS_OF_DEVICE = {4: ("android", "ios"), 2: ("windows", "macos"), 5: ("ios", "android")}
DOMAINS = 40  # ours: sites and apps of the world
POSITIONS = 4  # ours: 0 unknown, 1 above the fold, 2 and 3 further down


@dataclass(frozen=True, slots=True)
class Audience:
    """[B] moments at which somebody sees a slot, before anything is put into it."""

    user: npt.NDArray[np.int64]
    event_time: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    device: npt.NDArray[np.int64]  # AdCOM's device type
    domain: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]

    def os(self) -> npt.NDArray[np.str_]:
        """[B] the operating system, which follows from device and user."""
        names = np.array([OS_OF_DEVICE[device] for device in sorted(OS_OF_DEVICE)])
        return names[np.searchsorted(sorted(OS_OF_DEVICE), self.device), self.user % 2]


def draw_audience(
    truth: Truth,
    size: int,
    hours: range,
    hour_profile: npt.NDArray[np.float64],
    devices: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> Audience:
    """Moments in the given hours of the climate: active users more, busy hours and crowded places more."""
    by_place = truth.climate.crowd[:, hours.start : hours.stop].astype(np.float64)
    demand = hour_profile[np.arange(hours.start, hours.stop) % 24] * np.sqrt(by_place)  # [P, H]
    place_weight = np.bincount(truth.user_place, weights=truth.user_activity, minlength=len(demand))
    joint = (demand * place_weight[:, None]).ravel()
    spots = rng.choice(joint.size, size, p=joint / joint.sum())
    place, hour = np.divmod(spots, len(hours))
    user = _users_of_places(truth, place, rng)
    event_time = truth.climate.start + (hour + hours.start) * NS_PER_HOUR + rng.integers(0, NS_PER_HOUR, size)
    order = np.argsort(event_time, kind="stable")
    domain = (DOMAINS * rng.random(size) ** 2).astype(np.int64)  # the first domains are the large ones
    position = rng.integers(0, POSITIONS, size)
    return Audience(
        user[order], event_time[order], hour[order] + hours.start, place[order], devices[user[order]], domain, position
    )


def _users_of_places(truth: Truth, place: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """[B] a user at home in each place, drawn by activity."""
    order = np.argsort(truth.user_place, kind="stable")
    home = truth.user_place[order].astype(np.int64)
    activity = truth.user_activity[order].astype(np.float64)
    totals = np.bincount(home, weights=activity, minlength=int(place.max()) + 1)
    starts = np.concatenate([[0.0], np.cumsum(totals)[:-1]])
    ladder = (np.cumsum(activity) - starts[home]) / totals[home] + home
    spots = np.searchsorted(ladder, place + rng.random(place.size), side="left")
    return order[np.minimum(spots, order.size - 1)]


@dataclass(frozen=True, slots=True)
class Exposure:
    """The log before outcomes: [B] moments with what was shown."""

    audience: Audience
    creative: npt.NDArray[np.int64]
    shown: Showing


def draw_exposure(
    truth: Truth, audience: Audience, creatives: Sequence[Creative], items: dict[str, int], rng: np.random.Generator
) -> Exposure:
    """Puts a random creative of a random or popular item before each pair of eyes."""
    owner = np.array([items[creative.item_id] for creative in creatives])
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], np.arange(len(items)))
    count = np.bincount(owner, minlength=len(items))
    size = audience.user.size
    weight = truth.item_weight.astype(np.float64)
    popular = rng.choice(len(items), size, p=weight / weight.sum())
    item = np.where(rng.random(size) < RANDOM_SHARE, rng.integers(0, len(items), size), popular)
    creative = order[first[item] + rng.integers(0, count[item])]
    theme = np.array([THEMES.index(entry.theme) for entry in creatives])[creative]
    shown = Showing(
        audience.user, item, theme, audience.place, audience.hour, audience.position, phone=audience.device == 4
    )
    return Exposure(audience, creative, shown)


def impression_columns(
    truth: Truth,
    exposure: Exposure,
    creatives: Sequence[Creative],
    user_ids: Sequence[str],
    prices: PriceModel,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The columns of the log `impressions`: what was shown, at what price, and what came of it."""
    audience, shown = exposure.audience, exposure.shown
    clicked = rng.random(shown.user.size) < truth.p_click(shown)
    converted = clicked & (rng.random(shown.user.size) < truth.p_convert(shown))
    climate = truth.climate
    entries = [creatives[index] for index in exposure.creative.tolist()]
    return {
        "event_time": audience.event_time,
        "user_id": np.array(user_ids)[audience.user],
        "item_id": [entry.item_id for entry in entries],
        "creative_id": [entry.creative_id for entry in entries],
        "campaign_id": [entry.campaign_id for entry in entries],
        "place_id": np.array(climate.place_ids)[audience.place],
        "device_type": audience.device,
        "os": audience.os(),
        "domain": domain_names()[audience.domain],
        "width": [entry.size.width for entry in entries],
        "height": [entry.size.height for entry in entries],
        "position": audience.position,
        "weather": np.array([str(weather) for weather in WEATHERS])[climate.weather[audience.place, audience.hour]],
        "temperature_c": climate.temperature_c[audience.place, audience.hour],
        "crowd": climate.crowd[audience.place, audience.hour],
        "clearing_price_micros": prices.draw(audience.domain, audience.place, audience.hour, rng),
        "clicked": clicked,
        "converted": converted,
    }


def domain_names() -> npt.NDArray[np.str_]:
    """[DOMAINS] the world's sites."""
    return np.array([f"site{number:02d}.example" for number in range(DOMAINS)])
