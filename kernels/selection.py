"""The surviving beams of a level: masked log-softmax and the best W of all children, on the accelerator.

Twin: reference.select. Every row is normalised and sorted by one program; the rows' best are then merged in rounds. A
candidate is one 64-bit key, rank before place, so that ties fall as in the twin and a sort moves one number. With W
beams and K codes:

- FLOPs: about 6 · W · K for the softmax; sorting compares W · K · log²(K) / 4 times in rows, merging W · W · log(W).
- Bytes: W · K · (4 logits + 1 mask + 4 totals, and 4 of a lift) + 32 · W · min(W, K) for keys written and read twice.
- W = 128, K = 256: 0.2 MFLOP over 0.82 MB, 0.24 FLOP a byte, memory-bound on any GPU: no less than 0.40 µs on an A100
  (2,039 GB/s, NVIDIA A100 80GB SXM data sheet), 0.24 µs on an H100 (3,350 GB/s, NVIDIA H100 SXM data sheet). Launches
  (one, and two rounds) will weigh more. GPU figures: not measured.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .reference import BeamStep

FAN = 12  # lists one program merges: two rounds for 128 beams
PLACE = 0x7FFFFFFF  # the greatest place of a child among all
DEAD = -(2**63)


@triton.jit
def exchanged(b_key, size: tl.constexpr, apart: tl.constexpr, run: tl.constexpr):
    """The keys after each was compared with the one `apart` from it; runs of `run` keys fall and rise in turn.

    The partner of a key in a pair is the pair's sum without the key (64-bit sums wrap, and wrap back), since a sum over
    an axis is cheap under the interpreter too; tl.sort takes seconds there.
    """
    b_pair = tl.reshape(b_key, (size // (2 * apart), 2, apart))
    o_pair = tl.reshape(tl.arange(0, size), (size // (2 * apart), 2, apart))
    b_partner = tl.sum(b_pair, 1, keep_dims=True) - b_pair
    m_greater = ((o_pair & apart) == 0) == ((o_pair & run) == 0)
    return tl.reshape(tl.where(m_greater, tl.maximum(b_pair, b_partner), tl.minimum(b_pair, b_partner)), (size,))


@triton.jit
def descending(b_key, size: tl.constexpr, stages: tl.constexpr):
    """The `size` = 2^stages keys, greatest first: a bitonic network."""
    for stage in tl.static_range(stages):
        for step in tl.static_range(stage + 1):
            b_key = exchanged(b_key, size, 2 ** (stage - step), 2 ** (stage + 1))
    return b_key


@triton.jit
def row_candidates_kernel(
    log_probs,  # [W] float32
    logits,  # [W, K]
    live,  # [W, K] uint8
    lift,  # [W, K] float32, not read without has_lift
    totals,  # [W, K] float32, out
    keys,  # [W, keep] int64, out
    codes,
    keep: tl.constexpr,
    has_lift: tl.constexpr,
    block_codes: tl.constexpr,
    stages: tl.constexpr,
):
    """One program: one beam. Its children's log-probabilities, and the keys of the best `keep`, best first."""
    i_beam = tl.program_id(0)
    o_code = tl.arange(0, block_codes)
    m_code = o_code < codes
    place = i_beam * codes + o_code
    b_live = tl.load(live + place, mask=m_code, other=0) != 0
    b_logit = tl.load(logits + place, mask=m_code, other=0.0).to(tl.float32)
    b_masked = tl.where(b_live, b_logit, float("-inf"))
    b_greatest = tl.max(b_masked, 0)
    b_greatest = tl.where(b_greatest == float("-inf"), 0.0, b_greatest)  # nothing lives: -inf throughout, never NaN
    b_sum = tl.sum(tl.exp(b_masked - b_greatest), 0)
    b_total = tl.load(log_probs + i_beam) + (b_masked - (b_greatest + tl.log(b_sum)))
    b_total = tl.where(b_live, b_total, float("-inf"))
    tl.store(totals + place, b_total, mask=m_code)
    b_rank = b_total
    if has_lift:
        b_rank = b_rank + tl.load(lift + place, mask=m_code, other=0.0)
    b_rank = tl.where(b_rank == 0.0, 0.0, b_rank)  # -0.0 and 0.0 are equals
    b_bits = b_rank.to(tl.int32, bitcast=True)
    b_bits = tl.where(b_bits < 0, b_bits ^ 0x7FFFFFFF, b_bits)  # ordered as the floats are
    b_key = (b_bits.to(tl.int64) << 32) | (0x7FFFFFFF - place).to(tl.int64)
    b_counts = tl.abs(b_total) < float("inf")  # NaN and the infinite lose
    b_key = tl.where(b_counts, b_key, -9223372036854775808)
    b_key = descending(b_key, block_codes, stages)
    tl.store(keys + i_beam * keep + o_code, b_key, mask=o_code < keep)


@triton.jit
def merge_kernel(keys, out, lists, fan: tl.constexpr, keep: tl.constexpr, stages: tl.constexpr):
    """One program: the best `keep` of `fan` lists of as many keys, each best first. keys: [lists, keep] int64.

    The greater of a list and another one turned round are the best of both, in an order that rises once and falls
    once: `stages` exchanges sort them.
    """
    i_block = tl.program_id(0)
    o_key = tl.arange(0, keep)
    first = i_block * fan
    b_best = tl.load(keys + first * keep + o_key)
    for i_list in range(first + 1, tl.minimum(first + fan, lists)):
        b_best = tl.maximum(b_best, tl.load(keys + i_list * keep + (keep - 1 - o_key)))
        for step in tl.static_range(stages):
            b_best = exchanged(b_best, keep, 2 ** (stages - 1 - step), keep)
    tl.store(out + i_block * keep + o_key, b_best)


def select(log_probs: Tensor, logits: Tensor, live: Tensor, width: int, lift: Tensor | None = None) -> BeamStep:
    """The surviving beams, as reference.select says. Reads one number back: how many survive.

    Args:
        log_probs: [W] float32.
        logits: [W, K], W · K < 2^31.
        live: [W, K] bool.
        lift: [W, K] float32 or None.
    """
    beams, codes = logits.shape
    device = logits.device
    block_codes = triton.next_power_of_2(codes)
    keep = max(2, triton.next_power_of_2(width))
    totals = torch.empty((beams, codes), dtype=torch.float32, device=device)
    keys = torch.full((beams, keep), DEAD, dtype=torch.int64, device=device)
    row_candidates_kernel[beams,](
        log_probs.contiguous(),
        logits.contiguous(),
        live.contiguous().view(torch.uint8),
        totals if lift is None else lift.contiguous(),
        totals,
        keys,
        codes,
        keep=keep,
        has_lift=lift is not None,
        block_codes=block_codes,
        stages=block_codes.bit_length() - 1,
        num_warps=4,
    )
    while len(keys) > 1:
        merged = torch.empty((triton.cdiv(len(keys), FAN), keep), dtype=torch.int64, device=device)
        merge_kernel[len(merged),](
            keys, merged, len(keys), fan=FAN, keep=keep, stages=keep.bit_length() - 1, num_warps=4
        )
        keys = merged
    best = keys[0, :width]
    best = best[: int((best != DEAD).sum())]
    places = PLACE - (best & 0xFFFFFFFF)
    return BeamStep(places // codes, places % codes, totals.flatten()[places])
