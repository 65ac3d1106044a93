"""What people and exchanges did after an ad was served, and what is kept of it per user."""

from dataclasses import dataclass
from enum import StrEnum


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
class UserState:
    """A user's newest interactions, oldest first, ordered by (event_time, arrival); `events` counts all ever folded.

    `recent_event_ids` makes a producer's repeats harmless: an id in it is not folded again.
    """

    user_key: str
    history: tuple[Interaction, ...] = ()
    events: int = 0
    recent_event_ids: tuple[str, ...] = ()
