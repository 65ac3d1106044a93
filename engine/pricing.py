"""What an ad bids: its campaign's bid times its value here, moved by environment and pacing, shaded towards the
market.
"""

from collections.abc import Mapping

from ..core.catalogue import Objective
from ..core.decision import JudgedAd, PricedAd, PriceStep
from ..core.money import Money, cpm
from ..core.request import BidRequest
from .market import MarketModel

FIRST_PRICE = 1  # OpenRTB's `at`
_MILLE = 1_000


class Pricer:
    """Prices judged ads per mille, leaving a step for every factor."""

    def __init__(self, market: MarketModel) -> None:
        self._market = market

    def price(self, judged: JudgedAd, request: BidRequest, pacing: Mapping[str, float]) -> PricedAd:
        """The ad with its bid.

        The bid never exceeds its worth (bid × value × environment × pacing), and is below the impression's reserve only
        where the worth itself is. In a first-price auction the bid is shaded to where the expected surplus is greatest;
        otherwise the worth itself is bid, since there truth is the best strategy (Vickrey 1961).

        Args:
            pacing: the multiplier of each campaign, in [0, 1]; campaigns not in it are not held back.
        """
        campaign, value = judged.ad.campaign, judged.value
        factors = [("bid per thousand", float(_MILLE))]
        if campaign.objective is not Objective.IMPRESSION:
            factors.append(("click probability", value.p_click))
        if campaign.objective is Objective.CONVERSION:
            factors.append(("conversion probability", value.p_convert))
        if campaign.objective is not Objective.IMPRESSION:
            factors.append(("environment", value.environment_lift))
        factors.append(("pacing", pacing.get(campaign.campaign_id, 1.0)))
        steps, worth = [], float(campaign.bid.micros)
        for name, factor in factors:
            worth *= factor
            steps.append(PriceStep(name, factor, int(worth)))
        reserve = judged.ad.impression.reserve_price.micros
        bid = worth
        if request.auction_type == FIRST_PRICE and worth > 0:
            bid = self._market.shaded(worth, judged.ad.impression)
            steps.append(PriceStep("shading", bid / worth, int(bid)))
        if bid < reserve <= worth:
            steps.append(PriceStep("raised to reserve", reserve / bid, reserve))
            bid = float(reserve)
        price = _at_least(cpm(bid, campaign.bid.currency), reserve, worth)
        return PricedAd(judged, price, tuple(steps))


def _at_least(price: Money, reserve: int, worth: float) -> Money:
    # Rounding down to the price step may fall under a reserve that is not on the step: one step up, if worth it.
    if price.micros < reserve <= worth:
        step_up = cpm(reserve + _MILLE - 1, price.currency)
        return step_up if step_up.micros <= worth else price
    return price


def meets_reserve(priced: PricedAd) -> bool:
    """Whether the bid may be sent at all: positive and not under the impression's floor."""
    return priced.bid_price.micros > 0 and priced.bid_price.micros >= priced.judged.ad.impression.reserve_price.micros
