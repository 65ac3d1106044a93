"""Creatives by id and by slot, joined to their items and campaigns, whichever of the three arrives last."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from immutables import Map

from ..core.catalogue import Creative
from ..core.snapshot import CreativeColumns
from .columns import Column, Objects
from .slots import Slots

UNKNOWN = -1  # the slot of an item or campaign that has not arrived
ITEM_SLOT, CAMPAIGN_SLOT = 0, 1
MOST_CHANGES = 1_000_000  # logged beyond four a creative before the log begins anew, and readers look at all once
FACTS = (ITEM_SLOT, CAMPAIGN_SLOT, 2, 3)  # then width and height


@dataclass(frozen=True, slots=True)
class Creatives:
    """Every creative. A slot is given once and keeps its creative for ever."""

    slots: "Map[str, int]"  # of every creative ever seen
    by_item: "Map[str, tuple[int, ...]]"  # slots of the living ones
    waiting: "Map[str, tuple[int, ...]]"  # by campaign id: slots that arrived before their campaign
    objects: Objects[Creative]  # [C]
    facts: Column  # [C, 4] int32: item slot, campaign slot, width, height
    alive: Column  # [C] bool
    changes: Column  # [m] int32: slots that were put, deleted or joined, in order
    columns: CreativeColumns

    @classmethod
    def empty(cls) -> "Creatives":
        """No creatives yet."""
        facts, alive = Column.of(np.empty((0, len(FACTS)), np.int32)), Column.of(np.empty(0, np.bool_))
        objects: Objects[Creative] = Objects()
        changes = Column.of(np.empty(0, np.int32))
        columns = _columns(objects, facts, alive, changes)
        return cls(Map(), Map(), Map(), objects, facts, alive, changes, columns)

    def get(self, creative_id: str) -> Creative | None:
        """A living creative."""
        slot = self.slots.get(creative_id)
        return None if slot is None or not self.alive.view[slot] else self.objects[slot]

    def changed(
        self, creatives: Mapping[str, Creative | None], item_slots: Slots, campaign_slots: "Map[str, int]"
    ) -> "Creatives":
        """The creatives after these were put (None: deleted), joined to the slots as they are now."""
        slots, by_item, waiting = self.slots.mutate(), self.by_item.mutate(), self.waiting.mutate()
        count = len(self.objects)
        new: list[Creative] = []
        replaced: dict[int, Creative] = {}
        facts: dict[int, tuple[int, int, int, int]] = {}
        gone: list[int] = []
        added: dict[str, list[int]] = {}
        early: dict[str, list[int]] = {}
        for creative_id, creative in creatives.items():
            slot = slots.get(creative_id)
            if slot is not None and self.alive.view[slot]:
                _leave(by_item, self.objects[slot].item_id, slot)
                gone.append(slot)
            if creative is None:
                continue
            if slot is None:
                slot = slots[creative_id] = count + len(new)
                new.append(creative)
            else:
                replaced[slot] = creative
            campaign_slot = campaign_slots.get(creative.campaign_id, UNKNOWN)
            if campaign_slot == UNKNOWN:
                early.setdefault(creative.campaign_id, []).append(slot)
            added.setdefault(creative.item_id, []).append(slot)
            item_slot = item_slots.get(creative.item_id)
            facts[slot] = (
                UNKNOWN if item_slot is None else item_slot,
                campaign_slot,
                creative.size.width,
                creative.size.height,
            )
        for campaign_id, more in early.items():
            waiting[campaign_id] = (*waiting.get(campaign_id, ()), *more)
        for item_id, more in added.items():
            by_item[item_id] = (*by_item.get(item_id, ()), *more)
        known = list(replaced)
        behind = np.array([facts[slot] for slot in range(count, count + len(new))], np.int32).reshape(-1, len(FACTS))
        return self._with(
            slots.finish(),
            by_item.finish(),
            waiting.finish(),
            self.objects.written(replaced).appended(new),
            self.facts.written(known, [facts[slot] for slot in known]).appended(behind),
            self.alive.written(gone, False).written(known, True).appended(np.ones(len(new), np.bool_)),
            np.array([*gone, *facts], np.int32),
        )

    def joined(self, new_items: Mapping[str, int], new_campaigns: Mapping[str, int]) -> "Creatives":
        """The creatives after these items and campaigns were given slots."""
        facts = self.facts
        joined: list[int] = []
        for fact, groups in (
            (ITEM_SLOT, [(self.by_item.get(item_id, ()), slot) for item_id, slot in new_items.items()]),
            (CAMPAIGN_SLOT, self._still(new_campaigns)),
        ):
            written = [(creative, slot) for creatives, slot in groups for creative in creatives]
            if written:
                rows = np.array([creative for creative, _ in written], np.int32)
                values = facts.view[rows]
                values[:, fact] = [slot for _, slot in written]
                facts = facts.written(rows, values)
                joined.extend(rows.tolist())
        waiting = self.waiting
        if any(name in waiting for name in new_campaigns):
            with waiting.mutate() as rest:
                for campaign_id in new_campaigns:
                    rest.pop(campaign_id, None)
                waiting = rest.finish()
        if facts is self.facts and waiting is self.waiting:
            return self
        changed = np.array(joined, np.int32)
        return self._with(self.slots, self.by_item, waiting, self.objects, facts, self.alive, changed)

    def _still(self, new_campaigns: Mapping[str, int]) -> list[tuple[tuple[int, ...], int]]:
        """Who waited for each campaign, without the creatives that have moved to another one meanwhile."""
        return [
            (
                tuple(
                    one
                    for one in self.waiting.get(campaign_id, ())
                    if new_campaigns.get(self.objects[one].campaign_id) == slot
                ),
                slot,
            )
            for campaign_id, slot in new_campaigns.items()
        ]

    def _with(
        self,
        slots: "Map[str, int]",
        by_item: "Map[str, tuple[int, ...]]",
        waiting: "Map[str, tuple[int, ...]]",
        objects: Objects[Creative],
        facts: Column,
        alive: Column,
        changed: npt.NDArray[np.int32],
    ) -> "Creatives":
        changes = self.changes
        if len(changes.view) > 4 * len(objects) + MOST_CHANGES:
            changes = Column.of(np.empty(0, np.int32))
        changes = changes.appended(changed)
        same = objects is self.objects and facts is self.facts and alive is self.alive
        columns = self.columns if same else _columns(objects, facts, alive, changes)
        return Creatives(slots, by_item, waiting, objects, facts, alive, changes, columns)


def _columns(objects: Objects[Creative], facts: Column, alive: Column, changes: Column) -> CreativeColumns:
    item_slot, campaign_slot, width, height = (facts.view[:, fact] for fact in FACTS)
    return CreativeColumns(objects, item_slot, campaign_slot, width, height, alive.view, changes.view)


def _leave(by_item: Any, item_id: str, slot: int) -> None:
    rest = tuple(other for other in by_item[item_id] if other != slot)
    if rest:
        by_item[item_id] = rest
    else:
        del by_item[item_id]
