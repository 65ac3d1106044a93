"""Pricing, shading and pacing: their invariants."""

from hypothesis import given
from hypothesis import strategies as st

from adgram.core.catalogue import Campaign, Creative, Objective, Schedule
from adgram.core.decision import Ad, Candidate, CandidateSource, JudgedAd, Outcome, Value, Verdict
from adgram.core.money import CPM_STEP_MICROS, Money
from adgram.core.request import AdFormat, Impression, Size
from adgram.engine.market import MarketModel, slot_name
from adgram.engine.pacing import SLOWEST, Pacer, planned_share
from adgram.engine.pricing import Pricer, meets_reserve

HOUR = 3600 * 10**9
DAY = 24 * HOUR


def judged(objective: Objective, bid: int, reserve: int, value: Value) -> JudgedAd:
    size = Size(300, 250)
    creative = Creative("k", "i", "c", AdFormat.BANNER, size, "t", "x", "https://x/", "x.com")
    campaign = Campaign("c", "a", objective, Money(bid, "CNY"), Money(10**9, "CNY"))
    impression = Impression("1", AdFormat.BANNER, (size,), Money(reserve, "CNY"))
    candidate = Candidate("i", (), None, CandidateSource.GENERATIVE, 0.0)
    return JudgedAd(Ad(candidate, creative, campaign, impression), Verdict(Outcome.ALLOW), value)


values = st.builds(Value, st.floats(0, 1), st.floats(0, 1), st.floats(0.2, 5))
seen = st.lists(st.integers(1_000, 10**9), max_size=120)


@given(
    st.sampled_from(Objective), st.integers(0, 10**7), st.integers(0, 10**8), values, st.floats(0, 1),
    st.sampled_from([1, 2]), seen,
)  # fmt: skip
def test_a_bid_never_exceeds_its_worth_and_steps_tell_the_price(
    make, objective, bid, reserve, value, pacing, auction_type, prices
) -> None:
    """bid ≤ worth, on the price step, at or above the reserve whenever it may be sent, and the last step's price is
    the bid's.
    """
    market = MarketModel()
    ad = judged(objective, bid, reserve, value)
    for price in prices:
        market.observe(slot_name(ad.ad.impression), price)
    priced = Pricer(market).price(ad, make.bid_request(auction_type=auction_type), {"c": pacing})
    worth = bid * 1000 * pacing
    if objective is not Objective.IMPRESSION:
        worth *= value.p_click * value.environment_lift
    if objective is Objective.CONVERSION:
        worth *= value.p_convert
    price = priced.bid_price.micros
    assert 0 <= price <= worth * (1 + 1e-9) + 1
    assert price % CPM_STEP_MICROS == 0
    if meets_reserve(priced):
        assert price >= reserve
    assert abs(priced.steps[-1].price_micros - price) <= CPM_STEP_MICROS


@given(st.integers(10_000, 10**9), st.lists(st.integers(1_000, 10**9), min_size=60, max_size=200))
def test_shading_takes_nearly_the_best_surplus(worth: int, prices: list[int]) -> None:
    """On the very prices it has seen, no other bid earns much more: a bin is 15 % wide, so that much may be lost to
    it.
    """
    market = MarketModel()
    impression = judged(Objective.CLICK, 1, 0, Value(0, 0)).ad.impression
    for price in prices:
        market.observe(slot_name(impression), price)

    def surplus(bid: float) -> float:
        return (worth - bid) * sum(price <= bid for price in prices)

    shaded = market.shaded(worth, impression)
    assert 0 < shaded <= worth
    best = max(prices, key=surplus)
    assert surplus(shaded) >= 0.7 * (worth - min(1.16 * best, worth)) * sum(price <= best for price in prices)


def test_a_market_that_clears_low_is_bid_low() -> None:
    """When nearly everything clears at a tenth of our worth, first-price bids drop towards it."""
    market = MarketModel()
    impression = judged(Objective.CLICK, 1, 0, Value(0, 0)).ad.impression
    for _ in range(100):
        market.observe(slot_name(impression), 100_000)
    assert 100_000 <= market.shaded(1_000_000, impression) < 200_000


@given(st.lists(st.tuples(st.integers(0, 3 * HOUR), st.integers(0, 2_000_000)), max_size=40))
def test_pacing_stays_between_a_twentieth_and_one(steps: list[tuple[int, int]]) -> None:
    """A multiplier holds back, never pushes a bid above its worth, and never silences a campaign for good."""
    pacer, at = Pacer(), DAY
    campaign = Campaign("c", "a", Objective.CLICK, Money(1, "CNY"), Money(1_000_000, "CNY"))
    for wait, spent in steps:
        at += wait
        assert SLOWEST <= pacer.multiplier(campaign, spent, at) <= 1.0


def test_a_campaign_ahead_of_plan_slows_and_recovers() -> None:
    """Half the budget gone at six o'clock slows the bids; as the day catches up they come back to full."""
    pacer = Pacer()
    campaign = Campaign("c", "a", Objective.CLICK, Money(1, "CNY"), Money(1_000_000, "CNY"))
    early = [pacer.multiplier(campaign, 500_000, DAY + 6 * HOUR + second * 10**9) for second in range(60)]
    late = [pacer.multiplier(campaign, 500_000, DAY + 14 * HOUR + second * 10**9) for second in range(120)]
    assert early[-1] < 0.1 and late[-1] == 1.0


@given(st.frozensets(st.integers(0, 23)), st.integers(0, DAY - 1), st.integers(0, DAY - 1))
def test_the_plan_only_grows_through_the_day(hours: frozenset[int], one: int, two: int) -> None:
    """The planned share is monotone in time and ends the day at one."""
    schedule = Schedule(hours=tuple(hours))
    first, second = sorted((one, two))
    assert 0 <= planned_share(schedule, first) <= planned_share(schedule, second) <= 1
    assert planned_share(schedule, DAY - 1) > 0.999
