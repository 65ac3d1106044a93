"""What the served sources say of many users' candidates, kept flat, so that any fusion of them is quickly tried."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from torch import Tensor

from ..companions import CompanionTable
from ..decoder import SemanticDecoder
from ..fusion import Fusion, mixed
from ..ranker import NO_QUERY, Voices
from .baselines import weighed, without_history
from .batched import Readings, read_all, search_all
from .catalogue_tree import CatalogueTree
from .encoded import EncodedCatalogue
from .evaluation import TOP
from .sequences import HeldOut

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
SHARPNESS = (0.6, 0.8, 1.0, 1.2, 1.5)
"""Of the profile: for each one the sum over all items is kept."""
_CHUNK = 256  # users: 12 MB of matches at 12,000 items


@dataclass(frozen=True, slots=True)
class Pool:
    """The candidates of U users, user after user: what was generated, the companions, the nearest to the profile."""

    bounds: Rows  # [U + 1] where each user's candidates begin
    rows: Rows  # [P] items
    near: Floats  # [P] matches with memory's profile
    log_probs: Floats  # [P] the decoder's, -inf where the beams missed the item
    weights: Floats  # [P] as companions, 0 where they are none
    log_totals: dict[float, Floats]  # by sharpness [U]: of exp(sharpness · match) over all admitted items
    targets: Rows  # [U]
    expected: Floats  # [P] matches with the decoder's own profile; zeros where it was not asked
    queries: npt.NDArray[np.float32]  # [U, R] these profiles; [U, 0] where it was not asked

    @property
    def codes(self) -> bool:
        """Whether the decoder was asked."""
        return bool(self.queries.shape[1])

    def scores(self, fusion: Fusion, memory: bool = True) -> Floats:
        """The score that the proposer gives each candidate, -inf to those it does not know. [P]"""
        if memory:
            return self.voices(fusion).fused
        return self._generated(fusion, memory)

    def voices(self, fusion: Fusion) -> Voices:
        """What the sources say of all users' candidates one after another; companions' totals and profiles, which
        differ from user to user, are left out."""
        with np.errstate(divide="ignore"):
            companions = self._shared(
                fusion.companion_sharpness * np.log(self.weights) + fusion.companion_rescoring * self.near,
                self.weights > 0,
            )
        totals = self.log_totals[fusion.profile_sharpness]
        near = fusion.profile_sharpness * self.near - np.repeat(totals, np.diff(self.bounds))
        known = np.repeat(np.logical_or.reduceat(self.weights > 0, self.bounds[:-1]), np.diff(self.bounds))
        remembered = np.where(known, mixed(companions, near, fusion.companions), near)
        fused = mixed(self._generated(fusion, True), remembered, fusion.codes) if self.codes else remembered
        return Voices(fused, remembered, near, self.log_probs, self.weights, 0.0, NO_QUERY)

    def ranks(self, scores: Floats, ties: np.random.Generator | None = None) -> Rows:
        """How many candidates of each user stand before the target; TOP or more where it is no candidate. [U]

        Candidates that tie with it stand before or behind as `ties` has it, behind without one.
        """
        sizes = np.diff(self.bounds)
        aims = np.where(self.rows == np.repeat(self.targets, sizes), scores, -np.inf)
        hits = np.maximum.reduceat(aims, self.bounds[:-1])
        before = np.add.reduceat((scores > np.repeat(hits, sizes)).astype(np.int64), self.bounds[:-1])
        if ties is not None:
            equal = np.add.reduceat((scores == np.repeat(hits, sizes)).astype(np.int64), self.bounds[:-1])
            before = before + ties.integers(0, np.maximum(equal, 1))
        return np.where(np.isfinite(hits), before, np.maximum(before, TOP))

    def best(self, scores: Floats) -> list[Rows]:
        """Each user's best TOP items, best first."""
        lists = []
        for low, high in zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True):
            order = np.argsort(-scores[low:high], kind="stable")[:TOP]
            lists.append(self.rows[low:high][order[np.isfinite(scores[low:high][order])]])
        return lists

    def _generated(self, fusion: Fusion, memory: bool) -> Floats:
        known = self.log_probs > -np.inf
        return self._shared(fusion.generated_scores(self.log_probs, self.expected, memory), known)

    def _shared(self, scores: Floats, of: npt.NDArray[np.bool_]) -> Floats:
        """Log-probabilities of the chosen candidates among each user's own; -inf elsewhere. [P]"""
        scores, sizes = np.where(of, scores, -np.inf), np.diff(self.bounds)
        highest = np.maximum.reduceat(scores, self.bounds[:-1])
        highest = np.where(np.isfinite(highest), highest, 0.0)
        totals = np.add.reduceat(np.exp(scores - np.repeat(highest, sizes)), self.bounds[:-1])
        return np.asarray(scores - np.repeat(highest + np.log(np.maximum(totals, 1e-300)), sizes))


