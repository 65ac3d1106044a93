"""What people and exchanges did after an ad was served, and what is kept of it per user."""

from dataclasses import dataclass
from enum import StrEnum

from .clock import NS_PER_SECOND

SESSION_GAP_NS = 1_800 * NS_PER_SECOND  # half an hour, as web analytics has it


class FeedbackKind(StrEnum):
    """The events a user's state or the market model learn from."""

    IMPRESSION = "impression"
    CLICK = "click"
    CONVERSION = "conversion"
    VISIT = "visit"
    WIN = "win"
    BILLING = "billing"
    LOSS = "loss"


@dataclass(frozen=True, slots=True)
class Feedback:
    """One thing that happened. Ids that do not apply stay empty; `price_micros` is per mille where money is meant."""

    kind: FeedbackKind
    user_key: str = ""
    item_id: str = ""
    creative_id: str = ""
    campaign_id: str = ""
    bid_id: str = ""
    place_id: str = ""
    price_micros: int = 0
    loss_reason: int = 0


@dataclass(frozen=True, slots=True)
class Interaction:
    """A user's contact with an item."""

    item_id: str
    kind: FeedbackKind
    event_time: int


@dataclass(frozen=True, slots=True)
class Interest:
    """How much a user cares for an item: contacts weighed by their kind, each halving with every half-life since."""

    item_id: str
    weight: float


@dataclass(frozen=True, slots=True)
class UserState:
    """A user's newest interactions, oldest first, ordered by (event_time, arrival); `events` counts all ever folded.

    `recent_event_ids` makes a producer's repeats harmless: an id in it is not folded again. `interests` are the
    long-term ones, greatest first, with weights as of the newest interaction. All of it is forgotten at `expires`
    (ns UTC, 0 = not said).
    """

    user_key: str
    history: tuple[Interaction, ...] = ()
    events: int = 0
    recent_event_ids: tuple[str, ...] = ()
    interests: tuple[Interest, ...] = ()
    expires: int = 0

    def fresh_at(self, event_time: int) -> bool:
        """Whether the user is still remembered at `event_time` (ns UTC)."""
        return self.expires == 0 or event_time < self.expires

    def session(self, event_time: int) -> tuple[Interaction, ...]:
        """Short-term interest: the interactions of the visit that is going on at `event_time`, oldest first.

        A visit ends with SESSION_GAP_NS without an interaction; as far back as the history goes.
        """
        until, first = event_time, len(self.history)
        while first and until - self.history[first - 1].event_time <= SESSION_GAP_NS:
            first -= 1
            until = min(until, self.history[first].event_time)
        return tuple(one for one in self.history[first:] if one.event_time <= event_time)
