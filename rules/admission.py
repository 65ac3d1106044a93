"""Which items and creatives may be shown in a slot at all, and what removed the others."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from ..core.clock import NS_PER_HOUR
from ..core.decision import Rejection
from ..core.event import StopScope
from ..core.feedback import FeedbackKind, UserState
from ..core.request import AdFormat, BidRequest, Impression, Size
from ..core.snapshot import Snapshot
from .branches import covered
from .campaigns import CampaignColumns
from .creatives import CreativeCodes, Fitting, living_by_item

STAGE = "admission"

# IAB content categories never shown on child-directed inventory: sexuality, cocktails and beer, wine, cigars, dating,
# card games (gambling), non-standard and illegal content. A category blocks its branch: "IAB25" blocks "IAB25-3".
CHILD_BLOCKED = frozenset({"IAB7-39", "IAB8-5", "IAB8-18", "IAB9-7", "IAB9-9", "IAB14-1", "IAB25", "IAB26"})

# A publisher's slots come in tens of size lists; beyond this somebody is sending noise.
FITTINGS_KEPT = 256

# Engines read the newest version; a few more are held for requests that pinned an earlier one and for replays.
INDEXES_KEPT = 4


class Filter(IntEnum):
    """The filters in the order they are applied; an item counts against the one that removed its last creative."""

    DELETED = 0
    SIZE_OR_FORMAT = 1
    CAMPAIGN_UNKNOWN = 2
    CAMPAIGN_INACTIVE = 3
    SCHEDULE = 4
    PLACE = 5
    DEVICE = 6
    CURRENCY = 7
    ADVERTISER_BLOCKED = 8
    CATEGORY_BLOCKED = 9
    CHILD_DIRECTED = 10
    STOPPED = 11
    OUT_OF_STOCK = 12
    BUDGET_EXHAUSTED = 13
    FREQUENCY_CAP = 14
    ALREADY_CONVERTED = 15
    PASSED = 255

    @property
    def reason(self) -> str:
        """The name under which rejections are counted."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Limits:
    """What money, frequency and kill switches forbid right now: campaigns without budget, campaigns this user has seen
    often enough, and the targets of the stops in force by scope; all by id."""

    exhausted: frozenset[str] = frozenset()
    capped: frozenset[str] = frozenset()
    stops: Mapping[StopScope, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Admission:
    """What may be shown in one impression. An item is admitted when at least one of its creatives is."""

    items: npt.NDArray[np.bool_]  # [N]
    creatives: npt.NDArray[np.bool_]  # [C]
    rejections: tuple[Rejection, ...]  # counts of items; with the admitted ones they add up to N


class AdmissionIndex:
    """A snapshot arranged so that what requests do not change is worked out once."""

    def __init__(self, snapshot: Snapshot, previous: "AdmissionIndex | None" = None) -> None:
        self.snapshot = snapshot
        columns = snapshot.creatives
        self.campaigns: CampaignColumns = CampaignColumns.build(snapshot, previous.campaigns if previous else None)
        self._fittings: dict[tuple[AdFormat, tuple[Size, ...]], Fitting] = {}
        if previous is not None and columns is previous.snapshot.creatives:
            self.codes: CreativeCodes = previous.codes
            self._living: npt.NDArray[np.intp] = previous._living
            self._fittings.update(previous._fittings)
        else:
            changed = None if previous is None else columns.differing(previous.snapshot.creatives)
            self.codes = (previous.codes if previous else CreativeCodes.empty()).following(columns, changed)
            self._living = living_by_item(columns)
            if previous is not None:
                self._fittings = self._following(previous, changed)
        items = snapshot.items
        before = None if previous is None else previous.snapshot.items
        if previous is not None and before is not None and items.stock is before.stock and items.alive is before.alive:
            self.item_stage: npt.NDArray[np.uint8] = previous.item_stage  # [N]
            self.deleted: int = previous.deleted
        else:
            stage = np.where(items.stock == 0, np.uint8(Filter.OUT_OF_STOCK), np.uint8(Filter.PASSED))
            self.item_stage = np.where(items.alive, stage, np.uint8(Filter.DELETED))
            self.deleted = int(items.count - np.count_nonzero(items.alive))

    def _following(
        self, previous: "AdmissionIndex", changed: npt.NDArray[np.int32] | None
    ) -> dict[tuple[AdFormat, tuple[Size, ...]], Fitting]:
        """The fittings known before: the same where no changed creative fits or did, else built anew."""
        columns, codes = self.snapshot.creatives, self.codes
        if changed is not None:
            now, then = codes.shape[changed[changed < columns.count]], previous.codes.shape
            shapes = np.unique(np.concatenate((now, then[changed[changed < len(then)]])))
        return {
            slot: Fitting.build(columns, self._living, codes, *slot)
            if changed is None or codes.fitting(*slot)[shapes].any()
            else fitting
            for slot, fitting in tuple(previous._fittings.items())
        }

    def fitting(self, impression: Impression) -> Fitting:
        """The living creatives that fit the impression, worked out at its first appearance."""
        wanted = (impression.format, impression.sizes)
        found = self._fittings.get(wanted)
        if found is None:
            found = Fitting.build(self.snapshot.creatives, self._living, self.codes, *wanted)
            if len(self._fittings) >= FITTINGS_KEPT:
                self._fittings = {}
            self._fittings[wanted] = found
        return found


class Admissions:
    """Answers `admit` for any snapshot, with the newest ones' indexes kept. Safe to use from several threads."""

    def __init__(self) -> None:
        self._indexes: OrderedDict[int, AdmissionIndex] = OrderedDict()
        self._lock = threading.Lock()

    def warm(self, snapshot: Snapshot) -> None:
        """Afterwards the snapshot's index exists, built from its forerunner's where nothing changed."""
        self._index(snapshot)

    def admit(
        self, snapshot: Snapshot, request: BidRequest, impression: Impression, limits: Limits, user: UserState | None
    ) -> Admission:
        """What of `snapshot` may be shown in `impression`."""
        return admit(self._index(snapshot), request, impression, limits, user)

    def _index(self, snapshot: Snapshot) -> AdmissionIndex:
        found = self._indexes.get(id(snapshot))
        if found is not None and found.snapshot is snapshot:
            return found
        with self._lock:
            previous = next(reversed(self._indexes.values()), None)
        index = AdmissionIndex(snapshot, previous)
        with self._lock:
            self._indexes[id(snapshot)] = index
            while len(self._indexes) > INDEXES_KEPT:
                self._indexes.popitem(last=False)
        return index


def admit(
    index: AdmissionIndex, request: BidRequest, impression: Impression, limits: Limits, user: UserState | None
) -> Admission:
    """What may be shown in `impression`, by the filters in their order.

    Places target by whole parts: "CN/216" takes "CN/216/222" but not "CN/2167". A blocked domain blocks those below it,
    a blocked category its branch. On child-directed inventory a creative must name its categories, none of them in
    CHILD_BLOCKED, and the viewer's history is not looked at. An item the user converted on is not shown to them again.
    """
    fitting = index.fitting(impression)
    stage = _campaign_stage(index.campaigns, request, limits)[fitting.campaigns]  # [F] the first filter that fails
    np.minimum(stage, _item_stage(index, request, limits, user)[fitting.items], out=stage)
    codes = index.codes
    if request.blocked_advertisers:
        blocked = covered(codes.domain_branches, _lowered(request.blocked_advertisers), len(codes.domains))
        _cut(stage, blocked, fitting.domains, Filter.ADVERTISER_BLOCKED)
    if request.blocked_categories:
        blocked = covered(codes.category_branches, request.blocked_categories - {""}, len(codes.category_sets))
        _cut(stage, blocked, fitting.categories, Filter.CATEGORY_BLOCKED)
    if request.child_directed:
        blocked = covered(codes.category_branches, CHILD_BLOCKED | {""}, len(codes.category_sets))
        _cut(stage, blocked, fitting.categories, Filter.CHILD_DIRECTED)
    for creative_slot in _stopped_creatives(index.snapshot, limits):
        hit = fitting.slots == creative_slot
        stage[hit] = np.minimum(stage[hit], np.uint8(Filter.STOPPED))
    removed_at = np.maximum.reduceat(stage, fitting.starts) if len(stage) else stage  # [U]
    items = np.zeros(index.snapshot.items.count, np.bool_)
    items[fitting.run_items] = removed_at == Filter.PASSED
    creatives = np.zeros(index.snapshot.creatives.count, np.bool_)
    creatives[fitting.slots] = stage == Filter.PASSED
    return Admission(items, creatives, _rejections(index, removed_at))


def _campaign_stage(columns: CampaignColumns, request: BidRequest, limits: Limits) -> npt.NDArray[np.uint8]:
    """[M + 1] the first filter that removes each campaign; the last row answers for slot -1, the unknown campaign."""
    stage = np.full(columns.count + 1, Filter.PASSED, np.uint8)
    stage[-1] = Filter.CAMPAIGN_UNKNOWN
    if not columns.count:
        return stage
    known = stage[:-1]  # written from the last filter to the first, so that the first one that fails stays
    known[columns.slots_of(limits.capped)] = Filter.FREQUENCY_CAP
    known[columns.slots_of(limits.exhausted)] = Filter.BUDGET_EXHAUSTED
    known[columns.slots_of(limits.stops.get(StopScope.CAMPAIGN, ()))] = Filter.STOPPED
    for advertiser in limits.stops.get(StopScope.ADVERTISER, ()):
        known[columns.by_advertiser.get(advertiser, [])] = Filter.STOPPED
    if request.blocked_advertisers:
        blocked = covered(columns.domains, _lowered(request.blocked_advertisers), columns.count)
        known[blocked] = Filter.ADVERTISER_BLOCKED
    other_currency = np.array([currency != request.currency for currency in columns.currencies], np.bool_)
    known[other_currency[columns.currency]] = Filter.CURRENCY
    device = request.device.device_type
    off_device = np.array([bool(wanted) and device not in wanted for wanted in columns.device_sets], np.bool_)
    known[off_device[columns.device_set]] = Filter.DEVICE
    place = request.place.place_id + "/"
    elsewhere = np.array([bool(wanted) and not _lies_in(place, wanted) for wanted in columns.place_sets], np.bool_)
    known[elsewhere[columns.place_set]] = Filter.PLACE
    hour = request.event_time // NS_PER_HOUR % 24
    runs = (columns.start <= request.event_time) & (request.event_time < columns.end)
    runs &= (columns.hours >> hour) & 1 == 1
    known[~runs] = Filter.SCHEDULE
    known[~columns.active] = Filter.CAMPAIGN_INACTIVE
    return stage


def _item_stage(
    index: AdmissionIndex, request: BidRequest, limits: Limits, user: UserState | None
) -> npt.NDArray[np.uint8]:
    """[N] the first filter that removes each item by itself, whatever its creatives."""
    codes = [(item_id, Filter.STOPPED) for item_id in limits.stops.get(StopScope.ITEM, ())]
    if user is not None and not request.child_directed:
        bought = (seen.item_id for seen in user.history if seen.kind is FeedbackKind.CONVERSION)
        codes += [(item_id, Filter.ALREADY_CONVERTED) for item_id in bought]
    if not codes:
        return index.item_stage
    stage = index.item_stage.copy()
    for item_id, code in codes:
        slot = index.snapshot.slot(item_id)
        if slot is not None:
            stage[slot] = min(int(stage[slot]), code)
    return stage


def _cut(stage: npt.NDArray[np.uint8], blocked: npt.NDArray[np.bool_], codes: npt.NDArray[np.intp], by: Filter) -> None:
    """Afterwards no creative whose code is blocked has a stage later than `by`."""
    if blocked.any():
        table = np.where(blocked, np.uint8(by), np.uint8(Filter.PASSED))
        np.minimum(stage, table[codes], out=stage)


def _lowered(domains: frozenset[str]) -> list[str]:
    return [domain.lower() for domain in domains]


def _lies_in(place: str, wanted: tuple[str, ...]) -> bool:
    return any(place.startswith(part + "/") for part in wanted)


def _stopped_creatives(snapshot: Snapshot, limits: Limits) -> list[int]:
    slots = []
    for creative_id in limits.stops.get(StopScope.CREATIVE, ()):
        creative = snapshot.creative(creative_id)
        if creative is not None:
            candidates = snapshot.creative_slots(creative.item_id)
            slots += [slot for slot in candidates if snapshot.creatives.creatives[slot].creative_id == creative_id]
    return slots


def _rejections(index: AdmissionIndex, removed_at: npt.NDArray[np.uint8]) -> tuple[Rejection, ...]:
    counts = np.bincount(removed_at, minlength=Filter.PASSED + 1)
    unfit = index.snapshot.items.count - len(removed_at)
    counts[Filter.SIZE_OR_FORMAT] += unfit - (index.deleted - counts[Filter.DELETED])
    counts[Filter.DELETED] = index.deleted
    counts[Filter.PASSED] = 0
    return tuple(Rejection(STAGE, code.reason, int(counts[code])) for code in Filter if counts[code])
