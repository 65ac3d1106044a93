"""Imports anyone's own tables through a small mapping of columns, a TOML file:

    name = "shop"
    currency = "EUR"

    [items]                     # required
    file = "products.csv"       # .csv, .tsv or .jsonl, relative to the imported folder
    item_id = "sku"             # every entry names a column of yours
    title = "name"
    category = "path"           # optional, as are brand, text, price, stock
    category_separator = ">"    # coarse to fine; JSON lists are taken as they are

    [interactions]              # required: who had to do with what
    file = "orders.jsonl"
    user_id = "customer"
    item_id = "sku"
    event_time = "at"
    time_unit = "s"             # s, ms, us, ns since the epoch, or iso
    kind = ""                   # optional column with click, conversion or visit; without it all are clicks

    [traffic]                   # optional: requests to replay
    file = "requests.csv"
    event_time = "at"
    time_unit = "iso"
    width = "w"
    height = "h"
    floor = "floor"             # per mille, in units of the currency; optional, as are the following
    market_price = ""
    user_id = ""
    request_id = ""
    country = ""
    region = ""
    city = ""
    device_type = ""            # AdCOM's number
    os = ""
    domain = ""

What a catalogue needs beyond that (advertisers, campaigns, creatives, an impressions log) is made by the rules of
`supply`.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ...core.catalogue import Item, Offer
from ...core.config import from_toml
from ...core.errors import MarketplaceError
from ...core.feedback import FeedbackKind
from ...core.marketplace import Manifest, User, write_entities, write_log, write_manifest
from ...core.money import cpm, from_units
from ...core.request import AdFormat, Place
from .supply import IMPRESSIONS_RULE, Contacts, Ids, impression_columns, make_supply
from .tables import number, rows

NS_PER_UNIT = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
IMPRESSIONS = 150_000
_KINDS = (FeedbackKind.CLICK, FeedbackKind.CONVERSION, FeedbackKind.VISIT)


@dataclass(frozen=True, slots=True)
class ItemColumns:
    """Which columns of which file describe items."""

    file: str
    item_id: str
    title: str
    category: str = ""
    category_separator: str = ">"
    brand: str = ""
    text: str = ""
    price: str = ""
    stock: str = ""


@dataclass(frozen=True, slots=True)
class InteractionColumns:
    """Which columns of which file tell who had to do with what."""

    file: str
    user_id: str
    item_id: str
    event_time: str
    time_unit: str = "s"
    kind: str = ""


@dataclass(frozen=True, slots=True)
class TrafficColumns:
    """Which columns of which file describe requests."""

    file: str
    event_time: str
    width: str
    height: str
    time_unit: str = "s"
    floor: str = ""
    market_price: str = ""
    user_id: str = ""
    request_id: str = ""
    country: str = ""
    region: str = ""
    city: str = ""
    device_type: str = ""
    os: str = ""
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Mapping:
    """A source's own columns, by table."""

    name: str
    currency: str
    items: ItemColumns
    interactions: InteractionColumns
    traffic: TrafficColumns | None = None


def import_files(folder: Path, out: Path, mapping: Path, seed: int) -> Manifest:
    """Afterwards `out` is a marketplace of the files in `folder`.

    Raises:
        ConfigError: the mapping has an unknown or missing key.
        MarketplaceError: a file, column or cell is missing or wrong.
    """
    columns = from_toml(mapping, Mapping)
    rng = np.random.default_rng(seed)
    items, offers = _read_items(folder, columns)
    interactions = _read_interactions(folder, columns.interactions, {item.item_id for item in items})
    counts = Counter(interactions["item_id"])
    items = [replace(item, popularity=float(counts[item.item_id])) for item in items]
    supply = make_supply(items, columns.currency, rng)
    own = {offer.item_id: offer for offer in offers}
    users = list(dict.fromkeys(interactions["user_id"]))
    ids = Ids(users, [item.item_id for item in items])
    popularity = np.array([item.popularity for item in items]) + 1.0
    impressions = impression_columns(_contacts(interactions, ids), popularity, supply.creatives, ids, IMPRESSIONS, rng)
    write_entities(out, "items", items)
    write_entities(out, "advertisers", supply.advertisers)
    write_entities(out, "campaigns", supply.campaigns)
    write_entities(out, "offers", [own.get(offer.item_id, offer) for offer in supply.offers])
    write_entities(out, "creatives", supply.creatives)
    write_entities(out, "users", [User(user_id) for user_id in users])
    write_log(out, "interactions", interactions)
    write_log(out, "impressions", impressions)
    traffic = _read_traffic(folder, columns.traffic, columns.currency) if columns.traffic else None
    places: dict[str, Place] = {}
    if traffic is not None:
        write_log(out, "traffic", traffic)
        named = zip(traffic["country"], traffic["region"], traffic["city"], strict=True)
        places = {place.place_id: place for place in (Place(*names) for names in named) if place.place_id}
    write_entities(out, "places", places.values())
    rules = (*supply.rules[:1], *(supply.rules[1:] if not offers else supply.rules[2:]), IMPRESSIONS_RULE)
    figures = {
        "users": float(len(users)),
        "items": float(len(items)),
        "interactions": float(len(interactions["item_id"])),
        "creatives": float(len(supply.creatives)),
        "requests": float(len(traffic["request_id"]) if traffic else 0),
    }
    manifest = Manifest(columns.name, columns.currency, f"files of {folder.name}", seed, rules, figures)
    write_manifest(out, manifest)
    return manifest


