"""One auction among sealed bids: first or second price, with a reserve."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class AuctionKind(IntEnum):
    """OpenRTB's `at`."""

    FIRST_PRICE = 1
    SECOND_PRICE = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """A sealed bid, per mille."""

    bidder: str
    price_micros: int


@dataclass(frozen=True, slots=True)
class Sale:
    """Who bought at what price per mille."""

    winner: Entry
    clearing_micros: int


def clear(entries: Sequence[Entry], reserve_micros: int, kind: AuctionKind) -> Sale | None:
    """The sale to the highest bid that meets the reserve, or None when none does.

    The winner pays its bid (first price), or the higher of the reserve and the best other bid (second price). Of equal
    bids the earlier entry wins. Bids of zero or less are no bids.
    """
    eligible = [entry for entry in entries if entry.price_micros > 0 and entry.price_micros >= reserve_micros]
    if not eligible:
        return None
    winner = max(eligible, key=lambda entry: entry.price_micros)  # max keeps the first of equals
    if kind is AuctionKind.FIRST_PRICE:
        return Sale(winner, winner.price_micros)
    others = (entry.price_micros for entry in eligible if entry is not winner)
    return Sale(winner, max(reserve_micros, max(others, default=0)))
