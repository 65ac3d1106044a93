"""Explain: one real decision, with everything that went into it."""

import pytest

from adgram.core.catalogue import Item, Rule
from adgram.core.event import Topic
from adgram.core.request import Size

pytestmark = pytest.mark.e2e
SIZE = Size(115, 115)


def test_explain_names_version_models_candidates_verdicts_rules_and_price_steps(scene, run_adgram, eventually) -> None:
    """A decision explained names the memory's version, every model, its candidates with their semantic IDs, the verdict
    on each ad, the rule that took one away, and the steps of each price; `adgram explain` shows the same to people."""
    for item_id in ("told", "ruled-out"):
        scene.advertise(Item(item_id, "Desk Lamp", ("Home", "Lamps")), SIZE, "teller")
    rule = Rule("no-ruled-out", 'item.id == "ruled-out"', "an operator said so")
    scene.publish(Topic.RULES, rule.rule_id, rule)
    scene.flush()
    request = scene.request(SIZE)

    def ready() -> bool:
        record = scene.explained(request)
        return record.admitted["1"] == 2 and "no-ruled-out" in record.rules

    eventually(ready, 10)
    try:
        told(scene, request, run_adgram)
    finally:
        scene.publish(Topic.RULES, rule.rule_id, None)
        scene.flush()


def told(scene, request, run_adgram) -> None:
    record = scene.explained(request)
    assert any(number > 0 for number in record.version) and record.watermark_ns > 0
    assert {"proposer", "scorer", "policy"} <= set(record.models) and all(record.models.values())
    learned = record.tiers[0]
    assert {candidate.item_id for candidate in learned.proposal.candidates} == {"told", "ruled-out"}
    assert all(len(candidate.semantic_id) >= 3 for candidate in learned.proposal.candidates)
    assert [(r.stage, r.reason, list(r.ids)) for r in learned.rejections if r.stage == "rules"] == [
        ("rules", "no-ruled-out", ["ruled-out-plain"])
    ]
    assert [(ad.creative_id, ad.outcome) for ad in learned.considered] == [("told-plain", "allow")]
    (bid,) = record.bids
    assert bid.ad.steps[0].name == "bid per thousand" and bid.ad.steps[-1].price_micros >= bid.ad.bid_price_micros
    assert record.propensity["1"] == 1.0
    shown = run_adgram("explain", record.decision_id, "--address", scene.deployment.address)
    assert shown.returncode == 0, shown.stderr
    for word in (record.decision_id, "no-ruled-out", "told-plain", "verdict allow", "price:", "memory version"):
        assert word in shown.stdout
