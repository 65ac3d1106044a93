"""What of a viewer's past the models read; one rule for training and serving."""

from collections.abc import Iterable, Sequence

from ..core.feedback import FeedbackKind, Interaction

CHOSEN = frozenset({FeedbackKind.CLICK, FeedbackKind.CONVERSION, FeedbackKind.VISIT})
"""Kinds that show an interest; an impression was our choice, not the viewer's."""


def chosen_items(history: Iterable[Interaction]) -> list[str]:
    """The items of a history that the viewer chose, oldest first, without immediate repeats."""
    return without_runs([event.item_id for event in history if event.kind in CHOSEN and event.item_id])


def without_runs(item_ids: Sequence[str]) -> list[str]:
    """The ids with each run of one id (a click, then its conversion) reduced to one."""
    return [item_id for position, item_id in enumerate(item_ids) if position == 0 or item_ids[position - 1] != item_id]
