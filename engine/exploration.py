"""Which eligible ad is shown: mostly the best, sometimes another, with the probability of the choice on record."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.decision import PricedAd


@dataclass(frozen=True, slots=True)
class Choice:
    """The index chosen, and the probability with which the policy chooses it from these ads."""

    index: int
    propensity: float


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
