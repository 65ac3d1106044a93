"""The way of a request, on real memory, admission and ledger."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from adgram.core.clock import Deadline, SystemClock
from adgram.core.decision import CandidateSource, Decision, NoBidReason, Outcome, Tier
from adgram.core.event import Stop, StopScope
from adgram.core.money import Money


def decide(bench, request, timeout_ms: float = 10_000) -> Decision:
    return asyncio.run(bench.pipeline.decide(request, Deadline.after_ms(timeout_ms, SystemClock())))


def test_a_bid_is_an_admitted_creative_above_the_reserve(bench, make) -> None:
    """With everything well, the learned tier bids and the record names version, models, steps and prices."""
    decision = decide(bench(make.catalogue()), make.bid_request())
    (bid,) = decision.bids
    assert bid.priced.bid_price.micros >= 1_000_000
    assert bid.priced.judged.ad.candidate.source is CandidateSource.GENERATIVE
    record = decision.record
    assert record.version == (1,)
    assert record.models == {"proposer": "scripted", "fallback": "popularity", "scorer": "fixed", "policy": "fixed"}
    assert [step.name for step in bid.priced.steps] == [
        "bid per thousand",
        "click probability",
        "environment",
        "pacing",
    ]
    assert record.propensity == {"1": 1.0}


def test_before_there_is_memory_the_answer_is_not_ready(bench, make) -> None:
    """An engine that has no snapshot yet answers a no-bid instead of failing."""
    assert decide(bench(None), make.bid_request()).no_bid_reason is NoBidReason.NOT_READY


@pytest.mark.parametrize("proposer", ["StalledProposer", "BrokenProposer"])
def test_a_stalled_or_broken_proposer_falls_back_in_time(bench, make, proposer: str) -> None:
    """The answer comes before the deadline, from the fallback tier, and the record says why."""
    stalled = getattr(make, proposer)()
    # Half a second for the fallback, so that a busy machine that wakes us late still leaves it time.
    built = bench(make.catalogue(), stalled, fallback_margin_ms=500.0)
    decision = decide(built, make.bid_request(), timeout_ms=3000)
    assert decision.record.took_ms < 3000
    assert decision.bids[0].priced.judged.ad.candidate.source is CandidateSource.FALLBACK
    learned, fallback = decision.record.tiers
    assert learned.tier is Tier.LEARNED and learned.proposal.reason in ("late", "broken")
    assert fallback.tier is Tier.FALLBACK
    if proposer == "StalledProposer":
        again = decide(built, make.bid_request(), timeout_ms=3000)
        assert again.record.tiers[0].proposal.reason == "stalled"
        assert again.record.took_ms < 1500, "a stalled proposer is passed by at once"
        stalled.release.set()


def test_a_blocked_creative_is_never_bid(bench, make) -> None:
    """What the verifier blocks or wants reviewed stays out of both tiers, and the record counts it."""
    built = bench(make.catalogue(2))
    built.verifier.outcomes.update(k0=Outcome.BLOCK, k1=Outcome.REVIEW)
    decision = decide(built, make.bid_request())
    assert decision.no_bid_reason is NoBidReason.ALL_BLOCKED
    assert Counter(r.stage for tier in decision.record.tiers for r in tier.rejections)["verifier"] == 2


def test_a_stop_halts_an_advertiser_at_the_next_request(bench, make) -> None:
    """A stop needs no commit: the advertiser's items are gone at once, and back when it is lifted."""
    built = bench(make.catalogue(1))
    stop = Stop(StopScope.ADVERTISER, "a0", "fraud", make.NOON)
    built.stops.apply([stop])
    stopped = decide(built, make.bid_request())
    assert stopped.no_bid_reason is NoBidReason.NOTHING_ADMITTED
    assert stopped.record.stops == ("advertiser:a0",)
    built.stops.apply([Stop(StopScope.ADVERTISER, "a0", "cleared", make.NOON + 1, lifted=True)])
    assert decide(built, make.bid_request()).bids


def test_a_worth_below_the_reserve_is_no_bid(bench, make) -> None:
    """Nothing is bid under the floor, by any tier."""
    decision = decide(bench(make.catalogue()), make.bid_request(reserve_micros=10**9))
    assert decision.no_bid_reason is NoBidReason.BELOW_RESERVE


def test_a_refused_reservation_tries_the_next_best(bench, make) -> None:
    """When the best ad's campaign cannot hold the money, the next one bids instead."""
    built = bench(make.catalogue(2, budget_micros=15_000))  # one bid at 10 CNY per mille holds 10,000 micros
    first, second = (decide(built, make.bid_request()).bids[0] for _ in range(2))
    campaigns = {bid.priced.judged.ad.campaign.campaign_id for bid in (first, second)}
    assert campaigns == {"c0", "c1"}
    assert decide(built, make.bid_request()).no_bid_reason in (NoBidReason.NO_BUDGET, NoBidReason.NOTHING_ADMITTED)


def test_a_test_request_holds_no_money(bench, make) -> None:
    """OpenRTB's test requests are answered but never billable."""
    built = bench(make.catalogue(1))
    assert decide(built, make.bid_request(test=True)).bids
    assert built.ledger.committed_micros("c0", make.NOON) == 0


def test_exploration_is_on_the_record(bench, make) -> None:
    """With ε = 1 and four equal ads each choice has propensity 1/4, and all of them get shown."""
    built = bench(make.catalogue(4), exploration=1.0, exploration_width=4)
    shown = Counter()
    for _ in range(60):
        decision = decide(built, make.bid_request())
        assert decision.record.propensity["1"] == pytest.approx(0.25)
        shown[decision.bids[0].priced.judged.ad.creative.creative_id] += 1
    assert set(shown) == {"k0", "k1", "k2", "k3"}


def test_a_floor_in_another_currency_is_no_bid(bench, make) -> None:
    """Nothing converts here, so a dollar floor is not taken for a yuan floor."""
    request = make.bid_request()
    slot = replace(request.impressions[0], reserve_price=Money(1, "USD"))
    decision = decide(bench(make.catalogue()), replace(request, impressions=(slot,)))
    assert decision.no_bid_reason is NoBidReason.BELOW_RESERVE


def test_a_request_out_of_time_is_answered_at_once_with_that_reason(bench, make) -> None:
    """After the deadline no tier starts, and nbr says why."""
    decision = decide(bench(make.catalogue()), make.bid_request(), timeout_ms=-1)
    assert decision.no_bid_reason is NoBidReason.INSUFFICIENT_AUCTION_TIME
