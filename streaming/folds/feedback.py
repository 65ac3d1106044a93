"""What a person did, kept as a bounded history per pseudonym; each event counts once."""

from bisect import bisect_right

from ...core.commit import Table
from ...core.event import Event, Outcome
from ...core.feedback import Feedback, FeedbackKind, Interaction, UserState
from .state import ShardState

HISTORY = 50  # more than twice what the decoder looks at
RECENT_IDS = 128  # a producer's repeats come within its retries, far fewer events of one person than this
INTERACTIONS = (FeedbackKind.CLICK, FeedbackKind.CONVERSION, FeedbackKind.VISIT)


def fold(state: ShardState, event: Event) -> Outcome:
    """Afterwards an interaction is in its user's history, once. A null value erases the user.

    Impressions and notices of the exchange are no interactions, and what nobody is known to have done is nobody's.
    """
    if event.value is None:
        state.put(Table.USER, event.key, None, event.event_time)
        return Outcome.FOLDED
    feedback: Feedback = event.value
    if not feedback.user_key or not feedback.item_id or feedback.kind not in INTERACTIONS:
        return Outcome.IGNORED
    key = feedback.user_key
    before = state.merged.get((Table.USER, key))
    if before is None:
        if state.is_late(Table.USER, key, event.event_time - 1):  # erased when it happened, or since
            return Outcome.OUT_OF_ORDER
        before = UserState(key)
    if event.event_id in before.recent_event_ids:
        return Outcome.REPEATED
    interaction = Interaction(feedback.item_id, feedback.kind, event.event_time)
    newest = before.history[-1].event_time if before.history else 0
    state.put(Table.USER, key, appended(before, interaction, event.event_id), event.event_time)
    return Outcome.OUT_OF_ORDER if event.event_time < newest else Outcome.FOLDED


def appended(user: UserState, interaction: Interaction, event_id: str) -> UserState:
    """The user's state after one more interaction: history by (event time, arrival), newest HISTORY kept."""
    history = user.history
    place = bisect_right(history, interaction.event_time, key=lambda one: one.event_time)
    return UserState(
        user_key=user.user_key,
        history=(*history[:place], interaction, *history[place:])[-HISTORY:],
        events=user.events + 1,
        recent_event_ids=(*user.recent_event_ids, event_id)[-RECENT_IDS:],
    )
