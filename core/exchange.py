"""What an exchange sees of a bidder: offers in, notices out."""

from dataclasses import dataclass
from enum import StrEnum

from .money import Money


@dataclass(frozen=True, slots=True)
class OfferedBid:
    """One bid as it came over the wire; `bid_price` is per mille."""

    bid_id: str
    impression_id: str
    bid_price: Money
    item_id: str
    creative_id: str
    campaign_id: str
    adomain: str
    width: int
    height: int
    markup: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A bidder's answer to one request: offers, or the reason code (nbr) for none.

    `decision_id` is what Explain takes.
    """

    request_id: str
    decision_id: str
    bids: tuple[OfferedBid, ...]
    no_bid_reason: int | None


class NoticeKind(StrEnum):
    """OpenRTB's three notices."""

    WIN = "win"
    BILLING = "billing"
    LOSS = "loss"


@dataclass(frozen=True, slots=True)
class Notice:
    """What became of a bid. `clearing_price` is per mille; `loss_reason` is OpenRTB's ${AUCTION_LOSS} code."""

    kind: NoticeKind
    bid_id: str
    event_time: int
    clearing_price: Money | None = None
    loss_reason: int = 0
