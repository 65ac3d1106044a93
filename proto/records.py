"""Decision records on the wire, for Explain."""

from ..core.decision import Candidate, ConsideredAd, DecisionRecord, Finding, Proposal, Rejection, TierRecord
from ..core.environment import Environment
from . import bidding_pb2 as wire
from .openrtb import encode_request


def encode_record(record: DecisionRecord) -> wire.DecisionRecord:
    """The whole record as protobuf; absent numbers stay absent."""
    message = wire.DecisionRecord(
        decision_id=record.decision_id,
        decided_at_ns=record.decided_at,
        request=encode_request(record.request),
        version=record.version,
        watermark_ns=record.watermark,
        environment=_environment(record.environment),
        models=record.models,
        rules=record.rules,
        stops=record.stops,
        pacing=record.pacing,
        tiers=[_tier(tier) for tier in record.tiers],
        bids=[
            wire.ChosenAd(bid_id=chosen.bid_id, impression_id=chosen.impression_id, ad=_considered(chosen.ad))
            for chosen in record.bids
        ],
        propensity=record.propensity,
        step_ms=record.step_ms,
        took_ms=record.took_ms,
        admitted=record.admitted,
    )
    if record.no_bid_reason is not None:
        message.nbr = int(record.no_bid_reason)
    return message


def _environment(environment: Environment) -> wire.Environment:
    message = wire.Environment(
        place_id=environment.place_id,
        weather=environment.weather.value,
        local_events=environment.local_events,
        event_time_ns=environment.event_time,
    )
    if environment.temperature_c is not None:
        message.temperature_c = environment.temperature_c
    if environment.crowd is not None:
        message.crowd = environment.crowd
    return message


def _tier(tier: TierRecord) -> wire.TierRecord:
    return wire.TierRecord(
        tier=tier.tier.value,
        impression_id=tier.impression_id,
        proposal=_proposal(tier.proposal),
        priced=tier.priced,
        considered=[_considered(ad) for ad in tier.considered],
        rejections=[_rejection(rejection) for rejection in tier.rejections],
    )


def _proposal(proposal: Proposal) -> wire.Proposal:
    return wire.Proposal(
        candidates=[_candidate(candidate) for candidate in proposal.candidates],
        reason=proposal.reason,
        took_ms=proposal.took_ms,
        model=proposal.model,
    )


def _candidate(candidate: Candidate) -> wire.Candidate:
    message = wire.Candidate(
        item_id=candidate.item_id,
        semantic_id=candidate.semantic_id,
        source=candidate.source.value,
        score=candidate.score,
    )
    if candidate.log_prob is not None:
        message.log_prob = candidate.log_prob
    return message


def _considered(ad: ConsideredAd) -> wire.PricedAd:
    return wire.PricedAd(
        item_id=ad.item_id,
        creative_id=ad.creative_id,
        campaign_id=ad.campaign_id,
        source=ad.source.value,
        outcome=ad.verdict.outcome.value,
        findings=[_finding(finding) for finding in ad.verdict.findings],
        p_click=ad.value.p_click,
        p_convert=ad.value.p_convert,
        environment_lift=ad.value.environment_lift,
        bid_price_micros=ad.price_micros,
        steps=[wire.PriceStep(name=s.name, factor=s.factor, price_micros=s.price_micros) for s in ad.steps],
    )


def _finding(finding: Finding) -> wire.Finding:
    return wire.Finding(
        rule_id=finding.rule_id,
        severity=finding.severity.value,
        field=finding.span.field,
        start=finding.span.start,
        end=finding.span.end,
        evidence=finding.evidence,
        legal_basis=finding.legal_basis,
    )


def _rejection(rejection: Rejection) -> wire.Rejection:
    return wire.Rejection(stage=rejection.stage, reason=rejection.reason, count=rejection.count, ids=rejection.ids)
