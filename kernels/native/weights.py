"""A transformer's weights as the compiled decode wants them: norms folded into the maps behind, residuals centred.

A LayerNorm sees no constant added to its whole input. So every map that ends in the residual stream, and every
embedding, may give up its mean; then a norm is one factor a row, and its scale and shift belong to the next map. All of
this is done in float64, once, and changes results by rounding alone.
Letters: D width, F feed-forward width, N outputs, M inputs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Norm:
    """The affine part of a LayerNorm."""

    scale: Array  # [D]
    shift: Array  # [D]


@dataclass(frozen=True, slots=True)
class Affine:
    """y = weight · x + bias."""

    weight: Array  # [N, M]
    bias: Array  # [N]

    def behind(self, norm: Norm) -> "Affine":
        """The same map for inputs that the norm has divided by their deviation but not yet scaled and shifted."""
        return Affine(self.weight * norm.scale, self.bias + self.weight @ norm.shift)

    def centred(self) -> "Affine":
        """The map without the mean over its outputs."""
        return Affine(self.weight - self.weight.mean(axis=0), self.bias - self.bias.mean())

    def scaled(self, factor: float) -> "Affine":
        """The map for inputs that were multiplied by `factor` before."""
        return Affine(self.weight * factor, self.bias)

    def joined(self, other: "Affine") -> "Affine":
        """Both maps of one input, this one's outputs first."""
        return Affine(np.concatenate((self.weight, other.weight)), np.concatenate((self.bias, other.bias)))


@dataclass(frozen=True, slots=True)
class Block:
    """A pre-norm block: attention (queries, keys and values in one map), then a feed-forward layer with exact GELU."""

    attention_norm: Norm
    qkv: Affine  # [3 D, D]
    out: Affine  # [D, D]
    feed_norm: Norm
    up: Affine  # [F, D]
    down: Affine  # [D, F]

    def folded(self) -> "tuple[Affine, Affine, Affine, Affine]":
        """qkv, out, up, down as the compiled walk reads them."""
        return (
            self.qkv.behind(self.attention_norm),
            self.out.centred(),
            self.up.behind(self.feed_norm),
            self.down.centred(),
        )


@dataclass(frozen=True, slots=True)
class TokenDecoder:
    """One causal transformer over tokens: the prompt's, then the codes', all through all blocks."""

    heads: int
    epsilon: float
    blocks: tuple[Block, ...]
    token: Array  # [V, D]
    position: Array  # [longest prompt + L, D]
    norm: Norm
    levels: tuple[Affine, ...]  # L maps [K, D]: the rows of the head that a level can choose from
    first_code: int  # row of `token` where level 0's codes begin; level l's follow K * l later
    full_head: bool = False  # every level's map scores the codes of all levels: K counts them all, numbered through


@dataclass(frozen=True, slots=True)
class HistoryDecoder:
    """A transformer over a history of item vectors, and blocks of their own for code tokens over its states.

    A code token is state + level + code; its blocks attend to the normed states and to the beam's own tokens.
    """

    heads: int
    epsilon: float
    blocks: tuple[Block, ...]
    input: Affine  # [D, reading width]
    start: Array  # [D]
    position: Array  # [longest history + 1, D]
    norm: Norm
    query: Affine  # [reading width, D]
    code_blocks: tuple[Block, ...]
    code: Array  # [(L - 1) * K, D]
    level: Array  # [L, D]
    head_norm: Norm
    levels: tuple[Affine, ...]


def centred_rows(rows: Array) -> Array:
    """Each row without its mean."""
    return np.asarray(rows - rows.mean(axis=1, keepdims=True))
