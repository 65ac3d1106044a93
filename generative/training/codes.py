"""Second stage: the code head learns to spell the next choice, while the profile keeps naming it."""

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...kernels.reference import masked_log_softmax
from ..decoder import SemanticDecoder
from .batched import read_all, search_all
from .catalogue_tree import CatalogueTree
from .likelihood import full_cross_entropy
from .schedule import Batch

_PROFILE_WEIGHT = 0.5  # its loss beside the codes' (which is the main task here)
_TEACHER_WEIGHT = 0.6  # of the first stage's whole distribution; the rest is what was really chosen
_BEAMS = 32  # as served
_ROWS = 128  # of the teacher at once, so that they stay near the core


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

    def loss(self, batch: Batch) -> Tensor:
        """The codes' cross-entropy with teacher and truth, plus the profile's with the truth."""
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
            profiles = teacher.query(teacher.states(inputs)[batch.real])  # [M, D]
            shares = self._shares(profiles, batch, places)  # [M, L, K]
        taught = (shares * log_probs.masked_fill(~live, 0.0)).sum(dim=(1, 2))  # [M]
        named = full_cross_entropy(self.decoder.query(states[batch.real]), self.item_vectors, targets)
        codes_loss = _TEACHER_WEIGHT * taught.mean() + (1 - _TEACHER_WEIGHT) * spelled.mean()
        return _PROFILE_WEIGHT * named - codes_loss

    def _shares(self, profiles: Tensor, batch: Batch, places: list[Tensor]) -> Tensor:
        """How the teacher's distributions divide along the true paths, some rows at a time. [M, L, K]"""
        earlier = self._earlier(batch)
        shares = []
        for start in range(0, len(profiles), _ROWS):
            matches = profiles[start : start + _ROWS] @ self._ordered.T  # [R, N]
            within = (earlier[0] >= start) & (earlier[0] < start + _ROWS)
            matches[earlier[0][within] - start, earlier[1][within]] = -torch.inf
            shares.append(self.tree.shares(matches.softmax(dim=1), [place[start : start + _ROWS] for place in places]))
        return torch.cat(shares)

    def _earlier(self, batch: Batch) -> Tensor:
        """Every event's row among the batch's M and, in the tree's order, the place of an item chosen before it. [2, S]

        What was chosen is not admitted again. The teacher likes it all the same, and a node that keeps this liking
        would hand it on, once the item is masked, to whatever else lies below.
        """
        rows = torch.cumsum(batch.real.flatten(), dim=0).view(batch.real.shape) - 1  # [B, T] each event's row here
        length = batch.rows.shape[1]
        sequence, later, earlier = torch.nonzero(
            batch.real[:, :, None] & torch.ones(length, length, dtype=torch.bool).tril(-1), as_tuple=True
        )
        return torch.stack((rows[sequence, later], self._place[batch.rows[sequence, earlier]]))

    def ndcg(self, histories: Sequence[npt.NDArray[np.int64]], targets: npt.NDArray[np.int64], top: int = 10) -> float:
        """NDCG of the targets' semantic IDs among the best `top` found by the served beam search, histories masked."""
        gain = 0.0
        for start in range(0, len(histories), 256):
            chunk = histories[start : start + 256]
            readings = read_all(self.decoder, self.item_vectors, chunk)
            found = search_all(self.decoder, readings, self.tree, chunk, _BEAMS)
            aims = self.sids[torch.from_numpy(targets[start : start + 256])]  # [U, L]
            places = self.tree.prefixes[-1][self.tree.places(aims)[-1]]
            hit = (found.prefixes == places[:, None]) & (found.codes == aims[:, -1:])
            hit &= torch.isfinite(found.log_probs)
            ranks = torch.where(hit.any(dim=1), hit.int().argmax(dim=1), top)
            gain += float(torch.where(ranks < top, 1 / torch.log2(ranks + 2.0), 0.0).sum())
        return gain / max(len(histories), 1)

    def log_likelihood(self, vectors: Tensor, target: int) -> float:
        """Log-probability of one item's semantic ID given a history [T, D], as trained: all levels at once."""
        codes = self.sids[target].expand(1, len(vectors) + 1, -1)
        logits = self.decoder.teacher_logits(self.decoder.states(vectors[None]), codes)[0, -1:]
        live = self.tree.masks(self.tree.places(codes[0, -1:]))
        return float(masked_log_softmax(logits, live).gather(2, codes[0, -1:, :, None]).sum())
