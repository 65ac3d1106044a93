"""Second stage: the code head learns to spell the next choice, while the profile keeps naming it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...kernels.reference import masked_log_softmax
from ..decoder import SemanticDecoder
from .batched import searched_ndcg
from .catalogue_tree import CatalogueTree
from .counted import CountedCompanions
from .interest import named_loss, ndcg_over
from .likelihood import full_cross_entropy
from .schedule import Batch
from .teaching import MixedTeacher, ProfileTeacher, Teacher
from .wording import Meanings

_PROFILE_WEIGHT = 0.5  # its loss beside the codes' (which is the main task here)
_WORD_WEIGHT = 0.5  # the same for the profile's match with words
_COUNTED = 0.5  # share of counted companions in what teaches the codes; the first stage's profile has the rest
_TEACHER_WEIGHT = 0.6  # of the teacher's whole distribution; the rest is what was really chosen
_BEAMS = 32  # as served


class CodeModel(nn.Module):
    """The whole decoder over frozen item vectors and codes, exactly those the tokenizer serves, and over what words
    mean to it, which it goes on learning.

    Learning codes from single choices alone is soon learning by heart. A teacher's distribution over all items (the
    first stage's, mixed with counted companions where they are given, if there is no other) says what else might have
    been chosen; summed below each prefix, it teaches every code at once.
    """

    item_vectors: Tensor
    sids: Tensor

    def __init__(
        self,
        decoder: SemanticDecoder,
        vectors: npt.NDArray[np.float32],
        sids: npt.NDArray[np.int32],
        teacher: Teacher | None = None,
        companions: CountedCompanions | None = None,
        meanings: Meanings | None = None,
        first: SemanticDecoder | None = None,
    ) -> None:
        """vectors [N, D], sids [N, L]; without a teacher the profile of the `first` stage's network becomes it, or that
        of the decoder as it is now. `meanings` of the same N items, where the decoder reads words."""
        super().__init__()
        self.decoder = decoder
        self.register_buffer("item_vectors", torch.from_numpy(vectors), persistent=False)
        self.register_buffer("sids", torch.from_numpy(sids.astype(np.int64)), persistent=False)
        self.tree = CatalogueTree.of(sids, decoder.shape.codes)
        self.meanings = meanings
        self._companions = companions
        if teacher is None:
            teacher = ProfileTeacher(decoder if first is None else first, self.item_vectors)
            if companions is not None:
                teacher = MixedTeacher(teacher, companions, _COUNTED)
        self._teacher = teacher

    def as_read(self) -> Tensor:
        """Every item as the decoder reads it. [N, R]"""
        if self.meanings is None:
            return self.item_vectors
        return torch.cat((self.item_vectors, self.meanings.vectors()), dim=1)

    def loss(self, batch: Batch) -> Tensor:
        """The codes' cross-entropy with teacher and truth, the profile's over vectors with companions and truth, and
        its over words with the truth alone."""
        read = self.as_read()
        states = self.decoder.states(read[batch.rows[:, :-1]])  # [B, T, width]
        targets = batch.rows[batch.real]  # [M]
        codes = self.sids[targets]  # [M, L]
        places = self.tree.places(codes)
        logits = self.decoder.teacher_logits(states, self.sids[batch.rows])[batch.real]  # [M, L, K]
        live = self.tree.masks(places)
        log_probs = masked_log_softmax(logits, live)
        spelled = log_probs.gather(2, codes[..., None]).squeeze(2).sum(dim=1)  # [M]
        shares = self._shares(batch, places)  # [M, L, K]
        taught = (shares * log_probs.masked_fill(~live, 0.0)).sum(dim=(1, 2))  # [M]
        codes_loss = _TEACHER_WEIGHT * taught.mean() + (1 - _TEACHER_WEIGHT) * spelled.mean()
        width, profiles = self.item_vectors.shape[1], self.decoder.query(states[batch.real])
        named = named_loss(profiles[:, :width], self.item_vectors, batch, self._companions)
        if self.meanings is None:
            return _PROFILE_WEIGHT * named - codes_loss
        worded = full_cross_entropy(profiles[:, width:], read[:, width:], targets)
        return _PROFILE_WEIGHT * named + _WORD_WEIGHT * worded - codes_loss

    def _shares(self, batch: Batch, places: list[Tensor]) -> Tensor:
        """How the teacher's distributions divide along the true paths. [M, L, K]"""
        shares, start = [], 0
        for piece in self._teacher.distributions(batch):
            stop = start + len(piece)
            shares.append(self.tree.shares(piece[:, self.tree.order], [place[start:stop] for place in places]))
            start = stop
        return torch.cat(shares)

    def ndcg(self, histories: Sequence[npt.NDArray[np.int64]], targets: npt.NDArray[np.int64]) -> float:
        """NDCG of the targets' semantic IDs among the best ten found by the served beam search, histories masked; where
        words are read, the mean of this and of the targets' NDCG by the profile's match with words."""
        read = self.as_read()
        spelled = searched_ndcg(self.decoder, read, self.tree, histories, targets, _BEAMS)
        if self.meanings is None:
            return spelled
        return (spelled + ndcg_over(self.decoder, read, histories, targets, self.item_vectors.shape[1])) / 2

    def log_likelihood(self, vectors: Tensor, target: int) -> float:
        """Log-probability of one item's semantic ID given a history [T, R], as trained: all levels at once."""
        codes = self.sids[target].expand(1, len(vectors) + 1, -1)
        logits = self.decoder.teacher_logits(self.decoder.states(vectors[None]), codes)[0, -1:]
        live = self.tree.masks(self.tree.places(codes[0, -1:]))
        return float(masked_log_softmax(logits, live).gather(2, codes[0, -1:, :, None]).sum())
