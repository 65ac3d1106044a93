"""Every row of the quality table, on the same users: baselines, and the served sources apart and fused.

Without generative means without the decoder whole, as `adgram serve` does with it switched off: memory, companions and
a ranker of its own are left. What is fused has the same memory, so that the decoder is all the difference.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...core.catalogue import Item
from ..ranker import FOLDER as RANKER
from ..ranker import Ranker, load_ranker
from ..tokenizer import load_encoder
from ..weights import load_decoder
from .baselines import PLAIN_KNN, ItemKnn, KnnSettings, Popularity
from .encoded import EncodedCatalogue
from .evaluation import TOP
from .pools import Sources
from .ranking import reordered
from .sequences import HeldOut

Ranks = npt.NDArray[np.int64]
FUSED, WITHOUT, UNRANKED = "fused", "fused without generative", "fused without ranker"
_CHUNK = 512  # users


@dataclass(frozen=True, slots=True)
class Comparison:
    """How each row ranked each user's target (0 = first, TOP or more: not among the best ten), by the row's name."""

    ranks: dict[str, Ranks]  # [U]
    fused: list[list[str]]  # [U] the ten best items, best first


def compare(
    models: Path,
    items: Sequence[Item],
    training: Sequence[npt.NDArray[np.int64]],
    asked: HeldOut,
    seed: int,
    told: Callable[[str, float], None],
) -> Comparison:
    """All rows for the models in one folder; `seed` breaks ties. Sources and weights are those that are served."""
    rng = np.random.default_rng(seed)
    loaded = load_decoder(models / "decoder", models / "tokenizer")
    catalogue = EncodedCatalogue.of(load_encoder(models / "tokenizer"), items, loaded.wording)

    baselines: dict[str, Popularity | ItemKnn] = {
        "popularity": Popularity(training, len(items)),
        "item-kNN, plain": ItemKnn(training, len(items), PLAIN_KNN),
        "item-kNN, tuned": ItemKnn(training, len(items), KnnSettings(**loaded.notes["knn"])),
    }
    ranks: dict[str, list[Ranks]] = {}
    for name, scorer in baselines.items():
        for done, part in _parts(asked):
            ranks.setdefault(name, []).append(_ranks(scorer, part, rng))
            told(name, done)
    profile_alone = replace(loaded.fusion, companions=0.0, profile_sharpness=1.0)
    counted = replace(loaded.fusion, companions=1.0, companion_sharpness=1.0, companion_rescoring=0.0)
    ranker = load_ranker(models / RANKER, loaded.model) or Ranker(None, None)
    fused: list[list[str]] = []
    asking = 0
    every = Sources(loaded.decoder, loaded.profiler, catalogue, loaded.companions)
    for pool, without in zip(every.pools(asked), every.pools(asked, codes=False), strict=True):
        histories = asked.histories[asking : asking + len(pool.targets)]
        asking += len(pool.targets)
        served = reordered(pool, histories, loaded.fusion, ranker, catalogue)
        alone = reordered(without, histories, loaded.fusion, ranker, catalogue)
        rows = {
            "SASRec, full cross-entropy": (without, without.scores(profile_alone)),
            "generative alone": (pool, pool.scores(loaded.fusion, memory=False)),
            "memory alone": (without, without.scores(counted)),
            UNRANKED: (pool, pool.scores(loaded.fusion)),
            WITHOUT: (without, alone),
            FUSED: (pool, served),
        }
        for name, (candidates, scores) in rows.items():
            ranks.setdefault(name, []).append(candidates.ranks(scores, rng))
        fused += [[catalogue.item_ids[row] for row in best.tolist()] for best in pool.best(served)]
        told(FUSED, asking / max(len(asked.targets), 1))
    return Comparison({name: np.concatenate(parts) for name, parts in ranks.items()}, fused)


def _ranks(scorer: Popularity | ItemKnn, asked: HeldOut, rng: np.random.Generator) -> Ranks:
    """Ranks among all items, ties in random order; a target without a score is not found."""
    if isinstance(scorer, ItemKnn):
        scores = scorer.all_scores(asked.histories).toarray()  # [U, N]
    else:
        scores = np.stack([scorer.scores(history) for history in asked.histories])
        for row, history in zip(scores, asked.histories, strict=True):
            row[history] = 0
    hits = scores[np.arange(len(scores)), asked.targets][:, None]
    ties = np.maximum((scores == hits).sum(axis=1), 1)
    return np.where(hits[:, 0] > 0, (scores > hits).sum(axis=1) + rng.integers(0, ties), TOP)


def _parts(asked: HeldOut) -> Iterator[tuple[float, HeldOut]]:
    users = len(asked.targets)
    for start in range(0, users, _CHUNK):
        stop = start + _CHUNK
        yield min(stop / users, 1.0), HeldOut(asked.histories[start:stop], asked.targets[start:stop])
