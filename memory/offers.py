"""Offers by item slot, as columns: thousands change at a time, and each can still be read as an object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from immutables import Map

from ..core.catalogue import Offer
from ..core.money import Money
from ..core.offers import PackedOffers, item_hash
from .columns import Column
from .hashes import HashIndex
from .slots import Slots

UNLIMITED = -1  # stock of an item without an offer
NO_OFFER = 0
PROMOTED = 0x8000  # this bit of a code says that the offer has a promotion; the rest is the currency's number, from 1


@dataclass(frozen=True, slots=True)
class Offers:
    """The newest offer of every item. An offer that comes before its item waits for it."""

    price_micros: Column  # [N] int64
    stock: Column  # [N] int64; UNLIMITED where there is no offer
    codes: Column  # [N] uint16: NO_OFFER, or the currency's number with PROMOTED
    currencies: tuple[str, ...]  # number 1 is the first
    promotions: "Map[str, str]"  # by item id
    waiting: "Map[str, Offer]"  # by item id
    by_hash: HashIndex

    @classmethod
    def empty(cls) -> "Offers":
        """No offers and no items."""
        return cls(
            Column.of(np.empty(0, np.int64)),
            Column.of(np.empty(0, np.int64)),
            Column.of(np.empty(0, np.uint16)),
            (),
            Map(),
            Map(),
            HashIndex.empty(),
        )

    def get(self, item_id: str, slot: int | None) -> Offer | None:
        """The offer of an item as an object; `slot` is the item's, None where it is unknown."""
        if slot is None:
            return self.waiting.get(item_id)
        code = self.codes.view.item(slot)
        if code == NO_OFFER:
            return None
        price = Money(self.price_micros.view.item(slot), self.currencies[(code & ~PROMOTED) - 1])
        promotion = self.promotions[item_id] if code & PROMOTED else ""
        return Offer(item_id, price, self.stock.view.item(slot), promotion)

    def stamp(self, item_id: str, slot: int | None) -> str:
        """Changes exactly when the offer does; empty without an offer."""
        offer = self.get(item_id, slot)
        if offer is None:
            return ""
        return f"{offer.price.micros}{offer.price.currency}{offer.stock}:{offer.promotion}"

    def extended(self, item_ids: Sequence[str]) -> "Offers":
        """The offers after these items were given the next slots, in order."""
        if not item_ids:
            return self
        count, new = len(self.codes.view), len(item_ids)
        hashes = np.fromiter(map(item_hash, item_ids), np.uint64, new)
        grown = replace(
            self,
            price_micros=self.price_micros.appended(np.zeros(new, np.int64)),
            stock=self.stock.appended(np.full(new, UNLIMITED, np.int64)),
            codes=self.codes.appended(np.zeros(new, np.uint16)),
            by_hash=self.by_hash.appended(hashes),
        )
        arrived = {item_id: count + place for place, item_id in enumerate(item_ids) if item_id in self.waiting}
        if not arrived:
            return grown
        waiting = self.waiting.mutate()
        offers = {item_id: waiting.pop(item_id) for item_id in arrived}
        return replace(grown, waiting=waiting.finish()).put(offers, arrived)

    def put(self, offers: Mapping[str, Offer | None], slots: Slots | Mapping[str, int]) -> "Offers":
        """The offers after these were told, one by one (None: withdrawn); `slots` holds every item's."""
        if not offers:
            return self
        waiting, promotions = self.waiting.mutate(), self.promotions.mutate()
        currencies = list(self.currencies)
        places, prices, stocks, codes = [], [], [], []
        for item_id, offer in offers.items():
            slot = slots.get(item_id)
            if slot is None:
                if offer is None:
                    waiting.pop(item_id, None)
                else:
                    waiting[item_id] = offer
                continue
            code = NO_OFFER if offer is None else _number(currencies, offer.price.currency)
            promotions.pop(item_id, None)
            if offer is not None and offer.promotion:
                promotions[item_id] = offer.promotion
                code |= PROMOTED
            places.append(slot)
            prices.append(0 if offer is None else offer.price.micros)
            stocks.append(UNLIMITED if offer is None else offer.stock)
            codes.append(code)
        after = replace(self, currencies=tuple(currencies), waiting=waiting.finish(), promotions=promotions.finish())
        return after._written(
            np.array(places, np.intp),
            np.array(prices, np.int64),
            np.array(stocks, np.int64),
            np.array(codes, np.uint16),
        )

    def packed_in(self, blocks: Sequence[PackedOffers], slots: Slots, item_ids: Sequence[str]) -> "Offers":
        """The offers after these blocks, oldest first, were told. An item that is known costs no Python object."""
        if not blocks:
            return self
        currencies = list(self.currencies)
        found: list[npt.NDArray[np.int32]] = []
        codes: list[npt.NDArray[np.uint16]] = []
        waiting: dict[str, Offer] = {}
        for block in blocks:
            places = self.by_hash.found(block.item_hashes)
            unsure = np.flatnonzero(places < 0).tolist()
            for place, offer in zip(unsure, block.offers(unsure), strict=True):
                slot = slots.get(offer.item_id)
                if slot is None:
                    waiting[offer.item_id] = offer
                else:
                    places[place] = slot
            numbers = np.array([_number(currencies, one) for one in block.currencies], np.uint16)
            found.append(places)
            codes.append(numbers[block.currency_codes])
        places, code = np.concatenate(found), np.concatenate(codes)
        known = places >= 0
        places = places[known]
        promoted = places[(self.codes.view[places] & PROMOTED) != 0].tolist()
        after = replace(self, currencies=tuple(currencies), waiting=self.waiting.update(waiting))
        if promoted:
            promotions = self.promotions.mutate()
            for slot in promoted:
                promotions.pop(item_ids[slot], None)
            after = replace(after, promotions=promotions.finish())
        prices = np.concatenate([block.prices for block in blocks])[known]
        stocks = np.concatenate([block.stocks for block in blocks])[known]
        return after._written(places, prices, stocks, code[known])

    def _written(
        self,
        places: npt.NDArray[np.integer],
        prices: npt.NDArray[np.int64],
        stocks: npt.NDArray[np.int64],
        codes: npt.NDArray[np.uint16],
    ) -> "Offers":
        """With these rows replaced; where a place is named twice the later row holds. Equal columns stay shared."""
        recoded = not np.array_equal(self.codes.view[places], codes)
        return replace(
            self,
            price_micros=self.price_micros.written(places, prices),
            stock=self.stock.written(places, stocks),
            codes=self.codes.written(places, codes) if recoded else self.codes,
        )


def _number(currencies: list[str], currency: str) -> int:
    """The currency's number, from 1; a new one is added."""
    if currency not in currencies:
        currencies.append(currency)
    return currencies.index(currency) + 1
