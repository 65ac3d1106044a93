"""Finds on validation events how the served sources are best fused."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..fusion import Fusion
from .evaluation import gains
from .pools import SHARPNESS, Pool

_WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_RATES = (0.0, 0.15, 0.3, 0.5, 0.7, 1.0, 1.3, 1.7)
_SHARP = (0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2)
_ROUNDS = 2  # a third moved nothing


def fitted_fusion(pool: Pool, told: Callable[[float, str], None]) -> Fusion:
    """The fusion with the best mean of NDCG@10 and half the Recall@10 on the pool's users, one setting at a time.

    First memory as it answers without the decoder, then the decoder alone, then both together. The two halves weigh
    about the same: NDCG@10 is some 0.6 of Recall@10.
    """
    fusion = Fusion(companions_without_codes=0.6, companions=0.6)
    memory: dict[str, Sequence[float]] = {
        "companions_without_codes": _WEIGHTS,
        "companion_rescoring": _RATES,
        "companion_sharpness": _SHARP,
        "profile_sharpness": SHARPNESS,
    }
    alone: dict[str, Sequence[float]] = {"code_rescoring_alone": _RATES, "code_sharpness_alone": _SHARP}
    fusion = _climbed(pool, fusion, memory, decoder=False, memory=True)
    told(0.4, f"memory {_figure(pool, fusion, False, True):.4f}")
    fusion = _climbed(pool, fusion, alone, decoder=True, memory=False)
    told(0.6, f"codes {_figure(pool, fusion, True, False):.4f}")
    fusion = replace(fusion, companions=fusion.companions_without_codes)
    together: dict[str, Sequence[float]] = {
        "codes": _WEIGHTS,
        "code_rescoring": _RATES,
        "code_sharpness": _SHARP,
        "companions": _WEIGHTS,
    }
    fusion = _climbed(pool, fusion, together, decoder=True, memory=True)
    told(1.0, f"fused {_figure(pool, fusion, True, True):.4f}")
    return fusion


def _climbed(pool: Pool, fusion: Fusion, grid: dict[str, Sequence[float]], decoder: bool, memory: bool) -> Fusion:
    """The best of each setting's values in turn, the others as they stand, `_ROUNDS` times."""
    best, figure = fusion, _figure(pool, fusion, decoder, memory)
    for _ in range(_ROUNDS):
        for name, values in grid.items():
            for value in values:
                candidate = replace(best, **{name: value})
                found = _figure(pool, candidate, decoder, memory)
                if found > figure:
                    best, figure = candidate, found
    return best


def _figure(pool: Pool, fusion: Fusion, decoder: bool, memory: bool) -> float:
    ranks = pool.ranks(pool.scores(fusion, decoder, memory))
    return float(gains(ranks).mean() + 0.5 * (ranks < 10).mean())
