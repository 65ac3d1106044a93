"""Leave-one-out over a catalogue ranked in full: who is asked, and how an answer counts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


def gains(ranks: npt.NDArray[np.floating] | npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """What each rank (0 = first) adds to NDCG@10. [U]"""
    return np.where(ranks < TOP, 1 / np.log2(ranks + 2.0), 0.0)


def ranking_score(rankings: Sequence[Sequence[str]], targets: Sequence[str]) -> RankingScore:
    """The score of each user's ranked item ids (best first; only the first ten count) against their target."""
    return score_of(
        np.array(
            [
                list(ranking[:TOP]).index(target) if target in ranking[:TOP] else TOP
                for ranking, target in zip(rankings, targets, strict=True)
            ],
            dtype=np.int64,
        )
    )


def score_of(ranks: npt.NDArray[np.int64]) -> RankingScore:
    """The score of the targets' ranks (0 = first; TOP or more: not found). [U]"""
    gained, users = gains(ranks), max(len(ranks), 1)
    return RankingScore(
        recall_at_5=int((ranks < 5).sum()) / users,
        ndcg_at_5=math.fsum(gained[ranks < 5]) / users,
        recall_at_10=int((ranks < TOP).sum()) / users,
        ndcg_at_10=math.fsum(gained) / users,
        users=len(ranks),
    )
