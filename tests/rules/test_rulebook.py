"""Operators' rules in CEL."""

import pytest

from adgram.core.catalogue import Item, Offer, Rule
from adgram.core.decision import Ad, Candidate, CandidateSource
from adgram.core.environment import Environment, Weather
from adgram.core.errors import InvalidEvent
from adgram.core.money import from_units
from adgram.rules.rulebook import Rulebook

from .conftest import Fold, campaign, creative, request, slot


@pytest.fixture
def world(fold: Fold):
    """An ad for a 500-yuan tent, with the snapshot it is in."""
    item = Item("i0", "Tent", ("Outdoor", "Camping"), "Brookfell")
    made = creative("k0", "i0", "c0")
    snapshot = fold([item, Offer("i0", from_units(500, "CNY"), 3), campaign("c0"), made])
    return Ad(Candidate("i0", (0, 0, 0), None, CandidateSource.MEMORY, 1.0), made, campaign("c0"), slot()), snapshot


RAIN = Environment("CN/x/wet", Weather.RAIN, temperature_c=12.0)


@pytest.mark.parametrize(
    ("expression", "blocks"),
    [
        ('environment.weather == "rain" && "Outdoor" in item.category && offer.price > 400.0', True),
        ('environment.weather == "snow"', False),
        ('request.place.startsWith("CN/") && request.hour == 12 && request.device_type == 4', True),
        ('creative.theme == "plain" && creative.width == 300 && campaign.objective == "click"', True),
        ('item.brand == "Brookfell" && offer.stock < 3', False),
        ("has(environment.crowd) && environment.crowd > 2.0", False),
        ("request.child_directed || request.test", False),
    ],
)
def test_a_rule_sees_the_documented_facts(world, expression, blocks):
    """Every map of the documentation can be asked, and unknown readings are absent."""
    ad, snapshot = world
    book = Rulebook.compile([Rule("r", expression, "why")])
    assert not book.refused
    assert (book.blocks(ad, request(), RAIN, snapshot) is not None) == blocks


def test_a_rule_that_cannot_be_decided_blocks(world):
    """A missing field or a wrong type is no permission."""
    ad, snapshot = world
    for expression in ("item.colour == 'red'", "environment.crowd > 1.5", "item.title > 3", "item.title"):
        rule = Rule("r", expression, "why")
        assert Rulebook.compile([rule]).blocks(ad, request(), RAIN, snapshot) == rule


def test_rules_are_asked_in_the_order_of_their_ids_and_inactive_ones_not_at_all(world):
    """The named rule is always the same one."""
    ad, snapshot = world
    rules = [Rule("b", "true", ""), Rule("a", "true", "", active=False), Rule("c", "true", "")]
    book = Rulebook.compile(rules)
    assert book.in_force == ("b", "c")
    assert book.blocks(ad, request(), RAIN, snapshot) == rules[0]
    assert Rulebook.compile([]).blocks(ad, request(), RAIN, snapshot) is None


@pytest.mark.parametrize("expression", ["item.price >", "nobody.knows == 1", "1 + 2", ""])
def test_a_rule_that_does_not_compile_is_refused_with_its_reason_and_listed(world, expression):
    """Where rules enter, the refusal is an InvalidEvent of one line; a rulebook lists what it left out."""
    ad, snapshot = world
    with pytest.raises(InvalidEvent, match="invalid-rule") as refusal:
        Rulebook.validate(expression)
    assert "\n" not in str(refusal.value)
    book = Rulebook.compile([Rule("bad", expression, ""), Rule("good", "true", "")])
    assert [refused.rule.rule_id for refused in book.refused] == ["bad"]
    assert book.blocks(ad, request(), RAIN, snapshot).rule_id == "good"


def test_validate_accepts_what_compiles():
    """A rule that can be in force passes."""
    Rulebook.validate('item.brand == "x"')
