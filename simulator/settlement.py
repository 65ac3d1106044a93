"""Decides what becomes of a bid: won or lost, and at what price."""

from dataclasses import dataclass
from typing import Protocol

from .auction import AuctionKind, Entry, clear
from .market_maker import Offering
from .rivals import Rivals

# OpenRTB's ${AUCTION_LOSS}, AdCOM's list of loss reasons.
LOSS_EXPIRED = 2
LOSS_INVALID = 3
LOSS_BELOW_FLOOR = 100
LOSS_OUTBID = 102
US = "us"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one bid; the clearing price per mille is ours when we won, else the winner's (0 when unsold)."""

    won: bool
    clearing_micros: int
    loss_reason: int = 0


class SettlementRule(Protocol):
    """Settles the one bid for an offering's impression."""

    def settle(self, offering: Offering, price_micros: int, reserve_micros: int) -> Settlement: ...


@dataclass(frozen=True, slots=True)
class AgainstRivals:
    """An auction of the request's kind among us and rivals; we are entered first, so a tie is ours."""

    rivals: Rivals

    def settle(self, offering: Offering, price_micros: int, reserve_micros: int) -> Settlement:
        """Won when ours is the highest bid that meets the reserve."""
        if price_micros < reserve_micros:
            return Settlement(won=False, clearing_micros=0, loss_reason=LOSS_BELOW_FLOOR)
        kind = AuctionKind(offering.request.auction_type)
        sale = clear((Entry(US, price_micros), *self.rivals.bids(offering)), reserve_micros, kind)
        if sale is not None and sale.winner.bidder == US:
            return Settlement(won=True, clearing_micros=sale.clearing_micros)
        return Settlement(won=False, clearing_micros=sale.clearing_micros if sale else 0, loss_reason=LOSS_OUTBID)


@dataclass(frozen=True, slots=True)
class AtPaidPrice:
    """Won when our bid is at least the price that was really paid, at that price. A log of won impressions cannot show
    what a rival above that price would have done, so it overstates what high bids win."""

    def settle(self, offering: Offering, price_micros: int, reserve_micros: int) -> Settlement:
        """Won at the paid price, which for a few real rows lies below the floor."""
        if price_micros < reserve_micros:
            return Settlement(won=False, clearing_micros=0, loss_reason=LOSS_BELOW_FLOOR)
        paid = offering.market_price_micros or 0
        if price_micros >= paid:
            return Settlement(won=True, clearing_micros=paid)
        return Settlement(won=False, clearing_micros=paid, loss_reason=LOSS_OUTBID)
