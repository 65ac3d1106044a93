"""What exchanges tell us after a bid: onto the books first, then into what is known of the market."""

from collections import Counter

from ..core.exchange import Notice
from .ledger import Ledger, Receipt
from .market import MarketModel


class NoticeDesk:
    """Takes notices on the request loop's thread; `taken` counts them by kind and fate."""

    def __init__(self, ledger: Ledger, market: MarketModel) -> None:
        self._ledger, self._market = ledger, market
        self.taken: Counter[str] = Counter()

    def take(self, notice: Notice) -> Receipt:
        """Afterwards the ledger holds the notice, and its price, if any, has been seen by the market model once."""
        receipt = self._ledger.settle(notice)
        fate = "unknown bid" if not receipt.known else "repeated" if receipt.repeated else "taken"
        self.taken[f"{notice.kind}/{fate}"] += 1
        if receipt.tells_price and notice.clearing_price is not None:
            self._market.observe(receipt.slot, notice.clearing_price.micros)
        return receipt
