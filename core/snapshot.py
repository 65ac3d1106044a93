"""What the request path reads: one frozen version of memory, as objects by key and as arrays by slot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .catalogue import Advertiser, Campaign, Creative, EncodedItem, Offer, Rule, SemanticId
from .commit import Version
from .environment import Environment
from .feedback import UserState


@dataclass(frozen=True, slots=True)
class ItemColumns:
    """Every item by slot, 0 … N-1. A slot keeps its item for ever; a deleted item is not `alive`.

    Arrays are read-only. A later version shares or copies them, never writes them.
    """

    item_ids: Sequence[str]  # [N]
    sids: npt.NDArray[np.int32]  # [N, L]
    vectors: npt.NDArray[np.float32]  # [N, D], unit length
    alive: npt.NDArray[np.bool_]  # [N]
    stock: npt.NDArray[np.int64]  # [N]; -1 where no offer limits it
    popularity: npt.NDArray[np.float32]  # [N]
    stamps: npt.NDArray[np.uint64]  # [N] changes with whatever is told of the item, offers apart

    @property
    def count(self) -> int:
        """N, with deleted items counted."""
        return len(self.item_ids)


@dataclass(frozen=True, slots=True)
class CreativeColumns:
    """Every creative by slot, 0 … C-1, joined to its item and campaign where these are known (-1 where not)."""

    creatives: Sequence[Creative]  # [C]
    item_slot: npt.NDArray[np.int32]  # [C]
    campaign_slot: npt.NDArray[np.int32]  # [C]
    width: npt.NDArray[np.int32]  # [C]; 0 for native
    height: npt.NDArray[np.int32]  # [C]; 0 for native
    alive: npt.NDArray[np.bool_]  # [C]
    changes: npt.NDArray[np.int32]  # [m] slots in the order they were put, deleted or joined; see `differing`

    @property
    def count(self) -> int:
        """C, with deleted creatives counted."""
        return len(self.creatives)

    def differing(self, other: "CreativeColumns") -> npt.NDArray[np.int32] | None:
        """The slots whose creatives may differ between these two versions, ascending; None: any may.

        Costs what changed between them. Versions that share an array of changes each end somewhere in it.
        """
        if self.changes.base is None or self.changes.base is not other.changes.base:
            return None
        longer, shorter = (self, other) if len(self.changes) > len(other.changes) else (other, self)
        return np.unique(longer.changes[len(shorter.changes) :])


@dataclass(frozen=True, slots=True)
class Nearest:
    """Items by how well they match a profile, best first."""

    slots: npt.NDArray[np.int64]  # [M]
    matches: npt.NDArray[np.float32]  # [M] inner products of profile and vector


SLOTS_BEHIND = 3  # behind the last leaf: readers look at so many leaves of a bucket without asking whether they are its


@dataclass(frozen=True, slots=True)
class TrieArrays:
    """One version of a trie as its arrays, for whoever walks it without asking Python for every level.

    Leaves are ordered by semantic ID, then by slot, and lie in buckets of `span` keys each; bucket b is entry b mod S
    of page root[b div S] of `ranges`. Nothing that belongs to a version is ever written again.
    """

    root: npt.NDArray[np.int32]  # [R] the page of every S buckets
    ranges: npt.NDArray[np.int32]  # [pages, S, 2] first leaf and count of each bucket
    occupied: npt.NDArray[np.uint8]  # [pages, S / 8] whether each bucket has a leaf, as bits, lowest first
    keys: npt.NDArray[np.int64]  # [leaves] semantic IDs as base-K digits
    slots: npt.NDArray[np.int32]  # [leaves + SLOTS_BEHIND] item slots
    sids: npt.NDArray[np.int32] | None  # [N, L] by item slot, where the trie was told; read for admitted items only
    count: int  # P, leaves of this version
    span: int  # keys a bucket
    codes_per_level: int  # K
    levels: int  # L
    end_slot: int  # one more than the greatest slot


class Trie(Protocol):
    """The living items in the order of their semantic IDs, so that any node is a range of leaves.

    With P the number of leaves (one per living item; items may share a semantic ID) and K codes a level.
    """

    @property
    def leaf_slots(self) -> npt.NDArray[np.int32]:
        """[P] the item slot of each leaf, by semantic ID, then by slot. May be gathered at every call."""
        ...

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """[P] the semantic ID of each leaf, packed as base-K digits. May be gathered at every call."""
        ...

    @property
    def codes_per_level(self) -> int:
        """K, the base in which keys and prefixes are packed."""
        ...

    @property
    def levels(self) -> int:
        """L, the number of codes in a semantic ID; 0 while empty."""
        ...

    def live_children(
        self, prefixes: npt.NDArray[np.int64], level: int, admitted: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """[W, K] whether child code k of each prefix covers at least one admitted leaf.

        Args:
            prefixes: [W] each beam's first `level` codes packed as base-K digits (0 at level 0).
            level: how many codes the prefixes hold.
            admitted: [N] by item slot, with dead slots False.
        """
        ...

    def best_children(
        self, prefixes: npt.NDArray[np.int64], level: int, worths: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """[W, K] the greatest worth among the leaves under child code k of each prefix, -inf where there is none.

        Args:
            prefixes, level: as in `live_children`.
            worths: [N] by item slot, -inf where an item is not admitted.
        """
        ...

    @property
    def arrays(self) -> TrieArrays:
        """The same leaves as arrays."""
        ...

    def leaves(self, semantic_id: SemanticId) -> npt.NDArray[np.int32]:
        """The item slots that carry exactly this semantic ID."""
        ...


class Snapshot(Protocol):
    """One version of memory. Nothing read from it ever changes; holding it pins it."""

    @property
    def version(self) -> Version: ...
    @property
    def items(self) -> ItemColumns: ...
    @property
    def creatives(self) -> CreativeColumns: ...
    @property
    def campaigns(self) -> Sequence[Campaign]:
        """By campaign slot, as CreativeColumns.campaign_slot counts them; a deleted one is inactive. The same object
        in later versions while neither a campaign nor an advertiser changes.
        """
        ...

    @property
    def trie(self) -> Trie: ...
    @property
    def rules(self) -> Sequence[Rule]:
        """The active rules, by id."""
        ...

    def slot(self, item_id: str) -> int | None:
        """The slot of a living item."""
        ...

    def nearest(self, profile: npt.NDArray[np.float32], admitted: npt.NDArray[np.bool_], count: int) -> Nearest:
        """The `count` admitted items whose vectors match the profile best, best first, or nearly those.

        Exact in a small catalogue and for what is newer than the version's index; else at least 95 % of them where
        vectors cluster, as content does.

        Args:
            profile: [D], of any length.
            admitted: [N] by item slot, with dead slots False.
        """
        ...

    def item(self, item_id: str) -> EncodedItem | None: ...
    def offer(self, item_id: str) -> Offer | None: ...
    def creative(self, creative_id: str) -> Creative | None: ...
    def creative_slots(self, item_id: str) -> Sequence[int]:
        """Slots of the item's living creatives."""
        ...

    def campaign(self, campaign_id: str) -> Campaign | None: ...
    def advertiser(self, advertiser_id: str) -> Advertiser | None: ...
    def user(self, user_key: str) -> UserState | None: ...
    def environment(self, place_id: str, event_time: int) -> Environment:
        """The place's newest fresh readings; all unknown when there are none."""
        ...

    def facts_changed(self, item_id: str) -> str:
        """A stamp that changes whenever the item or its offer does; part of the key of a cached verdict."""
        ...
