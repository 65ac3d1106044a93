"""Trains the needs stage: people's searches, and what items say of themselves, to items."""

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...core.catalogue import Item
from ...core.clock import Clock
from ...core.marketplace import Marketplace
from ..need_text import BUCKETS, buckets_of, cleaned, words_of
from ..needs import NeedScales, NeedWeights, SharedWords, rows_of, save_needs, unit
from .schedule import Plan, Report, Stage

_HELD_OUT = 0.05  # of the searches, to choose the epoch and the scales by
_CANDIDATES = 512  # items drawn from the whole catalogue, to be told apart from
_ALIKE = 1536  # items of the batch's own categories at most, which are harder to tell apart
_TOGETHER = 4  # categories in a batch, about: few, so that all their items can be candidates
_SHARPNESS = 10.0  # of the match at the start
_NOISE = 8  # strange features a need may be given in training: fillers nobody used before must not matter
_THINNED = (
    1.0  # at most this share of a need's features is kept from the tower: the less it hears, the less it must say
)
_MISSPELT = 0.3  # at most this share is kept from what is shared word by word
_ITEM_THINNED = 0.5  # at most this share of an item's features is kept from its tower: no item is known by its number
# Of a need over the decoder's log-probability: for needs without a history 4 cost .02 of precision at 10, 1 cost .05.
_LEAD = 16.0
_OWN_SHARE = 4  # one need of our own to so many searches
_SPANS = 3  # pieces of an item's own words that make a need of our own
_PIECES = 5  # words or characters a piece at most


@dataclass(frozen=True, slots=True)
class NeedOptions:
    """What shapes the needs stage."""

    minutes: float = 4.0
    seed: int = 0
    width: int = 96
    hidden: int = 192
    epochs: int = 12
    batch: int = 512


@dataclass(frozen=True, slots=True)
class NeedReport:
    """What came out, in figures."""

    searches: int
    items: int
    epochs: int
    validation_hit_at_10: float  # share of held-out clicks among the ten items that fit best
    minutes: float


@dataclass(frozen=True, slots=True)
class Bags:
    """Texts as rows of buckets, in compressed rows."""

    bounds: npt.NDArray[np.int64]  # [R + 1]
    buckets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Bags":
        rows = [buckets_of(text) for text in texts]
        bounds = np.concatenate(([0], np.cumsum([len(row) for row in rows], dtype=np.int64)))
        return cls(bounds, np.concatenate(rows) if rows else np.empty(0, np.int64))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """How many features each row has. [R]"""
        return np.diff(self.bounds)

    def thinned(self, most: float, rng: np.random.Generator) -> "Bags":
        """Each row without a random share of its features, at most `most`: any part must learn to speak for all."""
        lengths = self.lengths
        kept = rng.random(len(self.buckets)) >= np.repeat(rng.random(len(lengths)) * most, lengths)
        return Bags(np.concatenate(([0], np.cumsum(kept)))[self.bounds], self.buckets[kept])

    def beside(self, other: "Bags") -> "Bags":
        """Each row with the other's row behind it."""
        whose = np.concatenate(
            (
                np.repeat(np.arange(len(self.lengths)), self.lengths),
                np.repeat(np.arange(len(other.lengths)), other.lengths),
            )
        )
        order = np.argsort(whose, kind="stable")
        return Bags(self.bounds + other.bounds, np.concatenate((self.buckets, other.buckets))[order])

    def rows(self, chosen: npt.NDArray[np.int64]) -> "Bags":
        """These rows alone, in this order."""
        lengths = self.bounds[chosen + 1] - self.bounds[chosen]
        bounds = np.concatenate(([0], np.cumsum(lengths)))
        places = np.arange(bounds[-1]) + np.repeat(self.bounds[chosen] - bounds[:-1], lengths)
        return Bags(bounds, self.buckets[places])


@dataclass(frozen=True, slots=True)
class _Batch:
    needs: Bags  # as typed
    heard: Bags  # as the tower is given them: thinned, with strange features in between
    items: npt.NDArray[np.int64]  # [B] rows of the items clicked


