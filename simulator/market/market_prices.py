"""What the rest of the market pays for a slot: rivals value sites, places and hours; spread as campaign 2997's."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from ...core.money import CPM_STEP_MICROS
from .figures import FEN_MICROS, PRICE_QUANTILES_2997
from .measures import quantile_function

# ours: how much of the variance of (the normal score of) a price each explains; the rest is noise between auctions.
DOMAIN_SHARE, PLACE_SHARE, HOUR_SHARE = 0.25, 0.10, 0.10


@dataclass(frozen=True, slots=True)
class PriceModel:
    """Latent worth of sites, places and hours of the day, each standard normal over what is seen."""

    domain: npt.NDArray[np.float64]  # [domains]
    place: npt.NDArray[np.float64]  # [places]
    hour: npt.NDArray[np.float64]  # [24]

    @classmethod
    def make(cls, domains: int, places: int, rng: np.random.Generator) -> "PriceModel":
        """A model with seeded worths."""
        return cls(rng.normal(0.0, 1.0, domains), rng.normal(0.0, 1.0, places), rng.normal(0.0, 1.0, 24))

    def draw(
        self,
        domain: npt.NDArray[np.int64],
        place: npt.NDArray[np.int64],
        hour: npt.NDArray[np.int64],
        rng: np.random.Generator,
    ) -> npt.NDArray[np.int64]:
        """[B] the highest rival price of each auction, in micros per mille; over all B they are spread as 2997's
        are."""
        noise = rng.normal(0.0, 1.0, domain.size)
        score = (
            np.sqrt(DOMAIN_SHARE) * self.domain[domain]
            + np.sqrt(PLACE_SHARE) * self.place[place]
            + np.sqrt(HOUR_SHARE) * self.hour[hour % 24]
            + np.sqrt(1.0 - DOMAIN_SHARE - PLACE_SHARE - HOUR_SHARE) * noise
        )
        share = ndtr((score - score.mean()) / max(float(score.std()), 1e-9))
        fen = quantile_function(PRICE_QUANTILES_2997, share)
        micros: npt.NDArray[np.int64] = (fen * FEN_MICROS // CPM_STEP_MICROS).astype(np.int64) * CPM_STEP_MICROS
        return micros
