"""Who pays and how much: advertisers, campaigns and offers, made by rules stated in words beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.catalogue import Advertiser, Campaign, FrequencyCap, Item, Objective, Offer, Targeting
from ...core.money import Money

OBJECTIVES = (Objective.CLICK, Objective.CONVERSION, Objective.IMPRESSION)


@dataclass(frozen=True, slots=True)
class OrderRule:
    """How campaigns are made. Prices are per mille; `median_ecpm_micros` × the click rate decides what a click is bid
    at."""

    currency: str
    click_rate: float
    conversion_rate: float
    median_ecpm_micros: float
    ecpm_sigma: float
    daily_budget_micros: float
    budget_sigma: float
    objective_shares: tuple[float, float, float]  # in the order of OBJECTIVES
    campaigns_per_advertiser: int  # at most; each advertiser draws from 1 to this
    capped_share: float = 0.0
    targeted_share: float = 0.0
    places: tuple[str, ...] = ()

    @property
    def in_words(self) -> str:
        """The rule as a sentence for a manifest."""
        click, convert, impression = (f"{share:.0%}" for share in self.objective_shares)
        return (
            f"each advertiser has 1 to {self.campaigns_per_advertiser} campaigns; objectives {click} click, "
            f"{convert} conversion, "
            f"{impression} impression; bids such that bid × rate × 1000 is log-normal, median "
            f"{self.median_ecpm_micros / 1e6:g} "
            f"{self.currency} per mille, sigma {self.ecpm_sigma:g}, at {self.click_rate:.3g} clicks per impression and "
            f"{self.conversion_rate:.3g} conversions per click; daily budgets log-normal, median "
            f"{self.daily_budget_micros / 1e6:g} {self.currency}, sigma {self.budget_sigma:g}; "
            f"{self.capped_share:.0%} capped at "
            f"5 impressions a user and day; {self.targeted_share:.0%} wanted in one place only"
        )


def make_campaigns(advertiser: Advertiser, rule: OrderRule, rng: np.random.Generator) -> tuple[Campaign, ...]:
    """An advertiser's campaigns, ids counting from 1."""
    return tuple(
        _campaign(f"{advertiser.advertiser_id}-c{number}", advertiser.advertiser_id, rule, rng)
        for number in range(1, 1 + int(rng.integers(1, rule.campaigns_per_advertiser + 1)))
    )


def _campaign(campaign_id: str, advertiser_id: str, rule: OrderRule, rng: np.random.Generator) -> Campaign:
    objective = OBJECTIVES[int(rng.choice(len(OBJECTIVES), p=rule.objective_shares))]
    per_impression = rule.median_ecpm_micros * float(np.exp(rng.normal(0.0, rule.ecpm_sigma))) / 1000.0
    events_per_impression = {
        Objective.IMPRESSION: 1.0,
        Objective.CLICK: rule.click_rate,
        Objective.CONVERSION: rule.click_rate * rule.conversion_rate,
    }[objective]
    budget = rule.daily_budget_micros * float(np.exp(rng.normal(0.0, rule.budget_sigma)))
    cap = FrequencyCap(5) if rng.random() < rule.capped_share else FrequencyCap()
    places = (str(rng.choice(rule.places)),) if rule.places and rng.random() < rule.targeted_share else ()
    return Campaign(
        campaign_id,
        advertiser_id,
        objective,
        bid=Money(max(1, round(per_impression / events_per_impression)), rule.currency),
        daily_budget=Money(round(budget), rule.currency),
        targeting=Targeting(places=places),
        frequency_cap=cap,
    )


OFFER_RULE = (
    "offers: price log-normal around the median of the kind, sigma 0.4; stock 1 to 500, 2 % sold out; one in ten with "
    "a promotion"
)


def make_offers(
    items: Sequence[Item], median_prices: Sequence[float], currency: str, rng: np.random.Generator
) -> list[Offer]:
    """An offer for each item, its price around the median given for it (in units of the currency)."""
    prices = np.array(median_prices) * np.exp(rng.normal(0.0, 0.4, len(items)))
    stock = np.where(rng.random(len(items)) < 0.02, 0, rng.integers(1, 501, len(items)))
    promoted = rng.random(len(items)) < 0.1
    return [
        Offer(item.item_id, Money(round(price * 100) * 10_000, currency), int(left), "free delivery" if cheap else "")
        for item, price, left, cheap in zip(items, prices.tolist(), stock, promoted, strict=True)
    ]