class TowerModel(nn.Module):
    """Two towers over one table of features; items are told apart by the softmax of their match with a need."""

    worth: Tensor

    def __init__(
        self,
        worth: npt.NDArray[np.float32],
        rarity: npt.NDArray[np.float32],
        items: Bags,
        categories: npt.NDArray[np.int64],
        options: NeedOptions,
    ) -> None:
        """`categories` [N] numbers each item's category."""
        super().__init__()
        self.register_buffer("worth", torch.from_numpy(worth))
        self.items = items
        self.categories = categories
        self.embedding = nn.Embedding(BUCKETS, options.width)
        # Small, so that what was hardly ever met hardly speaks.
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.up = nn.ModuleList(nn.Linear(options.width, options.hidden) for _ in range(2))
        self.down = nn.ModuleList(nn.Linear(options.hidden, options.width, bias=False) for _ in range(2))
        self.log_sharpness = nn.Parameter(torch.tensor(float(np.log(_SHARPNESS))))
        self.words = nn.Parameter(torch.tensor(10.0))
        self._rarity = rarity
        self._shared = shared_words(items, rarity)

    @property
    def sharpness(self) -> Tensor:
        return self.log_sharpness.exp()

    def vectors(self, bags: Bags, tower: int) -> Tensor:
        """Vectors of texts, those of items to unit length; the longer a need's, the surer. [R, E]"""
        buckets = torch.from_numpy(bags.buckets)
        worth = self.worth[buckets]
        offsets = torch.from_numpy(bags.bounds[:-1])
        summed = functional.embedding_bag(buckets, self.embedding.weight, offsets, mode="sum", per_sample_weights=worth)
        rows = torch.repeat_interleave(torch.arange(len(offsets)), torch.from_numpy(np.diff(bags.bounds)))
        squares = torch.zeros(len(offsets)).index_add_(0, rows, worth * worth)
        bag = summed / squares.clamp(min=1e-6).sqrt()[:, None]
        hidden = torch.tanh(self.up[tower](bag))
        vectors = bag + self.down[tower](hidden)
        return functional.normalize(vectors, dim=1, eps=1e-6) if tower else vectors

    def loss(self, batch: _Batch, rng: np.random.Generator) -> Tensor:
        """Mean negative log-likelihood of the clicked items among all of their categories and a sample of the rest."""
        count = len(self.categories)
        alike = np.flatnonzero(np.isin(self.categories, self.categories[batch.items]))
        alike = rng.permutation(alike)[:_ALIKE]
        drawn = np.setdiff1d(rng.choice(count, min(_CANDIDATES, count), replace=False), alike)
        candidates, places = np.unique(np.concatenate((batch.items, alike)), return_inverse=True)
        candidates = np.concatenate((candidates, np.setdiff1d(drawn, candidates)))
        # A uniform sample stands for all the others, so each of it counts as many times.
        others = np.zeros(len(candidates), np.float32)
        others[len(np.unique(places)) :] = np.log(max(count - len(alike), 1) / max(len(drawn), 1))
        vectors = self.vectors(self.items.rows(candidates).thinned(_ITEM_THINNED, rng), 1)
        fits = self.fits(batch.needs, batch.heard, vectors, self._shared[candidates])
        return functional.cross_entropy(fits + torch.from_numpy(others), torch.from_numpy(places[: len(batch.items)]))

    def fits(self, needs: Bags, heard: Bags, vectors: Tensor, shared: scipy.sparse.csr_matrix) -> Tensor:
        """How each item, by its vector and its words, fits each need. [R, M]"""
        common = (shared_words(needs, self._rarity) @ shared.T).toarray()
        return self.vectors(heard, 0) @ vectors.T * self.sharpness + self.words * torch.from_numpy(common)

    def best(self, needs: Bags, count: int) -> npt.NDArray[np.int64]:
        """The rows of the `count` best-fitting items of each need, best first. [R, count]"""
        items = self.vectors(self.items, 1)
        return np.asarray(
            self.fits(needs, needs, items, self._shared).topk(min(count, len(items)), dim=1).indices.numpy()
        )

    def weights(self) -> NeedWeights:
        """The towers as they are served."""
        with torch.no_grad():
            return NeedWeights(
                worth=self.worth.numpy(),
                rarity=self._rarity,
                embedding=self.embedding.weight.numpy().copy(),
                up=np.stack([layer.weight.T.numpy() for layer in self.up]),  # type: ignore[operator]
                up_bias=np.stack([layer.bias.numpy() for layer in self.up]),  # type: ignore[operator]
                down=np.stack([layer.weight.T.numpy() for layer in self.down]),  # type: ignore[operator]
            )


