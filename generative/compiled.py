"""The served decoder on the compiled path, where the machine has one."""

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..kernels.native.decoder import CompiledDecoder
from ..kernels.native.library import load
from ..kernels.native.weights import Affine, HistoryDecoder, Norm
from ..kernels.native.weights import Block as PackedBlock
from .config import GenerativeConfig
from .decoder import Block, SemanticDecoder


def compiled_decoder(decoder: SemanticDecoder, config: GenerativeConfig) -> CompiledDecoder | None:
    """The same network compiled, as `config.compiled` wishes; None where PyTorch is to answer.

    ConfigError where it must be compiled and cannot.
    """
    on_cpu = next(decoder.parameters()).device.type == "cpu"
    if config.compiled == "off" or (config.compiled == "auto" and not (on_cpu and load())):
        return None
    if not on_cpu or not load():
        raise ConfigError(
            f'generative: compiled = "{config.compiled}", but '
            + (
                "the decoder runs on another device"
                if not on_cpu
                else "the compiled decode was not built for this machine"
            )
            + '; set compiled = "auto" or "off"'
        )
    return CompiledDecoder(weights_of(decoder), int8=config.compiled == "int8", threads=config.threads)


def weights_of(decoder: SemanticDecoder) -> HistoryDecoder:
    """The decoder's weights in float64, as the compiled decode reads them: the head's two ways joined in one map."""
    shape = decoder.shape
    codebooks = _array(decoder.codebooks)
    feed = decoder.suffix_feed
    code_block = PackedBlock(
        attention_norm=_norm(decoder.suffix_norm),
        qkv=_affine(decoder.suffix_query).joined(_affine(decoder.suffix_key_value)),
        out=_affine(decoder.suffix_out),
        feed_norm=_norm(feed.norm),
        up=_affine(feed.up),
        down=_affine(feed.down),
    )
    heads = []
    for level in range(shape.levels):
        free = _affine(cast(nn.Linear, decoder.head[level]))
        near = _affine(cast(nn.Linear, decoder.head_vector[level]))
        codebook = codebooks[level]  # [K, D]
        heads.append(Affine(free.weight + codebook @ near.weight, free.bias + codebook @ near.bias))
    return HistoryDecoder(
        heads=shape.heads,
        epsilon=decoder.norm.eps,
        blocks=tuple(_block(cast(Block, block)) for block in decoder.blocks),
        input=_affine(decoder.input).scaled(shape.reading_width**0.5),
        start=_array(decoder.start),
        position=_array(decoder.position.weight),
        norm=_norm(decoder.norm),
        query=_affine(decoder.query),
        code_blocks=(code_block,),
        code=_array(decoder.code.weight),
        level=_array(decoder.level.weight),
        head_norm=_norm(decoder.head_norm),
        levels=tuple(heads),
    )


def _block(block: Block) -> PackedBlock:
    return PackedBlock(
        attention_norm=_norm(block.attention_norm),
        qkv=_affine(block.qkv),
        out=_affine(block.out),
        feed_norm=_norm(block.feed.norm),
        up=_affine(block.feed.up),
        down=_affine(block.feed.down),
    )


def _norm(norm: nn.LayerNorm) -> Norm:
    return Norm(_array(norm.weight), _array(norm.bias))


def _affine(linear: nn.Linear) -> Affine:
    return Affine(_array(linear.weight), _array(linear.bias))


def _array(values: Tensor) -> npt.NDArray[np.float64]:
    weights: npt.NDArray[np.float64] = values.detach().to(torch.float64).cpu().numpy()
    return weights
