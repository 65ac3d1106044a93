"""Rows to objects and back: which type each table holds."""

from typing import Any

import msgspec

from .catalogue import Advertiser, Campaign, Creative, EncodedItem, Offer, Rule
from .commit import Row, Table
from .environment import Environment
from .feedback import UserState
from .offers import PackedOffers

TYPES: dict[Table, type[Any]] = {
    Table.ITEM: EncodedItem,
    Table.OFFER: Offer,
    Table.OFFERS: PackedOffers,
    Table.CREATIVE: Creative,
    Table.ADVERTISER: Advertiser,
    Table.CAMPAIGN: Campaign,
    Table.RULE: Rule,
    Table.ENVIRONMENT: Environment,
    Table.USER: UserState,
}
_DECODERS = {table: msgspec.msgpack.Decoder(kind) for table, kind in TYPES.items()}
_ENCODER = msgspec.msgpack.Encoder()


def row(table: Table, key: str, value: Any | None, event_time: int = 0) -> Row:
    """A row holding `value`, or a tombstone for None."""
    return Row(table, key, None if value is None else _ENCODER.encode(value), event_time)


def value(entry: Row) -> Any | None:
    """The object in a row, None for a tombstone."""
    return None if entry.value is None else _DECODERS[entry.table].decode(entry.value)
