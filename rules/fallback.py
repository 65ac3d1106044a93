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


@dataclass(frozen=True, slots=True)
class _Order:
    popularity: npt.NDArray[np.float32]  # [N] the array it was made from
    slots: npt.NDArray[np.intp]  # [N] most popular first, ties by slot


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
            order = _Order(items.popularity, np.argsort(-items.popularity, kind="stable"))
            self._order = order
        return order.slots
