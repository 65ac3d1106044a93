"""The other bidders of an auction, drawn for each request by its id: order and concurrency of a simulation change
nothing."""

import hashlib

import numpy as np

from ..core.money import CPM_STEP_MICROS
from .auction import Entry
from .market.figures import FEN_MICROS, PRICE_QUANTILES_2997
from .market.measures import quantile_function
from .market_maker import Offering


def generator_of(seed: int, *names: str) -> np.random.Generator:
    """Randomness that belongs to these names under this seed, and to nothing else."""
    digest = hashlib.blake2b("\x1f".join((str(seed), *names)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


class Rivals:
    """So many bidders, whose best bid is the market price the traffic states."""

    def __init__(self, seed: int, count: int) -> None:
        self._seed = seed
        self._count = count

    def bids(self, offering: Offering) -> tuple[Entry, ...]:
        """The rivals' sealed bids, highest first. Where no market price is stated it is drawn from campaign 2997's
        prices."""
        rng = generator_of(self._seed, "rivals", offering.request.request_id)
        best = offering.market_price_micros
        if best is None:
            share = rng.random(1)
            best = int(quantile_function(PRICE_QUANTILES_2997, share)[0] * FEN_MICROS)
        # ours: the others reach 30 to 100 % of the best, so that a second price lies well below it at times.
        others = np.sort(best * rng.uniform(0.3, 1.0, max(self._count - 1, 0)))[::-1]
        prices = (best, *(int(price) // CPM_STEP_MICROS * CPM_STEP_MICROS for price in others))
        return tuple(Entry(f"rival{number}", price) for number, price in enumerate(prices[: self._count], start=1))
