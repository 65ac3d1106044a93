"""A marketplace as source events: its catalogue as of now, its interactions as the feedback they would have been."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.event import Event, Topic
from ..core.feedback import Feedback, FeedbackKind
from ..core.marketplace import Marketplace
from ..core.pseudonym import Pseudonymiser

HISTORY_ROWS = 10_000  # rows of the log turned into objects at a time


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event with its topic and, where it is not the event's own, its Kafka key."""

    topic: Topic
    event: Event
    partition_key: str | None = None


def catalogue(marketplace: Marketplace, event_time: int) -> Iterator[Outgoing]:
    """Advertisers, campaigns, items, offers and creatives, each as of `event_time` (ns UTC).

    Event ids name marketplace and row, so that publishing twice says the same thing twice.
    """
    name = marketplace.manifest.name

    def told(topic: Topic, key: str, value: Any, partition_key: str | None = None) -> Outgoing:
        event_id = f"{name}/{topic.value}/{key}"
        return Outgoing(topic, Event(event_id, event_time, key, value), partition_key)

    for advertiser in marketplace.advertisers():
        yield told(Topic.ADVERTISERS, advertiser.advertiser_id, advertiser)
    for campaign in marketplace.campaigns():
        yield told(Topic.CAMPAIGNS, campaign.campaign_id, campaign)
    for item in marketplace.items():
        yield told(Topic.ITEMS, item.item_id, item)
    for offer in marketplace.offers():
        yield told(Topic.OFFERS, offer.item_id, offer)
    for creative in marketplace.creatives():
        yield told(Topic.CREATIVES, creative.creative_id, creative, creative.item_id)


def history(marketplace: Marketplace, pseudonymiser: Pseudonymiser) -> Iterator[Outgoing]:
    """The interactions log as feedback under pseudonyms, oldest first."""
    name = marketplace.manifest.name
    row = 0
    for batch in marketplace.log("interactions").to_batches(HISTORY_ROWS):
        columns = (batch.column(column).to_pylist() for column in ("event_time", "user_id", "item_id", "kind"))
        for event_time, user_id, item_id, kind in zip(*columns, strict=True):
            user_key = pseudonymiser.user_key(user_id)
            value = Feedback(FeedbackKind(kind), user_key=user_key, item_id=item_id)
            yield Outgoing(Topic.FEEDBACK, Event(f"{name}/{row}", event_time, user_key or item_id, value))
            row += 1
