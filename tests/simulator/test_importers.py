"""Importers: real formats come in whole, wrong ones are refused by file, line and column."""

from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adgram.core.errors import ConfigError, MarketplaceError
from adgram.core.marketplace import Marketplace
from adgram.simulator.market.amazon import import_amazon
from adgram.simulator.market.ipinyou import COLUMNS, import_ipinyou
from adgram.simulator.market.mapping import import_files

ROW = {
    "timestamp": "20131023193112417",
    "bidid": "b1",
    "ipinyouid": "U1",
    "region": "216",
    "city": "222",
    "useragent": "windows_ie",
    "domain": "d1",
    "adexchange": "3",
    "slotid": "s1",
    "slotwidth": "300",
    "slotheight": "250",
    "slotvisibility": "SecondView",
    "slotprice": "50",
    "payprice": "148",
}


def _reviews(folder: Path, users: int = 40, items: int = 30) -> Path:
    rng = np.random.default_rng(1)
    with (folder / "items.jsonl").open("wb") as file:
        for n in range(1, items + 1):
            brand = ["Acme &amp; Co"] if n % 2 else []
            row = {"item": n, "title": f"Thing {n}", "attributes": [*brand, "Makeup", "Eyes"], "keywords": ["a", "b"]}
            file.write(msgspec.json.encode(row) + b"\n")
    lines = [f"{user} " + " ".join(map(str, rng.permutation(items)[:6] + 1)) for user in range(1, users + 1)]
    (folder / "sequences.txt").write_text("\n".join(lines) + "\n")
    return folder


def _log(path: Path, **changes: str) -> Path:
    row = {**ROW, **changes}
    path.write_text("\t".join(COLUMNS) + "\n" + "\t".join(row[name] for name in COLUMNS) + "\n")
    return path


def test_reviews_become_a_marketplace_with_all_it_needs(tmp_path: Path) -> None:
    """Order is kept, brands are told from categories, and every item can be advertised."""
    source = _reviews(tmp_path)
    out = tmp_path / "out"
    import_amazon(source, out, seed=1)
    market = Marketplace(out)
    bought: dict[str, list[str]] = {}
    for row in market.log("interactions").to_pylist():
        bought.setdefault(row["user_id"], []).append(row["item_id"])
    wanted = [line.split() for line in (source / "sequences.txt").read_text().splitlines()]
    assert bought == {user: items for user, *items in wanted}
    assert market.items()[0].brand == "Acme & Co"
    assert market.items()[0].category == ("Makeup", "Eyes")
    assert market.items()[1].brand == ""
    advertised = Counter(creative.item_id for creative in market.creatives())
    assert advertised == {item.item_id: 3 for item in market.items()}
    assert any("SYNTHETIC" in rule for rule in market.manifest.rules)


def test_what_is_tested_later_is_not_in_the_click_log(tmp_path: Path) -> None:
    """No click and no popularity comes from a user's last two contacts."""
    import_amazon(_reviews(tmp_path), tmp_path / "out", seed=1)
    market = Marketplace(tmp_path / "out")
    contacts: dict[str, list[str]] = {}
    for row in market.log("interactions").to_pylist():
        contacts.setdefault(row["user_id"], []).append(row["item_id"])
    known = {(user, item) for user, items in contacts.items() for item in items[:-2]}
    clicks = [row for row in market.log("impressions").to_pylist() if row["clicked"]]
    assert clicks
    assert all((row["user_id"], row["item_id"]) in known for row in clicks)
    assert sum(item.popularity for item in market.items()) == len(known)


def test_real_slots_prices_and_times_come_over(tmp_path: Path) -> None:
    """Fen become micros, Beijing time becomes UTC, visibility a position, the agent a device."""
    import_ipinyou(_log(tmp_path / "log.tsv"), tmp_path / "out", seed=1)
    (row,) = Marketplace(tmp_path / "out").log("traffic").to_pylist()
    assert row == {
        "event_time": 1_382_527_872_417_000_000,  # 2013-10-23 11:31:12.417 UTC
        "request_id": "b1",
        "user_id": "U1",
        "country": "CN",
        "region": "216",
        "city": "222",
        "device_type": 2,
        "os": "windows",
        "user_agent": "windows_ie",
        "domain": "d1",
        "publisher_id": "3",
        "format": "banner",
        "width": 300,
        "height": 250,
        "position": 3,
        "placement": "s1",
        "reserve_price_micros": 500_000,
        "market_price_micros": 1_480_000,
    }


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [("payprice", "dear", "column payprice is not a number"), ("timestamp", "yesterday", "column timestamp")],
)
def test_a_wrong_cell_is_named(tmp_path: Path, column: str, value: str, words: str) -> None:
    """File, line and column are in the one line of the error."""
    with pytest.raises(MarketplaceError, match=rf"log.tsv:2: .*{words}"):
        import_ipinyou(_log(tmp_path / "log.tsv", **{column: value}), tmp_path / "out", seed=1)


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    """A missing column, an unknown item and a missing file are told apart."""
    (tmp_path / "log.tsv").write_text("timestamp\tbidid\n1\t2\n")
    with pytest.raises(MarketplaceError, match="lacks the column ipinyouid"):
        import_ipinyou(tmp_path / "log.tsv", tmp_path / "out", seed=1)
    with pytest.raises(MarketplaceError, match=r"items\.jsonl"):
        import_amazon(tmp_path, tmp_path / "out", seed=1)
    _reviews(tmp_path)
    (tmp_path / "sequences.txt").write_text("1 5 999\n")
    with pytest.raises(MarketplaceError, match=r"sequences\.txt:1: item 999"):
        import_amazon(tmp_path, tmp_path / "out", seed=1)


