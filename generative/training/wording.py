"""What words mean to the decoder: an embedding of every feature, learned by naming each next choice by its words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...core.catalogue import Item
from ...core.clock import Clock
from ..decoder import DecoderShape, SemanticDecoder
from ..features import BUCKETS
from ..wording import Wording
from .interest import ndcg_over
from .likelihood import full_cross_entropy
from .options import TrainingOptions
from .schedule import Batch, Plan, Report, Stage, shuffled_batches
from .sequences import HeldOut

_WIDTH, _LAYERS, _DROPOUT = 64, 2, 0.3  # of the network that only serves to learn the words, of which there are many


class Meanings(nn.Module):
    """The features of N items, and a trainable embedding of each of the features that any of them has.

    Words and not items are learned: an item that nobody has chosen yet is read like any other.
    """

    def __init__(self, items: Sequence[Item], width: int) -> None:
        """Embeddings of `width` numbers, drawn from torch's generator."""
        super().__init__()
        self._blank = Wording.of(items)
        words = [self._blank.words_of(item) for item in items]
        buckets = np.concatenate([one.buckets[:-1] for one in words])  # the last one matches nothing
        bounds = np.cumsum([0, *(len(one.buckets) - 1 for one in words)])
        weights = np.concatenate([one.weights[:-1] for one in words]).astype(np.float32)
        self._met = np.unique(buckets)
        columns = np.searchsorted(self._met, buckets)
        self._said = scipy.sparse.csr_matrix((weights, columns, bounds), shape=(len(items), len(self._met)))
        self._sayers = self._said.T.tocsr()
        self.embedding = nn.Parameter(torch.randn(len(self._met), width) * width**-0.5)

    def vectors(self) -> Tensor:
        """Every item's unit vector, zero for an item without a word. [N, E]"""
        bags = _Bags.apply(self.embedding, self._said, self._sayers)  # type: ignore[no-untyped-call]
        return functional.normalize(cast(Tensor, bags), dim=1, eps=1e-6)

    def wording(self) -> Wording:
        """What was learned, as it is served."""
        meanings = np.zeros((BUCKETS, self.embedding.shape[1]), dtype=np.float32)
        meanings[self._met] = self.embedding.detach().numpy()
        return Wording(self._blank.rarity, meanings)


class _Bags(torch.autograd.Function):
    """The product of a constant sparse matrix with an embedding; scipy takes half the time torch's does."""

    @staticmethod
    def forward(ctx: Any, embedding: Tensor, said: scipy.sparse.csr_matrix, sayers: scipy.sparse.csr_matrix) -> Tensor:
        ctx.sayers = sayers
        return torch.from_numpy(said @ embedding.detach().numpy())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return torch.from_numpy(ctx.sayers @ gradient.contiguous().numpy()), None, None


class WordModel(nn.Module):
    """A small network that reads items by their words alone; its embedding is all that is kept of it.

    Only what was really chosen teaches it. Companions and vectors, which teach the rest of the decoder, would make it
    err as those do, and then it would add nothing to them.
    """

    def __init__(self, meanings: Meanings, width: int, history_length: int) -> None:
        super().__init__()
        shape = DecoderShape(1, 2, width, _WIDTH, 2, _LAYERS, history_length, _DROPOUT)
        self.decoder = SemanticDecoder(shape, torch.zeros(1, 2, width))
        self.meanings = meanings

    def loss(self, batch: Batch) -> Tensor:
        """Mean negative log-likelihood of each next choice among all items."""
        vectors = self.meanings.vectors()
        states = self.decoder.states(vectors[batch.rows[:, :-1]])[batch.real]
        return full_cross_entropy(self.decoder.query(states), vectors, batch.rows[batch.real])

    def ndcg(self, histories: Sequence[npt.NDArray[np.int64]], targets: npt.NDArray[np.int64]) -> float:
        """NDCG of the targets among the best ten, items of the history masked."""
        return ndcg_over(self.decoder, self.meanings.vectors(), histories, targets)


def learn_words(
    items: Sequence[Item],
    cut: Sequence[npt.NDArray[np.int64]],
    asked: HeldOut,
    options: TrainingOptions,
    minutes: float,
    checkpoints: Path,
    clock: Clock,
    report: Report,
) -> tuple[Meanings, float]:
    """What words mean to who chose these sequences, by the epoch that foresees best what `asked` chose; and the minutes
    it took, those before a stop among them."""
    torch.manual_seed(options.seed + 3)
    meanings = Meanings(items, options.word_width)
    model = WordModel(meanings, options.word_width, options.history_length)
    plan = Plan("words", options.word_epochs, minutes, 1e-3, options.seed + 3)
    stage = Stage(plan, model, clock, checkpoints / "words.pt")
    stage.run(
        lambda rng: list(shuffled_batches(cut, plan.batch_users, True, rng)),
        lambda batch, _: model.loss(batch),
        lambda: model.ndcg(asked.histories, asked.targets),
        report,
    )
    return meanings, stage.spent_s / 60
