"""Many offers as columns: the form in which hot prices and stocks are committed, stored and served.

A shard commits tens of thousands of them a second. As columns they cost tens of bytes each and no object: a reader
finds the items by hash and scatters prices and stocks into its own columns.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .catalogue import Offer
from .money import Money

MOST_OFFERS = 8_192  # of one block: some 400 kB, so that two fit into one record of the log


@dataclass(frozen=True, slots=True)
class PackedOffers:
    """M offers of distinct items, none with a promotion. Columns are little-endian bytes."""

    ids: bytes  # the item ids in UTF-8, one behind the other
    id_ends: bytes  # [M] uint32: where each ends
    hashes: bytes  # [M] uint64, see item_hash
    currencies: tuple[str, ...]
    currency: bytes  # [M] uint8 into `currencies`
    price_micros: bytes  # [M] int64
    stock: bytes  # [M] int64
    event_time: bytes  # [M] int64, ns UTC

    def __len__(self) -> int:
        return len(self.id_ends) // 4

    @property
    def item_hashes(self) -> npt.NDArray[np.uint64]:
        """[M]"""
        return np.frombuffer(self.hashes, "<u8")

    @property
    def prices(self) -> npt.NDArray[np.int64]:
        """[M] in micros of the offer's currency."""
        return np.frombuffer(self.price_micros, "<i8")

    @property
    def stocks(self) -> npt.NDArray[np.int64]:
        """[M]"""
        return np.frombuffer(self.stock, "<i8")

    @property
    def currency_codes(self) -> npt.NDArray[np.uint8]:
        """[M] into `currencies`."""
        return np.frombuffer(self.currency, np.uint8)

    @property
    def event_times(self) -> npt.NDArray[np.int64]:
        """[M] ns UTC."""
        return np.frombuffer(self.event_time, "<i8")

    def item_ids(self, places: Iterable[int] | None = None) -> list[str]:
        """The item ids at these places; all without."""
        ends = np.frombuffer(self.id_ends, "<u4").tolist()
        wanted = range(len(ends)) if places is None else places
        return [self.ids[ends[place - 1] if place else 0 : ends[place]].decode() for place in wanted]

    def offers(self, places: Sequence[int] | None = None) -> Iterator[Offer]:
        """The offers at these places as objects; all without."""
        wanted: Sequence[int] = range(len(self)) if places is None else places
        prices, stocks, codes = self.prices, self.stocks, self.currency_codes
        for place, item_id in zip(wanted, self.item_ids(wanted), strict=True):
            money = Money(int(prices[place]), self.currencies[codes[place]])
            yield Offer(item_id, money, int(stocks[place]))


def item_hash(item_id: str) -> int:
    """64 bits of an item's id. Two ids may share them; whoever looks up by hash must be ready for that."""
    return int.from_bytes(hashlib.blake2b(item_id.encode(), digest_size=8).digest(), "little")


def packed(offers: Sequence[Offer], event_times: Sequence[int]) -> PackedOffers:
    """These offers as columns; ValueError for one with a promotion, which only a row of its own can hold."""
    if any(offer.promotion for offer in offers):
        raise ValueError("an offer with a promotion cannot be packed; give it a row of its own")
    ids = [offer.item_id.encode() for offer in offers]
    currencies = tuple(sorted({offer.price.currency for offer in offers}))
    codes = {currency: code for code, currency in enumerate(currencies)}
    return PackedOffers(
        ids=b"".join(ids),
        id_ends=np.cumsum([len(one) for one in ids]).astype("<u4").tobytes(),
        hashes=np.array([item_hash(offer.item_id) for offer in offers], "<u8").tobytes(),
        currencies=currencies,
        currency=bytes(codes[offer.price.currency] for offer in offers),
        price_micros=np.array([offer.price.micros for offer in offers], "<i8").tobytes(),
        stock=np.array([offer.stock for offer in offers], "<i8").tobytes(),
        event_time=np.array(event_times, "<i8").tobytes(),
    )


def joined(blocks: Sequence[PackedOffers]) -> PackedOffers:
    """The newest offer of every item in `blocks`, which are given oldest first; for stores that keep fewer versions."""
    if len(blocks) == 1:
        return blocks[0]
    currencies = tuple(dict.fromkeys(currency for block in blocks for currency in block.currencies))
    recoded = [
        np.array([currencies.index(one) for one in block.currencies], np.uint8)[block.currency_codes]
        for block in blocks
    ]
    ids = [item_id for block in blocks for item_id in block.item_ids()]
    newest = sorted({item_id: place for place, item_id in enumerate(ids)}.values())
    chosen = [ids[place].encode() for place in newest]

    def column(parts: Iterable[npt.NDArray[np.generic]]) -> bytes:
        return np.concatenate(tuple(parts))[newest].tobytes()

    return PackedOffers(
        ids=b"".join(chosen),
        id_ends=np.cumsum([len(one) for one in chosen]).astype("<u4").tobytes(),
        hashes=column(block.item_hashes for block in blocks),
        currencies=currencies,
        currency=column(recoded),
        price_micros=column(block.prices for block in blocks),
        stock=column(block.stocks for block in blocks),
        event_time=column(block.event_times for block in blocks),
    )
