"""Money: exact, one currency at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adgram.core.money import CPM_STEP_MICROS, Money, cpm


@given(st.floats(0, 1e12))
def test_a_price_per_mille_never_rounds_up_and_divides_evenly(micros: float) -> None:
    """A thousand impressions at a rounded price cost exactly that price, and never more than was meant."""
    price = cpm(micros, "CNY")
    assert price.micros <= micros < price.micros + CPM_STEP_MICROS
    assert price.per_impression.micros * 1000 == price.micros


def test_currencies_do_not_mix() -> None:
    """Adding yuan to dollars is an error, not a number."""
    with pytest.raises(ValueError, match="CNY"):
        Money(1, "CNY") + Money(1, "USD")
