"""The model: what a viewer did, read once, then semantic IDs code by code.

An item is read as R = D + E numbers: its vector, and beside it the vector of its words (see `wording`; E may be 0).
Two heads share one reading of the history. `query` is the viewer's profile in that space: its first D numbers match
item vectors, the others words. The code head continues with a suffix of at most L tokens a beam, whose attention runs
over the shared context and its own suffix.

One normaliser everywhere: the log-softmax of a level runs over the *live* children of the prefix. While training, live
means that some item of the training catalogue lies below; while serving, that some admitted item of the snapshot does.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..kernels.ops import Ops, ReferenceOps
from ..kernels.prefill import causal_attention


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """All that is needed to build the network before its weights are loaded."""

    levels: int  # L
    codes: int  # K
    vector_width: int  # D
    width: int = 64
    heads: int = 2
    layers: int = 2
    history_length: int = 20  # context is one token more: the start of every history
    dropout: float = 0.5  # these catalogues have a handful of events a user: the network must not learn them by heart
    word_width: int = 0  # E

    @property
    def reading_width(self) -> int:
        """R: of an item as it is read, and of the profile."""
        return self.vector_width + self.word_width


@dataclass(frozen=True, slots=True)
class Context:
    """A history read once: the code head's keys and values over it, and its newest state."""

    key: Tensor  # [H, T, E]
    value: Tensor  # [H, T, E]
    state: Tensor  # [width]
    query: Tensor  # [R] the profile, to be multiplied with items as they are read


@dataclass(frozen=True, slots=True)
class Suffix:
    """Every beam's own keys and values so far."""

    key: Tensor  # [W, H, S, E]
    value: Tensor  # [W, H, S, E]

    def of(self, parents: Tensor) -> "Suffix":
        """The suffixes of the beams that survived. `parents` is [W'] int64."""
        return Suffix(self.key[parents], self.value[parents])


@dataclass(frozen=True, slots=True)
class CodeStep:
    """One level's outcome for all beams."""

    logits: Tensor  # [W, K]
    suffix: Suffix


class Block(nn.Module):
    """Pre-norm causal self-attention and a feed-forward layer."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.attention_norm = nn.LayerNorm(shape.width)
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)
        self.feed = FeedForward(shape)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, states: Tensor) -> Tensor:
        """[B, T, width] → [B, T, width]"""
        batch, tokens, width = states.shape
        qkv = self.qkv(self.attention_norm(states)).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = causal_attention(qkv[0], qkv[1], qkv[2])
        states = states + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, tokens, width)))
        return cast(Tensor, self.feed(states))


class FeedForward(nn.Module):
    """Pre-norm feed-forward layer with its residual."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.up = nn.Linear(shape.width, 4 * shape.width)
        self.down = nn.Linear(4 * shape.width, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, states: Tensor) -> Tensor:
        change: Tensor = self.dropout(self.down(functional.gelu(self.up(self.norm(states)))))
        return states + change


