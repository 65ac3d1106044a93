"""The way of a request: pin, admit, propose, match, judge, price, reserve, answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.clock import Clock, Deadline
from ..core.decision import Bid, Decision, JudgedAd, NoBidReason, PricedAd, Proposal, Tier
from ..core.ports import ProposalContext, Proposer, Verifier
from ..core.request import BidRequest, Impression
from ..core.snapshot import Snapshot
from ..rules.admission import Admission, Admissions, Limits
from .budgets import Budgets
from .config import EngineConfig
from .exploration import EpsilonGreedy, Policy, ThompsonDraw, p_click_of
from .ledger import Ledger, Reservation
from .market import slot_name
from .matching import match
from .newcomers import Evidence, HourlyBudget, Hurdle, Newcomers
from .pacing import Pacer
from .pricing import Pricer, meets_reserve
from .screening import Rulebooks, Screen
from .stops import StopBoard
from .tier import GuardedProposer
from .trace import Trace
from .values import ItemValues


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pipeline is made of; `snapshot` gives the newest version of memory, None before there is one."""

    snapshot: Callable[[], Snapshot | None]
    stops: StopBoard
    admissions: Admissions
    learned: GuardedProposer
    fallback: Proposer
    verifier: Verifier
    rulebooks: Rulebooks
    pricer: Pricer
    pacer: Pacer
    ledger: Ledger
    clock: Clock
    new_id: Callable[[], str]
    evidence: Evidence = field(default_factory=Evidence)  # what feedback tells of new items; whoever reads it fills it
    values: ItemValues | None = None  # given where the proposer weighs values


_FOREIGN_FLOOR = "floor in another currency"


