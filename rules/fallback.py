"""The proposer of last resort: what many people took to, as far as it is admitted and its words are already cleared."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.clock import elapsed_ms
from ..core.decision import Candidate, CandidateSource, Proposal
from ..core.ports import ProposalContext
from ..core.snapshot import ItemColumns, Snapshot

Cleared = Callable[[Snapshot, str], bool]  # whether an item has a creative that is known to be allowed

# With a predicate, at most this many items are asked for each one wanted, so that a catalogue full of uncleared items
# costs a bounded time.
ASKED_PER_WANTED = 8

SORTED_SHARE = 1 / 16  # of all items: with more that differ, sorting all of them anew is as fast


@dataclass(frozen=True, slots=True)
class _Order:
    popularity: npt.NDArray[np.float32]  # [N] the array it was made from
    slots: npt.NDArray[np.intp]  # [N] most popular first, ties by slot

    @classmethod
    def of(cls, popularity: npt.NDArray[np.float32]) -> "_Order":
        return cls(popularity, np.argsort(-popularity, kind="stable"))

    def following(self, popularity: npt.NDArray[np.float32]) -> "_Order":
        """The order of another version; only what differs is sorted, and put where it belongs among the rest."""
        before, count = self.popularity, len(popularity)
        both = min(len(before), count)
        moved = np.ones(max(len(before), count), np.bool_)
        np.not_equal(before[:both], popularity[:both], out=moved[:both])
        late = np.flatnonzero(moved[:count])
        if len(late) > SORTED_SHARE * count:
            return _Order.of(popularity)
        rest = self.slots[~moved[self.slots]]
        late = late[np.argsort(-popularity[late], kind="stable")]
        places = _places(popularity, rest, late)
        return _Order(popularity, np.insert(rest, places, late))


def _places(
    popularity: npt.NDArray[np.float32], rest: npt.NDArray[np.intp], late: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """[M] before which of `rest` each of `late` belongs, both most popular first, ties by slot."""
    keys = -popularity[rest]
    first, end = np.searchsorted(keys, -popularity[late], "left"), np.searchsorted(keys, -popularity[late], "right")
    for row in np.flatnonzero(first < end).tolist():  # among its equals, which lie by slot
        first[row] += np.searchsorted(rest[first[row] : end[row]], late[row])
    return first


class FallbackProposer:
    """Implements core.ports.Proposer with popularity alone: no model, no history, well under a millisecond."""

    def __init__(self, cleared: Cleared | None = None) -> None:
        self._cleared = cleared
        self._order: _Order | None = None

    @property
    def model(self) -> str:
        return "popularity"

    def warm(self, snapshot: Snapshot) -> None:
        """Afterwards the snapshot's order is at hand."""
        self._slots(snapshot.items)

    def propose(self, context: ProposalContext) -> Proposal:
        """The most popular admitted items, best first, scored by popularity; those not cleared are passed over."""
        started = context.deadline.clock.monotonic_ns()
        items = context.snapshot.items
        order = self._slots(items)
        chosen = order[context.admitted[order]]
        if self._cleared is None:
            slots = chosen[: context.limit].tolist()
        else:
            slots = self._cleared_slots(context, chosen[: context.limit * ASKED_PER_WANTED].tolist(), self._cleared)
        candidates = tuple(
            Candidate(
                items.item_ids[slot],
                tuple(items.sids[slot].tolist()),
                None,
                CandidateSource.FALLBACK,
                float(items.popularity[slot]),
            )
            for slot in slots
        )
        reason = "" if candidates else "nothing admitted" if not len(chosen) else "nothing cleared"
        return Proposal(candidates, reason, elapsed_ms(started, context.deadline.clock), self.model)

    def _cleared_slots(self, context: ProposalContext, asked: list[int], cleared: Cleared) -> list[int]:
        slots: list[int] = []
        for slot in asked:
            if len(slots) == context.limit or context.deadline.remaining_ms <= 0:
                break
            if cleared(context.snapshot, context.snapshot.items.item_ids[slot]):
                slots.append(slot)
        return slots

    def _slots(self, items: ItemColumns) -> npt.NDArray[np.intp]:
        order = self._order
        if order is None or order.popularity is not items.popularity:
            order = _Order.of(items.popularity) if order is None else order.following(items.popularity)
            self._order = order
        return order.slots
