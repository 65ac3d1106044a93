"""What can be advertised and by whom."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from .money import Money
from .request import AdFormat, Size

SemanticId = tuple[int, ...]  # L codes, coarse to fine


class Objective(StrEnum):
    """What a campaign pays for; its bid is the price of one of these."""

    IMPRESSION = "impression"
    CLICK = "click"
    CONVERSION = "conversion"


@dataclass(frozen=True, slots=True)
class Advertiser:
    """Who pays; `domain` is checked against a request's badv."""

    advertiser_id: str
    name: str
    domain: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a campaign runs: [start, end) in ns UTC (0 = open) and hours of the day UTC (empty = all)."""

    start: int = 0
    end: int = 0
    hours: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Targeting:
    """Whom a campaign wants; an empty part accepts everybody. Places match by prefix of the place id."""

    places: tuple[str, ...] = ()
    device_types: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FrequencyCap:
    """At most `impressions` wins per user within `window_seconds`; 0 impressions = no cap."""

    impressions: int = 0
    window_seconds: int = 86_400


@dataclass(frozen=True, slots=True)
class Campaign:
    """An order: bid for one objective event, daily budget, when, whom, how often."""

    campaign_id: str
    advertiser_id: str
    objective: Objective
    bid: Money
    daily_budget: Money
    schedule: Schedule = Schedule()
    targeting: Targeting = Targeting()
    frequency_cap: FrequencyCap = FrequencyCap()
    active: bool = True


@dataclass(frozen=True, slots=True)
class Item:
    """A thing that can be advertised. `category` runs from coarse to fine; `popularity` is a prior count of
    interactions.
    """

    item_id: str
    title: str
    category: tuple[str, ...] = ()
    brand: str = ""
    text: str = ""
    popularity: float = 0.0


@dataclass(frozen=True, slots=True)
class Offer:
    """What an item costs now and whether it can be had."""

    item_id: str
    price: Money
    stock: int
    promotion: str = ""


@dataclass(frozen=True, slots=True)
class Creative:
    """One rendering of an item for one campaign. `theme` names the scene it plays on (rain, heat, plain …)."""

    creative_id: str
    item_id: str
    campaign_id: str
    format: AdFormat
    size: Size
    title: str
    text: str
    landing_page: str
    adomain: str
    categories: tuple[str, ...] = ()
    theme: str = "plain"

    @property
    def content_hash(self) -> str:
        """Changes exactly when the words or the landing page do; the key of a cached verdict."""
        words = "\x1f".join((self.title, self.text, self.landing_page, self.adomain))
        return hashlib.blake2b(words.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class EncodedItem:
    """An item with the model's view of it: `semantic_id` and content `vector` (float32 bytes, width D) of model
    `model`.
    """

    item: Item
    semantic_id: SemanticId
    vector: bytes
    model: str


@dataclass(frozen=True, slots=True)
class Rule:
    """An operator's last word: when `expression` (CEL) is true for an ad, it is blocked with `reason`."""

    rule_id: str
    expression: str
    reason: str
    active: bool = True
