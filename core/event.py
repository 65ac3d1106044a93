"""Source events: one envelope, whose value's type is given by its topic."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .catalogue import Advertiser, Campaign, Creative, Item, Offer, Rule
from .environment import EnvironmentReading
from .feedback import Feedback


class Topic(StrEnum):
    """Kafka topics, before the deployment's prefix. The first eight are sources and have one partition a shard."""

    ITEMS = "items"
    OFFERS = "offers"
    CREATIVES = "creatives"
    ADVERTISERS = "advertisers"
    CAMPAIGNS = "campaigns"
    ENVIRONMENT = "environment"
    FEEDBACK = "feedback"
    RULES = "rules"
    STOPS = "stops"
    COMMITS = "commits"
    DECISIONS = "decisions"
    DEAD_LETTERS = "dead-letters"


SOURCE_TYPES: dict[Topic, type[Any]] = {
    Topic.ITEMS: Item,
    Topic.OFFERS: Offer,
    Topic.CREATIVES: Creative,
    Topic.ADVERTISERS: Advertiser,
    Topic.CAMPAIGNS: Campaign,
    Topic.ENVIRONMENT: EnvironmentReading,
    Topic.FEEDBACK: Feedback,
    Topic.RULES: Rule,
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something changed at `event_time` (ns UTC). `key` names the row; a None value deletes it.

    The Kafka key is the row's key, but for creatives their item's id, so that they land in their item's shard.
    """

    event_id: str
    event_time: int
    key: str
    value: Any | None


class Outcome(StrEnum):
    """What became of a sound event."""

    FOLDED = "folded"
    REPEATED = "repeated"  # told before; memory is as it was, or is told the same again
    OUT_OF_ORDER = "out-of-order"  # a newer event of the same row spoke first
    IGNORED = "ignored"  # says nothing that memory keeps, such as an impression


class StopScope(StrEnum):
    """What a stop halts."""

    ADVERTISER = "advertiser"
    CAMPAIGN = "campaign"
    CREATIVE = "creative"
    ITEM = "item"


@dataclass(frozen=True, slots=True)
class Stop:
    """A kill switch: from now on nothing of `target` is shown, until a stop with `lifted` true."""

    scope: StopScope
    target: str
    reason: str
    event_time: int
    lifted: bool = False
