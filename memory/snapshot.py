"""One version of memory, and the pure fold that makes the next version out of it and a commit."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from immutables import Map

from ..core import rows
from ..core.catalogue import Advertiser, Campaign, Creative, EncodedItem, Offer, Rule
from ..core.commit import Commit, Row, Table, Version
from ..core.environment import Environment
from ..core.feedback import UserState
from ..core.offers import PackedOffers
from ..core.snapshot import CreativeColumns, ItemColumns, Nearest
from .creatives import Creatives
from .items import NEVER, Items
from .mvcc import CommitGap
from .neighbours import BuiltIndex, nearest
from .offers import Offers
from .trie import SortedTrie

T = TypeVar("T")
ROWS_AT_ONCE = 4_096  # of a whole shard being loaded, so many are objects at a time
CODES_PER_LEVEL = (
    256  # K of the tokenizer's default; a deployment with another says so when it makes its first snapshot
)


@dataclass(frozen=True, slots=True)
class MemorySnapshot:
    """Implements core.snapshot.Snapshot. Versions share all that did not change between them."""

    version: Version
    epochs: tuple[int, ...]
    items: ItemColumns
    catalogue: Items
    offers: Offers
    renderings: Creatives
    campaigns: tuple[Campaign, ...]  # by campaign slot
    campaign_slots: "Map[str, int]"  # of every campaign ever seen
    values: "Map[Table, Map[str, Any]]"  # the living objects of the other tables; users in their stored form
    rules: tuple[Rule, ...] = ()
    built: BuiltIndex | None = None  # the newest index of neighbours that was ready

    @classmethod
    def empty(cls, shards: int, codes_per_level: int = CODES_PER_LEVEL) -> "MemorySnapshot":
        """Memory before any commit, for `shards` shards and semantic IDs of `codes_per_level` codes a level."""
        values: Map[Table, Map[str, Any]] = Map({table: Map() for table in _KEPT})
        catalogue, offers = Items.empty(codes_per_level), Offers.empty()
        return cls(
            Version.empty(shards),
            (0,) * shards,
            _item_columns(catalogue, offers),
            catalogue,
            offers,
            Creatives.empty(),
            (),
            Map(),
            values,
        )

    def fold(self, commit: Commit) -> "MemorySnapshot":
        """The version after `commit`; this very one if the commit was seen or comes from a fenced owner.

        CommitGap when commits are missing before it. Takes whole commits (see mvcc.joined).
        """
        if commit.epoch < self.epochs[commit.shard] or commit.number <= self.version.numbers[commit.shard]:
            return self
        if commit.number > self.version.numbers[commit.shard] + 1:
            raise CommitGap(commit.shard, self.version.numbers[commit.shard], commit.number)
        return self.leap(commit)

    def leap(self, commit: Commit) -> "MemorySnapshot":
        """As fold, for commits out of the store, which stand for all the ones between them."""
        fold = Fold(self, commit)
        for _ in fold.slices(ROWS_AT_ONCE):
            pass
        return fold.result

    @property
    def creatives(self) -> CreativeColumns:
        return self.renderings.columns

    @property
    def trie(self) -> SortedTrie:
        return self.catalogue.trie

    def slot(self, item_id: str) -> int | None:
        slot = self.catalogue.slots.get(item_id)
        return slot if slot is not None and self.items.alive[slot] else None

    def indexed(self, built: BuiltIndex) -> "MemorySnapshot":
        """The same version with another index of neighbours."""
        return replace(self, built=built)

    def nearest(self, profile: npt.NDArray[np.float32], admitted: npt.NDArray[np.bool_], count: int) -> Nearest:
        return nearest(self.built, self.items.vectors, self.catalogue.moves, profile, admitted, count)

    def item(self, item_id: str) -> EncodedItem | None:
        return self.catalogue.get(item_id)

    def offer(self, item_id: str) -> Offer | None:
        return self.offers.get(item_id, self.catalogue.slots.get(item_id))

    def creative(self, creative_id: str) -> Creative | None:
        return self.renderings.get(creative_id)

    def creative_slots(self, item_id: str) -> Sequence[int]:
        slots: tuple[int, ...] = self.renderings.by_item.get(item_id, ())
        return slots

    def campaign(self, campaign_id: str) -> Campaign | None:
        return self._get(Table.CAMPAIGN, campaign_id, Campaign)

    def advertiser(self, advertiser_id: str) -> Advertiser | None:
        return self._get(Table.ADVERTISER, advertiser_id, Advertiser)

    def user(self, user_key: str) -> UserState | None:
        stored = self._get(Table.USER, user_key, Row)
        return None if stored is None else rows.value(stored)

    def environment(self, place_id: str, event_time: int) -> Environment:
        environment = self._get(Table.ENVIRONMENT, place_id, Environment)
        return Environment(place_id) if environment is None else environment.at(event_time)

    def facts_changed(self, item_id: str) -> str:
        slot = self.catalogue.slots.get(item_id)
        stamp = NEVER if slot is None else int(self.catalogue.stamps.view[slot])
        return f"{stamp:x}/{self.offers.stamp(item_id, slot)}"

    def users(self) -> Iterator[UserState]:
        """Every user with a state, in no order; for audits and tests, not for requests."""
        states = (rows.value(stored) for stored in self.values[Table.USER].values())
        return (state for state in states if state is not None)

    def _get(self, table: Table, key: str, kind: type[T]) -> T | None:
        found = self.values[table].get(key)
        assert found is None or isinstance(found, kind)
        return found


_KEPT = (Table.CAMPAIGN, Table.ADVERTISER, Table.RULE, Table.ENVIRONMENT, Table.USER)


@dataclass(slots=True)
class Fold:
    """A commit being folded, in slices, so that a thread that serves requests need not wait for a large one.

    `result` is the next version once the slices are used up.
    """

    before: MemorySnapshot
    commit: Commit
    _objects: dict[Table, dict[str, Any]] = field(default_factory=dict)
    _stamps: dict[str, int] = field(default_factory=dict)  # of changed items
    _offer_times: dict[str, int] = field(default_factory=dict)  # of offers told one by one
    _blocks: list[PackedOffers] = field(default_factory=list)
    _result: MemorySnapshot | None = None

    def __post_init__(self) -> None:
        if self.commit.parts != 1:
            raise ValueError(f"commit {self.commit.number} is a part; join its parts first (mvcc.joined)")

    @property
    def result(self) -> MemorySnapshot:
        """The next version."""
        if self._result is None:
            raise ValueError("the fold is not finished; use up its slices first")
        return self._result

    def slices(self, rows_per_slice: int) -> Iterator[None]:
        """Pauses after every `rows_per_slice` rows and after each further step, and is done after the last one."""
        catalogue = self.before.catalogue
        items = iter({entry.key: entry for entry in self.commit.rows if entry.table is Table.ITEM}.values())
        while some := tuple(islice(items, rows_per_slice)):
            catalogue = catalogue.changed(self._new_items(some), self._stamps)
            yield
        others = iter([entry for entry in self.commit.rows if entry.table is not Table.ITEM])
        while some := tuple(islice(others, rows_per_slice)):
            for entry in some:
                self._read(entry)
            yield
        yield from self._applied(catalogue)

    def _new_items(self, entries: Sequence[Row]) -> dict[str, EncodedItem | None]:
        """Those of these items that had no slot; the others are kept for when all of them are known."""
        new: dict[str, EncodedItem | None] = {}
        for entry in entries:
            item: EncodedItem | None = rows.value(entry)
            if entry.value is not None:
                digest = hashlib.blake2b(entry.value, digest_size=8).digest()
                self._stamps[entry.key] = int.from_bytes(digest, "little")
            if entry.key in self.before.catalogue.slots:
                self._objects.setdefault(Table.ITEM, {})[entry.key] = item
            elif item is not None:
                new[entry.key] = item
        return new

    def _read(self, entry: Row) -> None:
        if entry.table is Table.OFFERS:
            block = rows.value(entry)
            assert isinstance(block, PackedOffers)
            self._blocks.append(block)
            return
        # Users are many and each is read rarely: they stay in stored form, and `user` decodes the one asked for.
        is_user = entry.table is Table.USER and entry.value is not None
        self._objects.setdefault(entry.table, {})[entry.key] = entry if is_user else rows.value(entry)
        if entry.table is Table.OFFER:
            self._offer_times[entry.key] = entry.event_time

    def _applied(self, catalogue: Items) -> Iterator[None]:
        """Afterwards the next version is made, step by step. `catalogue` holds the new items already."""
        before, changed = self.before, self._objects
        values = before.values
        for table in _KEPT:
            if table in changed:
                values = values.set(table, _updated(values[table], changed[table]))
        campaigns, campaign_slots = _slotted(before, changed.get(Table.CAMPAIGN, {}), Table.ADVERTISER in changed)
        if Table.ITEM in changed:  # all that were known, at once: each time any of them changes, columns are copied
            catalogue = catalogue.changed(changed[Table.ITEM], self._stamps)
            yield
        count = len(before.catalogue.ids)
        new_ids = catalogue.ids[count:]
        offers = before.offers.extended(new_ids)
        yield
        told = self._told_one_by_one()
        offers = offers.packed_in(self._blocks, catalogue.slots, catalogue.ids)
        yield
        offers = offers.put(told, catalogue.slots)
        new_items = {item_id: slot for slot, item_id in enumerate(new_ids, count)}
        new_campaigns = {
            name: slot for name in changed.get(Table.CAMPAIGN, ()) if (slot := campaign_slots.get(name)) is not None
        }
        renderings = before.renderings.joined(new_items, new_campaigns)
        if Table.CREATIVE in changed:
            yield
            renderings = renderings.changed(changed[Table.CREATIVE], catalogue.slots, campaign_slots)
        self._result = MemorySnapshot(
            version=_advanced(before.version, self.commit),
            epochs=_at(before.epochs, self.commit.shard, self.commit.epoch),
            items=_item_columns(catalogue, offers, before.items),
            catalogue=catalogue,
            offers=offers,
            renderings=renderings,
            campaigns=campaigns,
            campaign_slots=campaign_slots,
            values=values,
            rules=_active_rules(values[Table.RULE]) if Table.RULE in changed else before.rules,
            built=before.built,
        )

    def _told_one_by_one(self) -> Mapping[str, Offer | None]:
        """The offers of rows of their own, less those of which a block tells a later event."""
        told: dict[str, Offer | None] = self._objects.get(Table.OFFER, {})
        if told and self._blocks:
            told = dict(told)
            for block in self._blocks:
                for item_id, event_time in zip(block.item_ids(), block.event_times.tolist(), strict=True):
                    if event_time > self._offer_times.get(item_id, event_time):
                        told.pop(item_id, None)
        return told


def _item_columns(catalogue: Items, offers: Offers, before: ItemColumns | None = None) -> ItemColumns:
    """The columns as readers see them; the ones of before where nothing changed."""
    views = (catalogue.sids, catalogue.vectors, catalogue.alive, offers.stock, catalogue.popularity, catalogue.stamps)
    sids, vectors, alive, stock, popularity, stamps = (column.view for column in views)
    if before is not None and before.stock is stock and before.popularity is popularity and before.alive is alive:
        same = before.vectors is vectors and before.sids is sids and before.stamps is stamps
        if same and len(before.item_ids) == len(catalogue.ids):
            return before
    return ItemColumns(catalogue.ids, sids, vectors, alive, stock, popularity, stamps)


def _updated(before: "Map[str, Any]", changed: Mapping[str, Any]) -> "Map[str, Any]":
    after = before.mutate()
    for key, value in changed.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = value
    return after.finish()


def _slotted(
    before: MemorySnapshot, changed: Mapping[str, Campaign | None], advertisers_changed: bool
) -> "tuple[tuple[Campaign, ...], Map[str, int]]":
    """Campaigns by slot and their slots; a deleted campaign keeps its slot, inactive. Another tuple if any changed."""
    if not changed and not advertisers_changed:
        return before.campaigns, before.campaign_slots
    campaigns = list(before.campaigns)
    slots = before.campaign_slots.mutate()
    for name, campaign in changed.items():
        slot = slots.get(name)
        if campaign is None:
            if slot is not None:
                campaigns[slot] = replace(campaigns[slot], active=False)
        elif slot is None:
            slots[name] = len(campaigns)
            campaigns.append(campaign)
        else:
            campaigns[slot] = campaign
    return tuple(campaigns), slots.finish()


def _active_rules(known: "Map[str, Rule]") -> tuple[Rule, ...]:
    return tuple(sorted((rule for rule in known.values() if rule.active), key=lambda rule: rule.rule_id))


def _advanced(version: Version, commit: Commit) -> Version:
    shard = commit.shard
    watermark = max(version.watermarks[shard], commit.watermark)
    return Version(_at(version.numbers, shard, commit.number), _at(version.watermarks, shard, watermark))


def _at(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    return (*values[:index], value, *values[index + 1 :])
