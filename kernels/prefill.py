"""Causal attention over whole histories: flash-attn where it is installed and can be used, PyTorch's own elsewhere."""

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional

HALF = (torch.float16, torch.bfloat16)  # flash-attn knows no other dtypes


@cache
def installed() -> bool:
    """Whether flash-attn can be imported."""
    return find_spec("flash_attn") is not None


def causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Each token's attention over itself and what came before. All [B, H, T, E]."""
    if query.is_cuda and query.dtype in HALF and installed():
        from flash_attn import flash_attn_func

        mixed: Tensor = flash_attn_func(*(part.transpose(1, 2) for part in (query, key, value)), causal=True)
        return mixed.transpose(1, 2)
    return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
