"""Exploration: what is drawn is what is on record, and no more of it than was allowed."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core.catalogue import Campaign, Creative, Objective
from adgram.core.clock import NS_PER_HOUR, Deadline, SystemClock
from adgram.core.decision import Ad, Candidate, CandidateSource, JudgedAd, Outcome, PricedAd, Tier, Value, Verdict
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.core.money import Money
from adgram.core.request import AdFormat, Impression, Size
from adgram.engine.exploration import EVEN_SHARE, EpsilonGreedy, Policy, ThompsonDraw
from adgram.engine.newcomers import Evidence, HourlyBudget, Hurdle

SLOT = Impression("1", AdFormat.BANNER, (Size(300, 250),), Money(0, "CNY"))


def priced(p_clicks: Sequence[float], items: Sequence[int] | None = None) -> list[PricedAd]:
    """Ads k0, k1 … of items i0, i1 … (or of those numbered), expected to be clicked so often."""
    ads = []
    campaign = Campaign("c", "a", Objective.CLICK, Money(1, "CNY"), Money(1, "CNY"))
    for n, p_click in enumerate(p_clicks):
        item_id = f"i{n if items is None else items[n]}"
        creative = Creative(f"k{n}", item_id, "c", AdFormat.BANNER, Size(300, 250), "", "", "https://x/", "x.com")
        ad = Ad(Candidate(item_id, (), None, CandidateSource.MEMORY, 0.0), creative, campaign, SLOT)
        judged = JudgedAd(ad, Verdict(Outcome.ALLOW), Value(p_click, 0.0))
        ads.append(PricedAd(judged, Money(1000, "CNY"), ()))
    return ads


def seen(item: int, impressions: int, clicks: int) -> list[Feedback]:
    """Feedback of so many billed impressions and clicks of one item."""
    billed = [Feedback(FeedbackKind.BILLING, item_id=f"i{item}", bid_id=f"b{item}-{n}") for n in range(impressions)]
    return billed + [Feedback(FeedbackKind.CLICK, item_id=f"i{item}")] * clicks


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.001, 0.999), st.integers(0, 5)), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.integers(0, 10)), max_size=6),
    st.integers(0, 2**32 - 1),
)
def test_propensities_sum_to_one_and_none_is_zero(
    ads: list[tuple[float, int]], past: list[tuple[int, int, int]], seed: int
) -> None:
    """Whatever was seen of the items, the draw is a distribution that reaches every ad."""
    evidence = Evidence()
    for item, impressions, clicks in past:
        evidence.observe(seen(item, impressions, clicks))
    policy = ThompsonDraw(evidence, prior_clicks=5.0)
    made = priced([p_click for p_click, _ in ads], [item for _, item in ads])
    propensities = policy.propensities(made, np.random.default_rng(seed))
    assert propensities.sum() == pytest.approx(1.0)
    assert (propensities >= EVEN_SHARE / len(ads) - 1e-12).all()
    choice = policy.choose(made, np.random.default_rng(seed))
    assert choice.propensity == pytest.approx(propensities[choice.index])


@pytest.mark.parametrize("policy", [ThompsonDraw(Evidence(), 5.0), EpsilonGreedy(0.5, 4)])
def test_inverse_propensity_scoring_is_unbiased_on_a_known_table(policy: Policy) -> None:
    """Weighting each reward by 1 / propensity gives the value of always showing one ad, for every ad of the table."""
    ads, rewards = priced([0.1, 0.2, 0.3, 0.25]), np.array([0.9, 0.1, 0.4, 0.2])
    rng, rounds = np.random.default_rng(5), 6000
    estimates = np.zeros((rounds, len(ads)))
    for row in range(rounds):
        choice = policy.choose(ads, rng)
        estimates[row, choice.index] = rewards[choice.index] / choice.propensity
    error = estimates.std(axis=0) / np.sqrt(rounds)
    assert (np.abs(estimates.mean(axis=0) - rewards) < 5 * error).all()


def test_what_is_clicked_is_drawn_more_and_what_is_not_less() -> None:
    """Three alike items: after thirty impressions each, propensities follow the clicks."""
    evidence = Evidence()
    for item, clicks in ((0, 0), (1, 7), (2, 6)):
        for number in range(30):
            evidence.promise(f"b{item}-{number}", 0.2)
        evidence.observe(seen(item, 30, clicks))
    drawn = ThompsonDraw(evidence, 5.0).propensities(priced([0.2, 0.2, 0.2]), np.random.default_rng(1))
    assert drawn[0] < drawn[2] < drawn[1]
    assert drawn[0] == pytest.approx(EVEN_SHARE / 3)


def test_impressions_of_other_engines_count_with_the_mean_promise() -> None:
    """Two impressions promised at 0.3 and 0.1 here, one bid elsewhere: the unknown one is expected to bring 0.2."""
    evidence = Evidence()
    evidence.promise("b0-0", 0.3)
    evidence.promise("b0-1", 0.1)
    evidence.observe(seen(0, 2, 1))
    evidence.observe([Feedback(FeedbackKind.BILLING, item_id="i1", bid_id="elsewhere")])
    found = evidence.of(["i0", "i1", "i9"])
    assert found.expected == pytest.approx([0.4, 0.2, 0.0])
    assert found.clicks.tolist() == [1, 0, 0]


def test_after_a_restart_what_others_bid_counts_with_the_click_rate_of_all() -> None:
    """With nothing promised yet, ten impressions and three clicks of two items say that three in ten are expected."""
    evidence = Evidence()
    evidence.observe([*seen(0, 6, 3), *seen(1, 4, 0)])
    assert evidence.of(["i0", "i1"]).expected == pytest.approx([1.8, 1.2])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5), st.lists(st.integers(0, 100 * 4), max_size=120))
def test_the_hourly_budget_is_never_exceeded(per_hour: int, quarters: list[int]) -> None:
    """In whatever order requests come, no clock hour gives out more than its budget."""
    budget, given_out = HourlyBudget(per_hour), Counter[int]()
    for quarter in quarters:
        given_out[quarter // 4] += budget.take(quarter * NS_PER_HOUR // 4)
    assert max(given_out.values(), default=0) <= per_hour


@settings(max_examples=8, deadline=None)
@given(st.floats(0.05, 1.0), st.integers(0, 2**32 - 1))
def test_the_hurdle_lets_about_its_share_pass(share: float, seed: int) -> None:
    """Of steady scores the best share passes, within ten points; the very best always does."""
    hurdle, rng = Hurdle(share), np.random.default_rng(seed)
    passed = [hurdle.passes(score) for score in rng.random(800)][200:]
    assert np.mean(passed) == pytest.approx(share, abs=0.1)
    assert hurdle.passes(1.5)


def _decide(built, request):
    return asyncio.run(built.pipeline.decide(request, Deadline.after_ms(10_000, SystemClock())))


def test_a_bounded_share_of_requests_is_offered_to_newcomers_on_the_record(bench, make) -> None:
    """Of items i0 … i3 the two least known are new: their tier comes first, with propensities, until the hour's
    budget is spent."""
    built = bench(
        make.catalogue(4), newcomer_share=0.999, newcomer_taken=1.0, newcomer_popularity=2.0, newcomers_per_hour=20
    )
    decisions = [_decide(built, make.bid_request()) for _ in range(30)]
    offered = [one for one in decisions if one.record.tiers[0].tier is Tier.NEWCOMERS]
    assert len(offered) == 20
    for decision in offered:
        assert decision.bids[0].priced.judged.ad.creative.item_id in ("i2", "i3")
        assert [ad.item_id for ad in decision.record.tiers[0].considered] == ["i2", "i3"]
        assert EVEN_SHARE / 2 <= decision.record.propensity["1"] <= 1.0
    assert all(one.record.tiers[0].tier is Tier.LEARNED for one in decisions if one not in offered)


def test_newcomers_that_cannot_bid_leave_the_request_to_the_others(bench, make) -> None:
    """Where no new item's creative may be shown, the learned tier answers in the same decision."""
    built = bench(make.catalogue(4), newcomer_share=0.999, newcomer_taken=1.0, newcomer_popularity=2.0)
    built.verifier.outcomes = {"k2": Outcome.BLOCK, "k3": Outcome.BLOCK}
    decision = _decide(built, make.bid_request())
    assert [tier.tier for tier in decision.record.tiers] == [Tier.NEWCOMERS, Tier.LEARNED]
    assert decision.bids[0].priced.judged.ad.creative.item_id in ("i0", "i1")


