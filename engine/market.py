"""What prices win in which slots, learned from notices, and the shading that follows from it."""

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from ..core.request import Impression

_BINS = 96
_LOWEST_MICROS, _HIGHEST_MICROS = 1e3, 1e9  # prices per mille from 0.001 to 1,000 units cover every market seen
_ENOUGH = 50  # observations before a slot's prices are believed; below, the worth itself is bid
_HALF_LIFE = 5_000  # observations after which an old one counts half: markets move within hours


def slot_name(impression: Impression) -> str:
    """The kind of slot whose prices are learned together: format and first size."""
    size = impression.sizes[0]
    return f"{impression.format}/{size.width}x{size.height}"


class MarketModel:
    """The distribution of the lowest winning price per kind of slot, in logarithmic bins, decayed."""

    def __init__(self) -> None:
        self._edges: npt.NDArray[np.float64] = np.geomspace(_LOWEST_MICROS, _HIGHEST_MICROS, _BINS + 1)
        self._counts: dict[str, npt.NDArray[np.float64]] = defaultdict(lambda: np.zeros(_BINS))

    def observe(self, slot: str, price_micros: int) -> None:
        """Afterwards one more auction in `slot` is known to have been winnable at `price_micros` per mille."""
        counts = self._counts[slot]
        counts *= 0.5 ** (1 / _HALF_LIFE)
        counts[self._bin(price_micros)] += 1

    def shaded(self, worth_micros: float, impression: Impression) -> float:
        """The bid in (0, worth] of greatest expected surplus (worth − bid) · P(win | bid); the worth itself while
        little is known.
        """
        counts = self._counts.get(slot_name(impression))
        if counts is None or counts.sum() < _ENOUGH:
            return worth_micros
        affordable = self._bin(int(worth_micros))
        bids = np.minimum(self._edges[1 : affordable + 2], worth_micros)
        p_win = np.cumsum(counts)[: affordable + 1] / counts.sum()
        surplus = (worth_micros - bids) * p_win
        best = int(np.argmax(surplus))
        return float(bids[best]) if surplus[best] > 0 else worth_micros

    def _bin(self, price_micros: int) -> int:
        return int(np.clip(np.searchsorted(self._edges, price_micros, side="left") - 1, 0, _BINS - 1))
