import pytest
import torch
from torch.nn import functional

from adgram.kernels import prefill


def test_attention_of_a_history_is_causal():
    """Without flash-attn or CUDA, PyTorch's own answers: a token sees itself and what came before."""
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, 5, 8)
    mixed = prefill.causal_attention(query, key, value)
    assert torch.allclose(mixed[:, :, 0], value[:, :, 0], atol=1e-6)
    changed = value.clone()
    changed[:, :, 4] += 1
    assert torch.equal(prefill.causal_attention(query, key, changed)[:, :, :4], mixed[:, :, :4])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="flash-attn needs CUDA")
@pytest.mark.skipif(not prefill.installed(), reason="flash-attn is not installed: pip install 'adgram[gpu]'")
@pytest.mark.parametrize("batch, heads, tokens, width", [(1, 1, 1, 16), (3, 4, 21, 32), (2, 2, 100, 64)])
def test_flash_attention_equals_the_plain_one(batch, heads, tokens, width):
    """In bfloat16, on shapes that fill no block."""
    torch.manual_seed(tokens)
    query, key, value = torch.randn(3, batch, heads, tokens, width, device="cuda", dtype=torch.bfloat16)
    expected = functional.scaled_dot_product_attention(query.float(), key.float(), value.float(), is_causal=True)
    assert torch.allclose(prefill.causal_attention(query, key, value).float(), expected, atol=2e-2, rtol=2e-2)
