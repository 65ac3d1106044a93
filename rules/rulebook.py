"""Operators' last words, compiled: rules in CEL that block an ad when they are true.

A rule sees six maps. Readings and facts that are not known are absent, so ask `has(environment.temperature_c)` first.

    request      id, domain, bundle, publisher, search, page_categories, place, country, region, city, device_type, os,
    language,
                 hour (UTC), event_time (seconds), format, placement, position, reserve_price (units), currency,
                 child_directed, test
    item         id, title, brand, category (list, coarse to fine), text, popularity
    creative     id, title, text, landing_page, adomain, categories (list), theme, format, width, height
    campaign     id, advertiser, objective, bid (units), currency
    offer        price (units), currency, stock, promotion; empty when the item has no offer
    environment  place, weather, temperature_c, crowd, local_events (list)

Example: `environment.weather == "rain" && "Outdoor" in item.category && offer.price > 500.0`.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel

from ..core.catalogue import Rule
from ..core.clock import NS_PER_HOUR, NS_PER_SECOND
from ..core.decision import Ad
from ..core.environment import Environment
from ..core.errors import InvalidEvent
from ..core.request import BidRequest
from ..core.snapshot import Snapshot

VARIABLES = ("request", "item", "creative", "campaign", "offer", "environment")
INVALID_RULE = "invalid-rule"


@dataclass(frozen=True, slots=True)
class RefusedRule:
    """A rule that is not in force because its expression does not compile, and why."""

    rule: Rule
    problem: str


class Rulebook:
    """Compiled rules. A rule blocks when it is true, and also when it cannot be decided (a missing field, a wrong
    type): a guard that does not work must not let pass what it may have been made for. A rule that does not compile
    was refused where it entered; should one arrive all the same it is not in force, is logged by whoever compiles, and
    is listed in `refused`."""

    def __init__(self, compiled: Sequence[tuple[Rule, Any]], refused: tuple[RefusedRule, ...]) -> None:
        self._compiled = tuple(compiled)
        self.refused = refused

    @classmethod
    def compile(cls, rules: Iterable[Rule]) -> "Rulebook":
        """The active rules, by id, with those that do not compile listed apart."""
        compiled, refused = [], []
        for rule in sorted((rule for rule in rules if rule.active), key=lambda rule: rule.rule_id):
            try:
                compiled.append((rule, _compiled(rule.expression)))
            except InvalidEvent as error:
                refused.append(RefusedRule(rule, str(error)))
        return cls(compiled, tuple(refused))

    @staticmethod
    def validate(expression: str) -> None:
        """Returns if the expression can be a rule; InvalidEvent with the reason if not."""
        _compiled(expression)

    @property
    def in_force(self) -> tuple[str, ...]:
        """The ids of the rules that are asked."""
        return tuple(rule.rule_id for rule, _ in self._compiled)

    def blocks(self, ad: Ad, request: BidRequest, environment: Environment, snapshot: Snapshot) -> Rule | None:
        """The first rule, by id, that blocks the ad."""
        if not self._compiled:
            return None
        facts = _environment().Activation(_facts(ad, request, environment, snapshot))
        for rule, expression in self._compiled:
            if expression.eval(facts).value() is not False:
                return rule
        return None


@functools.cache
def _environment() -> Any:
    """CEL's notion of what a rule may name; made at first use, and the same for all rules."""
    anything = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    return cel.NewEnv(variables=dict.fromkeys(VARIABLES, anything))


def _compiled(expression: str) -> Any:
    try:
        compiled = _environment().compile(expression)
    except RuntimeError as error:
        raise InvalidEvent(INVALID_RULE, f"{expression!r} does not compile: {_first_line(error)}") from error
    kind = compiled.return_type().name()
    if kind not in ("BOOL", "DYN"):
        raise InvalidEvent(INVALID_RULE, f"{expression!r} gives {kind}, a rule must give true or false")
    return compiled


def _first_line(error: RuntimeError) -> str:
    return str(error).split("\n", 1)[0].removeprefix("INVALID_ARGUMENT: ERROR: ")


def _facts(ad: Ad, request: BidRequest, environment: Environment, snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    creative, campaign, offer = ad.creative, ad.campaign, snapshot.offer(ad.creative.item_id)
    return {
        "request": _request(request, ad),
        "item": _item(ad, snapshot),
        "creative": {
            "id": creative.creative_id,
            "title": creative.title,
            "text": creative.text,
            "landing_page": creative.landing_page,
            "adomain": creative.adomain,
            "categories": list(creative.categories),
            "theme": creative.theme,
            "format": creative.format.value,
            "width": creative.size.width,
            "height": creative.size.height,
        },
        "campaign": {
            "id": campaign.campaign_id,
            "advertiser": campaign.advertiser_id,
            "objective": campaign.objective.value,
            "bid": campaign.bid.units,
            "currency": campaign.bid.currency,
        },
        "offer": {}
        if offer is None
        else {
            "price": offer.price.units,
            "currency": offer.price.currency,
            "stock": offer.stock,
            "promotion": offer.promotion,
        },
        "environment": _known(
            place=environment.place_id,
            weather=environment.weather.value,
            temperature_c=environment.temperature_c,
            crowd=environment.crowd,
            local_events=list(environment.local_events),
        ),
    }


def _request(request: BidRequest, ad: Ad) -> dict[str, Any]:
    page, place, device, impression = request.page, request.place, request.device, ad.impression
    return {
        "id": request.request_id,
        "domain": page.domain,
        "bundle": page.bundle,
        "publisher": page.publisher_id,
        "search": page.search,
        "page_categories": list(page.categories),
        "place": place.place_id,
        "country": place.country,
        "region": place.region,
        "city": place.city,
        "device_type": device.device_type,
        "os": device.os,
        "language": device.language,
        "hour": request.event_time // NS_PER_HOUR % 24,
        "event_time": request.event_time // NS_PER_SECOND,
        "format": impression.format.value,
        "placement": impression.placement,
        "position": impression.position,
        "reserve_price": impression.reserve_price.units,
        "currency": request.currency,
        "child_directed": request.child_directed,
        "test": request.test,
    }


def _item(ad: Ad, snapshot: Snapshot) -> dict[str, Any]:
    encoded = snapshot.item(ad.creative.item_id)
    if encoded is None:
        return {"id": ad.creative.item_id}
    item = encoded.item
    return {
        "id": item.item_id,
        "title": item.title,
        "brand": item.brand,
        "category": list(item.category),
        "text": item.text,
        "popularity": item.popularity,
    }


def _known(**readings: Any) -> dict[str, Any]:
    return {name: value for name, value in readings.items() if value is not None}
