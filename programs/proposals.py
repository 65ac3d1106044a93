"""What the served proposer answers to users of a marketplace, asked in this process."""

from collections.abc import Sequence

from ..core import rows
from ..core.catalogue import EncodedItem
from ..core.clock import Clock, Deadline
from ..core.commit import Commit, Table
from ..core.feedback import FeedbackKind, Interaction
from ..core.marketplace import Marketplace
from ..core.ports import ProposalContext, Proposer
from ..generative.training.evaluation import TOP, chosen_users
from ..generative.training.sequences import UserSequence, user_sequences
from ..memory.snapshot import MemorySnapshot
from ..streaming.folds.feedback import HISTORY as HISTORY_KEPT


def select_users(marketplace: Marketplace, users: int | None, seed: int) -> list[UserSequence]:
    """The users `evaluate` asks about, so that a served system can be asked about the same."""
    return chosen_users(user_sequences(marketplace), users, seed)


def history_of(user: UserSequence) -> tuple[Interaction, ...]:
    """What is known of a user when their last choice is asked for, as the engine would hold it."""
    newest = user.history[-HISTORY_KEPT:]
    return tuple(Interaction(item_id, FeedbackKind.CONVERSION, place) for place, item_id in enumerate(newest))


def folded(encoded: Sequence[EncodedItem]) -> MemorySnapshot:
    """A snapshot of nothing but these items, made as the engine makes its own: by folding a commit."""
    entries = tuple(rows.row(Table.ITEM, entry.item.item_id, entry) for entry in encoded)
    return MemorySnapshot.empty(1).fold(Commit(0, 1, 1, 0, 0, {}, entries))


def proposed(proposer: Proposer, snapshot: MemorySnapshot, user: UserSequence, clock: Clock) -> list[str]:
    """The ten best items for a user when every living item but those of the history is admitted."""
    history = history_of(user)
    admitted = snapshot.items.alive.copy()
    admitted[[slot for slot in (snapshot.slot(event.item_id) for event in history) if slot is not None]] = False
    # Ten seconds: quality is measured here, lateness elsewhere.
    context = ProposalContext(snapshot, admitted, history, TOP, Deadline.after_ms(10_000, clock))
    return [candidate.item_id for candidate in proposer.propose(context).candidates]
