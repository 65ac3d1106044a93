"""A small marketplace made here: eight categories, six days of impressions, and one known effect of rain."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from adgram.core.catalogue import Advertiser, Campaign, Creative, Item, Objective, Offer
from adgram.core.clock import NS_PER_HOUR
from adgram.core.marketplace import Manifest, Marketplace, User, write_entities, write_log, write_manifest
from adgram.core.money import from_units
from adgram.core.request import AdFormat, Place, Size
from adgram.discriminative.training import ScorerReport, fit

CATEGORIES = tuple(("Shop", name) for name in ("Umbrellas", "Lamps", "Books", "Shoes", "Tea", "Toys", "Cups", "Maps"))
PLACES = (Place("CN", "x", "wet"), Place("CN", "x", "dry"), Place("CN", "y", "mild"))
DAYS, ROWS, ITEMS, USERS = 6, 40_000, 160, 300
START = 20_000 * 24 * NS_PER_HOUR
RAIN_LIFT, THEME_LIFT = 1.8, 1.5


@dataclass(frozen=True)
class Trained:
    """A marketplace with the scorer trained on it."""

    marketplace: Marketplace
    folder: Path
    report: ScorerReport


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The marketplace above, and a scorer trained on it once for all tests."""
    folder = tmp_path_factory.mktemp("market")
    write_marketplace(folder, seed=5)
    marketplace = Marketplace(folder)
    models = tmp_path_factory.mktemp("models") / "scorer"
    return Trained(marketplace, models, fit(marketplace, models, seed=1))


def write_marketplace(folder: Path, seed: int, rain_matters: bool = True) -> None:
    """Afterwards `folder` is a marketplace where rain lifts Umbrellas, their rain scenes once more, nothing else."""
    rng = np.random.default_rng(seed)
    items = [
        Item(f"i{n}", f"thing {n}", CATEGORIES[n % 8], f"brand{n % 5}", popularity=float(rng.pareto(1.2)))
        for n in range(ITEMS)
    ]
    creatives = [
        Creative(
            f"k{n}-{theme}",
            f"i{n}",
            f"c{n % 8}",
            AdFormat.BANNER,
            Size(300, 250),
            f"thing {n}",
            "a thing",
            "https://a.example/",
            "a.example",
            ("IAB22",),
            theme,
        )
        for n in range(ITEMS)
        for theme in (("plain", "rain") if n % 8 == 0 else ("plain",))
    ]
    by_item: dict[int, list[Creative]] = {}
    for creative in creatives:
        by_item.setdefault(int(creative.item_id[1:]), []).append(creative)
    hour = np.sort(rng.integers(0, DAYS * 24, ROWS))
    place = rng.integers(0, len(PLACES), ROWS)
    raining = rng.random((len(PLACES), DAYS * 24)) < np.array([0.5, 0.05, 0.25])[:, None]
    temperature = np.where(raining, 12.0, 18.0) + rng.normal(
        0, 6, raining.shape
    )  # rain is cooler: a trap for the lifts
    wet = raining[place, hour]
    user = rng.integers(0, USERS, ROWS)
    taste = rng.integers(0, 8, USERS)
    item = np.where(rng.random(ROWS) < 0.4, rng.integers(0, ITEMS // 8, ROWS) * 8, rng.integers(0, ITEMS, ROWS))
    quality = rng.normal(0, 0.4, ITEMS)
    shown = [by_item[n][rng.integers(len(by_item[n]))] for n in item.tolist()]
    themed = np.array([creative.theme == "rain" for creative in shown])
    odds = -1.9 + quality[item] + 0.9 * (taste[user] == item % 8)
    p_click = 1 / (1 + np.exp(-odds))
    if rain_matters:
        p_click *= np.where(wet & (item % 8 == 0), RAIN_LIFT * np.where(themed, THEME_LIFT, 1.0), 1.0)
    clicked = rng.random(ROWS) < np.minimum(p_click, 0.95)
    converted = clicked & (rng.random(ROWS) < 0.1 + 0.1 * (quality[item] > 0))
    time = START + hour * NS_PER_HOUR + rng.integers(0, NS_PER_HOUR, ROWS)
    liked = rng.integers(0, DAYS * 24, 6000)
    liker = rng.integers(0, USERS, 6000)
    write_entities(folder, "items", items)
    write_entities(folder, "offers", [Offer(f"i{n}", from_units(5 + n % 50, "CNY"), 100) for n in range(ITEMS)])
    write_entities(folder, "creatives", creatives)
    write_entities(folder, "campaigns", campaigns())
    write_entities(folder, "advertisers", [Advertiser("a0", "A", "a.example")])
    write_entities(folder, "places", PLACES)
    write_entities(folder, "users", [User(f"u{n}") for n in range(USERS)])
    write_log(
        folder,
        "impressions",
        {
            "event_time": time,
            "user_id": [f"u{n}" for n in user],
            "item_id": [f"i{n}" for n in item],
            "creative_id": [creative.creative_id for creative in shown],
            "campaign_id": [creative.campaign_id for creative in shown],
            "place_id": [PLACES[n].place_id for n in place],
            "device_type": rng.choice([2, 4], ROWS),
            "os": ["ios"] * ROWS,
            "domain": [f"site{n}.example" for n in rng.integers(0, 6, ROWS)],
            "width": [300] * ROWS,
            "height": [250] * ROWS,
            "position": rng.integers(0, 3, ROWS),
            "weather": np.where(wet, "rain", "clouds"),
            "temperature_c": temperature[place, hour],
            "crowd": np.ones(ROWS),
            "clearing_price_micros": [1000] * ROWS,
            "clicked": clicked,
            "converted": converted,
        },
    )
    write_log(
        folder,
        "interactions",
        {
            "event_time": START + liked * NS_PER_HOUR + rng.integers(0, NS_PER_HOUR, 6000),
            "user_id": [f"u{n}" for n in liker],
            "item_id": [f"i{n}" for n in taste[liker] + 8 * rng.integers(0, ITEMS // 8, 6000)],
            "kind": ["click"] * 6000,
        },
    )
    write_manifest(folder, Manifest("tiny", "CNY", "made by a test", seed))


def campaigns() -> list[Campaign]:
    """One campaign a category."""
    bid, budget = from_units(1, "CNY"), from_units(1000, "CNY")
    return [Campaign(f"c{n}", "a0", Objective.CLICK, bid, budget) for n in range(8)]
