"""Prices, discounts and scarcity stated in an ad's words, and whether its item's offer bears them out."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ..core.catalogue import Offer
from ..core.decision import Finding, Outcome, Span
from .normalise import Folded

LEGAL_BASIS = "广告法 第二十八条; 价格法 第十四条; 16 CFR 233; UCPD art. 6(1)(d)"


class ClaimKind(StrEnum):
    """What a claim says of the offer."""

    PRICE = "price"  # costs exactly this
    PRICE_FROM = "price-from"  # costs this or more: there must be something at this price
    PRICE_BELOW = "price-below"  # costs less than this
    PRICE_BEFORE = "price-before"  # cost this once
    PERCENT_OFF = "percent-off"
    AMOUNT_OFF = "amount-off"
    SPEND_OVER = "spend-over"  # a condition: from this sum on
    BUNDLE = "bundle"  # one more for nothing, or for half
    STOCK_LEFT = "stock-left"


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement, at [start, end) of the original text. `currency` is "" where the words name none, "$" for any
    dollar."""

    kind: ClaimKind
    amount: float
    currency: str
    start: int
    end: int


_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_CURRENCIES = {"¥": "CNY", "元": "CNY", "块": "CNY", "rmb": "CNY", "cny": "CNY", "yuan": "CNY", "人民币": "CNY"}
_CURRENCIES |= {"$": "$", "usd": "USD", "dollar": "$", "dollars": "$", "美元": "USD"}
_CURRENCIES |= {"€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR", "欧元": "EUR", "£": "GBP", "gbp": "GBP"}
_UNIT = "人民币|美元|欧元|元|块|yuan|rmb|cny|usd|dollars|dollar|euros|euro|eur|gbp"
_MONEY = re.compile(
    rf"(?P<before>[¥$€£]|\b(?:rmb|cny|usd|eur|gbp)\b)\s*(?P<sum>{_NUMBER})"
    rf"|(?P<plain>{_NUMBER})\s*(?P<after>{_UNIT})(?![a-z])"
)
# What the words right before or after a sum make of it; the first that fits decides.
_BEFORE: tuple[tuple[re.Pattern[str], ClaimKind], ...] = (
    (
        re.compile(r"(?:原价|市场价|门市价|吊牌价|划线价|\bwas|originally|list price|regular price|rrp|msrp)\W*$"),
        ClaimKind.PRICE_BEFORE,
    ),
    (re.compile(r"(?:满|(?:orders?|spend|purchases?)(?: of| over| above)?)\W*$"), ClaimKind.SPEND_OVER),
    (
        re.compile(r"(?:立减|直降|立省|再减|减免|减|省|优惠|抵扣|返现|返|补贴|\bsave|\bsaving|\bsavings of)\W*$"),
        ClaimKind.AMOUNT_OFF,
    ),
    (re.compile(r"(?:不到|低于|不足|\bunder|\bbelow|less than)\W*$"), ClaimKind.PRICE_BELOW),
    (re.compile(r"(?:\bfrom|starting at)\W*$"), ClaimKind.PRICE_FROM),
)
_AFTER: tuple[tuple[re.Pattern[str], ClaimKind], ...] = (
    (re.compile(r"^\W*(?:起|and up\b)"), ClaimKind.PRICE_FROM),
    (re.compile(r"^\W*(?:off\b|discount\b|优惠券|优惠|红包|代金券|券|补贴)"), ClaimKind.AMOUNT_OFF),
    (re.compile(r"^\W*(?:以下|以内)"), ClaimKind.PRICE_BELOW),
)
_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")}
_NOT_A_FOLD = "叠伞页痕纸射线弯臂屏椅床桌刀梯"  # 三折伞, 二折页: folds, not discounts
_ZHE = re.compile(rf"(?P<tenths>\d(?:\.\d)?|[1-9]\d|[一二三四五六七八九]{{1,2}})\s*折(?![{_NOT_A_FOLD}])")
_PERCENT = re.compile(
    r"(?P<percent>\d{1,2}(?:\.\d+)?)\s*%\s*(?:off\b|discount\b|cheaper\b|less\b|优惠|折扣)"
    r"|(?:\bsave|立减|直降|降价|优惠|\bdiscount of)\s*(?:up to\s*)?(?P<other>\d{1,2}(?:\.\d+)?)\s*%"
)
_HALF = re.compile(r"(?P<bundle>第[二2]件半价)|半价|\bhalf[ -]price\b|\bhalf off\b")
_BUNDLE = re.compile(r"买[一二两三1-3]送[一二两三1-3]|\bbogo\b|\bbuy (?:one|two|1|2),? get (?:one|1)\b")
_LEFT = re.compile(
    rf"(?:仅剩|只剩|最后|限量)\s*(?P<zh>{_NUMBER})\s*[件个台套份瓶盒双]|\b(?:only|last)\s+(?P<en>{_NUMBER})\s*(?:left|items|pieces|remaining)"
)
# Reductions and extras: only the offer's promotion can grant them.
_PROMISES = (ClaimKind.PERCENT_OFF, ClaimKind.AMOUNT_OFF, ClaimKind.SPEND_OVER, ClaimKind.BUNDLE)
_CENT = 0.005  # half of the smallest coin: prices are compared as people write them
_CUE = re.compile(r"\d|折|半|买|half|bogo|buy")  # without any of these no claim can be in a text; most have none
_LOOK = 24  # characters before and after a sum that can change its meaning


