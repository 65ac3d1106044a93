"""Second stage: the code head learns to spell the next choice, while the profile keeps naming it."""

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...core.clock import Deadline, ManualClock
from ...kernels.reference import masked_log_softmax
from ..beam import search
from ..decoder import SemanticDecoder
from .catalogue_tree import CatalogueTree
from .schedule import Batch

_NEGATIVES = 2048  # items the profile is told apart from in a batch; the first stage did it against all
_PROFILE_WEIGHT = 0.5  # its loss beside the codes' (which is the main task here)
_TEACHER_WEIGHT = 0.6  # of the first stage's whole distribution; the rest is what was really chosen
_BEAMS = 32  # as served


class CodeModel(nn.Module):
    """The whole decoder over frozen item vectors and codes, exactly those the tokenizer serves.

    Learning codes from single choices alone is soon learning by heart. The first stage's distribution over all items
    says what else might have been chosen; summed below each prefix, it teaches every code at once.
    """

    item_vectors: Tensor
    sids: Tensor

    def __init__(self, decoder: SemanticDecoder, vectors: npt.NDArray[np.float32], sids: npt.NDArray[np.int32]) -> None:
        """vectors [N, D], sids [N, L]; the decoder as it is now becomes the teacher, too."""
        super().__init__()
        self.decoder = decoder
        self.register_buffer("item_vectors", torch.from_numpy(vectors), persistent=False)
        self.register_buffer("sids", torch.from_numpy(sids.astype(np.int64)), persistent=False)
        self.tree = CatalogueTree.of(sids, decoder.shape.codes)
        # In a tuple, so that it is neither trained nor stored with this module.
        self._teacher = (copy.deepcopy(decoder).eval().requires_grad_(False),)
        self._ordered = self.item_vectors[self.tree.order]
        self._place = torch.argsort(self.tree.order)  # [N] where each item stands in that order

    def loss(self, batch: Batch, rng: np.random.Generator) -> Tensor:
        """The codes' cross-entropy with teacher and truth, plus the profile's with truth against sampled items."""
        inputs = self.item_vectors[batch.rows[:, :-1]]
        states = self.decoder.states(inputs)  # [B, T, width]
        targets = batch.rows[batch.real]  # [M]
        codes = self.sids[targets]  # [M, L]
        places = self.tree.places(codes)
        logits = self.decoder.teacher_logits(states, self.sids[batch.rows])[batch.real]  # [M, L, K]
        live = self.tree.masks(places)
        log_probs = masked_log_softmax(logits, live)
        spelled = log_probs.gather(2, codes[..., None]).squeeze(2).sum(dim=1)  # [M]
        with torch.no_grad():
            teacher = self._teacher[0]
            matches = teacher.query(teacher.states(inputs)[batch.real]) @ self._ordered.T  # [M, N]
            matches = self._without_history(matches, batch)
            shares = self.tree.shares(matches.softmax(dim=1), places)  # [M, L, K]
        taught = (shares * log_probs.masked_fill(~live, 0.0)).sum(dim=(1, 2))  # [M]
        named = self._named(self.decoder.query(states[batch.real]), targets, rng)
        codes_loss = _TEACHER_WEIGHT * taught.mean() + (1 - _TEACHER_WEIGHT) * spelled.mean()
        return -codes_loss - _PROFILE_WEIGHT * named.mean()

    def _without_history(self, matches: Tensor, batch: Batch) -> Tensor:
        """The matches [M, N] with every item that came earlier in its sequence at -inf, in place.

        What was chosen is not admitted again. The teacher likes it all the same, and a node that keeps this liking
        would hand it on, once the item is masked, to whatever else lies below.
        """
        rows = torch.cumsum(batch.real.flatten(), dim=0).view(batch.real.shape) - 1  # [B, T] each event's row here
        length = batch.rows.shape[1]
        sequence, later, earlier = torch.nonzero(
            batch.real[:, :, None] & torch.ones(length, length, dtype=torch.bool).tril(-1), as_tuple=True
        )
        matches[rows[sequence, later], self._place[batch.rows[sequence, earlier]]] = -torch.inf
        return matches

    def _named(self, profile: Tensor, targets: Tensor, rng: np.random.Generator) -> Tensor:
        """Log-probability of the targets [M] under the profiles [M, D], estimated on sampled items."""
        items = len(self.item_vectors)
        negatives = torch.from_numpy(rng.integers(items, size=min(_NEGATIVES, items)))
        hit = (profile * self.item_vectors[targets]).sum(dim=1, keepdim=True)
        # A uniform sample of n out of N stands for all N, so each negative counts N / n times.
        misses = profile @ self.item_vectors[negatives].T + np.log(items / len(negatives))
        misses = misses.masked_fill(targets[:, None] == negatives, -torch.inf)
        return functional.log_softmax(torch.cat((hit, misses), dim=1), dim=1)[:, 0]

    def ndcg(self, histories: Sequence[npt.NDArray[np.int64]], targets: npt.NDArray[np.int64], top: int = 10) -> float:
        """NDCG of the targets' semantic IDs among the best `top` found by the served beam search, histories masked."""
        gain, length = 0.0, self.decoder.shape.history_length
        always = Deadline(1, ManualClock())  # this clock stands still before it
        for history, target in zip(histories, targets.tolist(), strict=True):
            context = self.decoder.read(self.item_vectors[history[-length:]])
            admitted = np.ones(len(self.item_vectors), dtype=np.bool_)
            admitted[history] = False
            ranking = search(self.decoder, context, self.tree, admitted, _BEAMS, always).semantic_ids[:top]
            aim = tuple(self.sids[target].tolist())
            gain += 1 / np.log2(ranking.index(aim) + 2) if aim in ranking else 0.0
        return float(gain) / max(len(histories), 1)

    def log_likelihood(self, vectors: Tensor, target: int) -> float:
        """Log-probability of one item's semantic ID given a history [T, D], as trained: all levels at once."""
        codes = self.sids[target].expand(1, len(vectors) + 1, -1)
        logits = self.decoder.teacher_logits(self.decoder.states(vectors[None]), codes)[0, -1:]
        live = self.tree.masks(self.tree.places(codes[0, -1:]))
        return float(masked_log_softmax(logits, live).gather(2, codes[0, -1:, :, None]).sum())
