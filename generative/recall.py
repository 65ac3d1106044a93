"""What memory says for a viewer: what lies nearest to the profile, and what goes with the history."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.ports import ProposalContext
from .companions import CompanionMemory, Companions
from .fusion import NOTHING, Fusion, Logs, Slots, Weighed, mixed
from .history import chosen_items
from .neighbours import matches_of, nearest

NO_COMPANIONS = Companions([], np.empty(0))


@dataclass(frozen=True, slots=True)
class Recalled:
    """What memory says of M items; probabilities as natural logarithms."""

    slots: Slots  # [M] ascending
    remembered: Logs  # [M] both memories together
    near: Logs  # [M] the profile alone
    companions: Logs  # [M] weights; 0 where the item is none


def recalled(
    memory: CompanionMemory,
    profile: npt.NDArray[np.float32],
    context: ProposalContext,
    admitted: npt.NDArray[np.bool_],
    fusion: Fusion,
    count: int,
    also: Slots,
) -> Recalled:
    """The admitted items nearest to the profile [D], `count` of them or up to twice as many, the admitted companions of
    the history, and `also` these slots."""
    vectors = context.snapshot.items.vectors
    beside, weights = _companions(memory, profile, context, admitted, fusion)
    sharp = profile * np.float32(fusion.profile_sharpness)
    nearby = nearest(sharp, vectors, admitted, count)
    slots = np.union1d(np.union1d(also, nearby.slots), beside.slots)
    near = remembered = matches_of(sharp, vectors, slots) - nearby.log_total
    if len(beside.slots):
        remembered = mixed(beside.spread(slots), near, fusion.companions)
    companions = np.zeros(len(slots))
    companions[np.searchsorted(slots, beside.slots)] = weights
    return Recalled(slots, remembered, near, companions)


def _companions(
    memory: CompanionMemory,
    profile: npt.NDArray[np.float32],
    context: ProposalContext,
    admitted: npt.NDArray[np.bool_],
    fusion: Fusion,
) -> tuple[Weighed, Logs]:
    """The admitted companions of the history, each with its probability among them, and their weights."""
    snapshot = context.snapshot
    companions = memory.of(chosen_items(context.history)) if fusion.companions else NO_COMPANIONS
    slots = [snapshot.slot(item_id) for item_id in companions.item_ids]
    kept = [place for place, slot in enumerate(slots) if slot is not None and admitted[slot]]
    if not kept:
        return NOTHING, np.empty(0)
    rows = np.array([slots[place] for place in kept], dtype=np.int64)
    weights = companions.weights[kept].astype(np.float64)
    return Weighed(rows, fusion.of_companions(weights, matches_of(profile, snapshot.items.vectors, rows))), weights
