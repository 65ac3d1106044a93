"""Imports iPinYou's won impressions (one .tsv file with header) as traffic: slots, floors, devices, prices.

| their column | ours |
|---|---|
| timestamp (Beijing time, yyyyMMddHHmmssSSS) | event_time, ns UTC |
| bidid, ipinyouid | request_id, user_id |
| region, city | country CN, region, city: their numbers |
| useragent "windows_ie" | user_agent as it is; os "windows"; device_type 2 (PC), 1 (android, ios), 0 (other) |
| domain, adexchange, slotid | domain (a hash), publisher_id, placement |
| slotwidth, slotheight | width, height of a banner |
| slotvisibility | position: FirstView 1 (above the fold), SecondView to FifthView 3 (below), else 0 (unknown) |
| slotprice, payprice (fen per mille) | reserve_price_micros, market_price_micros: one fen is 10,000 micros of CNY |
"""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from ...core.clock import NS_PER_MS, NS_PER_SECOND
from ...core.errors import MarketplaceError
from ...core.marketplace import Manifest, User, write_entities, write_log, write_manifest
from ...core.request import AdFormat, Place
from .figures import FEN_MICROS
from .measures import quantiles
from .tables import number, rows

COLUMNS = (
    "timestamp", "bidid", "ipinyouid", "region", "city", "useragent", "domain", "adexchange", "slotid", "slotwidth",
    "slotheight", "slotvisibility", "slotprice", "payprice",
)  # fmt: skip
BEIJING = timezone(timedelta(hours=8))
DEVICE_TYPES = {"windows": 2, "mac": 2, "linux": 2, "android": 1, "ios": 1}
POSITIONS = {"FirstView": 1, "SecondView": 3, "ThirdView": 3, "FourthView": 3, "FifthView": 3}
CATALOGUE = ("advertisers", "campaigns", "items", "offers", "creatives")


def import_ipinyou(path: Path, out: Path, seed: int) -> Manifest:
    """Afterwards `out` is a marketplace that holds traffic only; nothing in it is made up."""
    columns: dict[str, Any] = {}
    places: dict[str, Place] = {}
    users: dict[str, User] = {}
    below_floor = 0
    for line, row in rows(path, COLUMNS):
        traffic = _traffic_row(row, path, line)
        for name, value in traffic.items():
            columns.setdefault(name, []).append(value)
        place = Place("CN", row["region"], row["city"])
        places[place.place_id] = place
        users[row["ipinyouid"]] = User(row["ipinyouid"], place.place_id, DEVICE_TYPES.get(_os(row["useragent"]), 0))
        below_floor += number(row["payprice"], path, line, "payprice") < number(
            row["slotprice"], path, line, "slotprice"
        )
    if not columns:
        raise MarketplaceError(f"{path} has no rows; it needs at least one won impression")
    for name in CATALOGUE:
        write_entities(out, name, [])
    write_entities(out, "places", places.values())
    write_entities(out, "users", users.values())
    write_log(out, "traffic", columns)
    paid = quantiles(
        np.array(columns["market_price_micros"], dtype=np.float64) / FEN_MICROS, (0.1, 0.25, 0.5, 0.75, 0.9)
    )
    manifest = Manifest(
        name=path.stem,
        currency="CNY",
        source="iPinYou, won impressions",
        seed=seed,
        rules=(
            "won impressions of one bidder: market_price_micros is the price it paid, so no row shows what a "
            "lost auction cost",
            "positions: FirstView 1, SecondView to FifthView 3, else 0; device type by operating system",
        ),
        figures={
            "requests": float(len(columns["request_id"])),
            "paid_below_floor": float(below_floor),
            **{f"paid_fen_q{round(share * 100)}": value for share, value in paid.items()},
        },
    )
    write_manifest(out, manifest)
    return manifest


def _traffic_row(row: dict[str, str], path: Path, line: int) -> dict[str, object]:
    return {
        "event_time": _event_time(row["timestamp"], path, line),
        "request_id": row["bidid"],
        "user_id": row["ipinyouid"],
        "country": "CN",
        "region": row["region"],
        "city": row["city"],
        "device_type": DEVICE_TYPES.get(_os(row["useragent"]), 0),
        "os": _os(row["useragent"]),
        "user_agent": row["useragent"],
        "domain": "" if row["domain"] == "null" else row["domain"],
        "publisher_id": row["adexchange"],
        "format": AdFormat.BANNER.value,
        "width": int(number(row["slotwidth"], path, line, "slotwidth")),
        "height": int(number(row["slotheight"], path, line, "slotheight")),
        "position": POSITIONS.get(row["slotvisibility"], 0),
        "placement": row["slotid"],
        "reserve_price_micros": int(number(row["slotprice"], path, line, "slotprice")) * FEN_MICROS,
        "market_price_micros": int(number(row["payprice"], path, line, "payprice")) * FEN_MICROS,
    }


def _os(user_agent: str) -> str:
    return user_agent.partition("_")[0]


def _event_time(text: str, path: Path, line: int) -> int:
    try:
        moment = datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
        return int(moment.timestamp()) * NS_PER_SECOND + int(text[14:] or 0) * NS_PER_MS
    except ValueError as error:
        raise MarketplaceError(f"{path}:{line}: column timestamp is not yyyyMMddHHmmssSSS: {text!r}") from error
