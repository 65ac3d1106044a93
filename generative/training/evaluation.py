"""Leave-one-out over a catalogue ranked in full: who is asked, and how an answer counts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .sequences import UserSequence

TOP = 10


@dataclass(frozen=True, slots=True)
class RankingScore:
    """How often the held-out item was among the best 5 or 10, and how high; means over users."""

    recall_at_5: float
    ndcg_at_5: float
    recall_at_10: float
    ndcg_at_10: float
    users: int


def chosen_users(sequences: Sequence[UserSequence], users: int | None, seed: int) -> list[UserSequence]:
    """All testable users, or a random `users` of them, in the order of the sequences."""
    testable = [sequence for sequence in sequences if sequence.testable]
    if users is None or users >= len(testable):
        return testable
    rows = np.random.default_rng(seed).choice(len(testable), size=users, replace=False)
    return [testable[row] for row in sorted(rows.tolist())]


def ranking_score(rankings: Sequence[Sequence[str]], targets: Sequence[str]) -> RankingScore:
    """The score of each user's ranked item ids (best first; only the first ten count) against their target."""
    ranks = [
        list(ranking[:TOP]).index(target) if target in ranking[:TOP] else TOP
        for ranking, target in zip(rankings, targets, strict=True)
    ]

    def mean(values: Sequence[float]) -> float:
        return math.fsum(values) / max(len(ranks), 1)

    return RankingScore(
        recall_at_5=mean([float(rank < 5) for rank in ranks]),
        ndcg_at_5=mean([1 / math.log2(rank + 2) if rank < 5 else 0.0 for rank in ranks]),
        recall_at_10=mean([float(rank < TOP) for rank in ranks]),
        ndcg_at_10=mean([1 / math.log2(rank + 2) if rank < TOP else 0.0 for rank in ranks]),
        users=len(ranks),
    )
