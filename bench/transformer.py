"""The transformer that the rows of the proposer's benchmark share, and the plain PyTorch way to decode it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from adgram.kernels.native.weights import Affine, Block, Norm, TokenDecoder
from adgram.kernels.reference import beam_step, masked_log_softmax


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape peers are compared at; three tokens are special, the codes of each level follow."""

    layers: int = 4
    width: int = 256
    heads: int = 4
    feed: int = 1024
    prompt: int = 100
    levels: int = 3
    codes: int = 256

    @property
    def vocabulary(self) -> int:
        return SPECIAL + self.levels * self.codes

    @property
    def head_width(self) -> int:
        return self.width // self.heads


SPECIAL = 3  # padding, start, end
START = 1


class PlainBlock(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width)
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)
        self.feed_norm = nn.LayerNorm(shape.width)
        self.up = nn.Linear(shape.width, shape.feed)
        self.down = nn.Linear(shape.feed, shape.width)

    def fed(self, x: Tensor) -> Tensor:
        return x + self.down(functional.gelu(self.up(self.feed_norm(x))))


class PlainTransformer(nn.Module):
    """Pre-norm, causal, exact (erf) GELU; decoded with one shared context and a cropped head, operator by operator."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token = nn.Embedding(shape.vocabulary, shape.width)
        self.position = nn.Embedding(shape.prompt + shape.levels, shape.width)
        self.blocks = nn.ModuleList(PlainBlock(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """The states behind every token. [B, T] → [B, T, D]"""
        x = self.token(tokens) + self.position.weight[: tokens.shape[1]]
        for block in self.blocks:
            query, key, value = self._split(block.qkv(block.attention_norm(x)))
            mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = block.fed(x + block.out(mixed.transpose(1, 2).flatten(2)))
        return self.norm(x)

    def _split(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, T, 3 D] → three of [B, H, T, E]"""
        parts = qkv.view(*qkv.shape[:2], 3, self.shape.heads, -1).permute(2, 0, 3, 1, 4)
        return parts[0], parts[1], parts[2]

    def prefill(self, tokens: Tensor) -> "PlainContext":
        """Keys and values of one prompt [T], and the newest state; only the last row runs through the last block."""
        x = self.token(tokens)[None] + self.position.weight[: len(tokens)]
        keys, values = [], []
        for number, block in enumerate(self.blocks):
            query, key, value = self._split(block.qkv(block.attention_norm(x)))
            keys.append(key[0])
            values.append(value[0])
            if number == len(self.blocks) - 1:
                query, x = query[:, :, -1:], x[:, -1:]
                mixed = functional.scaled_dot_product_attention(query, key, value)
            else:
                mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = block.fed(x + block.out(mixed.transpose(1, 2).flatten(2)))
        return PlainContext(keys, values, self.norm(x)[0, -1], len(tokens))

    def logits(self, states: Tensor, level: int) -> Tensor:
        """The cropped head. [W, D] → [W, K]"""
        first = SPECIAL + level * self.shape.codes
        return functional.linear(states, self.head.weight[first : first + self.shape.codes])


@dataclass(frozen=True, slots=True)
class PlainContext:
    keys: list[Tensor]  # by layer [H, T, E]
    values: list[Tensor]
    state: Tensor  # [D]
    tokens: int