class SemanticDecoder(nn.Module):
    """History of items → profile and code distributions."""

    codebooks: Tensor

    def __init__(self, shape: DecoderShape, codebooks: Tensor) -> None:
        """`codebooks` [L, K, D] are the tokenizer's; the head compares what it expects with them."""
        super().__init__()
        self.shape = shape
        self.ops: Ops = ReferenceOps()  # whoever moves the decoder to a device gives it that device's
        self.register_buffer("codebooks", codebooks.clone())
        self.input = nn.Linear(shape.reading_width, shape.width)
        self.start = nn.Parameter(torch.randn(shape.width) * 0.02)
        self.position = nn.Embedding(shape.history_length + 1, shape.width)
        self.input_dropout = nn.Dropout(shape.dropout)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        self.query = nn.Linear(shape.width, shape.reading_width)
        self.code = nn.Embedding(max(shape.levels - 1, 1) * shape.codes, shape.width)
        self.level = nn.Embedding(shape.levels, shape.width)
        self.suffix_norm = nn.LayerNorm(shape.width)
        self.suffix_query = nn.Linear(shape.width, shape.width)
        self.suffix_key_value = nn.Linear(shape.width, 2 * shape.width)
        self.suffix_out = nn.Linear(shape.width, shape.width)
        self.suffix_feed = FeedForward(shape)
        self.suffix_dropout = nn.Dropout(shape.dropout)
        self.head_norm = nn.LayerNorm(shape.width)
        self.head = nn.ModuleList(nn.Linear(shape.width, shape.codes) for _ in range(shape.levels))
        self.head_vector = nn.ModuleList(nn.Linear(shape.width, shape.vector_width) for _ in range(shape.levels))
        nn.init.normal_(self.position.weight, std=0.02)
        nn.init.normal_(self.code.weight, std=0.02)
        nn.init.normal_(self.level.weight, std=0.02)

    def states(self, vectors: Tensor) -> Tensor:
        """What is known after the start and after each item. [B, T, R] → [B, T + 1, width]"""
        scaled = vectors * self.shape.reading_width**0.5  # unit vectors have tiny entries; the layer wants them near 1
        items = self.input(scaled)
        start = self.start.expand(len(items), 1, -1)
        tokens = torch.cat((start, items), dim=1)
        tokens = self.input_dropout(tokens + self.position.weight[: tokens.shape[1]])
        for block in self.blocks:
            tokens = block(tokens)
        return cast(Tensor, self.norm(tokens))

    def read(self, vectors: Tensor) -> Context:
        """The context of one request. [T, R] items, oldest first, T ≤ history_length (0 is allowed)."""
        states = self.states(vectors[None])[0]
        key, value = self.key_value(states[None])
        return Context(key[0].transpose(0, 1), value[0].transpose(0, 1), states[-1], self.query(states[-1]))

    def step(self, context: Context, level: int, codes: Tensor, suffix: Suffix | None) -> CodeStep:
        """The next code's logits for each beam.

        Args:
            codes: [W] each beam's code of the level before (ignored at level 0, where its length sets W).
            suffix: what the call for the level before returned, already reordered to these beams; None at level 0.
        """
        tokens = (context.state + self.level.weight[level]).expand(len(codes), -1)
        if level > 0:
            tokens = tokens + self.code(codes + (level - 1) * self.shape.codes)
        normed = self.suffix_norm(tokens)
        query = self.suffix_query(normed).view(len(codes), self.shape.heads, -1)
        key, value = self.key_value(normed[:, None], normalise=False)  # [W, 1, H, E]
        key, value = key.transpose(1, 2), value.transpose(1, 2)
        if suffix is not None:
            key, value = torch.cat((suffix.key, key), dim=2), torch.cat((suffix.value, value), dim=2)
        mixed = self.ops.shared_context_attention(query, context.key, context.value, key, value)
        tokens = tokens + self.suffix_dropout(self.suffix_out(mixed.reshape(len(codes), -1)))
        return CodeStep(self.logits(tokens, level), Suffix(key, value))

    def teacher_logits(self, states: Tensor, codes: Tensor) -> Tensor:
        """Logits of every level at every position, given the true codes before it: `step` for all at once.

        Args:
            states: [B, T, width] from `states`; position t reads states 0 … t.
            codes: [B, T, L] int64 the true codes (the last level is not read).

        Returns:
            [B, T, L, K].
        """
        batch, positions, levels = codes.shape
        shape = self.shape
        offsets = torch.arange(levels - 1, device=codes.device) * shape.codes
        nothing = states.new_zeros(batch, positions, 1, shape.width)
        before = torch.cat((nothing, self.code(codes[:, :, : levels - 1] + offsets)), dim=2)
        tokens = states[:, :, None, :] + self.level.weight + before  # [B, T, L, width]
        normed = self.suffix_norm(tokens)
        query = self.suffix_query(normed).view(batch, positions, levels, shape.heads, -1)
        context_key, context_value = self.key_value(states)  # [B, T, H, E]
        key, value = self.key_value(normed.flatten(1, 2), normalise=False)
        key, value = key.view(query.shape), value.view(query.shape)
        scale = query.shape[-1] ** -0.5
        over_context = torch.einsum("bplhe,bthe->bhplt", query, context_key) * scale
        over_suffix = torch.einsum("bplhe,bpmhe->bhplm", query, key) * scale
        later = torch.ones(positions, positions, dtype=torch.bool, device=codes.device).triu(1)[:, None, :]  # [P, 1, T]
        deeper = torch.ones(levels, levels, dtype=torch.bool, device=codes.device).triu(1)  # [L, L]
        scores = torch.cat(
            (over_context.masked_fill(later, float("-inf")), over_suffix.masked_fill(deeper, float("-inf"))), dim=-1
        )
        weights = scores.softmax(dim=-1)
        mixed = torch.einsum("bhplt,bthe->bplhe", weights[..., :positions], context_value)
        mixed = mixed + torch.einsum("bhplm,bpmhe->bplhe", weights[..., positions:], value)
        tokens = tokens + self.suffix_dropout(self.suffix_out(mixed.flatten(3)))
        return torch.stack([self.logits(tokens[:, :, level], level) for level in range(levels)], dim=2)

    def key_value(self, states: Tensor, normalise: bool = True) -> tuple[Tensor, Tensor]:
        """Keys and values of the code head's attention, each [B, T, H, E]."""
        normed = self.suffix_norm(states) if normalise else states
        key, value = self.suffix_key_value(normed).chunk(2, dim=-1)
        heads = (*normed.shape[:-1], self.shape.heads, -1)
        return key.view(heads), value.view(heads)

    def logits(self, tokens: Tensor, level: int) -> Tensor:
        """Only this level's K codes are scored (the cropped head), freely and by closeness to codewords. [..., K]"""
        states = self.head_norm(self.suffix_feed(tokens))
        free, near = cast(Tensor, self.head[level](states)), cast(Tensor, self.head_vector[level](states))
        return free + near @ self.codebooks[level].T
