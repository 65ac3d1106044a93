"""The served reading and beam search for many users at once: the same steps in larger pieces.

Serving answers one request in the fewest operations; measuring 22,000 users wants the fewest operations a user. Both
take the same weights through the same maps, so they find the same items up to rounding (a test compares them).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...kernels.reference import masked_log_softmax
from ..decoder import SemanticDecoder
from .catalogue_tree import CatalogueTree
from .evaluation import TOP, gains
from .schedule import padded

_USERS = 256  # searched at once


@dataclass(frozen=True, slots=True)
class Readings:
    """The histories of U users, read. Padding lies behind each user's states."""

    states: Tensor  # [U, T, width]
    last: Tensor  # [U] int64, the place of each user's newest state
    profiles: Tensor  # [U, R]


@dataclass(frozen=True, slots=True)
class FoundIds:
    """Up to W semantic IDs a user, best first, as places in the tree; -inf where there are no more."""

    prefixes: Tensor  # [U, W] int64, all codes but the last, packed
    codes: Tensor  # [U, W] int64, the last
    log_probs: Tensor  # [U, W]


def read_all(decoder: SemanticDecoder, vectors: Tensor, histories: Sequence[npt.NDArray[np.int64]]) -> Readings:
    """Every history read, its newest items only where it is long. `vectors` [N, R] of all items."""
    newest = [history[-decoder.shape.history_length :] for history in histories]
    last = torch.tensor([len(history) for history in newest])
    if int(last.max()) == 0:
        states = decoder.states(vectors.new_zeros(len(newest), 0, vectors.shape[1]))
    else:
        states = decoder.states(vectors[padded(newest).rows])
    return Readings(states, last, decoder.query(states[torch.arange(len(newest)), last]))


def search_all(
    decoder: SemanticDecoder,
    readings: Readings,
    tree: CatalogueTree,
    histories: Sequence[npt.NDArray[np.int64]],
    width: int,
) -> FoundIds:
    """What `generative.beam.search` finds for each user when all items but those of the history are admitted."""
    users, tokens = readings.states.shape[:2]
    context_key, context_value = decoder.key_value(readings.states)  # [U, T, H, E]
    padding = (torch.arange(tokens) > readings.last[:, None])[:, None, None, :]  # [U, 1, 1, T]
    state = readings.states[torch.arange(users), readings.last][:, None]  # [U, 1, width]
    masked = _Masked.of(histories, tree)
    log_probs = torch.zeros(users, 1)
    prefixes = torch.zeros(users, 1, dtype=torch.int64)
    codes = torch.zeros(users, 1, dtype=torch.int64)
    everyone = torch.arange(users)[:, None]
    keys = values = readings.states.new_zeros(users, 1, 0, decoder.shape.heads, context_key.shape[-1])
    for level in range(tree.levels):
        live = masked.live(tree, prefixes, level) & torch.isfinite(log_probs)[..., None]  # [U, W, K]
        inputs = state + decoder.level.weight[level]
        if level > 0:
            inputs = inputs + decoder.code(codes + (level - 1) * decoder.shape.codes)
        normed = decoder.suffix_norm(inputs.expand(users, prefixes.shape[1], -1))
        query = decoder.suffix_query(normed).view(*normed.shape[:2], decoder.shape.heads, -1)  # [U, W, H, E]
        key, value = decoder.key_value(normed, normalise=False)
        keys, values = torch.cat((keys, key[:, :, None]), dim=2), torch.cat((values, value[:, :, None]), dim=2)
        over_context = torch.einsum("uwhe,uthe->uwht", query, context_key).masked_fill(padding, -torch.inf)
        over_suffix = torch.einsum("uwhe,uwshe->uwhs", query, keys)
        weights = (torch.cat((over_context, over_suffix), dim=-1) * query.shape[-1] ** -0.5).softmax(dim=-1)
        mixed = torch.einsum("uwht,uthe->uwhe", weights[..., :tokens], context_value)
        mixed = mixed + torch.einsum("uwhs,uwshe->uwhe", weights[..., tokens:], values)
        logits = decoder.logits(inputs + decoder.suffix_out(mixed.flatten(2)), level)
        totals = (log_probs[..., None] + masked_log_softmax(logits, live)).flatten(1)  # [U, W * K]
        best = totals.topk(min(width, totals.shape[1]), dim=1)
        parents, codes, log_probs = best.indices // tree.codes, best.indices % tree.codes, best.values
        keys, values = keys[everyone, parents], values[everyone, parents]
        before = prefixes[everyone, parents]
        prefixes = before * tree.codes + codes
    return FoundIds(before, codes, log_probs)