@dataclass(slots=True)
class PlainSearch:
    """One request's beams, advanced by whole-tensor operators."""

    model: PlainTransformer
    context: PlainContext
    codes: Tensor  # [W, level]
    log_probs: Tensor  # [W]
    own: list[tuple[Tensor, Tensor]]  # by layer, each [W, H, S, E]

    @classmethod
    def over(cls, model: PlainTransformer, context: PlainContext) -> "PlainSearch":
        kind = context.state.dtype
        nothing = torch.zeros(1, model.shape.heads, 0, model.shape.head_width, dtype=kind)
        own = [(nothing, nothing) for _ in model.blocks]
        return cls(model, context, torch.zeros((1, 0), dtype=torch.int64), torch.zeros(1, dtype=kind), own)

    def step(self, live: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.int64]:
        """Advances one level; returns the survivors' parents. live [W, K]"""
        level = self.codes.shape[1]
        states = self.context.state[None] if level == 0 else self._states(level)
        best = beam_step(
            self.log_probs, masked_log_softmax(self.model.logits(states, level), torch.from_numpy(live)), width
        )
        self.own = [(key[best.parents], value[best.parents]) for key, value in self.own]
        self.codes = torch.cat((self.codes[best.parents], best.codes[:, None]), dim=1)
        self.log_probs = best.log_probs
        return best.parents.numpy()

    def _states(self, level: int) -> Tensor:
        model, context = self.model, self.context
        token = SPECIAL + (level - 1) * model.shape.codes + self.codes[:, -1]
        x = model.token(token) + model.position.weight[context.tokens + level - 1]
        for number, block in enumerate(model.blocks):
            query, key, value = (part[:, :, 0] for part in model._split(block.qkv(block.attention_norm(x))[:, None]))
            own_key, own_value = self.own[number]
            own_key, own_value = torch.cat((own_key, key[:, :, None]), 2), torch.cat((own_value, value[:, :, None]), 2)
            self.own[number] = (own_key, own_value)
            over_context = torch.matmul(query.transpose(0, 1), context.keys[number].transpose(1, 2)).transpose(0, 1)
            over_own = torch.matmul(own_key, query[..., None])[..., 0]
            weights = (torch.cat((over_context, over_own), -1) * model.shape.head_width**-0.5).softmax(-1)
            mixed = torch.matmul(weights[..., : context.tokens].transpose(0, 1), context.values[number]).transpose(0, 1)
            mixed = mixed + torch.matmul(weights[..., None, context.tokens :], own_value)[:, :, 0]
            x = block.fed(x + block.out(mixed.flatten(1)))
        return model.norm(x)


def packed(model: PlainTransformer, full_head: bool = False) -> TokenDecoder:
    """The same weights for the compiled decode; with `full_head` every level scores the codes of all levels."""
    shape = model.shape
    head = _array(model.head.weight)
    nothing = np.zeros(shape.levels * shape.codes)

    def level(number: int) -> Affine:
        if full_head:
            return Affine(head[SPECIAL:], nothing)
        first = SPECIAL + number * shape.codes
        return Affine(head[first : first + shape.codes], nothing[: shape.codes])

    return TokenDecoder(
        heads=shape.heads,
        epsilon=model.norm.eps,
        blocks=tuple(
            Block(
                _norm(b.attention_norm),
                _affine(b.qkv),
                _affine(b.out),
                _norm(b.feed_norm),
                _affine(b.up),
                _affine(b.down),
            )
            for b in model.blocks
        ),
        token=_array(model.token.weight),
        position=_array(model.position.weight),
        norm=_norm(model.norm),
        levels=tuple(level(number) for number in range(shape.levels)),
        first_code=SPECIAL,
        full_head=full_head,
    )


def random_transformer(shape: Shape, seed: int) -> PlainTransformer:
    """Random weights of GPT-2's kind (deviation 0.02), the head wider so that beams differ."""
    torch.manual_seed(seed)
    model = PlainTransformer(shape).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.02)
    nn.init.normal_(model.head.weight, std=0.1)
    return model.requires_grad_(False)


def _array(tensor: Tensor) -> npt.NDArray[np.float64]:
    return tensor.detach().double().numpy()


def _block(block: PlainBlock) -> Block:
    return Block(
        attention_norm=_norm(block.attention_norm), qkv=_affine(block.qkv), out=_affine(block.out),
        feed_norm=_norm(block.feed_norm), up=_affine(block.up), down=_affine(block.down),
    )  # fmt: skip


def _norm(norm: nn.LayerNorm) -> Norm:
    return Norm(_array(norm.weight), _array(norm.bias))


def _affine(linear: nn.Linear) -> Affine:
    return Affine(_array(linear.weight), _array(linear.bias))


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network of the same shape, with what it was trained for."""

    model: PlainTransformer
    sids: npt.NDArray[np.int32]  # [N, L] of the items it knows
    histories: list[npt.NDArray[np.int64]]  # tokens that came before each answer
    answers: list[npt.NDArray[np.int32]]  # [L] each
    notes: str


def trained_transformer(path: Path, shape: Shape) -> Trained:
    """What proposer_weights.py wrote."""
    saved = torch.load(path, weights_only=False)
    model = PlainTransformer(shape).eval()
    model.load_state_dict(saved["model"])
    offsets = SPECIAL + np.arange(shape.levels) * shape.codes
    tokens = [np.array(sequence, dtype=np.int64) for sequence in saved["sequences"]]
    histories = [sequence[: -shape.levels][-shape.prompt :] for sequence in tokens]
    answers = [(sequence[-shape.levels :] - offsets).astype(np.int32) for sequence in tokens]
    return Trained(model.requires_grad_(False), saved["sids"], histories, answers, saved["notes"])
