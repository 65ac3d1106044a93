"""What a real engine knows of an ad in a slot, as numbers: one function for the training log and for a live request.

No weather, temperature or crowd is in here: their effect is learned apart, as lifts (see environment), so that a
change of weather changes the ads it is known to matter for and no others.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HISTORY = 20  # newest interactions looked at; the memory of a user's state keeps 50
RECENCY_DECAY = 0.85  # weight of an interaction against the next newer one; half of all weight lies on the newest four

RATES = ("item", "creative", "campaign", "domain", "category")  # what has a click rate of its own

NAMES = (
    "root_category",
    "place",
    "theme",
    "device_type",
    "hour",
    "position",
    "width",
    "height",
    "log_price",
    "log_popularity",
    "history_length",
    "same_root_share",
    "same_leaf_share",
    "same_brand_share",
    "same_leaf_recent",
    "same_item_count",
    "newest_same_leaf",
    "hours_since_same_root",
    "log_price_against_history",
    *(f"{name}_rate" for name in RATES),
)
CATEGORICAL = ("root_category", "place", "theme", "device_type")


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """n items as columns. Codes only say which are equal (-1: none, equal to nothing), but for `root_feature`, which
    is the model's own code (NaN: unseen)."""

    root: Ints  # [n] first part of the category
    leaf: Ints  # [n] whole category
    brand: Ints  # [n]
    root_feature: Floats  # [n]
    log_price: Floats  # [n] NaN without an offer
    log_popularity: Floats  # [n]


@dataclass(frozen=True, slots=True)
class Viewings:
    """R ads in slots. Histories are newest first, padded with -1; one row of history may stand for all (H0 = 1)."""

    item: Ints  # [R] row of ItemFacts
    history: Ints  # [R or 1, HISTORY] rows of ItemFacts
    history_age_h: Floats  # [R or 1, HISTORY] hours before the impression
    place: Floats  # [R] the model's code, NaN for unseen
    theme: Floats  # [R]
    device_type: Floats  # [R]
    hour: Floats  # [R] of the day, UTC
    position: Floats  # [R]
    width: Floats  # [R]
    height: Floats  # [R]
    rates: Floats  # [R, len(RATES)] log-odds


def matrix(items: ItemFacts, viewings: Viewings) -> npt.NDArray[np.float32]:
    """[R, F] the features of NAMES, in that order."""
    item = viewings.item[:, None]  # [R, 1]
    history = viewings.history  # [R or 1, H]
    known = history >= 0
    length = np.broadcast_to(known.sum(axis=1), item.shape[:1])
    same_root = known & _equal(items.root, history, item)  # [R, H]
    same_leaf = known & _equal(items.leaf, history, item)
    same_brand = known & _equal(items.brand, history, item)
    same_item = known & (history == item)
    weights = RECENCY_DECAY ** np.arange(HISTORY)
    prices = np.where(known, items.log_price[history], np.nan)
    some = np.maximum(length, 1)
    columns = (
        items.root_feature[viewings.item],
        viewings.place,
        viewings.theme,
        viewings.device_type,
        viewings.hour,
        viewings.position,
        viewings.width,
        viewings.height,
        items.log_price[viewings.item],
        items.log_popularity[viewings.item],
        length,
        same_root.sum(axis=1) / some,
        same_leaf.sum(axis=1) / some,
        same_brand.sum(axis=1) / some,
        (same_leaf * weights).sum(axis=1),
        same_item.sum(axis=1),
        _first(same_leaf),
        _age_of_first(same_root, viewings.history_age_h),
        items.log_price[viewings.item] - _mean_of_known(prices),
        *viewings.rates.T,
    )
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)


def log_odds(rate: Floats) -> Floats:
    """ln(p / (1 - p))."""
    return np.asarray(np.log(rate) - np.log1p(-rate), np.float64)


def log_price(price_micros: float) -> float:
    """ln(1 + price) in whole units of its currency; the same for a log's rows and a live offer."""
    return float(np.log1p(price_micros / 1e6))


def _equal(codes: Ints, history: Ints, item: Ints) -> npt.NDArray[np.bool_]:
    return np.asarray((codes[history] == codes[item]) & (codes[item] >= 0))


def _first(hits: npt.NDArray[np.bool_]) -> Floats:
    """[R] the position of the newest hit, HISTORY where there is none."""
    return np.asarray(np.where(hits.any(axis=1), hits.argmax(axis=1), HISTORY), np.float64)


def _age_of_first(hits: npt.NDArray[np.bool_], age_h: Floats) -> Floats:
    """[R] ln(1 + hours) since the newest hit, NaN where there is none."""
    newest = hits.argmax(axis=1)
    ages = np.broadcast_to(age_h, hits.shape)[np.arange(len(hits)), newest]
    return np.asarray(np.where(hits.any(axis=1), np.log1p(np.maximum(ages, 0.0)), np.nan), np.float64)


def _mean_of_known(values: Floats) -> Floats:
    """[R or 1] the mean of what is not NaN, NaN where nothing is."""
    counted = ~np.isnan(values)
    count = counted.sum(axis=1)
    total = np.where(counted, values, 0.0).sum(axis=1)
    mean: Floats = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return mean