def stated(text: Folded) -> tuple[Claim, ...]:
    """The claims in a text, in the order they stand."""
    found: list[Claim] = []
    words = text.text
    if not _CUE.search(words):
        return ()

    def add(kind: ClaimKind, amount: float, currency: str, match: re.Match[str]) -> None:
        found.append(Claim(kind, amount, currency, *text.text_span(match.start(), match.end())))

    for match in _ZHE.finditer(words):
        add(ClaimKind.PERCENT_OFF, 100 - _tenths(match["tenths"]), "", match)
    for match in _PERCENT.finditer(words):
        add(ClaimKind.PERCENT_OFF, float(match["percent"] or match["other"]), "", match)
    for match in _HALF.finditer(words):
        add(ClaimKind.BUNDLE if match["bundle"] else ClaimKind.PERCENT_OFF, 2.0 if match["bundle"] else 50.0, "", match)
    for match in _BUNDLE.finditer(words):
        add(ClaimKind.BUNDLE, 1.0, "", match)
    for match in _LEFT.finditer(words):
        add(ClaimKind.STOCK_LEFT, _number(match["zh"] or match["en"]), "", match)
    for match in _MONEY.finditer(words):
        kind = _kind(words[max(match.start() - _LOOK, 0) : match.start()], words[match.end() : match.end() + _LOOK])
        currency = _CURRENCIES[(match["before"] or match["after"]).strip()]
        add(kind, _number(match["sum"] or match["plain"]), currency, match)
    for match in re.finditer(rf"满\s*({_NUMBER})\s*(减|送|返)\s*({_NUMBER})(?!\s*(?:{_UNIT}|\d|\.))", words):
        add(ClaimKind.SPEND_OVER, _number(match[1]), "", match)
        add(ClaimKind.AMOUNT_OFF, _number(match[3]), "", match)
    return tuple(sorted(found, key=lambda claim: (claim.start, claim.end)))


def unsupported(
    field: str, text: Folded, claims: tuple[Claim, ...], offer: Offer | None, terms: "Terms"
) -> list[Finding]:
    """A finding for each claim the offer contradicts (BLOCK) or that nothing known can bear out (REVIEW)."""
    findings = []
    for claim in claims:
        severity = Outcome.REVIEW if offer is None else _judged(claim, offer, terms)
        if severity is not Outcome.ALLOW:
            span = Span(field, claim.start, claim.end)
            evidence = text.original[claim.start : claim.end]
            findings.append(Finding(f"claims.{claim.kind}", severity, span, evidence, LEGAL_BASIS))
    return findings


@dataclass(frozen=True, slots=True)
class Terms:
    """What an offer's promotion says, in the same words as ads are read."""

    claims: tuple[Claim, ...] = ()

    @classmethod
    def of(cls, offer: Offer | None, fold: Callable[[str], Folded]) -> "Terms":
        """The terms of an offer's promotion; none without one."""
        return cls(stated(fold(offer.promotion))) if offer is not None and offer.promotion else cls()

    def grant(self, claim: Claim) -> bool:
        """Whether the promotion says the same."""
        return any(term.kind is claim.kind and abs(term.amount - claim.amount) < 0.05 for term in self.claims)


def _judged(claim: Claim, offer: Offer, terms: Terms) -> Outcome:
    if terms.grant(claim):
        return Outcome.ALLOW
    if claim.kind in _PROMISES:
        return Outcome.BLOCK
    if claim.kind is ClaimKind.STOCK_LEFT:
        return Outcome.REVIEW if offer.stock < 0 else _allowed(offer.stock <= claim.amount)
    if not _same_currency(claim.currency, offer.price.currency):
        return Outcome.REVIEW
    return _priced(claim, offer.price.units)


def _priced(claim: Claim, price: float) -> Outcome:
    if claim.kind is ClaimKind.PRICE_BEFORE:
        return Outcome.REVIEW if claim.amount > price else Outcome.BLOCK
    if claim.kind is ClaimKind.PRICE_BELOW:
        return _allowed(price < claim.amount)
    if claim.kind is ClaimKind.PRICE_FROM:
        return _allowed(price <= claim.amount + _CENT)
    # a price may be rounded up to the next whole unit in words, never down
    return _allowed(-_CENT <= claim.amount - price < 1.0)


def _allowed(supported: bool) -> Outcome:
    return Outcome.ALLOW if supported else Outcome.BLOCK


def _same_currency(claimed: str, offered: str) -> bool:
    return claimed == offered or (claimed == "$" and offered.endswith("D"))


def _kind(before: str, after: str) -> ClaimKind:
    for pattern, kind in _BEFORE:
        if pattern.search(before):
            return kind
    for pattern, kind in _AFTER:
        if pattern.search(after):
            return kind
    return ClaimKind.PRICE


def _number(digits: str) -> float:
    return float(digits.replace(",", ""))


def _tenths(digits: str) -> float:
    """How many per cent of the price are left: 8折 and 八折 are 80, 8.5折, 85折 and 八五折 are 85."""
    plain = "".join(str(_DIGITS.get(digit, digit)) for digit in digits)
    value = float(plain)
    return value if value >= 10 else value * 10
