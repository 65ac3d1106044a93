"""Constrained beam decoding as a definition: float64, nothing cached, every prefix read from its first token."""

from dataclasses import dataclass

import numpy as np
from scipy.special import erf, logsumexp

from adgram.kernels.native.weights import Affine, Block, Norm, TokenDecoder


@dataclass(frozen=True)
class Beam:
    codes: tuple[int, ...]
    log_prob: float


def random_weights(seed: int, *, layers: int, heads: int, head_width: int, feed: int, longest: int, levels: int,
                   codes: int, scale: float = 0.3) -> TokenDecoder:  # fmt: skip
    """A token decoder of random weights, every part of it in use (biases, norms, two special tokens)."""
    rng = np.random.default_rng(seed)
    width = heads * head_width

    def affine(outputs: int, inputs: int) -> Affine:
        return Affine(rng.normal(0, scale * inputs**-0.5 * 2, (outputs, inputs)), rng.normal(0, 0.1, outputs))

    def norm() -> Norm:
        return Norm(rng.normal(1, 0.2, width), rng.normal(0, 0.2, width))

    blocks = tuple(
        Block(norm(), affine(3 * width, width), affine(width, width), norm(), affine(feed, width), affine(width, feed))
        for _ in range(layers)
    )
    return TokenDecoder(
        heads, 1e-5, blocks, rng.normal(0, 1, (2 + levels * codes, width)),
        rng.normal(0, 0.3, (longest + levels, width)), norm(), tuple(affine(codes, width) for _ in range(levels)), 2,
    )  # fmt: skip


@dataclass(frozen=True)
class Found:
    beams: list[Beam]  # best first
    margin: float  # the closest call at any level: how far the first beam left out lay below the last one kept


def search(weights: TokenDecoder, prompt: list[int], sids: np.ndarray, width: int) -> Found:
    """The `width` best semantic IDs among `sids` [N, L], found level by level."""
    beams, margin = [Beam((), 0.0)], np.inf
    levels, codes = len(weights.levels), len(weights.levels[0].bias)
    alive = {tuple(sid[:depth]) for sid in sids.tolist() for depth in range(1, levels + 1)}
    for level in range(levels):
        found = []
        for beam in beams:
            live = [code for code in range(codes) if (*beam.codes, code) in alive]
            if live:
                logits = _logits(weights, prompt, beam.codes, level)[live]
                log_probs = logits - logsumexp(logits)
                found += [
                    Beam((*beam.codes, code), beam.log_prob + p)
                    for code, p in zip(live, log_probs.tolist(), strict=True)
                ]
        found.sort(key=lambda beam: -beam.log_prob)
        beams = found[:width]
        if len(found) > width:
            margin = min(margin, beams[-1].log_prob - found[width].log_prob)
    return Found(beams, margin)


def _logits(weights: TokenDecoder, prompt: list[int], codes: tuple[int, ...], level: int) -> np.ndarray:
    per_level = len(weights.levels[0].bias)
    tokens = [*prompt, *(weights.first_code + place * per_level + code for place, code in enumerate(codes))]
    x = weights.token[tokens] + weights.position[: len(tokens)]
    for block in weights.blocks:
        query, key, value = (
            part.reshape(len(x), weights.heads, -1).swapaxes(0, 1)
            for part in np.split(_map(block.qkv, _normed(block.attention_norm, x, weights.epsilon)), 3, axis=1)
        )
        scores = query @ key.swapaxes(1, 2) / query.shape[2] ** 0.5  # [H, T, T]
        scores[:, np.triu(np.ones(scores.shape[1:], dtype=bool), 1)] = -np.inf
        shares = np.exp(scores - logsumexp(scores, axis=2, keepdims=True))
        x = x + _map(block.out, (shares @ value).swapaxes(0, 1).reshape(x.shape))
        hidden = _map(block.up, _normed(block.feed_norm, x, weights.epsilon))
        x = x + _map(block.down, hidden * 0.5 * (1 + erf(hidden / 2**0.5)))
    return _map(weights.levels[level], _normed(weights.norm, x[-1:], weights.epsilon))[0]


def _map(affine: Affine, x: np.ndarray) -> np.ndarray:
    return x @ affine.weight.T + affine.bias


def _normed(norm: Norm, x: np.ndarray, epsilon: float) -> np.ndarray:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon) * norm.scale + norm.shift
