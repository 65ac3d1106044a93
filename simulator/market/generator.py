"""Writes a whole made marketplace: what a platform could observe, and the latent truth beside it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ...core.clock import NS_PER_HOUR
from ...core.marketplace import Manifest, User, write_entities, write_log, write_manifest
from .catalogue import CURRENCY, FORBIDDEN_SHARE, Catalogue, make_catalogue, order_rule
from .climate import PLACES, WEATHERS, Climate, make_climate
from .exposure import DEVICE_SHARES, DEVICE_TYPES, DOMAINS, draw_audience, draw_exposure, impression_columns
from .figures import AVAZU_CLICK_RATE
from .journeys import Journeys, make_journeys
from .market_prices import PriceModel
from .measures import popularity_tail, quantiles
from .needs import FITTING, OWN_LANGUAGE, UNASKED_SHARE, Searches, make_searches
from .orders import OFFER_RULE
from .tastes import TasteSettings, make_truth
from .traffic import traffic_columns
from .truth import Truth

TRUTH = "truth"
START = 1_794_787_200_000_000_000  # 2026-11-16 00:00 UTC, a Monday; fixed, so that a seed alone decides a world
# ours: people's usual day in UTC hours with a peak in the evening of most of the world's places; mean 1.
_DAY = (
    0.9,
    0.7,
    0.5,
    0.4,
    0.35,
    0.4,
    0.5,
    0.7,
    0.9,
    1.0,
    1.1,
    1.3,
    1.5,
    1.4,
    1.1,
    1.0,
    1.0,
    1.1,
    1.3,
    1.6,
    2.0,
    2.1,
    1.7,
    1.2,
)


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """How large a world to make. Logs cover `days` days; the traffic is the day after them. `new_items` of the items
    are launched with the traffic: no log knows them."""

    seed: int = 1
    items: int = 2000
    users: int = 2000
    days: int = 7
    impressions: int = 150_000
    requests: int = 30_000
    start: int = START
    new_items: int = 0
    searches: int = 20_000


def make_world(settings: WorldSettings, folder: Path, step: Callable[[str], None]) -> Manifest:
    """Afterwards `folder` is a marketplace with its truth in `truth/`: the same settings give the same bytes.

    Args:
        step: told what is being made, before each part.
    """
    rngs = [np.random.default_rng(seed) for seed in np.random.SeedSequence(settings.seed).spawn(9)]
    profile = np.array(_DAY) / np.mean(_DAY)
    step("places and weather")
    climate = make_climate(settings.start, settings.days + 1, profile, rngs[0])
    step("interests")
    truth = make_truth(TasteSettings(settings.items, settings.users, settings.days + 1), climate, rngs[1])
    step("catalogue")
    catalogue = make_catalogue(truth, order_rule(settings.requests, climate.place_ids), rngs[2])
    devices = rngs[3].choice(DEVICE_TYPES, settings.users, p=DEVICE_SHARES)
    user_ids = [f"u{number:06d}" for number in range(settings.users)]
    step("interactions")
    launched = np.ones(settings.items, dtype=np.bool_)
    launched[rngs[7].choice(settings.items, settings.new_items, replace=False)] = False
    journeys = make_journeys(truth, settings.days, profile, rngs[3]).only(launched)
    counts = np.bincount(journeys.item, minlength=settings.items)
    catalogue = _with_popularity(catalogue, counts)
    step("searches")
    searches = make_searches(truth, catalogue.products, launched, settings.searches, settings.days, rngs[8])
    step("impressions")
    items = {item.item_id: index for index, item in enumerate(catalogue.items)}
    past = range(settings.days * 24)
    audience = draw_audience(truth, settings.impressions, past, profile, devices, rngs[4])
    exposure = draw_exposure(truth, audience, catalogue.creatives, items, rngs[4])
    truth = truth.calibrated(exposure.shown, AVAZU_CLICK_RATE)
    prices = PriceModel.make(DOMAINS, len(PLACES), rngs[5])
    impressions = impression_columns(truth, exposure, catalogue.creatives, user_ids, prices, rngs[4])
    if settings.new_items:
        seen = launched[exposure.shown.item]
        impressions = {name: np.asarray(column)[seen] for name, column in impressions.items()}
    step("traffic")
    today = range(past.stop, past.stop + 24)
    traffic = traffic_columns(
        draw_audience(truth, settings.requests, today, profile, devices, rngs[6]), user_ids, prices, rngs[6]
    )
    step("files")
    users = [
        User(user_id, climate.place_ids[place], int(device))
        for user_id, place, device in zip(user_ids, truth.user_place.tolist(), devices, strict=True)
    ]
    _write_catalogue(folder, catalogue, users)
    write_log(folder, "interactions", journeys.columns(user_ids, [item.item_id for item in catalogue.items]))
    write_log(folder, "searches", searches.columns(user_ids, [item.item_id for item in catalogue.items]))
    write_log(folder, "impressions", impressions)
    write_log(folder, "traffic", traffic)
    write_log(folder, "environment", _readings(climate, past.stop))
    _write_truth(folder, truth, catalogue, searches, user_ids)
    figures = _figures(journeys, counts, catalogue, impressions["clicked"], impressions["converted"])
    shares = (0.1, 0.25, 0.5, 0.75, 0.9)
    market = quantiles(traffic["market_price_micros"].astype(np.float64) / 10_000, shares)
    figures |= {f"market_price_fen_q{round(share * 100)}": value for share, value in market.items()}
    manifest = Manifest("world", CURRENCY, "made by `adgram world`", settings.seed, _rules(settings, climate), figures)
    write_manifest(folder, manifest)
    return manifest


def _with_popularity(catalogue: Catalogue, counts: npt.NDArray[np.int64]) -> Catalogue:
    items = [replace(item, popularity=float(count)) for item, count in zip(catalogue.items, counts, strict=True)]
    return replace(catalogue, items=items)


def _write_catalogue(folder: Path, catalogue: Catalogue, users: list[User]) -> None:
    write_entities(folder, "advertisers", catalogue.advertisers)
    write_entities(folder, "campaigns", catalogue.campaigns)
    write_entities(folder, "items", catalogue.items)
    write_entities(folder, "offers", catalogue.offers)
    write_entities(folder, "creatives", catalogue.creatives)
    write_entities(folder, "places", [place for place, _ in PLACES])
    write_entities(folder, "users", users)


def _write_truth(folder: Path, truth: Truth, catalogue: Catalogue, searches: Searches, user_ids: list[str]) -> None:
    truth.save(folder / TRUTH)
    index = {
        "users": user_ids,
        "items": [item.item_id for item in catalogue.items],
        "forbidden": catalogue.forbidden,
        "products": catalogue.products,
        "unasked": searches.unasked,
    }
    (folder / TRUTH / "index.json").write_bytes(msgspec.json.encode(index))


def _readings(climate: Climate, hours: int) -> dict[str, Any]:
    """The columns of the log `environment`: one reading an hour and place, up to the hour the traffic begins."""
    places = len(climate.place_ids)
    names = np.array([str(weather) for weather in WEATHERS])
    return {
        "event_time": np.repeat(climate.start + np.arange(hours) * NS_PER_HOUR, places),
        "place_id": np.tile(np.array(climate.place_ids), hours),
        "weather": names[climate.weather[:, :hours].T.ravel()],
        "temperature_c": climate.temperature_c[:, :hours].T.ravel(),
        "crowd": climate.crowd[:, :hours].T.ravel(),
    }


def _figures(
    journeys: Journeys,
    counts: npt.NDArray[np.int64],
    catalogue: Catalogue,
    clicked: npt.NDArray[np.bool_],
    converted: npt.NDArray[np.bool_],
) -> dict[str, float]:
    tail = popularity_tail(counts)
    return {
        "interactions": float(journeys.item.size),
        "top_1_percent_share": tail.top_1_percent,
        "top_10_percent_share": tail.top_10_percent,
        "gini": tail.gini,
        "click_rate": float(clicked.mean()),
        "conversions_per_click": float(converted.sum() / max(int(clicked.sum()), 1)),
        "creatives": float(len(catalogue.creatives)),
        "forbidden_creatives": float(len(catalogue.forbidden)),
    }


def _rules(settings: WorldSettings, climate: Climate) -> tuple[str, ...]:
    return (
        "everything here is made: items, people, weather, prices and clicks; the truth behind it lies in truth/",
        "clicks are drawn from latent interests, qualities and sensitivities; intercept set to Avazu's "
        "sample click rate, 17.4 %",
        "popularity follows the quantiles of Amazon Beauty (top 1 % of items 10.5 %, top 10 % 42.8 %, Gini 0.50)",
        "market prices follow the winning prices of iPinYou campaign 2997 (median 41 fen per mille)",
        "weather is a Markov chain with Seattle's wet days and daily swing of temperature, around each "
        "place's usual temperature",
        order_rule(settings.requests, climate.place_ids).in_words,
        OFFER_RULE,
        f"{FORBIDDEN_SHARE:.0%} of creatives carry a sentence that advertising law forbids, listed in truth/index.json",
        f"searches are worded by patterns and synonyms of our own; {FITTING:.0%} of the clicks after them are on items "
        f"that are what was asked for, {OWN_LANGUAGE:.0%} on items in its language; {UNASKED_SHARE:.0%} of all "
        "wishes are never searched for (truth/index.json)",
        "the impressions log showed half random, half popular items; traffic is the day after the logs, its "
        "weather only in truth/",
        *_launch_rule(settings.new_items),
    )


def _launch_rule(new_items: int) -> tuple[str, ...]:
    if not new_items:
        return ()
    return (
        f"{new_items} items, drawn evenly, are new with the traffic: what people did with them before is not logged",
    )
