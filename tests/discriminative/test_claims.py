"""Prices and discounts in words against the item's offer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adgram.core.catalogue import Creative, Offer
from adgram.core.decision import Outcome
from adgram.core.money import from_units
from adgram.core.request import AdFormat, Size
from adgram.discriminative import policy
from adgram.discriminative.compliance import ComplianceCheck
from adgram.discriminative.normalise import Normaliser

CHECK = ComplianceCheck(policy.load(), Normaliser())


def found(text: str, offer: Offer | None):
    """The claims' findings by rule, with outcome and quotation."""
    creative = Creative("k", "i", "c", AdFormat.BANNER, Size(300, 250), "x", text, "https://a.example/", "a.example")
    findings = CHECK.check(creative, None, offer).findings
    return [(finding.rule_id, finding.severity, finding.evidence) for finding in findings]


def offer(price: float = 99, currency: str = "CNY", stock: int = 10, promotion: str = "") -> Offer:
    """An offer."""
    return Offer("i", from_units(price, currency), stock, promotion)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("仅需¥99", offer()),
        ("只要 99 元", offer(98.6)),
        ("￥１，２９９．００ 起", offer(1299)),
        ("Now $19.99", offer(19.99, "USD")),
        ("Under $20", offer(19.99, "USD")),
        ("8折优惠", offer(promotion="20% off")),
        ("八五折", offer(promotion="85折")),
        ("Save 20% today", offer(promotion="20% off everything")),
        ("满200减50", offer(promotion="满200减50")),
        ("满200元减50元", offer(promotion="满200减50")),
        ("Half price", offer(promotion="5折")),
        ("买一送一", offer(promotion="买一送一")),
        ("仅剩12件", offer(stock=10)),
        ("原价199元，现价99元", offer(promotion="原价199元")),
        ("50% cotton, 1.5 m, 100 ml, 12 pieces, 2026", offer()),
    ],
)
def test_claims_that_the_offer_bears_out_are_allowed(text, terms):
    """What is true may be said, in either language and any spelling."""
    assert found(text, terms) == []


@pytest.mark.parametrize(
    ("text", "terms", "rule", "evidence"),
    [
        ("只要199元", offer(), "claims.price", "199元"),
        ("只要 89 元", offer(), "claims.price", "89 元"),
        ("From $12", offer(19.99, "USD"), "claims.price-from", "$12"),
        ("不到50元", offer(), "claims.price-below", "50元"),
        ("5折", offer(promotion="8折"), "claims.percent-off", "5折"),
        ("５ 折", offer(), "claims.percent-off", "５ 折"),
        ("up to 70% off", offer(), "claims.percent-off", "70% off"),
        ("立减50元", offer(), "claims.amount-off", "50元"),
        ("Buy one get one", offer(), "claims.bundle", "Buy one get one"),
        ("第二件半价", offer(), "claims.bundle", "第二件半价"),
        ("仅剩3件", offer(stock=10), "claims.stock-left", "仅剩3件"),
        ("was $15, now $20", offer(20, "USD"), "claims.price-before", "$15"),
    ],
)
def test_claims_the_offer_contradicts_are_blocked_where_they_stand(text, terms, rule, evidence):
    """The finding quotes the claim."""
    assert (rule, Outcome.BLOCK, evidence) in found(text, terms)


@pytest.mark.parametrize(
    ("text", "terms"), [("只要99元", None), ("only $99", offer()), ("仅剩3件", offer(stock=-1)), ("原价199元", offer())]
)
def test_claims_nothing_can_bear_out_are_for_review(text, terms):
    """No offer, another currency, unlimited stock, a former price."""
    assert [severity for _, severity, _ in found(text, terms)] == [Outcome.REVIEW]


@given(price=st.integers(1, 5000), stated=st.integers(1, 5000))
def test_a_whole_price_is_allowed_exactly_when_it_is_the_offers(price, stated):
    """Nothing but the price itself passes, for whole prices."""
    assert (found(f"仅{stated}元", offer(price)) == []) == (price == stated)
