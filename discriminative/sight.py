"""What the engine sees of ads in a live request, arranged for the scorer exactly as the training log is."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.catalogue import EncodedItem, Item, Offer
from ..core.clock import NS_PER_HOUR
from ..core.decision import Ad
from ..core.feedback import FeedbackKind, Interaction
from ..core.request import BidRequest
from ..core.snapshot import Snapshot
from .environment import category_path
from .features import HISTORY, RATES, ItemFacts, Viewings, log_price
from .rates import stacked
from .scorer import Scorer

CONTACTS = frozenset({FeedbackKind.CLICK, FeedbackKind.CONVERSION, FeedbackKind.VISIT})

# An item's facts take some 200 bytes; beyond this many the cache starts anew rather than grow for ever.
FACTS_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Fact:
    """One item's row of ItemFacts, with the objects it was made from."""

    encoded: EncodedItem
    offer: Offer | None
    root: int
    leaf: int
    brand: int
    root_feature: float
    log_price: float
    log_popularity: float


class Codes:
    """Gives names numbers that only say which are equal; the empty name is -1. Safe to use from several threads."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {"": -1}
        self._next = itertools.count()

    def of(self, name: str) -> int:
        """The name's number, a new one at its first appearance."""
        code = self._codes.get(name)
        return self._codes.setdefault(name, next(self._next)) if code is None else code


class Sight:
    """Turns ads, request and snapshot into the scorer's features, remembering items' facts between requests."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._codes = {"root": Codes(), "leaf": Codes(), "brand": Codes()}
        self._facts: dict[str, Fact] = {}

    def items(self, ads: Sequence[Ad], history: Sequence[Interaction], snapshot: Snapshot) -> "Seen":
        """The facts of all items the ads and the history name; items not in the snapshot have no row."""
        rows: dict[str, int] = {}
        facts: list[Fact] = []
        for item_id in (*(ad.candidate.item_id for ad in ads), *(contact.item_id for contact in history)):
            if item_id not in rows:
                fact = self._fact(item_id, snapshot)
                if fact is not None:
                    rows[item_id] = len(facts)
                    facts.append(fact)
        return Seen(rows, _columns(facts), tuple(fact.encoded.item for fact in facts))

    def viewings(
        self, ads: Sequence[Ad], request: BidRequest, history: Sequence[Interaction], seen: "Seen"
    ) -> Viewings:
        """The ads as rows, for one viewer whose contacts are given oldest first."""
        past = newest_contacts(history, request.event_time)
        codes = np.full((1, HISTORY), -1, np.int64)
        age_h = np.zeros((1, HISTORY))
        for position, contact in enumerate(past):
            codes[0, position] = seen.rows.get(contact.item_id, -1)
            age_h[0, position] = (request.event_time - contact.event_time) / NS_PER_HOUR
        scorer, count = self._scorer, len(ads)
        hour = float(request.event_time // NS_PER_HOUR % 24)
        names = {
            "item": [ad.candidate.item_id for ad in ads],
            "creative": [ad.creative.creative_id for ad in ads],
            "campaign": [ad.campaign.campaign_id for ad in ads],
            "domain": [request.page.domain or request.page.bundle] * count,
            "category": [seen.category(ad.candidate.item_id) for ad in ads],
        }
        return Viewings(
            item=np.array([seen.rows[ad.candidate.item_id] for ad in ads], np.int64),
            history=codes,
            history_age_h=age_h,
            place=np.full(count, scorer.code("place", request.place.place_id)),
            theme=scorer.codes("theme", [ad.creative.theme for ad in ads]),
            device_type=np.full(count, scorer.code("device_type", str(request.device.device_type))),
            hour=np.full(count, hour),
            position=np.array([ad.impression.position for ad in ads], np.float64),
            width=np.array([ad.creative.size.width for ad in ads], np.float64),
            height=np.array([ad.creative.size.height for ad in ads], np.float64),
            rates=stacked(scorer.tables.rates, names, RATES),
        )

    def _fact(self, item_id: str, snapshot: Snapshot) -> Fact | None:
        encoded, offer = snapshot.item(item_id), snapshot.offer(item_id)
        if encoded is None:
            return None
        fact = self._facts.get(item_id)
        if fact is None or fact.encoded != encoded or fact.offer != offer:  # snapshots make these anew at each call
            if len(self._facts) >= FACTS_KEPT:
                self._facts = {}
            fact = self._facts[item_id] = self._made(encoded, offer)
        return fact

    def _made(self, encoded: EncodedItem, offer: Offer | None) -> Fact:
        item = encoded.item
        return Fact(
            encoded,
            offer,
            self._codes["root"].of(root_category(item)),
            self._codes["leaf"].of(category_path(item.category)),
            self._codes["brand"].of(item.brand),
            self._scorer.code("root_category", root_category(item)),
            np.nan if offer is None else log_price(offer.price.micros),
            float(np.log1p(item.popularity)),
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """Items of one request: their rows by id, and the rows."""

    rows: dict[str, int]
    facts: ItemFacts
    items: tuple[Item, ...]

    def category(self, item_id: str) -> str:
        """The item's whole category path."""
        return category_path(self.items[self.rows[item_id]].category)


def newest_contacts(history: Sequence[Interaction], before: int) -> list[Interaction]:
    """The newest HISTORY contacts earlier than `before` (ns UTC), newest first."""
    past = (contact for contact in reversed(history) if contact.event_time < before and contact.kind in CONTACTS)
    return list(itertools.islice(past, HISTORY))


def root_category(item: Item) -> str:
    """The coarsest part of an item's category, empty when it has none."""
    return item.category[0] if item.category else ""


def _columns(facts: Sequence[Fact]) -> ItemFacts:
    return ItemFacts(
        root=np.array([fact.root for fact in facts], np.int64),
        leaf=np.array([fact.leaf for fact in facts], np.int64),
        brand=np.array([fact.brand for fact in facts], np.int64),
        root_feature=np.array([fact.root_feature for fact in facts], np.float64),
        log_price=np.array([fact.log_price for fact in facts], np.float64),
        log_popularity=np.array([fact.log_popularity for fact in facts], np.float64),
    )
