"""Preference alignment: code paths that retrieve what was chosen are preferred over the decoder's own wrong beams.

The listwise form of direct preference optimisation ("Direct Preference Optimization", Rafailov et al. 2023; over many
wrong answers "On Softmax Direct Preference Optimization for Recommendation", Chen et al. 2024), with the beams that the
decoder finds itself, as served, for what it should not have preferred.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...kernels.reference import masked_log_softmax
from ..decoder import SemanticDecoder
from .batched import read_all, search_all, searched_ndcg
from .catalogue_tree import CatalogueTree
from .schedule import padded

_BEAMS = 32  # as served
_SHARPNESS = 1.0  # of the preference against the reference: how far a path may move for one unit of loss
_TRUTH = 0.2  # weight of the chosen path's own likelihood, which preferring alone may let fall

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Choice:
    """One moment of one person: what had been chosen, what was chosen then, and everything chosen from then on."""

    history: Rows  # oldest first, at least one item
    chosen: int
    later: Rows  # `chosen` included; none of these was wrong


class PreferenceModel(nn.Module):
    """The decoder over frozen items and codes; as it is now, it becomes the reference, too."""

    def __init__(self, decoder: SemanticDecoder, vectors: npt.NDArray[np.float32], sids: npt.NDArray[np.int32]) -> None:
        """Items as they are read [N, R], sids [N, L]."""
        super().__init__()
        self.decoder = decoder
        self.tree = CatalogueTree.of(sids, decoder.shape.codes)
        # In tuples, so that they are neither trained nor stored with this module.
        self._vectors = (torch.from_numpy(vectors),)
        self._reference = (copy.deepcopy(decoder).eval().requires_grad_(False),)

    def loss(self, choices: Sequence[Choice]) -> Tensor:
        """Mean negative log-share of the chosen path among the decoder's wrong beams, by how far each has risen over
        the reference; plus a part of its negative log-likelihood."""
        paths, real = self._candidates(choices)
        histories = [choice.history for choice in choices]
        log_probs = path_log_probs(self.decoder, self._vectors[0], histories, paths, self.tree)
        with torch.no_grad():
            before = path_log_probs(self._reference[0], self._vectors[0], histories, paths, self.tree)
        risen = (_SHARPNESS * (log_probs - before)).masked_fill(~real, -torch.inf)
        preferred = torch.logsumexp(risen, dim=1) - risen[:, 0]
        return preferred.mean() - _TRUTH * log_probs[:, 0].mean()

    def ndcg(self, histories: Sequence[Rows], targets: Rows) -> float:
        """NDCG of the targets' semantic IDs among the best ten found by the served beam search, histories masked."""
        return searched_ndcg(self.decoder, self._vectors[0], self.tree, histories, targets, _BEAMS)

    def _candidates(self, choices: Sequence[Choice]) -> tuple[Tensor, Tensor]:
        """The chosen path and the beams found now, [B, 1 + W, L]; which of them count, [B, 1 + W] bool.

        Beams that lead to the choice, or to what the person chose later, are not wrong and do not count.
        """
        histories, tree = [choice.history for choice in choices], self.tree
        training = self.decoder.training
        self.decoder.eval()
        with torch.no_grad():
            found = search_all(
                self.decoder, read_all(self.decoder, self._vectors[0], histories), tree, histories, _BEAMS
            )
        self.decoder.train(training)
        chosen = tree.sids[torch.tensor([choice.chosen for choice in choices])]  # [B, L]
        later = padded([choice.later for choice in choices])
        beams = found.prefixes * tree.codes + found.codes  # [B, W]
        right = torch.where(later.real, packed(tree.sids[later.rows], tree.codes), -1)  # [B, S]
        wrong = torch.isfinite(found.log_probs) & ~(beams[:, :, None] == right[:, None, :]).any(dim=2)
        digits = [beams // tree.codes ** (tree.levels - 1 - level) % tree.codes for level in range(tree.levels)]
        # Whatever does not count is the chosen path itself: a living path, whose gradient is then masked.
        paths = torch.where(wrong[..., None], torch.stack(digits, dim=2), chosen[:, None, :])
        everyone = torch.ones(len(choices), 1, dtype=torch.bool)
        return torch.cat((chosen[:, None, :], paths), dim=1), torch.cat((everyone, wrong), dim=1)


def path_log_probs(
    decoder: SemanticDecoder, vectors: Tensor, histories: Sequence[Rows], paths: Tensor, tree: CatalogueTree
) -> Tensor:
    """The log-probability of each of C code paths a history, living codes being those of the catalogue. [B, C]

    Args:
        vectors: [N, R] of all items.
        histories: B of them, oldest first; their newest items are read.
        paths: [B, C, L] int64, each leading to an item.
    """
    shape, (users, count, levels) = decoder.shape, paths.shape
    readings = read_all(decoder, vectors, histories)
    tokens = readings.states.shape[1]
    state = readings.states[torch.arange(users), readings.last]  # [B, width]
    offsets = torch.arange(levels - 1) * shape.codes
    nothing = state.new_zeros(users, count, 1, shape.width)
    before = torch.cat((nothing, decoder.code(paths[:, :, : levels - 1] + offsets)), dim=2)
    inputs = state[:, None, None, :] + decoder.level.weight + before  # [B, C, L, width]
    normed = decoder.suffix_norm(inputs)
    query = decoder.suffix_query(normed).view(users, count, levels, shape.heads, -1)
    context_key, context_value = decoder.key_value(readings.states)  # [B, T, H, E]
    key, value = decoder.key_value(normed, normalise=False)  # [B, C, L, H, E]
    padding = torch.arange(tokens) > readings.last[:, None]  # [B, T]
    over_context = torch.einsum("bclhe,bthe->bchlt", query, context_key)
    over_context = over_context.masked_fill(padding[:, None, None, None, :], -torch.inf)
    deeper = torch.ones(levels, levels, dtype=torch.bool).triu(1)
    over_suffix = torch.einsum("bclhe,bcmhe->bchlm", query, key).masked_fill(deeper, -torch.inf)
    weights = (torch.cat((over_context, over_suffix), dim=-1) * query.shape[-1] ** -0.5).softmax(dim=-1)
    mixed = torch.einsum("bchlt,bthe->bclhe", weights[..., :tokens], context_value)
    mixed = mixed + torch.einsum("bchlm,bcmhe->bclhe", weights[..., tokens:], value)
    outputs = inputs + decoder.suffix_dropout(decoder.suffix_out(mixed.flatten(3)))
    live = tree.masks(tree.places(paths.flatten(0, 1))).view(users, count, levels, -1)
    total = state.new_zeros(users, count)
    for level in range(levels):
        logits = masked_log_softmax(decoder.logits(outputs[:, :, level], level), live[:, :, level])
        total = total + logits.gather(2, paths[:, :, level : level + 1]).squeeze(2)
    return total


def packed(codes: Tensor, base: int) -> Tensor:
    """Code paths [..., L] as one number each, the coarsest code first."""
    number = torch.zeros_like(codes[..., 0])
    for level in range(codes.shape[-1]):
        number = number * base + codes[..., level]
    return number


def drawn_choices(sequences: Sequence[Rows], users: int, length: int, rng: np.random.Generator) -> list[list[Choice]]:
    """One moment of everybody's, drawn anew at each call, in random batches of `users`; histories of at most
    `length` items."""
    order = rng.permutation([row for row, sequence in enumerate(sequences) if len(sequence) > 1])
    choices = []
    for row in order.tolist():
        sequence = sequences[row]
        place = int(rng.integers(1, len(sequence)))
        if sequence[place] in sequence[:place]:
            continue  # items of the history are masked when it is served
        choices.append(
            Choice(sequence[max(0, place - length) : place], int(sequence[place]), sequence[place : place + length])
        )
    return [choices[start : start + users] for start in range(0, len(choices), users)]
