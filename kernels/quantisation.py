"""Residual quantisation of many vectors at once, on the accelerator: for back-filling a catalogue.

Twin: reference.residual_codes. A block of vectors stays in registers through all levels. The twin computes in float64
and serving encodes with it, one item at a time; here sums run in float32, so a code may differ where two codewords lie
within rounding of each other. With N vectors of width D and L codebooks of K:

- FLOPs: 2 · N · L · K · D for the products, 2 · L · K · D a block for the codewords' norms.
- Bytes: b · N · D + 4 · N · L, and b · L · K · D of codebooks, read by every block and from the cache after the first.
- N = 100,000, L = 3, K = 256, D = 64, fp32: 9.8 GFLOP over 27 MB, 363 FLOP a byte, compute-bound: the products run in
  full float32 and not in TF32, so no less than 0.50 ms on an A100 (19.5 TFLOP/s fp32, NVIDIA A100 80GB SXM data sheet)
  and 0.15 ms on an H100 (67 TFLOP/s fp32, NVIDIA H100 SXM data sheet). GPU figures: not measured.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK_VECTORS = 32
BLOCK_CODES = 32
WIDEST = 256  # wider vectors would not stay in registers


@triton.jit
def residual_codes_kernel(
    vectors,  # [N, D]
    codebooks,  # [L, K, D]
    out,  # [N, L] int32
    count,
    levels,
    codes,
    width: tl.constexpr,
    block_vectors: tl.constexpr,
    block_codes: tl.constexpr,
    block_width: tl.constexpr,
):
    """One program: a block of vectors, all levels."""
    i_block = tl.program_id(0)
    o_vector = i_block * block_vectors + tl.arange(0, block_vectors)
    o_width = tl.arange(0, block_width)
    m_vector = o_vector < count
    m_width = o_width < width
    m_row = m_vector[:, None] & m_width[None, :]
    b_left = tl.load(vectors + o_vector[:, None] * width + o_width[None, :], mask=m_row, other=0.0).to(tl.float32)
    for level in range(0, levels):
        b_best = tl.full((block_vectors,), float("inf"), tl.float32)
        b_code = tl.zeros((block_vectors,), tl.int32)
        for start in range(0, codes, block_codes):
            o_code = start + tl.arange(0, block_codes)
            m_code = o_code < codes
            b_book = tl.load(
                codebooks + (level * codes + o_code)[None, :] * width + o_width[:, None],
                mask=m_code[None, :] & m_width[:, None],
                other=0.0,
            ).to(tl.float32)
            # |r - c|² without |r|², which all codes share
            b_distance = tl.sum(b_book * b_book, 0)[None, :] - 2.0 * tl.dot(b_left, b_book, input_precision="ieee")
            b_distance = tl.where(m_code[None, :], b_distance, float("inf"))
            b_least, b_where = tl.min(b_distance, 1, return_indices=True)
            b_code = tl.where(b_least < b_best, start + b_where, b_code)
            b_best = tl.minimum(b_least, b_best)
        tl.store(out + o_vector * levels + level, b_code, mask=m_vector)
        chosen = codebooks + (level * codes + b_code)[:, None] * width + o_width[None, :]
        b_left -= tl.load(chosen, mask=m_row, other=0.0).to(tl.float32)


def residual_codes(vectors: Tensor, codebooks: Tensor) -> Tensor:
    """[N, L] int32 the nearest codeword of each level's remainder, as reference.residual_codes says, in float32.

    Args:
        vectors: [N, D], D ≤ 256.
        codebooks: [L, K, D], of the same dtype.
    """
    count, width = vectors.shape
    levels, codes, _ = codebooks.shape
    if width > WIDEST:
        raise ValueError(f"vectors of width {width} do not fit into registers; at most {WIDEST}")
    out = torch.empty((count, levels), dtype=torch.int32, device=vectors.device)
    residual_codes_kernel[triton.cdiv(count, BLOCK_VECTORS),](
        vectors.contiguous(),
        codebooks.contiguous(),
        out,
        count,
        levels,
        codes,
        width=width,
        block_vectors=BLOCK_VECTORS,
        block_codes=BLOCK_CODES,
        block_width=max(16, triton.next_power_of_2(width)),
        num_warps=8,
    )
    return out