def searched_ranks(
    decoder: SemanticDecoder,
    vectors: Tensor,
    tree: CatalogueTree,
    histories: Sequence[npt.NDArray[np.int64]],
    targets: npt.NDArray[np.int64],
    width: int,
) -> npt.NDArray[np.int64]:
    """How many semantic IDs the search finds before each target's, items of the histories masked; TOP or more where it
    is not found. [U]"""
    missed = max(width, TOP)
    ranks = np.full(len(histories), missed, dtype=np.int64)
    for start in range(0, len(histories), _USERS):
        chunk = histories[start : start + _USERS]
        found = search_all(decoder, read_all(decoder, vectors, chunk), tree, chunk, width)
        aims = tree.sids[torch.from_numpy(targets[start : start + _USERS])]  # [U, L]
        places = tree.prefixes[-1][tree.places(aims)[-1]]
        hit = (found.prefixes == places[:, None]) & (found.codes == aims[:, -1:]) & torch.isfinite(found.log_probs)
        first = torch.where(hit.any(dim=1), hit.int().argmax(dim=1), missed)
        ranks[start : start + _USERS] = first.numpy()
    return ranks


def searched_ndcg(
    decoder: SemanticDecoder,
    vectors: Tensor,
    tree: CatalogueTree,
    histories: Sequence[npt.NDArray[np.int64]],
    targets: npt.NDArray[np.int64],
    width: int,
) -> float:
    """NDCG@10 of the targets' semantic IDs in the served search, items of the histories masked."""
    ranks = searched_ranks(decoder, vectors, tree, histories, targets, width)
    return float(gains(ranks).sum()) / max(len(histories), 1)


@dataclass(frozen=True, slots=True)
class _Masked:
    """The items of U histories, each once, as paths in the tree."""

    packed: Tensor  # [L, U, H] int64: the first l codes of each; -1 behind a history's end
    codes: Tensor  # [U, H, L] int64

    @classmethod
    def of(cls, histories: Sequence[npt.NDArray[np.int64]], tree: CatalogueTree) -> "_Masked":
        once = [np.unique(history) for history in histories]
        if max(map(len, once)) == 0:
            return cls(
                torch.zeros(tree.levels, len(once), 0, dtype=torch.int64),
                torch.zeros(len(once), 0, tree.levels, dtype=torch.int64),
            )
        batch = padded(once)
        codes = tree.sids[batch.rows]
        packed = [torch.zeros_like(batch.rows)]
        for level in range(tree.levels - 1):
            packed.append(packed[-1] * tree.codes + codes[..., level])
        return cls(torch.stack(packed).masked_fill(~batch.real, -1), codes)

    def live(self, tree: CatalogueTree, prefixes: Tensor, level: int) -> Tensor:
        """Which children of each user's prefixes [U, W] hold an item outside the user's history. [U, W, K] bool"""
        places = torch.searchsorted(tree.prefixes[level], prefixes).clamp(max=len(tree.prefixes[level]) - 1)
        counts = tree.bounds[level][places].diff(dim=-1)  # [U, W, K]
        counts = counts * (tree.prefixes[level][places] == prefixes)[..., None]
        user, beam, item = torch.nonzero(prefixes[:, :, None] == self.packed[level][:, None, :], as_tuple=True)
        gone = torch.full((len(user),), -1, dtype=counts.dtype)
        counts.index_put_((user, beam, self.codes[user, item, level]), gone, accumulate=True)
        return counts > 0
