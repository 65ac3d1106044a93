"""Auctions keep the promises of theory."""

from hypothesis import given
from hypothesis import strategies as st

from adgram.simulator.auction import AuctionKind, Entry, clear

prices = st.integers(min_value=-1000, max_value=3_000_000)
entries = st.lists(prices, max_size=8).map(lambda values: [Entry(f"b{i}", value) for i, value in enumerate(values)])
reserves = st.integers(min_value=0, max_value=3_000_000)
lies = st.integers(min_value=0, max_value=1200)
kinds = st.sampled_from(AuctionKind)


@given(entries, reserves, kinds)
def test_a_winner_pays_between_the_reserve_and_its_bid(offers: list[Entry], reserve: int, kind: AuctionKind) -> None:
    """Nobody pays more than they bid, and nothing sells under the reserve."""
    sale = clear(offers, reserve, kind)
    if sale is not None:
        assert reserve <= sale.clearing_micros <= sale.winner.price_micros


@given(entries, reserves, kinds)
def test_it_sells_to_the_highest_eligible_bid_or_not_at_all(
    offers: list[Entry], reserve: int, kind: AuctionKind
) -> None:
    """It sells exactly when a positive bid meets the reserve, to the best one, the earliest of equals."""
    eligible = [entry for entry in offers if entry.price_micros > 0 and entry.price_micros >= reserve]
    sale = clear(offers, reserve, kind)
    assert (sale is None) == (not eligible)
    if sale is not None:
        best = max(entry.price_micros for entry in eligible)
        assert sale.winner is next(entry for entry in eligible if entry.price_micros == best)


@given(st.lists(st.integers(1, 1000), min_size=0, max_size=5), st.integers(0, 1000), st.integers(1, 1000), lies)
def test_bidding_the_truth_is_never_worse_in_a_second_price_auction(
    others: list[int], reserve: int, worth: int, lie: int
) -> None:
    """No other bid earns a bidder more than bidding what the impression is worth to it."""

    def gain(bid: int) -> int:
        rivals = [Entry(f"r{i}", price) for i, price in enumerate(others)]
        sale = clear([Entry("me", bid), *rivals], reserve, AuctionKind.SECOND_PRICE)
        return worth - sale.clearing_micros if sale is not None and sale.winner.bidder == "me" else 0

    assert gain(worth) >= gain(lie)


@given(entries, reserves)
def test_a_first_price_auction_never_earns_less_than_a_second_price_one(offers: list[Entry], reserve: int) -> None:
    """With the same bids the first price is at least the second."""
    first, second = (clear(offers, reserve, kind) for kind in AuctionKind)
    if first is not None and second is not None:
        assert first.clearing_micros >= second.clearing_micros
        assert first.winner is second.winner
