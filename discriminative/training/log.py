"""A marketplace's logs as the arrays the scorer learns from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...core.clock import NS_PER_HOUR
from ...core.marketplace import Marketplace
from ..environment import category_path
from ..features import HISTORY, Floats, Ints, ItemFacts, Viewings, log_price
from ..rates import Column
from ..sight import CONTACTS, Codes, root_category

HOURS_PER_DAY = 24
LONG_LOG_DAYS = 14  # a longer log may have days with a handful of impressions: too few to test on
PERIODS_OF_LONG_LOG = 10

# Rarer names share the fate of unseen ones: a tree split on fewer rows than this would be noise.
NAMED_FROM_ROWS = 50


@dataclass(frozen=True, slots=True)
class Log:
    """R impressions in time order. `viewings.rates` is left empty: rates depend on which periods are learned from."""

    items: ItemFacts
    viewings: Viewings
    columns: dict[str, Column]  # by the names of RATES
    vocabularies: dict[str, dict[str, int]]
    period: Ints  # [R] 0 … periods-1: a day each, or a tenth of a long log
    days_of_period: tuple[int, ...]  # with impressions
    category: Column  # whole path
    theme: Column
    weather: npt.NDArray[np.str_]  # [R]
    temperature_c: Floats  # [R]
    crowd: Floats  # [R]
    clicked: Floats  # [R] 0 or 1
    converted: Floats  # [R] 0 or 1

    @property
    def rows(self) -> int:
        """R."""
        return len(self.period)


def read(marketplace: Marketplace) -> Log:
    """The impressions with what an engine could have known at each; those of items or creatives not listed are left
    out.
    """
    listed, offers = marketplace.items(), {offer.item_id: offer for offer in marketplace.offers()}
    item_rows = {item.item_id: row for row, item in enumerate(listed)}
    themes = {creative.creative_id: creative.theme for creative in marketplace.creatives()}
    table = marketplace.log("impressions")
    shown = [item_rows.get(item_id, -1) for item_id in table["item_id"].to_pylist()]
    known = [creative_id in themes for creative_id in table["creative_id"].to_pylist()]
    kept = np.flatnonzero((np.array(shown, np.int64) >= 0) & np.array(known, np.bool_))
    table, item = table.take(pa.array(kept)), np.array(shown, np.int64)[kept]
    creative_ids = table["creative_id"].to_pylist()
    names = {
        "root_category": [root_category(listed[row]) for row in item.tolist()],
        "place": table["place_id"].to_pylist(),
        "theme": [themes[creative_id] for creative_id in creative_ids],
        "device_type": [str(code) for code in table["device_type"].to_pylist()],
    }
    vocabularies = {name: _vocabulary(values) for name, values in names.items()}
    codes = {name: _coded(values, vocabularies[name]) for name, values in names.items()}
    code_of = {"root": Codes(), "leaf": Codes(), "brand": Codes()}
    paths = [category_path(entry.category) for entry in listed]
    prices = [offers.get(entry.item_id) for entry in listed]
    facts = ItemFacts(
        root=np.array([code_of["root"].of(root_category(entry)) for entry in listed], np.int64),
        leaf=np.array([code_of["leaf"].of(path) for path in paths], np.int64),
        brand=np.array([code_of["brand"].of(entry.brand) for entry in listed], np.int64),
        root_feature=_coded([root_category(entry) for entry in listed], vocabularies["root_category"]),
        log_price=np.array(
            [np.nan if offer is None else log_price(offer.price.micros) for offer in prices], np.float64
        ),
        log_popularity=np.log1p([entry.popularity for entry in listed]),
    )
    time = table["event_time"].to_numpy()
    past = _histories(marketplace, item_rows, time, table["user_id"].to_pylist())
    viewings = Viewings(
        item=item,
        history=past.items,
        history_age_h=past.age_h,
        place=codes["place"],
        theme=codes["theme"],
        device_type=codes["device_type"],
        hour=(time // NS_PER_HOUR % HOURS_PER_DAY).astype(np.float64),
        position=_floats(table, "position"),
        width=_floats(table, "width"),
        height=_floats(table, "height"),
        rates=np.empty((len(item), 0)),
    )
    category = Column(*_factorised([paths[row] for row in item.tolist()]))
    columns = {
        "item": Column([entry.item_id for entry in listed], item),
        "creative": Column(*_factorised(creative_ids)),
        "campaign": Column(*_factorised(table["campaign_id"].to_pylist())),
        "domain": Column(*_factorised(table["domain"].to_pylist())),
        "category": category,
    }
    periods = _periods(time // (NS_PER_HOUR * HOURS_PER_DAY))
    return Log(
        facts,
        viewings,
        columns,
        vocabularies,
        periods.of_row,
        periods.days,
        category,
        Column(*_factorised(names["theme"])),
        np.array(table["weather"].to_pylist(), np.str_),
        _floats(table, "temperature_c"),
        _floats(table, "crowd"),
        _floats(table, "clicked"),
        _floats(table, "converted"),
    )


@dataclass(frozen=True, slots=True)
class _Periods:
    of_row: Ints  # [R]
    days: tuple[int, ...]  # in each period


def _periods(day: Ints) -> _Periods:
    """The log cut at days: each day by itself, or, of more than two weeks, tenths of about equally many rows."""
    days, of_row, rows = np.unique(day, return_inverse=True, return_counts=True)
    if len(days) > LONG_LOG_DAYS:
        middle = (np.cumsum(rows) - rows / 2) / rows.sum()
        of_day = np.unique((middle * PERIODS_OF_LONG_LOG).astype(np.int64), return_inverse=True)[1]
    else:
        of_day = np.arange(len(days))
    counted = np.bincount(of_day, minlength=0)
    return _Periods(of_day[of_row].astype(np.int64), tuple(counted.tolist()))


@dataclass(frozen=True, slots=True)
class _Past:
    items: Ints  # [R, HISTORY] newest first, -1 where there is none
    age_h: Floats  # [R, HISTORY]


def _histories(marketplace: Marketplace, item_rows: dict[str, int], time: Ints, users: Sequence[str]) -> _Past:
    """Each impression's newest contacts that came strictly before it, in the order (event time, stored order)."""
    if not marketplace.has("interactions"):
        return _Past(np.full((len(time), HISTORY), -1, np.int64), np.zeros((len(time), HISTORY)))
    table = marketplace.log("interactions")
    contact = np.array([kind in CONTACTS for kind in table["kind"].to_pylist()], np.bool_)
    table = table.take(pa.array(np.flatnonzero(contact)))
    user_codes: dict[str, int] = {}
    viewer = np.array([user_codes.setdefault(user, len(user_codes)) for user in users], np.int64)
    actor = np.array([user_codes.setdefault(user, len(user_codes)) for user in table["user_id"].to_pylist()], np.int64)
    acted = table["event_time"].to_numpy()
    touched = np.array([item_rows.get(item_id, -1) for item_id in table["item_id"].to_pylist()], np.int64)
    # an impression sorts before a contact of the same instant, which therefore is not in its past
    is_contact = np.r_[np.zeros(len(time), np.int64), np.ones(len(acted), np.int64)]
    order = np.lexsort((is_contact, np.r_[time, acted], np.r_[viewer, actor]))
    before = np.empty(len(order), np.int64)
    before[order] = np.cumsum(is_contact[order])
    before = before[: len(time)]  # [R] contacts sorted at or before each impression
    contacts = order[is_contact[order] == 1] - len(time)
    first = np.searchsorted(actor[contacts], viewer)  # [R] where the viewer's contacts begin
    at = before[:, None] - 1 - np.arange(HISTORY)[None, :]
    inside = at >= first[:, None]
    at = np.where(inside, at, 0)
    if not len(contacts):
        return _Past(np.full(at.shape, -1, np.int64), np.zeros(at.shape))
    age_h = (time[:, None] - acted[contacts][at]) / NS_PER_HOUR
    return _Past(np.where(inside, touched[contacts][at], -1), np.where(inside, age_h, 0.0))


def _vocabulary(values: Sequence[str]) -> dict[str, int]:
    names, counts = np.unique(np.array(values, np.str_), return_counts=True)
    named = [str(name) for name, count in zip(names, counts, strict=True) if name and count >= NAMED_FROM_ROWS]
    return {name: code for code, name in enumerate(named)}


def _coded(values: Sequence[str], vocabulary: dict[str, int]) -> Floats:
    return np.array([vocabulary.get(value, np.nan) for value in values], np.float64)


def _factorised(values: Sequence[str]) -> tuple[list[str], Ints]:
    codes: dict[str, int] = {}
    coded = np.array([codes.setdefault(value, len(codes)) for value in values], np.int64)
    return list(codes), coded


def _floats(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
