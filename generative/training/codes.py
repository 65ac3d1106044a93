"""Second stage: the code head learns to spell the next choice, while the profile keeps naming it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...kernels.reference import masked_log_softmax
from ..decoder import SemanticDecoder
from .schedule import Batch, padded

_NEGATIVES = 2048  # items the profile is told apart from in a batch; the first stage did it against all
_PROFILE_WEIGHT = 0.5  # its loss beside the codes' (which is the main task here)


@dataclass(frozen=True, slots=True)
class LiveCodes:
    """Which codes may follow which prefix in the training catalogue: the normaliser's support while training."""

    prefixes: tuple[Tensor, ...]  # per level: sorted packed prefixes [P]
    children: tuple[Tensor, ...]  # per level: [P, K] bool

    @classmethod
    def of(cls, sids: npt.NDArray[np.int32], codes: int) -> "LiveCodes":
        """Built from the catalogue's semantic IDs [N, L]."""
        packed = np.zeros(len(sids), dtype=np.int64)
        prefixes, children = [], []
        for level in range(sids.shape[1]):
            known, rows = np.unique(packed, return_inverse=True)
            live = np.zeros((len(known), codes), dtype=np.bool_)
            live[rows, sids[:, level]] = True
            prefixes.append(torch.from_numpy(known))
            children.append(torch.from_numpy(live))
            packed = packed * codes + sids[:, level]
        return cls(tuple(prefixes), tuple(children))

    def masks(self, codes: Tensor) -> Tensor:
        """The live children along each true path. [M, L] int64 → [M, L, K] bool"""
        width = self.children[0].shape[1]
        packed = torch.zeros(len(codes), dtype=torch.int64)
        masks = []
        for level, (prefixes, children) in enumerate(zip(self.prefixes, self.children, strict=True)):
            masks.append(children[torch.searchsorted(prefixes, packed)])
            packed = packed * width + codes[:, level]
        return torch.stack(masks, dim=1)


class CodeModel(nn.Module):
    """The whole decoder over frozen item vectors and codes, exactly those the tokenizer serves."""

    item_vectors: Tensor
    sids: Tensor

    def __init__(self, decoder: SemanticDecoder, vectors: npt.NDArray[np.float32], sids: npt.NDArray[np.int32]) -> None:
        """vectors [N, D], sids [N, L]."""
        super().__init__()
        self.decoder = decoder
        self.register_buffer("item_vectors", torch.from_numpy(vectors))
        self.register_buffer("sids", torch.from_numpy(sids.astype(np.int64)))
        self.live = LiveCodes.of(sids, decoder.shape.codes)

    def loss(self, batch: Batch, rng: np.random.Generator) -> Tensor:
        """Mean negative log-likelihood of the next choice's codes, plus the profile's against sampled items."""
        states = self.decoder.states(self.item_vectors[batch.rows[:, :-1]])  # [B, T, width]
        targets = batch.rows[batch.real]  # [M]
        spelled = self._code_log_probs(states, batch.rows)[batch.real]
        negatives = torch.from_numpy(rng.integers(len(self.item_vectors), size=min(_NEGATIVES, len(self.item_vectors))))
        profile = self.decoder.query(states[batch.real])  # [M, D]
        hit = (profile * self.item_vectors[targets]).sum(dim=1, keepdim=True)
        misses = profile @ self.item_vectors[negatives].T
        # A uniform sample of n out of N stands for all N, so each negative counts N / n times.
        misses = misses + np.log(len(self.item_vectors) / len(negatives))
        misses = misses.masked_fill(targets[:, None] == negatives, -torch.inf)
        named = functional.log_softmax(torch.cat((hit, misses), dim=1), dim=1)[:, 0]
        return -spelled.mean() - _PROFILE_WEIGHT * named.mean()

    def log_likelihood(self, histories: Sequence[npt.NDArray[np.int64]], targets: npt.NDArray[np.int64]) -> float:
        """Mean log-probability of the targets' semantic IDs given the histories."""
        total, length = 0.0, self.decoder.shape.history_length
        for start in range(0, len(histories), 256):
            newest = [history[-length:] for history in histories[start : start + 256]]
            batch = padded(
                [np.append(history, target) for history, target in zip(newest, targets[start:], strict=False)]
            )
            states = self.decoder.states(self.item_vectors[batch.rows[:, :-1]])
            last = torch.tensor([len(history) for history in newest])
            log_probs = self._code_log_probs(states, batch.rows)
            total += float(log_probs[torch.arange(len(newest)), last].sum())
        return total / max(len(histories), 1)

    def _code_log_probs(self, states: Tensor, rows: Tensor) -> Tensor:
        """Log-probability of the semantic ID of each row's item. [B, T]"""
        codes = self.sids[rows]  # [B, T, L]
        logits = self.decoder.teacher_logits(states, codes)
        live = self.live.masks(codes.flatten(0, 1)).view(logits.shape)
        return masked_log_softmax(logits, live).gather(3, codes[..., None]).squeeze(3).sum(dim=2)
