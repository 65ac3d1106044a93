"""The operations of the served decode as one seam, chosen by the device the tensors live on."""

from typing import Protocol

import torch
from torch import Tensor

from . import reference
from .reference import BeamStep


class Ops(Protocol):
    """What a decode computes outside its dense layers; `reference` says what each gives."""

    @property
    def reads_leaves(self) -> bool:
        """Whether a trie is best handed over as leaves for `live_children`, and not asked for each level's children."""
        ...

    def shared_context_attention(
        self, query: Tensor, context_key: Tensor, context_value: Tensor, suffix_key: Tensor, suffix_value: Tensor
    ) -> Tensor:
        """[W, H, E]; see reference.shared_context_attention."""
        ...

    def select(
        self, log_probs: Tensor, logits: Tensor, live: Tensor, width: int, lift: Tensor | None = None
    ) -> BeamStep:
        """The surviving beams of a level; see reference.select."""
        ...

    def live_children(self, keys: Tensor, admitted_before: Tensor, prefixes: Tensor, span: int, codes: int) -> Tensor:
        """[W, K] bool; see reference.live_children."""
        ...


class ReferenceOps:
    """The naive twins themselves (Ops). Here the trie's own walk is the quicker one."""

    reads_leaves = False

    shared_context_attention = staticmethod(reference.shared_context_attention)
    select = staticmethod(reference.select)
    live_children = staticmethod(reference.live_children)


def ops_for(device: torch.device) -> Ops:
    """Triton's kernels on CUDA, the naive twins elsewhere. Triton is imported only where it is used."""
    if device.type != "cuda":
        return ReferenceOps()
    from .accelerator import TritonOps

    return TritonOps()