def test_without_a_share_and_on_test_requests_newcomers_get_no_offer(bench, make) -> None:
    """Off by default; requests marked as tests neither explore nor spend."""
    plain = _decide(bench(make.catalogue(4), newcomer_popularity=9.0), make.bid_request())
    assert plain.record.tiers[0].tier is Tier.LEARNED
    built = bench(
        make.catalogue(4), newcomer_share=0.999, newcomer_taken=1.0, newcomer_popularity=9.0, newcomers_per_hour=1
    )
    assert _decide(built, make.bid_request(test=True)).record.tiers[0].tier is Tier.LEARNED
    assert _decide(built, make.bid_request()).record.tiers[0].tier is Tier.NEWCOMERS


def test_a_request_where_no_newcomer_stands_out_is_left_to_the_others(bench, make) -> None:
    """After a request where the click model promised more, a poorer one is not taken up, and the record says so."""
    built = bench(make.catalogue(4), newcomer_share=0.999, newcomer_taken=0.25, newcomer_popularity=2.0)
    assert _decide(built, make.bid_request()).record.tiers[0].tier is Tier.NEWCOMERS
    built.verifier.value = Value(0.05, 0.2)
    decision = _decide(built, make.bid_request(reserve_micros=0))
    assert [tier.tier for tier in decision.record.tiers] == [Tier.NEWCOMERS, Tier.LEARNED]
    assert decision.record.tiers[0].rejections[-1].reason == "more promising elsewhere"
