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


def fitted_fusion(pool: Pool, without: Pool, told: Callable[[float, str], None]) -> Fusion:
    """The fusion with the best mean of NDCG@10 and half the Recall@10 on the same users' pools with and without the
    decoder, one setting at a time.

    First memory alone, then the decoder's codes alone, then their share in both together. Memory is left as it is then:
    more settings at once found more that held for these users alone (Amazon Beauty, 6,000 of them: all of memory beside
    codes cost .0008 of NDCG@10 behind a ranker).
    The two halves weigh about the same: NDCG@10 is some 0.6 of Recall@10.
    """
    memory: dict[str, Sequence[float]] = {
        "companions": _WEIGHTS,
        "companion_rescoring": _RATES,
        "companion_sharpness": _SHARP,
        "profile_sharpness": SHARPNESS,
    }
    alone: dict[str, Sequence[float]] = {"code_rescoring_alone": _RATES, "code_sharpness_alone": _SHARP}
    together: dict[str, Sequence[float]] = {"codes": _WEIGHTS, "code_rescoring": _RATES, "code_sharpness": _SHARP}
    fusion = _climbed(without, Fusion(companions=0.6), memory, memory=True)
    told(0.3, f"memory {_figure(without, fusion, True):.4f}")
    fusion = _climbed(pool, fusion, alone, memory=False)
    told(0.6, f"codes {_figure(pool, fusion, False):.4f}")
    fusion = _climbed(pool, fusion, together, memory=True)
    told(1.0, f"fused {_figure(pool, fusion, True):.4f}")
    return fusion


def _climbed(pool: Pool, fusion: Fusion, grid: dict[str, Sequence[float]], memory: bool) -> Fusion:
    """The best of each setting's values in turn, the others as they stand, `_ROUNDS` times."""
    best, figure = fusion, _figure(pool, fusion, memory)
    for _ in range(_ROUNDS):
        for name, values in grid.items():
            for value in values:
                candidate = replace(best, **{name: value})
                found = _figure(pool, candidate, memory)
                if found > figure:
                    best, figure = candidate, found
    return best


def _figure(pool: Pool, fusion: Fusion, memory: bool) -> float:
    ranks = pool.ranks(pool.scores(fusion, memory))
    return float(gains(ranks).mean() + 0.5 * (ranks < 10).mean())
