"""The requests of a made world: a day of slots with an evening peak, floors, and what the market paid for each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.money import CPM_STEP_MICROS
from .climate import PLACES
from .exposure import Audience, domain_names
from .figures import FREE_FLOOR_SHARE
from .market_prices import PriceModel

# ours: what phones and web pages of today ask for; every size has creatives.
SLOTS = (("banner", 320, 50), ("banner", 300, 250), ("banner", 728, 90), ("native", 0, 0))
SLOT_SHARES_PHONE = (0.55, 0.25, 0.0, 0.20)
SLOT_SHARES_WIDE = (0.0, 0.45, 0.40, 0.15)
AGENTS = {"android": "Mozilla/5.0 (Linux; Android 15)", "ios": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0)",
          "windows": "Mozilla/5.0 (Windows NT 10.0)", "macos": "Mozilla/5.0 (Macintosh)"}  # fmt: skip


def traffic_columns(
    audience: Audience, user_ids: Sequence[str], prices: PriceModel, rng: np.random.Generator
) -> dict[str, Any]:
    """The columns of the log `traffic`."""
    size = audience.user.size
    market = prices.draw(audience.domain, audience.place, audience.hour, rng)
    # ours: publishers ask for 10 to 60 % of what the slot fetches; 36 % ask for nothing, as in campaign 2259.
    floors = np.where(rng.random(size) < FREE_FLOOR_SHARE, 0.0, market * rng.uniform(0.1, 0.6, size))
    slots = _slots(audience.device == 4, rng)
    formats, widths, heights = zip(*SLOTS, strict=True)
    os = audience.os()
    domains = domain_names()[audience.domain]
    countries = np.array([place.country for place, _ in PLACES])
    regions = np.array([place.region for place, _ in PLACES])
    cities = np.array([place.city for place, _ in PLACES])
    return {
        "event_time": audience.event_time,
        "request_id": [f"r{number:07d}" for number in range(size)],
        "user_id": np.array(user_ids)[audience.user],
        "country": countries[audience.place],
        "region": regions[audience.place],
        "city": cities[audience.place],
        "device_type": audience.device,
        "os": os,
        "user_agent": [AGENTS[name] for name in os],
        "domain": domains,
        "publisher_id": np.array([f"p{number % 7}" for number in range(len(domain_names()))])[audience.domain],
        "format": np.array(formats)[slots],
        "width": np.array(widths)[slots],
        "height": np.array(heights)[slots],
        "position": audience.position,
        "placement": [f"{domain}/{position}" for domain, position in zip(domains, audience.position, strict=True)],
        "reserve_price_micros": (floors // CPM_STEP_MICROS).astype(np.int64) * CPM_STEP_MICROS,
        "market_price_micros": market,
    }


def _slots(phone: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """[B] index into SLOTS."""
    draws = rng.random(phone.size)
    narrow = np.searchsorted(np.cumsum(SLOT_SHARES_PHONE), draws, side="right")
    wide = np.searchsorted(np.cumsum(SLOT_SHARES_WIDE), draws, side="right")
    return np.minimum(np.where(phone, narrow, wide), len(SLOTS) - 1)
