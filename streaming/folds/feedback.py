"""What a person did, kept as a bounded history and decaying interests per pseudonym; each event counts once."""

from bisect import bisect_right
from dataclasses import dataclass

from ...core.clock import NS_PER_HOUR
from ...core.commit import Table
from ...core.event import Event, Outcome
from ...core.feedback import Feedback, FeedbackKind, Interaction, Interest, UserState
from .state import ShardState

HISTORY = 50  # more than twice what the decoder looks at
RECENT_IDS = 128  # a producer's repeats come within its retries, far fewer events of one person than this
INTERESTS = 32  # an item outside has had no contact for several half-lives, or one click among many purchases
# What a contact says about interest, a click being one: a visit took a way, a conversion money.
WEIGHTS = {FeedbackKind.CLICK: 1.0, FeedbackKind.VISIT: 2.0, FeedbackKind.CONVERSION: 4.0}
DAY_NS = 24 * NS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Forgetting:
    """How fast interest fades (`half_life_ns`), and after how long without a contact a user is dropped (`ttl_ns`)."""

    half_life_ns: int = 30 * DAY_NS
    ttl_ns: int = 400 * DAY_NS


def fold(state: ShardState, event: Event, forgetting: Forgetting) -> Outcome:
    """Afterwards an interaction is in its user's history, once. A null value erases the user.

    Impressions and notices of the exchange are no interactions, and what nobody is known to have done is nobody's.
    """
    if event.value is None:
        state.put(Table.USER, event.key, None, event.event_time)
        return Outcome.FOLDED
    feedback: Feedback = event.value
    if not feedback.user_key or not feedback.item_id or feedback.kind not in WEIGHTS:
        return Outcome.IGNORED
    key = feedback.user_key
    before = state.merged.get((Table.USER, key))
    if before is None:
        if state.is_late(Table.USER, key, event.event_time - 1):  # erased when it happened, or since
            return Outcome.OUT_OF_ORDER
        before = UserState(key)
    if event.event_id in before.recent_event_ids:
        return Outcome.REPEATED
    newest = before.history[-1].event_time if before.history else 0
    interaction = Interaction(feedback.item_id, feedback.kind, event.event_time)
    state.put(Table.USER, key, appended(before, interaction, event.event_id, forgetting), event.event_time)
    return Outcome.OUT_OF_ORDER if event.event_time < newest else Outcome.FOLDED


def appended(user: UserState, interaction: Interaction, event_id: str, forgetting: Forgetting) -> UserState:
    """The user's state after one more interaction: history by (event time, arrival), newest HISTORY kept."""
    history = user.history
    place = bisect_right(history, interaction.event_time, key=lambda one: one.event_time)
    newest = max(interaction.event_time, history[-1].event_time if history else 0)
    return UserState(
        user_key=user.user_key,
        history=(*history[:place], interaction, *history[place:])[-HISTORY:],
        events=user.events + 1,
        recent_event_ids=(*user.recent_event_ids, event_id)[-RECENT_IDS:],
        interests=interested(user, interaction, newest, forgetting.half_life_ns),
        expires=newest + forgetting.ttl_ns,
    )


def interested(user: UserState, interaction: Interaction, newest: int, half_life_ns: int) -> tuple[Interest, ...]:
    """The long-term interests as of `newest` (ns UTC), greatest first, whatever order interactions arrive in.

    Each is the sum of its contacts' weights times 2^(-age / half-life); the INTERESTS greatest are kept.
    """
    weights = {one.item_id: one.weight for one in user.interests}
    before = user.history[-1].event_time if user.history else newest
    if newest > before:
        faded = 2.0 ** ((before - newest) / half_life_ns)
        weights = {item_id: weight * faded for item_id, weight in weights.items()}
    gained = WEIGHTS[interaction.kind] * 2.0 ** ((interaction.event_time - newest) / half_life_ns)
    weights[interaction.item_id] = weights.get(interaction.item_id, 0.0) + gained
    ranked = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Interest(item_id, weight) for item_id, weight in ranked[:INTERESTS])