def fit_needs(
    marketplace: Marketplace,
    models: Path,
    options: NeedOptions,
    notes: dict[str, Any],
    clock: Clock,
    report: Report,
) -> NeedReport:
    """Afterwards `models`/needs holds the trained stage, which needs no other model.

    Learns from the log of searches where the marketplace keeps one (the wordings people use, their synonyms and what
    speakers of either language clicked), and always from pieces of the items' own words. Uses as many threads as torch
    is set to.
    """
    items = marketplace.items()
    row_of = {item.item_id: row for row, item in enumerate(items)}
    rng = np.random.default_rng(options.seed)
    needs, clicked = _searches(marketplace, row_of)
    held = rng.random(len(needs)) < _HELD_OUT
    texts = [words_of(item) for item in items]
    report("needs", 0.0, f"{len(needs)} searches, {len(items)} items")
    logged, bags = Bags.of(needs), Bags.of(texts)
    learned, asked = np.flatnonzero(~held), np.flatnonzero(held)
    worth = _worth((bags, logged.rows(learned)))
    torch.manual_seed(options.seed)
    numbers: dict[tuple[str, ...], int] = {}
    categories = np.array([numbers.setdefault(item.category, len(numbers)) for item in items], dtype=np.int64)
    model = TowerModel(worth, _worth((bags,)), bags, categories, options)
    # Where searches tell more, few pieces will do: they hold what speaks another language for something else.
    own = len(learned) // _OWN_SHARE if len(learned) > len(items) else len(items)

    def batches(rng: np.random.Generator) -> list[_Batch]:
        rows = rng.integers(len(items), size=own)
        spoken = Bags.of([_own_words(items[row], rng) for row in rows.tolist()])
        everything = [(logged.rows(learned), clicked[learned]), (spoken, rows)]
        return _batches(everything, options.batch, categories, worth, rng)

    checked = (logged.rows(asked), clicked[asked]) if len(asked) else (bags, np.arange(len(items)))

    def hits() -> float:
        return float((model.best(checked[0], 10) == checked[1][:, None]).any(axis=1).mean())

    plan = Plan("needs", options.epochs, options.minutes, 3e-3, options.seed)
    stage = Stage(plan, model, clock, models / ".needs" / "towers.pt")
    stage.run(batches, model.loss, hits, report)
    with torch.no_grad():
        scales = NeedScales(float(model.sharpness), float(model.words), _LEAD)
    shutil.rmtree(models / "needs", ignore_errors=True)
    save_needs(models / "needs", model.weights(), scales, notes)
    shutil.rmtree(models / ".needs")
    return NeedReport(len(needs), len(items), stage.epoch, stage.best, stage.spent_s / 60)


def _searches(marketplace: Marketplace, row_of: dict[str, int]) -> tuple[list[str], npt.NDArray[np.int64]]:
    if not marketplace.has("searches"):
        return [], np.empty(0, np.int64)
    table = marketplace.log("searches")
    pairs = [
        (need, row_of[item_id])
        for need, item_id in zip(table.column("need").to_pylist(), table.column("item_id").to_pylist(), strict=True)
        if item_id in row_of and len(buckets_of(need))
    ]
    return [need for need, _ in pairs], np.array([row for _, row in pairs], dtype=np.int64)


def shared_words(bags: Bags, rarity: npt.NDArray[np.float32]) -> scipy.sparse.csr_matrix:
    """Texts as rows of rarity, each to unit length. [R, F]"""
    rows = [bags.buckets[low:high] for low, high in itertools.pairwise(bags.bounds)]
    return rows_of([SharedWords(row.astype(np.int32), unit(rarity[row])) for row in rows])


def _worth(corpora: Sequence[Bags]) -> npt.NDArray[np.float32]:
    """Inverse document frequency of every feature; 0 for those never met. [F]"""
    documents, texts = np.zeros(BUCKETS), 0
    for bags in corpora:
        documents += np.bincount(bags.buckets, minlength=BUCKETS)
        texts += len(bags.bounds) - 1
    return np.where(documents > 0, np.log((1 + texts) / (1 + documents)) + 1, 0).astype(np.float32)


def _own_words(item: Item, rng: np.random.Generator) -> str:
    """Some pieces of what an item says of itself, in no order: a need in the catalogue's own words."""
    words = [piece for field in (item.title, item.text, *item.category) for piece in cleaned(field).split()]
    pieces = []
    for _ in range(int(rng.integers(1, _SPANS + 1))):
        word = int(rng.integers(len(words))) if words else 0
        length = int(rng.integers(1, _PIECES + 1))
        if words and not words[word].isascii() and len(words[word]) > length:  # Chinese: a run of characters
            start = int(rng.integers(len(words[word]) - length))
            pieces.append(words[word][start : start + length + 1])
        else:
            pieces.append(" ".join(words[word : word + min(length, 3)]))
    return " ".join(pieces)


def _by_category(categories: npt.NDArray[np.int64], run: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """All rows once, in random order but for runs of one category."""
    shuffled = rng.permutation(len(categories))
    grouped = shuffled[np.argsort(categories[shuffled], kind="stable")]
    runs = [grouped[start : start + run] for start in range(0, len(grouped), run)]
    return np.concatenate([grouped[:0], *(runs[place] for place in rng.permutation(len(runs)).tolist())])


def _batches(
    parts: Sequence[tuple[Bags, npt.NDArray[np.int64]]],
    size: int,
    categories: npt.NDArray[np.int64],
    worth: npt.NDArray[np.float32],
    rng: np.random.Generator,
) -> list[_Batch]:
    """All examples once, in random batches of one kind each, their features shaken."""
    met = np.flatnonzero(worth)
    batches = []
    for bags, rows in parts:
        order = _by_category(categories[rows], size // _TOGETHER, rng)
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            needs = bags.rows(chosen)
            strange = rng.integers(_NOISE + 1, size=len(chosen))
            noise = Bags(np.concatenate(([0], np.cumsum(strange))), met[rng.integers(len(met), size=strange.sum())])
            heard = needs.thinned(_THINNED, rng).beside(noise)
            batches.append(_Batch(needs.thinned(_MISSPELT, rng), heard, rows[chosen]))
    return [batches[place] for place in rng.permutation(len(batches)).tolist()]
