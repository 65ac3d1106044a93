"""The kernels under Triton's interpreter, against their naive twins; test_interpreted_kernels.py runs this file.

The interpreter is chosen when Triton is first imported, so these tests need a process of their own, with
TRITON_INTERPRET=1.
"""

import numpy as np
import pytest
import torch

from adgram.core.clock import Deadline, ManualClock
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.leaves import DeviceLeaves
from adgram.generative.reading import TensorReader
from adgram.kernels import attention, gather, quantisation, reference, selection
from adgram.kernels.accelerator import TritonOps
from adgram.memory.trie import SortedTrie

FLOATS = pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)], ids=["fp32", "bf16"]
)


@FLOATS
@pytest.mark.parametrize(
    "beams, heads, tokens, suffix, width", [(1, 1, 1, 1, 8), (33, 2, 21, 3, 24), (5, 3, 40, 2, 64)]
)
def test_attention_equals_its_twin(dtype, tolerance, beams, heads, tokens, suffix, width):
    """On shapes that fill no block, for both dtypes; inputs are the same numbers, rounded before."""
    torch.manual_seed(beams)
    context, own = (heads, tokens, width), (beams, heads, suffix, width)
    inputs = [torch.randn(shape).to(dtype) for shape in ((beams, heads, width), context, context, own, own)]
    mixed = attention.shared_context_attention(*inputs)
    assert mixed.dtype == dtype
    expected = reference.shared_context_attention(*(part.float() for part in inputs))
    assert torch.allclose(mixed.float(), expected, atol=tolerance, rtol=tolerance)


@FLOATS
@pytest.mark.parametrize(
    "beams, codes, width, share, lifted",
    [
        (1, 37, 32, 0.3, False),
        (5, 13, 1, 1.0, True),
        (3, 5, 40, 0.0, False),
        (14, 7, 6, 0.6, True),
        (2, 9, 40, 1.0, False),
    ],
)
def test_selection_equals_its_twin(dtype, tolerance, beams, codes, width, share, lifted):
    """The same children in the same order, ties and dead ends included; log-probabilities to float32 rounding."""
    rng = torch.Generator().manual_seed(beams)
    logits = torch.randn(beams, codes, generator=rng).to(dtype)
    logits[:, codes // 2] = logits[:, 0]  # ties
    logits[-1, -1] = float("nan") if share == 1.0 and beams > 1 else 0.0
    live = torch.rand(beams, codes, generator=rng) < share
    log_probs = torch.randn(beams, generator=rng)
    lift = torch.randn(beams, codes, generator=rng) if lifted else None
    found = selection.select(log_probs, logits, live, width, lift)
    expected = reference.select(log_probs, logits.float(), live, width, lift)
    assert found.parents.tolist() == expected.parents.tolist()
    assert found.codes.tolist() == expected.codes.tolist()
    assert torch.allclose(found.log_probs, expected.log_probs, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize(
    "leaves, base, levels, share", [(1, 7, 3, 1.0), (100, 7, 3, 0.0), (1000, 200, 2, 0.2), (300, 3, 5, 0.2)]
)
def test_gather_equals_its_twin_and_the_trie(leaves, base, levels, share):
    """The same living children from sorted keys and a prefix sum as from the twin, and as from the trie that serves."""
    rng = np.random.default_rng(leaves)
    trie = SortedTrie.empty(base).inserted(
        rng.integers(0, base, (leaves, levels)).astype(np.int32), np.arange(leaves, dtype=np.int32)
    )
    admitted = rng.random(leaves) < share
    view = DeviceLeaves.of(trie, torch.device("cpu")).under(admitted)
    for level in range(levels):
        prefixes = torch.from_numpy(rng.integers(0, base**level, 5))
        span = base ** (levels - level - 1)
        found = gather.live_children(view.keys, view.admitted_before, prefixes, span, base)
        assert torch.equal(found, reference.live_children(view.keys, view.admitted_before, prefixes, span, base))
        assert np.array_equal(found.numpy(), trie.live_children(prefixes.numpy(), level, admitted))


@FLOATS
@pytest.mark.parametrize("rows, levels, codes, width", [(1, 1, 1, 3), (45, 3, 37, 24), (33, 2, 65, 16)])
def test_residual_codes_equal_their_twin(dtype, tolerance, rows, levels, codes, width):
    """Every vector gets the twin's codes; the numbers are the same ones, rounded before, and far from ties."""
    rng = torch.Generator().manual_seed(rows)
    vectors = torch.randn(rows, width, generator=rng).to(dtype)
    books = torch.randn(levels, codes, width, generator=rng).to(dtype)
    expected = reference.residual_codes(vectors.double().numpy(), books.double().numpy())
    assert np.array_equal(quantisation.residual_codes(vectors, books).numpy(), expected)


def test_a_served_decode_through_the_kernels_gives_the_same_beams():
    """Beam search in the served decoder's shape: attention, selection and trie from the kernels, as on the CPU path."""
    torch.manual_seed(1)
    shape = DecoderShape(levels=3, codes=256, vector_width=64)
    decoder = SemanticDecoder(shape, torch.randn(3, 256, 64) / 8).eval()
    rng = np.random.default_rng(1)
    trie = SortedTrie.empty(256).inserted(
        rng.integers(0, 256, (3000, 3)).astype(np.int32), np.arange(3000, dtype=np.int32)
    )
    admitted = rng.random(3000) < 0.05
    never, reader = Deadline.after_ms(1e9, ManualClock()), TensorReader(decoder)
    with torch.inference_mode():
        reading = reader.read((rng.standard_normal((20, 64)) / 8).astype(np.float32))
        expected = reading.search(trie, admitted, 6, never)
        decoder.ops = TritonOps()
        found = reading.search(trie, admitted, 6, never)
    assert len(found.codes) == 6
    assert found.semantic_ids == expected.semantic_ids
    assert np.allclose(found.log_probs, expected.log_probs, atol=1e-5)