class Pipeline:
    """Decides requests on the event loop's thread; only the learned proposer runs on another."""

    def __init__(self, parts: Parts, config: EngineConfig) -> None:
        self._parts, self._config = parts, config
        self._budgets = Budgets(parts.ledger)
        self._screen = Screen(parts.verifier, parts.rulebooks, config.serve_under_review)
        usual = EpsilonGreedy(config.exploration, config.exploration_width)
        self._launch = ThompsonDraw(parts.evidence, config.newcomer_prior_clicks)
        self._policies: dict[Tier, Policy] = {Tier.NEWCOMERS: self._launch, Tier.LEARNED: usual, Tier.FALLBACK: usual}
        self._hurdle = Hurdle(config.newcomer_taken)
        self._newcomers = Newcomers(config.newcomer_popularity)
        self._launches = HourlyBudget(config.newcomers_per_hour)

    async def decide(self, request: BidRequest, deadline: Deadline) -> Decision:
        """The answer to a request, made before `deadline`: at most one bid an impression, or the reason for none."""
        parts = self._parts
        snapshot = parts.snapshot()
        trace = Trace(parts.new_id(), request, snapshot, parts.stops, parts.clock)
        models = {"proposer": parts.learned.model, "fallback": parts.fallback.model, **parts.verifier.models}
        if snapshot is None:
            return trace.decision((), models, NoBidReason.NOT_READY)
        if not request.test:  # a test leaves no trace: no money, no pace, no time passed
            parts.ledger.expire(request.event_time)
        rng = np.random.default_rng(int.from_bytes(trace.decision_id.encode(), "big"))
        filled = [await self._fill(slot, snapshot, deadline, trace, rng) for slot in request.impressions]
        return trace.decision(tuple(bid for bid in filled if bid), models)

    async def _fill(
        self, impression: Impression, snapshot: Snapshot, deadline: Deadline, trace: Trace, rng: np.random.Generator
    ) -> Bid | None:
        if impression.reserve_price.currency != trace.request.currency:  # nothing here converts
            trace.reject("price", _FOREIGN_FLOOR, impression.impression_id)
            trace.got_as_far_as(NoBidReason.BELOW_RESERVE)
            trace.admitted[impression.impression_id] = 0
            trace.close_tier(Tier.LEARNED, impression.impression_id, Proposal((), _FOREIGN_FLOOR, 0.0), ())
            return None
        with trace.step("admit"):
            admission = self._admit(impression, snapshot, trace)
        if not admission.items.any():
            trace.close_tier(Tier.LEARNED, impression.impression_id, Proposal((), "nothing admitted", 0.0), ())
            return None
        for tier in self._tiers(admission, snapshot, trace.request, rng):
            if deadline.remaining_ms <= 0:
                trace.ran_out_of_time(tier, impression.impression_id)
                return None
            with trace.step(f"{tier}: propose"):
                proposal = await self._propose(tier, admission, snapshot, deadline, trace)
            with trace.step(f"{tier}: match"):
                limit = self._config.considered_ads
                ads = match(proposal.candidates, impression, admission.creatives, snapshot, limit)
            with trace.step(f"{tier}: judge"):
                judged = self._screen.passed(tier, ads, snapshot, trace)
            with trace.step(f"{tier}: price"):
                priced = self._price(judged, trace)
            with trace.step(f"{tier}: reserve"):
                bid = self._reserve(tier, priced, impression, trace, rng)
            trace.got_as_far_as(_furthest(proposal, ads, judged, priced))
            trace.close_tier(tier, impression.impression_id, proposal, priced)
            if bid is not None:
                return bid
        return None

    def _tiers(
        self, admission: Admission, snapshot: Snapshot, request: BidRequest, rng: np.random.Generator
    ) -> tuple[Tier, ...]:
        """The tiers to try, in order: newcomers come first for their share of requests, while the hour has budget."""
        share = self._config.newcomer_share
        offered = (
            share > 0
            and not request.test
            and rng.random() < share
            and bool((admission.items & self._newcomers.among(snapshot.items)).any())
            and self._launches.left(request.event_time)
        )
        return tuple(Tier) if offered else (Tier.LEARNED, Tier.FALLBACK)

    def _admit(self, impression: Impression, snapshot: Snapshot, trace: Trace) -> Admission:
        parts, request = self._parts, trace.request
        user_key = request.viewer.user_key
        seen = (snapshot.campaign(campaign_id) for campaign_id in parts.ledger.campaigns_seen(user_key))
        limits = Limits(
            exhausted=self._budgets.exhausted(snapshot.campaigns, request.event_time),
            capped=frozenset(
                campaign.campaign_id
                for campaign in seen
                if campaign and parts.ledger.capped(campaign, user_key, request.event_time)
            ),
            stops=trace.stopped,
        )
        admission = parts.admissions.admit(snapshot, request, impression, limits, trace.user)
        trace.admitted[impression.impression_id] = int(np.count_nonzero(admission.items))
        trace.rejected(admission.rejections)
        return admission

    async def _propose(
        self, tier: Tier, admission: Admission, snapshot: Snapshot, deadline: Deadline, trace: Trace
    ) -> Proposal:
        learned = tier is not Tier.FALLBACK
        admitted = admission.items
        if tier is Tier.NEWCOMERS:
            admitted = admitted & self._newcomers.among(snapshot.items)
        context = ProposalContext(
            snapshot=snapshot,
            admitted=admitted,
            history=trace.user.history if trace.user and not trace.request.child_directed else (),
            limit=self._config.candidates,
            deadline=deadline.earlier_by_ms(self._config.fallback_margin_ms) if learned else deadline,
            need=trace.request.need,
            values=self._parts.values.of(snapshot, admission.creatives) if learned and self._parts.values else None,
        )
        return await self._parts.learned.propose(context) if learned else self._parts.fallback.propose(context)

    def _price(self, judged: Sequence[JudgedAd], trace: Trace) -> tuple[PricedAd, ...]:
        """Our own advertisers' auction: the ads by what they would bid, greatest first, ties by creative id."""
        parts, request = self._parts, trace.request
        for ad in (judged_ad.ad for judged_ad in judged):
            campaign_id = ad.campaign.campaign_id
            if campaign_id not in trace.pacing:
                spent = parts.ledger.committed_micros(campaign_id, request.event_time)
                trace.pacing[campaign_id] = (
                    parts.pacer.current(campaign_id)
                    if request.test
                    else parts.pacer.multiplier(ad.campaign, spent, request.event_time)
                )
        priced = [parts.pricer.price(judged_ad, request, trace.pacing) for judged_ad in judged]
        return tuple(sorted(priced, key=lambda ad: (-ad.bid_price.micros, ad.judged.ad.creative.creative_id)))

    def _reserve(
        self, tier: Tier, priced: Sequence[PricedAd], impression: Impression, trace: Trace, rng: np.random.Generator
    ) -> Bid | None:
        """The bid chosen among the ads that meet the floor and can be paid for, its money held; None where there is
        none.
        """
        worthy = [ad for ad in priced if meets_reserve(ad)]
        for ad in priced[len(worthy) :]:
            trace.reject("price", "below the reserve", ad.judged.ad.creative.creative_id)
        eligible = [ad for ad in worthy if self._affords(ad, trace)]
        if not eligible or (tier is Tier.NEWCOMERS and not self._launches_one(eligible, trace)):
            return None
        choice = self._policies[tier].choose(eligible, rng)
        bid = Bid(f"{trace.decision_id}-{impression.impression_id}", eligible[choice.index])
        trace.propensity[impression.impression_id] = choice.propensity
        if not trace.request.test:  # OpenRTB: test requests are not billable
            self._hold(bid, impression, trace.request)
            if self._config.newcomer_share:
                self._parts.evidence.promise(bid.bid_id, p_click_of(bid.priced))
        return bid

    def _launches_one(self, eligible: Sequence[PricedAd], trace: Trace) -> bool:
        """Whether one of these new items is tried here: where one stands out, as far as the hour's budget goes."""
        if not self._hurdle.passes(self._launch.promise(eligible)):
            trace.reject("newcomers", "more promising elsewhere", eligible[0].judged.ad.creative.creative_id)
            return False
        return self._launches.take(trace.request.event_time)

    def _affords(self, priced: PricedAd, trace: Trace) -> bool:
        ad, request = priced.judged.ad, trace.request
        cost = priced.bid_price.per_impression.micros
        if self._parts.ledger.affords(ad.campaign, cost, request.viewer.user_key, request.event_time):
            return True
        trace.reject("ledger", "no budget or frequency left", ad.creative.creative_id)
        trace.got_as_far_as(NoBidReason.NO_BUDGET)
        return False

    def _hold(self, bid: Bid, impression: Impression, request: BidRequest) -> None:
        ad = bid.priced.judged.ad
        reservation = Reservation(
            bid_id=bid.bid_id,
            campaign_id=ad.campaign.campaign_id,
            item_id=ad.creative.item_id,
            creative_id=ad.creative.creative_id,
            user_key=request.viewer.user_key,
            place_id=request.place.place_id,
            slot=slot_name(impression),
            price_micros=bid.priced.bid_price.micros,
        )
        self._parts.ledger.reserve(reservation, ad.campaign, request.event_time)


def _furthest(
    proposal: Proposal, ads: Sequence[object], judged: Sequence[object], priced: Sequence[PricedAd]
) -> NoBidReason:
    """The stage at which a tier that bids nothing ran dry."""
    if not proposal.candidates:
        return NoBidReason.NOTHING_PROPOSED
    if not ads:
        return NoBidReason.NO_FITTING_CREATIVE
    if not judged:
        return NoBidReason.ALL_BLOCKED
    return NoBidReason.BELOW_RESERVE if not any(map(meets_reserve, priced)) else NoBidReason.NO_BUDGET
