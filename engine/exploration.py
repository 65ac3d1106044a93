"""Which eligible ad is shown: mostly the best, sometimes another, with the probability of the choice on record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..core.decision import PricedAd
from .newcomers import Evidence

DRAWS = 64  # of the posterior: propensities come in steps of 1.6 %, for a tenth of a millisecond at 32 ads
EVEN_SHARE = 0.02  # of an exploring choice is even, so that no newcomer's propensity is zero
# Draws come from a posterior of a sixteenth of the variance. Plain draws suit an endless horizon: with some tens of
# impressions an item they still try everything (see docs/LOG.md), while different viewers alone make us try much.
SHARPNESS = 16.0


@dataclass(frozen=True, slots=True)
class Choice:
    """The index chosen, and the probability with which the policy chooses it from these ads."""

    index: int
    propensity: float


class Policy(Protocol):
    """Chooses among ads, on the record."""

    def choose(self, ads: Sequence[PricedAd], rng: np.random.Generator) -> Choice:
        """One of the ads (there is at least one), with the probability it had; they come by price, greatest first."""
        ...


class EpsilonGreedy:
    """Picks the best ad, or with probability ε one of the best `width` evenly; the ads come best first."""

    def __init__(self, epsilon: float, width: int) -> None:
        self._epsilon = epsilon
        self._width = width

    def choose(self, ads: Sequence[PricedAd], rng: np.random.Generator) -> Choice:
        """One of the first `width` ads; every one of them has a positive propensity when ε > 0."""
        width = min(self._width, len(ads))
        explored = rng.random() < self._epsilon
        index = int(rng.integers(width)) if explored else 0
        propensity = self._epsilon / width + (1 - self._epsilon if index == 0 else 0.0)
        return Choice(index, propensity)


class ThompsonDraw:
    """Picks among new items by how likely each is the best to click on, given what was seen of it so far.

    The click model knows a new item by its content alone. How far it is off for one item is a factor with the prior
    Gamma(`prior_clicks`, `prior_clicks`), of mean 1; after c clicks where e were expected it is
    Gamma(prior_clicks + c, prior_clicks + e). An ad's propensity is the share of DRAWS from these posteriors,
    sharpened, in which it has the highest click probability, a share of EVEN_SHARE laid evenly over all (Thompson 1933,
    the probabilities made explicit so that the one on record is exact).
    """

    def __init__(self, evidence: Evidence, prior_clicks: float) -> None:
        self._evidence = evidence
        self._prior = prior_clicks

    def promise(self, ads: Sequence[PricedAd]) -> float:
        """The highest click probability among the ads, by the means of the posteriors; nothing is drawn."""
        view = self._view(ads)
        return float((view.p_click * (view.shape / view.rate)[view.item]).max())

    def choose(self, ads: Sequence[PricedAd], rng: np.random.Generator) -> Choice:
        """One of the ads, each with a propensity of at least EVEN_SHARE / len(ads)."""
        propensities = self.propensities(ads, rng)
        index = int(np.searchsorted(np.cumsum(propensities), rng.random() * propensities.sum(), side="right"))
        index = min(index, len(ads) - 1)
        return Choice(index, float(propensities[index]))

    def propensities(self, ads: Sequence[PricedAd], rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """[M] the probability of each ad, given the draws that `rng` makes here; they sum to 1."""
        view = self._view(ads)
        # One factor an item and draw: creatives of one item share their item's luck.
        drawn = rng.gamma(SHARPNESS * view.shape, 1.0, (DRAWS, len(view.shape))) / (SHARPNESS * view.rate)
        best = np.argmax(drawn[:, view.item] * view.p_click, axis=1)
        wins = np.bincount(best, minlength=len(ads)) / DRAWS
        return np.asarray((1 - EVEN_SHARE) * wins + EVEN_SHARE / len(ads))

    def _view(self, ads: Sequence[PricedAd]) -> "_View":
        places: dict[str, int] = {}
        item = [places.setdefault(ad.judged.ad.creative.item_id, len(places)) for ad in ads]
        seen = self._evidence.of(list(places))
        p_click = np.array([p_click_of(ad) for ad in ads])
        return _View(np.array(item), p_click, self._prior + seen.clicks, self._prior + seen.expected)


@dataclass(frozen=True, slots=True)
class _View:
    """M ads of I items: the click model's word on each ad, and the posterior of each item's factor."""

    item: npt.NDArray[np.int64]  # [M] place among the items
    p_click: npt.NDArray[np.float64]  # [M]
    shape: npt.NDArray[np.float64]  # [I] of the gamma distribution
    rate: npt.NDArray[np.float64]  # [I]


def p_click_of(priced: PricedAd) -> float:
    """What the click model expects of an ad here and now, the environment's lift in it."""
    value = priced.judged.value
    return min(value.p_click * value.environment_lift, 1.0)
