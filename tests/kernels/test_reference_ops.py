import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from adgram.kernels.reference import (
    beam_step,
    bucket_log_probs,
    masked_log_softmax,
    residual_codes,
    shared_context_attention,
)

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(1, 7), st.integers(1, 4), st.integers(1, 9), st.integers(1, 11))
def test_residual_codes_choose_the_nearest_codeword_of_what_is_left(seed, rows, levels, codes, width):
    """At every level the chosen codeword is at least as close to the remainder as any other."""
    rng = np.random.default_rng(seed)
    vectors, books = rng.standard_normal((rows, width)), rng.standard_normal((levels, codes, width))
    chosen = residual_codes(vectors, books)
    assert chosen.shape == (rows, levels)
    residual = vectors.copy()
    for level in range(levels):
        distances = np.linalg.norm(residual[:, None] - books[level][None], axis=2)
        assert np.all(distances[np.arange(rows), chosen[:, level]] <= distances.min(axis=1) + 1e-12)
        residual -= books[level][chosen[:, level]]


@given(SEEDS, st.integers(2, 9))
def test_residual_codes_of_a_row_do_not_depend_on_its_companions(seed, rows):
    """Encoding rows together or one by one gives the same codes, near ties included."""
    rng = np.random.default_rng(seed)
    books = rng.standard_normal((3, 5, 4))
    books[:, 1] = books[:, 0] + 1e-15
    vectors = rng.standard_normal((rows, 4))
    alone = np.concatenate([residual_codes(vectors[row : row + 1], books) for row in range(rows)])
    assert np.array_equal(residual_codes(vectors, books), alone)


@given(SEEDS, st.integers(1, 6), st.integers(1, 13), st.floats(0, 1))
def test_masked_log_softmax_gives_all_probability_to_the_living(seed, rows, codes, share):
    """Live entries sum to one, dead ones are -inf, and a row without life is -inf and never NaN."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 30, (rows, codes)).astype(np.float32))
    live = torch.from_numpy(rng.random((rows, codes)) < share)
    result = masked_log_softmax(logits, live)
    assert not result.isnan().any()
    assert torch.equal(torch.isfinite(result), live)
    sums = result.exp().sum(dim=1)
    assert torch.allclose(sums, live.any(dim=1).float(), atol=1e-5)


@given(SEEDS, st.integers(1, 8), st.integers(1, 9), st.integers(1, 40), st.floats(0, 1))
def test_beam_step_keeps_the_best_children_and_loses_none_below_the_width(seed, beams, codes, width, share):
    """The survivors are the width largest totals, in order; with fewer live children than that, all of them survive."""
    rng = np.random.default_rng(seed)
    log_probs = rng.normal(0, 3, beams).astype(np.float32)
    step = np.where(rng.random((beams, codes)) < share, rng.normal(0, 3, (beams, codes)), -np.inf).astype(np.float32)
    best = beam_step(torch.from_numpy(log_probs), torch.from_numpy(step), width)
    totals = log_probs[:, None] + step
    expected = np.sort(totals[np.isfinite(totals)])[::-1][:width]
    assert np.array_equal(best.log_probs.numpy(), expected)
    assert np.array_equal(totals[best.parents.numpy(), best.codes.numpy()], expected)
    assert len({*zip(best.parents.tolist(), best.codes.tolist(), strict=True)}) == len(expected)


def test_beam_step_breaks_ties_in_the_order_of_the_trie():
    """Among equals the earlier parent comes first, then the smaller code."""
    best = beam_step(torch.zeros(2), torch.zeros(2, 3), 4)
    assert list(zip(best.parents.tolist(), best.codes.tolist(), strict=True)) == [(0, 0), (0, 1), (0, 2), (1, 0)]


@given(SEEDS, st.integers(1, 5), st.integers(1, 3), st.integers(1, 6), st.integers(1, 4), st.integers(1, 7))
def test_shared_context_attention_is_attention_over_context_and_suffix_together(
    seed, beams, heads, tokens, suffix, width
):
    """Each beam gets what plain attention over [context; its suffix] gives."""
    torch.manual_seed(seed % 2**31)
    query = torch.randn(beams, heads, width)
    context_key, context_value = torch.randn(heads, tokens, width), torch.randn(heads, tokens, width)
    suffix_key, suffix_value = torch.randn(beams, heads, suffix, width), torch.randn(beams, heads, suffix, width)
    mixed = shared_context_attention(query, context_key, context_value, suffix_key, suffix_value)
    for beam in range(beams):
        for head in range(heads):
            keys = torch.cat((context_key[head], suffix_key[beam, head]))
            values = torch.cat((context_value[head], suffix_value[beam, head]))
            weights = (keys @ query[beam, head] / width**0.5).softmax(0)
            assert torch.allclose(mixed[beam, head], weights @ values, atol=1e-5)


@given(st.lists(st.floats(-500, 500), min_size=1, max_size=20))
def test_a_bucket_shares_out_exactly_its_probability(similarities):
    """The items' shares sum to one, and the more similar item never gets less."""
    shares = bucket_log_probs(np.array(similarities))
    assert abs(np.exp(shares).sum() - 1) < 1e-9
    assert np.all(np.diff(shares[np.argsort(similarities, kind="stable")]) >= -1e-12)
