"""First stage: item vectors that mean interest.

A sequence model learns them by naming each next choice among all items.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..decoder import SemanticDecoder
from .counted import CountedCompanions
from .evaluation import TOP
from .likelihood import full_cross_entropy
from .schedule import Batch, padded

_COUNTED = 0.6  # share of what was likely beside what was chosen; .5 was as good on Amazon Beauty, none clearly worse
_COLD = 0.1  # share of items seen by their content alone in a batch, so that content alone will do for a new item


class InterestModel(nn.Module):
    """The decoder's reading half over trainable item vectors: unit(content · interest + offset).

    Beside what was chosen it is taught, where given, what counted companions say might have been.
    """

    content: Tensor
    met: Tensor

    def __init__(
        self,
        decoder: SemanticDecoder,
        content: npt.NDArray[np.float32],
        interest: npt.NDArray[np.float32],
        offsets: npt.NDArray[np.float32],
        met: npt.NDArray[np.bool_],
        companions: CountedCompanions | None = None,
    ) -> None:
        """content [N, C], interest [C, D] and offsets [N, D] to start from; `met` [N]: chosen by anybody."""
        super().__init__()
        self.decoder = decoder
        self._companions = companions
        self.register_buffer("content", torch.from_numpy(content), persistent=False)
        self.register_buffer("met", torch.from_numpy(met), persistent=False)
        self.interest = nn.Parameter(torch.from_numpy(interest))
        self.offsets = nn.Parameter(torch.from_numpy(offsets))

    def vectors(self) -> Tensor:
        """Every item's unit vector. [N, D]"""
        kept = self.met
        if self.training:
            kept = kept & (torch.rand(len(kept)) >= _COLD)
        return functional.normalize(self.content @ self.interest + self.offsets * kept[:, None], dim=1, eps=1e-6)

    def loss(self, batch: Batch) -> Tensor:
        """Mean negative log-likelihood, among all items, of each next choice and of what was likely in its place."""
        vectors = self.vectors()
        states = self.decoder.states(vectors[batch.rows[:, :-1]])[batch.real]  # [M, width]
        return named_loss(self.decoder.query(states), vectors, batch, self._companions)

    def ndcg(self, histories: Sequence[npt.NDArray[np.int64]], targets: npt.NDArray[np.int64]) -> float:
        """NDCG of the targets among the best ten, items of the history masked."""
        return ndcg_over(self.decoder, self.vectors(), histories, targets)


def ndcg_over(
    decoder: SemanticDecoder,
    vectors: Tensor,
    histories: Sequence[npt.NDArray[np.int64]],
    targets: npt.NDArray[np.int64],
    skipped: int = 0,
) -> float:
    """NDCG of the targets among the best ten by the profile over `vectors` [N, R], items of the history masked; the
    first `skipped` numbers of both are read, but count for nothing."""
    gain, length = 0.0, decoder.shape.history_length
    for start in range(0, len(histories), 256):
        chunk = histories[start : start + 256]
        newest = [history[-length:] for history in chunk]
        batch = padded(newest)
        states = decoder.states(vectors[batch.rows])
        last = states[torch.arange(len(chunk)), torch.tensor([len(history) for history in newest])]
        scores = decoder.query(last)[:, skipped:] @ vectors[:, skipped:].T
        for row, history in enumerate(chunk):
            scores[row, history] = -torch.inf
        aim = torch.from_numpy(targets[start : start + 256])
        ranks = (scores > scores.gather(1, aim[:, None])).sum(dim=1)
        gain += float(torch.where(ranks < TOP, 1 / torch.log2(ranks + 2.0), 0.0).sum())
    return gain / max(len(histories), 1)


def named_loss(profiles: Tensor, vectors: Tensor, batch: Batch, companions: CountedCompanions | None) -> Tensor:
    """The loss of naming the batch's M real events by their profiles [M, D] among all items' vectors [N, D]."""
    chosen = batch.rows[batch.real]
    if companions is None:
        return full_cross_entropy(profiles, vectors, chosen)
    likely = companions.likely(batch)
    share = _COUNTED * likely.known
    targets = torch.cat((chosen[:, None], likely.rows), dim=1)
    return full_cross_entropy(profiles, vectors, targets, torch.cat((1 - share, share * likely.weights), dim=1))
