"""Catalogue rows: the newest event of a key is its value."""

from ...core.commit import Table
from ...core.event import Event, Outcome, Topic
from .state import ShardState

TABLES = {
    Topic.ITEMS: Table.ITEM,
    Topic.CREATIVES: Table.CREATIVE,
    Topic.ADVERTISERS: Table.ADVERTISER,
    Topic.CAMPAIGNS: Table.CAMPAIGN,
    Topic.RULES: Table.RULE,
}


def fold(state: ShardState, topic: Topic, event: Event) -> Outcome:
    """Afterwards the row is what the event says, unless a newer one has spoken. Items are encoded at the commit."""
    if topic is Topic.OFFERS:
        return state.offers.fold(event)
    table = TABLES[topic]
    if state.is_late(table, event.key, event.event_time):
        return Outcome.OUT_OF_ORDER
    repeated = state.event_times.get((table, event.key)) == event.event_time
    state.put(table, event.key, event.value, event.event_time)
    return Outcome.REPEATED if repeated else Outcome.FOLDED
