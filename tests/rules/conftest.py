"""A small catalogue in real memory, built by folding one commit."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from adgram.core import rows
from adgram.core.catalogue import Advertiser, Campaign, Creative, EncodedItem, Item, Objective, Offer
from adgram.core.commit import Commit, Table
from adgram.core.money import Money
from adgram.core.request import (
    AdFormat,
    BidRequest,
    Device,
    Impression,
    Page,
    Place,
    Size,
    Viewer,
)
from adgram.memory.snapshot import MemorySnapshot

KEYS = {
    Item: (Table.ITEM, "item_id"),
    Offer: (Table.OFFER, "item_id"),
    Creative: (Table.CREATIVE, "creative_id"),
    Advertiser: (Table.ADVERTISER, "advertiser_id"),
    Campaign: (Table.CAMPAIGN, "campaign_id"),
}
BANNER_SIZE = Size(300, 250)
Fold = Callable[..., MemorySnapshot]


@pytest.fixture(scope="session")
def fold() -> Fold:
    """Folds catalogue objects, and tombstones as (table, key), into a snapshot."""

    def folded(
        entities: Sequence[Any], onto: MemorySnapshot | None = None, deleted: Sequence[tuple[Table, str]] = ()
    ) -> MemorySnapshot:
        snapshot = onto or MemorySnapshot.empty(1)
        changed = []
        for position, entity in enumerate(entities):
            table, key = KEYS[type(entity)]
            value = encoded(entity, position) if isinstance(entity, Item) else entity
            changed.append(rows.row(table, getattr(entity, key), value))
        changed += [rows.row(table, key, None) for table, key in deleted]
        number = snapshot.version.numbers[0] + 1
        return snapshot.fold(Commit(0, number, 1, number, number, {}, tuple(changed)))

    return folded


def encoded(item: Item, position: int) -> EncodedItem:
    """An item with some semantic ID and a unit vector."""
    vector = np.zeros(4, np.float32)
    vector[position % 4] = 1.0
    return EncodedItem(item, (position % 4, position // 4 % 4, position % 3), vector.tobytes(), "test")


def request(**changes: Any) -> BidRequest:
    """A request from CN/x/wet on a phone, at hour 12."""
    values: dict[str, Any] = {
        "request_id": "r",
        "impressions": (),
        "viewer": Viewer("u"),
        "device": Device(4),
        "page": Page("news.example"),
        "place": Place("CN", "x", "wet"),
        "event_time": 12 * 3600 * 10**9,
        "timeout_ms": 100,
        "currency": "CNY",
    }
    return BidRequest(**{**values, **changes})


def slot(*sizes: Size, ad_format: AdFormat = AdFormat.BANNER) -> Impression:
    """An impression of some sizes."""
    return Impression("1", ad_format, sizes, Money(0, "CNY"))


def campaign(campaign_id: str, advertiser_id: str = "a0", **changes: Any) -> Campaign:
    """An active campaign that bids in CNY."""
    return Campaign(campaign_id, advertiser_id, Objective.CLICK, Money(10**6, "CNY"), Money(10**9, "CNY"), **changes)


def creative(creative_id: str, item_id: str, campaign_id: str, size: Size = BANNER_SIZE, **changes: Any) -> Creative:
    """A banner without claims."""
    values: dict[str, Any] = {
        "format": AdFormat.BANNER,
        "title": "a thing",
        "text": "a thing for you",
        "landing_page": "https://shop.example/",
        "adomain": "shop.example",
        "categories": ("IAB22",),
    }
    return Creative(creative_id, item_id, campaign_id, size=size, **{**values, **changes})