def _read_items(folder: Path, mapping: Mapping) -> tuple[list[Item], list[Offer]]:
    columns = mapping.items
    path = folder / columns.file
    optional = (columns.category, columns.brand, columns.text, columns.price, columns.stock)
    items: dict[str, Item] = {}
    offers: list[Offer] = []
    for line, row in rows(path, (columns.item_id, columns.title, *filter(None, optional))):
        item_id = row[columns.item_id].strip()
        if not item_id or item_id in items:
            raise MarketplaceError(
                f"{path}:{line}: column {columns.item_id} is {'twice ' + item_id if item_id else 'empty'}"
            )
        parts = row.get(columns.category, "").replace("|", columns.category_separator).split(columns.category_separator)
        category = tuple(part.strip() for part in parts if part.strip())
        title = row[columns.title].strip() or item_id
        items[item_id] = Item(item_id, title, category, row.get(columns.brand, ""), row.get(columns.text, ""))
        if columns.price:
            price = from_units(number(row[columns.price], path, line, columns.price), mapping.currency)
            stock = int(number(row[columns.stock], path, line, columns.stock)) if columns.stock else 1_000_000
            offers.append(Offer(item_id, price, stock))
    if not items:
        raise MarketplaceError(f"{path} has no rows; it needs at least one item")
    return list(items.values()), offers


def _read_interactions(folder: Path, columns: InteractionColumns, known: set[str]) -> dict[str, Any]:
    path = folder / columns.file
    wanted = (columns.user_id, columns.item_id, columns.event_time, *filter(None, (columns.kind,)))
    log: dict[str, Any] = {"event_time": [], "user_id": [], "item_id": [], "kind": []}
    for line, row in rows(path, wanted):
        if row[columns.item_id] not in known:
            raise MarketplaceError(f"{path}:{line}: item {row[columns.item_id]!r} is not among the items")
        kind = row[columns.kind] if columns.kind else FeedbackKind.CLICK.value
        if kind not in _KINDS:
            raise MarketplaceError(f"{path}:{line}: column {columns.kind} is {kind!r}, none of {', '.join(_KINDS)}")
        log["event_time"].append(_time(row[columns.event_time], columns.time_unit, path, line))
        log["user_id"].append(row[columns.user_id])
        log["item_id"].append(row[columns.item_id])
        log["kind"].append(kind)
    if not log["item_id"]:
        raise MarketplaceError(f"{path} has no rows; it needs at least one interaction")
    return log


def _contacts(interactions: dict[str, Any], ids: Ids) -> Contacts:
    """All contacts but each user's last two, which are for testing; all of them where that leaves none."""
    times = np.array(interactions["event_time"], dtype=np.int64)
    user_order = {user: index for index, user in enumerate(ids.users)}
    item_order = {item: index for index, item in enumerate(ids.items)}
    user = np.array([user_order[name] for name in interactions["user_id"]])
    item = np.array([item_order[name] for name in interactions["item_id"]])
    order = np.lexsort((times, user))
    left = np.bincount(user)[user[order]] - (np.arange(user.size) - np.searchsorted(user[order], user[order])) - 1
    kept = order[left >= 2] if (left >= 2).any() else order
    return Contacts(times[kept], user[kept], item[kept])


def _read_traffic(folder: Path, columns: TrafficColumns, currency: str) -> dict[str, Any]:
    path = folder / columns.file
    texts = ("user_id", "country", "region", "city", "os", "domain")
    optional = (columns.floor, columns.market_price, columns.request_id, columns.device_type)
    wanted = (columns.event_time, columns.width, columns.height, *optional, *(getattr(columns, name) for name in texts))
    log: dict[str, Any] = {}
    for line, row in rows(path, tuple(filter(None, wanted))):
        size = [int(number(row[name], path, line, name)) for name in (columns.width, columns.height)]
        money = {
            name: cpm(number(row[name], path, line, name) * 1e6, currency).micros
            for name in (columns.floor, columns.market_price)
            if name
        }
        values = {
            "event_time": _time(row[columns.event_time], columns.time_unit, path, line),
            "request_id": row[columns.request_id] if columns.request_id else f"r{line:07d}",
            **{name: row.get(getattr(columns, name), "") for name in texts},
            "device_type": int(number(row.get(columns.device_type, ""), path, line, columns.device_type)),
            "user_agent": "",
            "publisher_id": "",
            "format": (AdFormat.BANNER if any(size) else AdFormat.NATIVE).value,
            "width": size[0],
            "height": size[1],
            "position": 0,
            "placement": "",
            "reserve_price_micros": money.get(columns.floor, 0),
            "market_price_micros": money.get(columns.market_price),
        }
        for name, value in values.items():
            log.setdefault(name, []).append(value)
    if not log:
        raise MarketplaceError(f"{path} has no rows; it needs at least one request, or leave [traffic] out")
    return log


def _time(text: str, unit: str, path: Path, line: int) -> int:
    try:
        if unit == "iso":
            moment = datetime.fromisoformat(text)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return round(aware.timestamp() * 1_000_000) * 1_000
        # Whole numbers stay exact: a float cannot hold today's nanoseconds.
        return int(text) * NS_PER_UNIT[unit] if text.isdigit() else round(float(text) * NS_PER_UNIT[unit])
    except KeyError as error:
        raise MarketplaceError(f"time_unit {unit!r} is none of iso, {', '.join(NS_PER_UNIT)}") from error
    except ValueError as error:
        raise MarketplaceError(f"{path}:{line}: {text!r} is no time in unit {unit}") from error
