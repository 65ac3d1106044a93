"""The books: never over budget, every notice once, whole after a kill."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core.catalogue import Campaign, FrequencyCap, Objective
from adgram.core.exchange import Notice, NoticeKind
from adgram.core.money import Money
from adgram.engine.ledger import Ledger, Reservation

NOON = 20_000 * 86_400 * 10**9 + 43_200 * 10**9
SECOND = 10**9


def campaign(budget_micros: int = 10_000, cap: FrequencyCap | None = None) -> Campaign:
    return Campaign(
        "c", "a", Objective.CLICK, Money(1, "CNY"), Money(budget_micros, "CNY"), frequency_cap=cap or FrequencyCap()
    )


def reservation(bid_id: str, price_micros: int = 2_000_000) -> Reservation:
    return Reservation(bid_id, "c", "i", "k", "u", "CN", "banner/300x250", price_micros)


def notice(kind: NoticeKind, bid_id: str, price_micros: int | None = None, at: int = NOON) -> Notice:
    return Notice(kind, bid_id, at, None if price_micros is None else Money(price_micros, "CNY"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "ledger.sqlite", 600, "billing")
    yield opened
    opened.close()


def test_a_billing_charges_the_clearing_price_once(ledger: Ledger) -> None:
    """The money held becomes money spent at the clearing price; the same notice again changes nothing."""
    assert ledger.reserve(reservation("b"), campaign(), NOON)
    assert ledger.committed_micros("c", NOON) == 2_000
    assert not ledger.settle(notice(NoticeKind.WIN, "b", 1_500_000)).repeated
    assert not ledger.settle(notice(NoticeKind.BILLING, "b", 1_500_000)).repeated
    assert ledger.spent_micros("c", NOON) == ledger.committed_micros("c", NOON) == 1_500
    assert ledger.settle(notice(NoticeKind.BILLING, "b", 1_500_000)).repeated
    assert ledger.spent_micros("c", NOON) == 1_500


def test_a_clearing_price_above_the_bid_is_not_paid(ledger: Ledger) -> None:
    """Whatever an exchange claims, nothing above the bid is charged."""
    ledger.reserve(reservation("b"), campaign(), NOON)
    ledger.settle(notice(NoticeKind.BILLING, "b", 9_000_000))
    assert ledger.spent_micros("c", NOON) == 2_000


def test_a_loss_frees_the_money(ledger: Ledger) -> None:
    """After a loss the budget is whole again, and a later loss of the same bid is a repeat."""
    ledger.reserve(reservation("b"), campaign(2_000), NOON)
    assert not ledger.reserve(reservation("b2"), campaign(2_000), NOON)
    ledger.settle(notice(NoticeKind.LOSS, "b"))
    assert ledger.reserve(reservation("b3"), campaign(2_000), NOON)
    assert ledger.settle(notice(NoticeKind.LOSS, "b")).repeated


def test_an_overdue_bid_frees_its_money_but_late_billing_is_still_paid(ledger: Ledger) -> None:
    """Silence frees the hold after its time; if the impression was shown after all, it is owed."""
    ledger.reserve(reservation("b"), campaign(), NOON)
    assert ledger.expire(NOON + 601 * SECOND) == 1
    assert ledger.committed_micros("c", NOON) == 0
    ledger.settle(notice(NoticeKind.BILLING, "b", 1_000_000, NOON + 700 * SECOND))
    assert ledger.spent_micros("c", NOON) == 1_000


def test_a_notice_for_an_unknown_bid_is_known_as_such(ledger: Ledger) -> None:
    """A bid that was never made here changes no book."""
    assert not ledger.settle(notice(NoticeKind.BILLING, "nobody", 1)).known


def test_a_frequency_cap_counts_wins_within_its_window(ledger: Ledger) -> None:
    """Two wins fill a cap of two until the window has passed."""
    capped = campaign(cap=FrequencyCap(2, 3600))
    for bid_id in ("b1", "b2"):
        assert not ledger.capped(capped, "u", NOON)
        ledger.reserve(reservation(bid_id), capped, NOON)
        ledger.settle(notice(NoticeKind.WIN, bid_id, 1_000_000))
    assert ledger.capped(capped, "u", NOON)
    assert not ledger.reserve(reservation("b3"), capped, NOON)
    assert not ledger.capped(capped, "somebody else", NOON)
    assert not ledger.capped(capped, "u", NOON + 3601 * SECOND)


def test_a_bid_in_flight_counts_against_the_cap_until_it_is_lost(tmp_path: Path) -> None:
    """Two bids at once cannot both take the last showing, also after a restart; a loss gives it back."""
    capped = campaign(cap=FrequencyCap(1, 3600))
    first = Ledger(tmp_path / "ledger.sqlite", 600, "billing")
    assert first.reserve(reservation("b1"), capped, NOON)
    second = Ledger(tmp_path / "ledger.sqlite", 600, "billing")
    for ledger in (first, second):
        assert not ledger.reserve(reservation("b2"), capped, NOON)
    second.settle(notice(NoticeKind.LOSS, "b1"))
    assert second.reserve(reservation("b2"), capped, NOON)


def test_a_weekly_cap_survives_a_restart(tmp_path: Path) -> None:
    """A win of five days ago still counts against a cap of seven days, after a restart too."""
    capped, now = campaign(cap=FrequencyCap(1, 7 * 86_400)), NOON + 5 * 86_400 * SECOND
    first = Ledger(tmp_path / "ledger.sqlite", 600, "billing")
    first.reserve(reservation("b1"), capped, NOON)
    first.settle(notice(NoticeKind.BILLING, "b1", 1_000_000))
    first.expire(now)
    assert Ledger(tmp_path / "ledger.sqlite", 600, "billing").capped(capped, "u", now)


def test_only_the_first_word_on_a_sale_tells_its_price(ledger: Ledger) -> None:
    """A win and its billing name the same price: the market model must see it once."""
    ledger.reserve(reservation("b"), campaign(), NOON)
    assert ledger.settle(notice(NoticeKind.WIN, "b", 1_500_000)).tells_price
    assert not ledger.settle(notice(NoticeKind.BILLING, "b", 1_500_000)).tells_price


def test_the_books_are_whole_after_a_kill(tmp_path: Path) -> None:
    """A ledger opened over another's file, never closed, holds the same money, caps and repeats."""
    first = Ledger(tmp_path / "ledger.sqlite", 600, "billing")
    for bid_id in ("won", "open"):
        first.reserve(reservation(bid_id), campaign(), NOON)
    first.settle(notice(NoticeKind.BILLING, "won", 1_000_000))
    second = Ledger(tmp_path / "ledger.sqlite", 600, "billing")
    assert second.committed_micros("c", NOON) == first.committed_micros("c", NOON) == 3_000
    assert second.campaigns_seen("u") == ("c",)
    assert second.settle(notice(NoticeKind.BILLING, "won", 1_000_000)).repeated
    assert not second.settle(notice(NoticeKind.BILLING, "open", 1_000_000)).repeated


steps = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "win", "billing", "loss", "expire"]), st.integers(0, 5), st.integers(0, 4_000_000)
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_reservations_never_pass_the_budget_and_charges_never_pass_the_bids(tmp_path_factory, steps) -> None:
    """Whatever order notices come in, held plus spent never passes the budget through reserving, nothing goes negative,
    and a reopened ledger says the same."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    ledger, ids, order = Ledger(path, 1, "billing"), count(), campaign(7_000)
    at, spent = NOON, 0
    for kind, which, price in steps:
        at += SECOND
        if kind == "reserve":
            before = ledger.committed_micros("c", at)
            held = ledger.reserve(reservation(f"b{next(ids)}", price), order, at)
            assert held == (before + price // 1000 <= 7_000)
        elif kind == "expire":
            ledger.expire(at)
        else:
            ledger.settle(notice(NoticeKind(kind), f"b{which}", price, at))
        assert ledger.committed_micros("c", at) >= ledger.spent_micros("c", at) >= spent
        spent = ledger.spent_micros("c", at)
    assert Ledger(path, 1, "billing").committed_micros("c", at) == ledger.committed_micros("c", at)
