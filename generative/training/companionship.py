"""Counts what is chosen beside what, with settings found on validation events, and makes the served table of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import scipy.sparse

from ..companions import CompanionTable
from .baselines import TUNED_KNN, ItemKnn, KnnSettings
from .evaluation import gains
from .sequences import HeldOut

_COMPANIONS = 100  # kept per item: 50 cost .002 of recall on Beauty, more cost time at serving
_USERS = 4000  # asked a setting; NDCG to about .004, and all settings are asked about the same users
GRID: tuple[dict[str, tuple[float, ...]], ...] = (
    {"window": (5, 12, 20, 50), "gamma": (0.5, 1.0)},
    {"backward": (0.2, 0.5, 1.0)},
    {"pi": (0.0, 0.25, 0.5), "pj": (0.0, 0.15, 0.3)},
    {"a": (1.0, 3.0), "b": (1.0, 5.0)},
    {"decay": (0.5, 0.6, 0.7, 0.8, 1.0), "last": (8, 50)},
)
"""Searched group by group, all pairs within a group, from the settings that were best before. Tuned on nothing else."""


def best_settings(
    training: Sequence[npt.NDArray[np.int64]],
    items: int,
    held_out: HeldOut,
    told: Callable[[float, str], None],
    grid: Sequence[dict[str, tuple[float, ...]]] = GRID,
) -> KnnSettings:
    """The settings with the best NDCG@10 on validation events that one walk through the grid finds."""
    asked = held_out.first(_USERS)
    best, figure = TUNED_KNN, -1.0
    tried: dict[KnnSettings, float] = {}
    for number, group in enumerate(grid):
        for candidate in _combined(best, group):
            if candidate not in tried:
                knn = ItemKnn(training, items, candidate)
                tried[candidate] = float(gains(knn.ranks(asked)).mean())
            if tried[candidate] > figure:
                best, figure = candidate, tried[candidate]
            told((number + 0.5) / len(grid), f"{len(tried)} settings, best {figure:.4f}")
    told(1.0, f"{len(tried)} settings, best {figure:.4f}")
    return best


def settings_found(
    training: Sequence[npt.NDArray[np.int64]],
    items: int,
    held_out: HeldOut,
    told: Callable[[float, str], None],
    checkpoint: Path,
) -> KnnSettings:
    """The best settings, searched once in a training however often it is stopped."""
    if not checkpoint.is_file():
        checkpoint.write_bytes(msgspec.json.encode(best_settings(training, items, held_out, told)))
    return msgspec.json.decode(checkpoint.read_bytes(), type=KnnSettings)


def companion_table(
    knn: ItemKnn, met: npt.NDArray[np.bool_], item_ids: Sequence[str], settings: KnnSettings
) -> CompanionTable:
    """The strongest companions of every item that was met."""
    similar: scipy.sparse.csr_matrix = knn.similar
    known = sorted(np.flatnonzero(met).tolist(), key=lambda row: item_ids[row])
    place = np.full(len(item_ids), -1, dtype=np.int32)
    place[known] = np.arange(len(known))
    companions, weights = [], []
    for row in known:
        low, high = similar.indptr[row], similar.indptr[row + 1]
        strongest = np.argsort(-similar.data[low:high], kind="stable")[:_COMPANIONS]
        companions.append(place[similar.indices[low:high][strongest]])
        weights.append(similar.data[low:high][strongest].astype(np.float32))
    return CompanionTable(
        item_ids=np.array([item_ids[row] for row in known]),
        bounds=np.cumsum([0, *map(len, companions)]),
        companions=np.concatenate(companions),
        weights=np.concatenate(weights),
        decay=settings.decay,
        last=settings.last,
    )


def _combined(start: KnnSettings, group: dict[str, tuple[float, ...]]) -> list[KnnSettings]:
    """Every combination of the group's values, the rest as it was."""
    settings = [start]
    for name, values in group.items():
        kind: Any = int if name in ("window", "last") else float
        settings = [replace(one, **{name: kind(value)}) for one in settings for value in values]
    return settings
