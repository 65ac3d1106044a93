"""The naive twins: what each operation of the served decode computes, written to be read and not to be fast.

Whatever runs faster elsewhere (a fused kernel, another layout) must agree with these on odd shapes, ties and empty
masks. Letters: B batch, W beams, H heads, S suffix tokens, T context tokens, E head width, L levels, K codes, N items,
D width.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class BeamStep:
    """The surviving beams of one level, best first: whose child each is, by which code, how likely in all."""

    parents: Tensor  # [W'] int64, rows of the level before
    codes: Tensor  # [W'] int64
    log_probs: Tensor  # [W'] float32


def residual_codes(vectors: npt.NDArray[np.float64], codebooks: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """The codes that residual quantisation gives each vector: at every level the nearest codeword, then its remainder.

    Every row is computed by itself in float64, so that a vector's codes never depend on its companions. Ties: the
    smaller code.

    Args:
        vectors: [N, D].
        codebooks: [L, K, D].

    Returns:
        [N, L] int32.
    """
    codes = np.empty((len(vectors), len(codebooks)), dtype=np.int32)
    for row, vector in enumerate(vectors):
        residual = vector.astype(np.float64, copy=True)
        for level, codebook in enumerate(codebooks):
            distances = ((codebook - residual) ** 2).sum(axis=1)  # [K]
            code = int(distances.argmin())
            codes[row, level] = code
            residual -= codebook[code]
    return codes


def masked_log_softmax(logits: Tensor, live: Tensor) -> Tensor:
    """Log-probabilities over the live entries of the last axis: they sum to one there, dead entries are -inf.

    A row without a live entry is -inf throughout (never NaN), so a dead end simply loses.

    Args:
        logits: [..., K] float.
        live: [..., K] bool, broadcastable.
    """
    masked = logits.masked_fill(~live, float("-inf"))
    total = masked.logsumexp(dim=-1, keepdim=True)  # -inf where nothing lives
    return torch.where(live, logits - total.clamp(min=torch.finfo(logits.dtype).min), float("-inf"))


def beam_step(log_probs: Tensor, step_log_probs: Tensor, width: int, lift: Tensor | None = None) -> BeamStep:
    """The best `width` children of all beams, or all live ones where there are fewer: no live node is lost before that.

    Best means by log-probability, plus `lift` where one is given. Ties go to the earlier parent, then to the smaller
    code, which is the order of the trie.

    Args:
        log_probs: [W] of the beams.
        step_log_probs: [W, K] of each child given its beam, -inf where dead.
        lift: [W, K], finite where a child lives.
    """
    totals = (log_probs[:, None] + step_log_probs).flatten()  # [W * K]
    live = torch.isfinite(totals)
    ranks = torch.where(live, totals if lift is None else totals + lift.flatten(), float("-inf"))  # NaN never leads
    kept = min(width, int(live.sum()))
    order = torch.sort(ranks, descending=True, stable=True).indices[:kept]
    codes_per_level = step_log_probs.shape[1]
    return BeamStep(order // codes_per_level, order % codes_per_level, totals[order])


def select(log_probs: Tensor, logits: Tensor, live: Tensor, width: int, lift: Tensor | None = None) -> BeamStep:
    """The best children by their log-softmax among the living ones: `masked_log_softmax`, then `beam_step`.

    Args:
        log_probs: [W].
        logits: [W, K].
        live: [W, K] bool.
        lift: [W, K] or None.
    """
    return beam_step(log_probs, masked_log_softmax(logits, live), width, lift)


def live_children(keys: Tensor, admitted_before: Tensor, prefixes: Tensor, span: int, codes: int) -> Tensor:
    """[W, K] whether child code k of each prefix covers at least one admitted leaf: its range of leaves, found in the
    sorted keys, holds a set bit.

    Args:
        keys: [P] int64, the leaves' semantic IDs packed as base-K digits, ascending.
        admitted_before: [P + 1] int32, the prefix sum of the admission in leaf order.
        prefixes: [W] int64, packed likewise.
        span: the number of keys under one child: K to the power of the levels below it.
        codes: K.
    """
    first = prefixes[:, None] * (span * codes) + span * torch.arange(codes + 1, device=keys.device)  # [W, K + 1]
    before = admitted_before[torch.searchsorted(keys, first)]
    return before[:, 1:] > before[:, :-1]


def shared_context_attention(
    query: Tensor, context_key: Tensor, context_value: Tensor, suffix_key: Tensor, suffix_value: Tensor
) -> Tensor:
    """Attention of every beam's newest token over one context that all beams share, and over the beam's own suffix.

    One softmax runs over both parts: the result is that of attention over the concatenation [context; suffix].

    Args:
        query: [W, H, E], one token a beam.
        context_key, context_value: [H, T, E], kept once.
        suffix_key, suffix_value: [W, H, S, E], the beam's tokens so far, the newest included.

    Returns:
        [W, H, E].
    """
    scale = query.shape[-1] ** -0.5
    over_context = torch.einsum("whe,hte->wht", query, context_key) * scale
    over_suffix = torch.einsum("whe,whse->whs", query, suffix_key) * scale
    weights = torch.cat((over_context, over_suffix), dim=-1).softmax(dim=-1)  # [W, H, T + S]
    tokens = context_key.shape[1]
    return torch.einsum("wht,hte->whe", weights[..., :tokens], context_value) + torch.einsum(
        "whs,whse->whe", weights[..., tokens:], suffix_value
    )


def bucket_log_probs(similarities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How a leaf's probability is shared among the items that carry its semantic ID: log-softmax of their similarities,
    [M] to [M].
    """
    shifted = similarities - similarities.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))
