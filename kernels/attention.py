"""Attention of the beams' newest tokens over one shared context and each beam's own suffix, on the accelerator.

Twin: reference.shared_context_attention. With W beams, H heads, T context and S suffix tokens, head width E and b bytes
a number:

- FLOPs: 4 · W · H · (T + S) · E.
- Bytes, each read or written once: b · H · E · (2 · W + 2 · T + 2 · W · S). The context is read once for a block of
  beams, not once a beam: that is the point of keeping it shared.
- W = 128, H = 4, T = 100, S = 3, E = 64, bf16: 13.5 MFLOP over 0.63 MB, 21 FLOP a byte. The ridge lies at 153 on an
  A100 (312 TFLOP/s bf16 over 2,039 GB/s, NVIDIA A100 80GB SXM data sheet) and at 295 on an H100 (989 over 3,350, NVIDIA
  H100 SXM data sheet): memory-bound, no less than 0.31 µs and 0.19 µs. GPU figures: not measured.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK_BEAMS = 16  # rows of a product on the tensor cores: their least
BLOCK_TOKENS = 32


@triton.jit
def shared_context_attention_kernel(
    query,  # [W, H, E]
    context_key,  # [H, T, E]
    context_value,  # [H, T, E]
    suffix_key,  # [W, H, S, E]
    suffix_value,  # [W, H, S, E]
    out,  # [W, H, E]
    scale,
    beams,
    tokens,
    suffix_tokens,
    heads: tl.constexpr,
    width: tl.constexpr,
    block_beams: tl.constexpr,
    block_tokens: tl.constexpr,
    block_width: tl.constexpr,
    interpreted: tl.constexpr,
):
    """One program: a block of beams, one head. One running softmax goes over the context and then the suffix."""
    i_block, i_head = tl.program_id(0), tl.program_id(1)
    o_beam = i_block * block_beams + tl.arange(0, block_beams)
    o_width = tl.arange(0, block_width)
    m_beam = o_beam < beams
    m_width = o_width < width
    m_row = m_beam[:, None] & m_width[None, :]
    row = o_beam * heads + i_head
    b_query = tl.load(query + row[:, None] * width + o_width[None, :], mask=m_row, other=0.0)
    if interpreted:  # Triton's interpreter multiplies the bits of bfloat16, not their values
        b_query = b_query.to(tl.float32)
    b_greatest = tl.full((block_beams,), float("-inf"), tl.float32)
    b_total = tl.zeros((block_beams,), tl.float32)
    b_mixed = tl.zeros((block_beams, block_width), tl.float32)
    for start in range(0, tokens, block_tokens):
        o_token = start + tl.arange(0, block_tokens)
        m_token = o_token < tokens
        place = (i_head * tokens + o_token) * width
        b_key = tl.load(
            context_key + place[None, :] + o_width[:, None], mask=m_token[None, :] & m_width[:, None], other=0.0
        )
        if interpreted:
            b_key = b_key.to(tl.float32)
        b_score = tl.dot(b_query, b_key, input_precision="ieee") * scale
        b_score = tl.where(m_token[None, :], b_score, float("-inf"))
        b_now = tl.maximum(b_greatest, tl.max(b_score, 1))
        b_fade = tl.exp(b_greatest - b_now)
        b_weight = tl.exp(b_score - b_now[:, None])
        b_value = tl.load(
            context_value + place[:, None] + o_width[None, :], mask=m_token[:, None] & m_width[None, :], other=0.0
        )
        if interpreted:
            b_value = b_value.to(tl.float32)
        b_mixed = b_mixed * b_fade[:, None] + tl.dot(b_weight.to(b_value.dtype), b_value, input_precision="ieee")
        b_total = b_total * b_fade + tl.sum(b_weight, 1)
        b_greatest = b_now
    b_wide = b_query.to(tl.float32)
    for token in range(0, suffix_tokens):
        place = (row * suffix_tokens + token) * width
        b_key = tl.load(suffix_key + place[:, None] + o_width[None, :], mask=m_row, other=0.0).to(tl.float32)
        b_value = tl.load(suffix_value + place[:, None] + o_width[None, :], mask=m_row, other=0.0).to(tl.float32)
        b_score = tl.sum(b_wide * b_key, 1) * scale
        b_now = tl.maximum(b_greatest, b_score)
        b_fade = tl.exp(b_greatest - b_now)
        b_weight = tl.exp(b_score - b_now)
        b_mixed = b_mixed * b_fade[:, None] + b_weight[:, None] * b_value
        b_total = b_total * b_fade + b_weight
        b_greatest = b_now
    b_mixed = b_mixed / b_total[:, None]
    tl.store(out + row[:, None] * width + o_width[None, :], b_mixed.to(out.dtype.element_ty), mask=m_row)


def shared_context_attention(
    query: Tensor, context_key: Tensor, context_value: Tensor, suffix_key: Tensor, suffix_value: Tensor
) -> Tensor:
    """Every beam's attention over [context; its suffix], as reference.shared_context_attention says.

    Args:
        query: [W, H, E].
        context_key, context_value: [H, T, E].
        suffix_key, suffix_value: [W, H, S, E], S ≥ 1.

    Returns:
        [W, H, E], of the query's dtype; sums run in float32.
    """
    beams, heads, width = query.shape
    out = torch.empty((beams, heads, width), dtype=query.dtype, device=query.device)
    shared_context_attention_kernel[triton.cdiv(beams, BLOCK_BEAMS), heads](
        query.contiguous(),
        context_key.contiguous(),
        context_value.contiguous(),
        suffix_key.contiguous(),
        suffix_value.contiguous(),
        out,
        width**-0.5,
        beams,
        context_key.shape[1],
        suffix_key.shape[2],
        heads=heads,
        width=width,
        block_beams=BLOCK_BEAMS,
        block_tokens=BLOCK_TOKENS,
        block_width=max(16, triton.next_power_of_2(width)),
        interpreted=triton.knobs.runtime.interpret,
        num_warps=4,
        num_stages=1,
    )
    return out