@dataclass(frozen=True, slots=True)
class Sources:
    """What serving asks: a decoder over a catalogue, and the two memories beside it."""

    decoder: SemanticDecoder
    profiler: SemanticDecoder  # whose profile memory is searched with
    catalogue: EncodedCatalogue
    companions: CompanionTable
    width: int = 32  # beams
    neighbours: int = 32

    def pools(self, asked: HeldOut, codes: bool = True) -> Iterator[Pool]:
        """The pools of all users asked about, in pieces; items of their histories are masked.

        With `codes` off the decoder is not asked: nothing is generated, and nothing matched with its own profile.
        """
        similar = _matrix(self.companions, self.catalogue.item_ids)
        tree = self.catalogue.tree(self.decoder.shape.codes) if codes else None
        for start in range(0, len(asked.targets), _CHUNK):
            part = HeldOut(asked.histories[start : start + _CHUNK], asked.targets[start : start + _CHUNK])
            with torch.inference_mode():
                pool = self._pool(part, similar, tree)
            yield pool

    def _pool(self, asked: HeldOut, similar: scipy.sparse.csr_matrix, tree: CatalogueTree | None) -> Pool:
        histories, users = asked.histories, len(asked.targets)
        vectors = torch.from_numpy(self.catalogue.vectors)
        matches = read_all(self.profiler, self._read_by(self.profiler), histories).profiles[:, : vectors.shape[1]]
        matches = matches @ vectors.T  # [U, N]
        mask = np.repeat(np.arange(users), [len(history) for history in histories])
        matches[torch.from_numpy(mask), torch.from_numpy(np.concatenate(histories))] = -torch.inf
        newest = [history[-self.companions.last :][::-1] for history in histories]
        if not self.companions.last:
            newest = [history[:0] for history in histories]
        beside = without_history(weighed(newest, self.companions.decay, len(vectors)) @ similar, histories)
        near = matches.topk(min(2 * self.neighbours, matches.shape[1]), dim=1).indices.numpy()
        user_of = np.repeat(np.arange(users), np.diff(beside.indptr))
        items = len(vectors)
        generated, own, queries = _NOTHING, None, np.empty((users, 0), dtype=np.float32)
        if tree is not None:
            readings = read_all(self.decoder, self._read_by(self.decoder), histories)
            own = (readings.profiles @ self._read_by(self.decoder).T).masked_fill(matches == -torch.inf, -torch.inf)
            generated, queries = self._generated(readings, histories, own, tree), readings.profiles.numpy()
        keys = np.unique(
            np.concatenate(
                (
                    (np.arange(users)[:, None] * items + near).ravel(),
                    user_of * items + beside.indices,
                    generated.users * items + generated.rows,
                )
            )
        )
        keys = keys[np.isfinite(matches.numpy()[keys // items, keys % items])]
        log_probs, weights = np.full(len(keys), -np.inf), np.zeros(len(keys))
        log_probs[np.searchsorted(keys, generated.users * items + generated.rows)] = generated.log_probs
        weights[np.searchsorted(keys, user_of * items + beside.indices)] = beside.data
        return Pool(
            np.searchsorted(keys, np.arange(users + 1) * items),
            keys % items,
            matches.numpy()[keys // items, keys % items].astype(np.float64),
            log_probs,
            weights,
            {sharp: (sharp * matches).logsumexp(dim=1).double().numpy() for sharp in SHARPNESS},
            asked.targets,
            np.zeros(len(keys)) if own is None else own.numpy()[keys // items, keys % items].astype(np.float64),
            queries,
        )

    def _read_by(self, network: SemanticDecoder) -> Tensor:
        return torch.from_numpy(self.catalogue.as_read[:, : network.shape.reading_width])

    def _generated(
        self, readings: Readings, histories: Sequence[Rows], matches: Tensor, tree: CatalogueTree
    ) -> "_Generated":
        """The items below each user's beams; those of one semantic ID share its probability by their match."""
        found = search_all(self.decoder, readings, tree, histories, self.width)
        users, beams = torch.nonzero(torch.isfinite(found.log_probs), as_tuple=True)
        place = torch.searchsorted(tree.prefixes[-1], found.prefixes[users, beams])
        code = found.codes[users, beams]
        low, high = tree.bounds[-1][place, code], tree.bounds[-1][place, code + 1]
        sizes = high - low
        group = torch.repeat_interleave(torch.arange(len(low)), sizes)
        offset = torch.arange(len(group)) - torch.repeat_interleave(torch.cumsum(sizes, 0) - sizes, sizes)
        rows, owner = tree.order[low[group] + offset], users[group]
        match = matches[owner, rows]  # -inf in the history
        highest = torch.full((len(low),), -torch.inf).scatter_reduce(0, group, match, "amax")
        totals = torch.zeros(len(low)).index_add(0, group, (match - highest[group]).exp())
        log_probs = found.log_probs[users, beams][group] + match - highest[group] - totals[group].log()
        kept = torch.isfinite(match)
        return _Generated(owner[kept].numpy(), rows[kept].numpy(), log_probs[kept].double().numpy())


@dataclass(frozen=True, slots=True)
class _Generated:
    users: Rows  # [G]
    rows: Rows  # [G]
    log_probs: Floats  # [G]


_NOTHING = _Generated(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))


def _matrix(table: CompanionTable, item_ids: Sequence[str]) -> scipy.sparse.csr_matrix:
    """The table over the rows of `item_ids`. [N, N]"""
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    rows = np.array([row_of[str(item_id)] for item_id in table.item_ids], dtype=np.int64)
    sizes = np.diff(table.bounds)
    places = (np.repeat(rows, sizes), rows[table.companions] if len(rows) else rows)
    return scipy.sparse.csr_matrix((table.weights.astype(np.float64), places), shape=(len(item_ids), len(item_ids)))


def joined(pools: Sequence[Pool]) -> Pool:
    """One pool of all their users; all with the decoder, or all without."""
    starts = np.cumsum([0, *(int(pool.bounds[-1]) for pool in pools)])
    bounds = [pool.bounds[:-1] + start for pool, start in zip(pools, starts.tolist(), strict=False)]

    return Pool(
        np.concatenate((*bounds, starts[-1:])),
        np.concatenate([pool.rows for pool in pools]),
        np.concatenate([pool.near for pool in pools]),
        np.concatenate([pool.log_probs for pool in pools]),
        np.concatenate([pool.weights for pool in pools]),
        {sharp: np.concatenate([pool.log_totals[sharp] for pool in pools]) for sharp in pools[0].log_totals},
        np.concatenate([pool.targets for pool in pools]),
        np.concatenate([pool.expected for pool in pools]),
        np.concatenate([pool.queries for pool in pools]),
    )