MAPPING = """
name = "shop"
currency = "EUR"
[items]
file = "products.csv"
item_id = "sku"
title = "name"
category = "path"
price = "eur"
[interactions]
file = "orders.jsonl"
user_id = "customer"
item_id = "sku"
event_time = "at"
time_unit = "iso"
[traffic]
file = "requests.tsv"
event_time = "at"
width = "w"
height = "h"
floor = "floor"
country = "cc"
"""


def _shop(folder: Path, mapping: str = MAPPING) -> Path:
    (folder / "products.csv").write_text(
        'sku,name,path,eur\nA,"Lamp, small",Home > Lamps,12.5\nB,Chair,Home > Chairs,80\n'
    )
    times = ("2026-01-01T10:00:00+01:00", "2026-01-02T10:00:00", "2026-01-03T10:00:00", "2026-01-04T00:00:00")
    orders = [{"customer": "u1", "sku": "AB"[n % 2], "at": at} for n, at in enumerate(times)]
    (folder / "orders.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, orders)))
    (folder / "requests.tsv").write_text("at\tw\th\tfloor\tcc\n1767225600\t300\t250\t0.5\tDE\n")
    (folder / "shop.toml").write_text(mapping)
    return folder / "shop.toml"


def test_anyones_tables_come_in_by_a_mapping_of_columns(tmp_path: Path) -> None:
    """Items, prices, interactions and traffic are found under their own names, times in their own unit."""
    import_files(tmp_path, tmp_path / "out", _shop(tmp_path), seed=1)
    market = Marketplace(tmp_path / "out")
    lamp = market.items()[0]
    assert (lamp.title, lamp.category) == ("Lamp, small", ("Home", "Lamps"))
    assert [offer.price.units for offer in market.offers()] == [12.5, 80.0]
    first = market.log("interactions").to_pylist()[0]
    assert first == {"event_time": 1_767_258_000_000_000_000, "user_id": "u1", "item_id": "A", "kind": "click"}
    (request,) = market.log("traffic").to_pylist()
    assert (request["reserve_price_micros"], request["market_price_micros"]) == (500_000, None)
    assert request["event_time"] == 1_767_225_600_000_000_000
    assert market.log("impressions").num_rows > 0


def test_a_mapping_that_does_not_fit_is_one_clear_line(tmp_path: Path) -> None:
    """An unknown key, a column that is not there and a time that is none are named."""
    with pytest.raises(ConfigError, match=r"unknown key items\.titel; did you mean items\.title"):
        import_files(tmp_path, tmp_path / "out", _shop(tmp_path, MAPPING.replace("title", "titel")), seed=1)
    with pytest.raises(MarketplaceError, match=r"products\.csv lacks the column label; it has sku, name, path, eur"):
        import_files(tmp_path, tmp_path / "out", _shop(tmp_path, MAPPING.replace('"name"', '"label"')), seed=1)
    with pytest.raises(MarketplaceError, match=r"orders\.jsonl:1: .* no time in unit ms"):
        import_files(tmp_path, tmp_path / "out", _shop(tmp_path, MAPPING.replace('"iso"', '"ms"')), seed=1)


def test_the_real_files_come_in_whole(research_data: Path, tmp_path: Path) -> None:
    """Beauty's and campaign 2259's figures are those of the source."""
    beauty = import_amazon(research_data / "amazon_beauty", tmp_path / "beauty", seed=1)
    assert (beauty.figures["users"], beauty.figures["items"]) == (22_363, 12_101)
    assert beauty.figures["interactions"] == 198_502
    log = import_ipinyou(research_data / "ipinyou" / "2259_test.tsv", tmp_path / "log", seed=1)
    assert (log.figures["requests"], log.figures["paid_below_floor"]) == (4_171, 19)
    offered = {(c.size.width, c.size.height) for c in Marketplace(tmp_path / "beauty").creatives()}
    rows = Marketplace(tmp_path / "log").log("traffic").select(["width", "height"]).to_pylist()
    assert np.mean([(row["width"], row["height"]) in offered for row in rows]) > 0.99
