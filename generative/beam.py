"""Beam search over the living, admitted part of a snapshot's trie."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.catalogue import SemanticId
from ..core.clock import Deadline
from ..kernels.reference import beam_step, masked_log_softmax
from .decoder import Context, SemanticDecoder, Suffix


class Branches(Protocol):
    """What the search reads of a trie: the part of core.snapshot.Trie that a training catalogue has too."""

    @property
    def levels(self) -> int: ...
    def live_children(
        self, prefixes: npt.NDArray[np.int64], level: int, admitted: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]: ...


@dataclass(frozen=True, slots=True)
class Beams:
    """Complete semantic IDs that carry at least one admitted item, best first; `late` if the deadline came first."""

    codes: npt.NDArray[np.int64]  # [W, L]
    log_probs: npt.NDArray[np.float64]  # [W]
    late: bool = False

    @property
    def semantic_ids(self) -> list[SemanticId]:
        return [tuple(row) for row in self.codes.tolist()]


def search(
    decoder: SemanticDecoder,
    context: Context,
    trie: Branches,
    admitted: npt.NDArray[np.bool_],
    width: int,
    deadline: Deadline,
) -> Beams:
    """The `width` most probable semantic IDs found level by level, or every admitted one if there are no more.

    A log-probability is the sum over levels of the log-softmax over live children, so it is that of the ID given the
    context *and* the admission.

    Args:
        admitted: [N] by item slot.
    """
    levels = trie.levels
    if levels == 0:
        return Beams(np.empty((0, levels), dtype=np.int64), np.empty(0))
    device = context.state.device
    codes = torch.zeros((1, 0), dtype=torch.int64, device=device)  # [W, level]
    log_probs = torch.zeros(1, device=device)  # [W]
    prefixes = np.zeros(1, dtype=np.int64)  # [W]
    suffix: Suffix | None = None
    for level in range(levels):
        if deadline.remaining_ms <= 0:
            return Beams(np.empty((0, levels), dtype=np.int64), np.empty(0), late=True)
        live = _fitted(trie.live_children(prefixes, level, admitted), decoder.shape.codes)
        last = codes[:, -1] if level else codes.new_zeros(1)
        step = decoder.step(context, level, last, suffix)
        best = beam_step(log_probs, masked_log_softmax(step.logits, live.mask.to(device)), width)
        suffix = step.suffix.of(best.parents)
        codes = torch.cat((codes[best.parents], best.codes[:, None]), dim=1)
        log_probs = best.log_probs
        prefixes = prefixes[best.parents.cpu().numpy()] * live.base + best.codes.cpu().numpy()
    return Beams(codes.cpu().numpy(), log_probs.double().cpu().numpy())


@dataclass(frozen=True, slots=True)
class _Live:
    mask: Tensor  # [W, K] bool, K the decoder's
    base: int  # the trie's own K, in which it packs prefixes


def _fitted(children: npt.NDArray[np.bool_], codes: int) -> _Live:
    """The trie's live children as the decoder counts codes: a trie of few items may know fewer of them."""
    beams, base = children.shape
    mask = np.zeros((beams, codes), dtype=np.bool_)
    mask[:, : min(base, codes)] = children[:, :codes]
    return _Live(torch.from_numpy(mask), base)
