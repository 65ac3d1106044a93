"""What a fold of offers knows after a restart."""

from adgram.core import rows
from adgram.core.catalogue import Offer
from adgram.core.commit import Table
from adgram.core.event import Event, Outcome
from adgram.core.money import Money
from adgram.streaming.folds.offers import OfferBook

OLD, NEW = 1_000, 2_000


def test_an_offer_in_a_row_of_its_own_is_taken_back_by_a_book_that_knows_nothing():
    """Its time holds, whatever room there was: an older event of the item is out of order."""
    book = OfferBook()
    for number in range(100):
        offer = Offer(f"i{number}", Money(1_000_000, "CNY"), 5)
        book.restore(rows.row(Table.OFFER, offer.item_id, offer, NEW))
    late = Offer("i99", Money(2_000_000, "CNY"), 5)
    assert book.fold(Event("late", OLD, "i99", late)) is Outcome.OUT_OF_ORDER
