"""Creatives by id and by slot, joined to their items and campaigns, whichever of the three arrives last."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from immutables import Map

from ..core.catalogue import Creative
from ..core.snapshot import CreativeColumns

UNKNOWN = -1  # the slot of an item or campaign that has not arrived


@dataclass(frozen=True, slots=True)
class Creatives:
    """Every creative. A slot is given once and keeps its creative for ever."""

    slots: "Map[str, int]"  # of every creative ever seen
    by_item: "Map[str, tuple[int, ...]]"  # slots of the living ones
    waiting: "Map[str, tuple[int, ...]]"  # by campaign id: slots that arrived before their campaign
    columns: CreativeColumns

    @classmethod
    def empty(cls) -> "Creatives":
        """No creatives yet."""
        none = np.empty(0, np.int32)
        columns = CreativeColumns((), none, none, none, none, np.empty(0, np.bool_))
        return cls(Map(), Map(), Map(), columns)

    def get(self, creative_id: str) -> Creative | None:
        """A living creative."""
        slot = self.slots.get(creative_id)
        return None if slot is None or not self.columns.alive[slot] else self.columns.creatives[slot]

    def changed(
        self, creatives: Mapping[str, Creative | None], item_slots: "Map[str, int]", campaign_slots: "Map[str, int]"
    ) -> "Creatives":
        """The creatives after these were put (None: deleted), joined to the slots as they are now."""
        slots, by_item, waiting = self.slots.mutate(), self.by_item.mutate(), self.waiting.mutate()
        objects = list(self.columns.creatives)
        grown = len(creatives)
        columns = _Columns(self.columns, grown)
        added: dict[str, list[int]] = {}
        early: dict[str, list[int]] = {}
        for creative_id, creative in creatives.items():
            slot = slots.get(creative_id)
            if slot is not None and columns.alive[slot]:
                _leave(by_item, objects[slot].item_id, slot)
                columns.alive[slot] = False
            if creative is None:
                continue
            if slot is None:
                slot = slots[creative_id] = len(objects)
                objects.append(creative)
            else:
                objects[slot] = creative
            campaign_slot = campaign_slots.get(creative.campaign_id, UNKNOWN)
            if campaign_slot == UNKNOWN:
                early.setdefault(creative.campaign_id, []).append(slot)
            added.setdefault(creative.item_id, []).append(slot)
            columns.write(slot, creative, item_slots.get(creative.item_id, UNKNOWN), campaign_slot)
        for campaign_id, new in early.items():
            waiting[campaign_id] = (*waiting.get(campaign_id, ()), *new)
        for item_id, new in added.items():
            by_item[item_id] = (*by_item.get(item_id, ()), *new)
        return Creatives(slots.finish(), by_item.finish(), waiting.finish(), columns.frozen(tuple(objects)))

    def joined(self, new_items: Mapping[str, int], new_campaigns: Mapping[str, int]) -> "Creatives":
        """The creatives after these items and campaigns were given slots."""
        by_item = [(self.by_item.get(item_id, ()), slot) for item_id, slot in new_items.items()]
        by_campaign = [(self.waiting.get(name, ()), slot) for name, slot in new_campaigns.items()]
        columns, waiting = self.columns, self.waiting
        if any(slots for slots, _ in by_item):
            columns = replace(columns, item_slot=_written(columns.item_slot, by_item))
        if any(slots for slots, _ in by_campaign):
            columns = replace(
                columns, campaign_slot=_written(columns.campaign_slot, self._still(by_campaign, new_campaigns))
            )
            with waiting.mutate() as rest:
                for campaign_id in new_campaigns:
                    rest.pop(campaign_id, None)
                waiting = rest.finish()
        return self if columns is self.columns else replace(self, columns=columns, waiting=waiting)

    def _still(
        self, by_campaign: Iterable[tuple[tuple[int, ...], int]], new_campaigns: Mapping[str, int]
    ) -> list[tuple[tuple[int, ...], int]]:
        """Without the creatives that have moved to another campaign while they waited."""
        objects = self.columns.creatives
        return [
            (
                tuple(slot for slot in slots if new_campaigns.get(objects[slot].campaign_id) == campaign_slot),
                campaign_slot,
            )
            for slots, campaign_slot in by_campaign
        ]


class _Columns:
    """Writable copies of the columns, with room for `grown` more creatives."""

    def __init__(self, columns: CreativeColumns, grown: int) -> None:
        room = np.full(grown, UNKNOWN, np.int32)
        self.item_slot = np.concatenate((columns.item_slot, room))
        self.campaign_slot = np.concatenate((columns.campaign_slot, room))
        self.width = np.concatenate((columns.width, room))
        self.height = np.concatenate((columns.height, room))
        self.alive = np.concatenate((columns.alive, np.zeros(grown, np.bool_)))

    def write(self, slot: int, creative: Creative, item_slot: int, campaign_slot: int) -> None:
        self.item_slot[slot] = item_slot
        self.campaign_slot[slot] = campaign_slot
        self.width[slot] = creative.size.width
        self.height[slot] = creative.size.height
        self.alive[slot] = True

    def frozen(self, creatives: tuple[Creative, ...]) -> CreativeColumns:
        count = len(creatives)
        arrays = (self.item_slot, self.campaign_slot, self.width, self.height, self.alive)
        return CreativeColumns(creatives, *(_frozen(array[:count]) for array in arrays))


def _leave(by_item: Any, item_id: str, slot: int) -> None:
    rest = tuple(other for other in by_item[item_id] if other != slot)
    if rest:
        by_item[item_id] = rest
    else:
        del by_item[item_id]


def _written(array: npt.NDArray[np.int32], groups: Iterable[tuple[tuple[int, ...], int]]) -> npt.NDArray[np.int32]:
    copy = array.copy()
    for slots, value in groups:
        copy[list(slots)] = value
    return _frozen(copy)


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
