"""The last word on a proposal: a small network orders the fused candidates by what every source says of them, and by
how their words and vectors stand to what the viewer chose last.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.artifact import seal, verified
from ..core.catalogue import Item
from ..core.errors import ArtifactError
from .features import BUCKETS, hashed_counts
from .fusion import Logs, normalised
from .hashing import tf_idf

KIND = "ranker"
FORMAT = 1
FOLDER = "ranker"
RANKED = 60  # candidates that are ordered anew, best first by fusion; the rest stays behind them
NEWEST = 10  # items of the history whose words count
_PLACED = 8  # newest items whose vectors make the mean
_SILENT = -20.0  # the logarithm of what a source does not know at all
_FAR = 8.0  # standard deviations; beyond them a number says no more
_FILE = "ranker.npz"
_WORDS_KEPT = 1 << 15  # items; some 30 MB


@dataclass(frozen=True, slots=True)
class Words:
    """An item's features weighed by rarity, to unit length; never empty, the last one matches nothing."""

    buckets: npt.NDArray[np.int64]  # [M] ascending
    weights: npt.NDArray[np.float64]  # [M]


@dataclass(frozen=True, slots=True)
class Voices:
    """What the sources say of one request's M candidates, as natural logarithms."""

    fused: Logs  # [M]
    remembered: Logs  # [M] memory alone
    near: Logs  # [M] the profile alone
    generated: Logs  # [M] the decoder alone, -inf where the beams missed the item
    companions: Logs  # [M] weights, not logarithms; 0 where the item is none
    companions_total: float  # of all admitted companions

    def of(self, places: npt.NDArray[np.int64]) -> "Voices":
        """The same of some of the candidates."""
        return Voices(
            self.fused[places],
            self.remembered[places],
            self.near[places],
            self.generated[places],
            self.companions[places],
            self.companions_total,
        )


@dataclass(frozen=True, slots=True)
class Described:
    """Some items as they describe themselves."""

    vectors: npt.NDArray[np.float32]  # [M, D]
    words: Sequence[Words]  # [M]


@dataclass(frozen=True, slots=True)
class Network:
    """One hidden layer over F standardised numbers a candidate."""

    mean: npt.NDArray[np.float64]  # [F]
    scale: npt.NDArray[np.float64]  # [F]
    up: npt.NDArray[np.float64]  # [F, H]
    up_bias: npt.NDArray[np.float64]  # [H]
    down: npt.NDArray[np.float64]  # [H]

    def standardised(self, evidence: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """[M, F] as the layer reads it."""
        return np.clip((evidence - self.mean) / self.scale, -_FAR, _FAR)

    def logits(self, evidence: npt.NDArray[np.float64]) -> Logs:
        """[M] of the candidates with this evidence [M, F]; only differences mean something."""
        return np.asarray(np.maximum(self.standardised(evidence) @ self.up + self.up_bias, 0.0) @ self.down)


class Ranker:
    """Orders candidates, with a network for proposals with the decoder and one for those without; either may be
    missing where it did not help."""

    def __init__(
        self, idf: npt.NDArray[np.float32], fused: Network | None, without: Network | None, model: str = ""
    ) -> None:
        self.idf, self.model = idf, model
        self._networks = {True: fused, False: without}
        self._kept: OrderedDict[int, Words] = OrderedDict()
        self._warmed = np.empty(0, dtype=np.uint64)  # the stamps that `warm` saw last

    def network(self, decoder: bool) -> Network | None:
        """The network for proposals with or without the decoder."""
        return self._networks[decoder]

    def words_of(self, item: Item) -> Words:
        """The item's words as this ranker weighs them."""
        counts = hashed_counts(item)
        buckets = np.fromiter(sorted(counts), dtype=np.int64, count=len(counts))
        weights = tf_idf(counts, buckets, self.idf) if len(buckets) else np.empty(0)
        return Words(np.append(buckets, BUCKETS), np.append(weights, 0.0))

    def words_at(self, stamp: int, item: Callable[[], Item]) -> Words:
        """The same, kept under the stamp of an item's facts (core.snapshot.ItemColumns): `item` is asked once a stamp,
        since decoding it takes many times what looking its words up does."""
        words = self._kept.pop(stamp, None)  # put back as the newest
        if words is None:
            words = self.words_of(item())
            if len(self._kept) >= _WORDS_KEPT:
                self._kept.popitem(last=False)
        self._kept[stamp] = words
        return words

    def warm(self, stamps: npt.NDArray[np.uint64], item: Callable[[int], Item | None]) -> None:
        """Afterwards the words of all items [N] are kept, where they all can be; a later version costs what changed.
        For one thread at a time, beside any that asks for words."""
        before = self._warmed
        if stamps is before or len(stamps) > _WORDS_KEPT:
            return
        fresh = np.ones(len(stamps), dtype=np.bool_)
        both = min(len(before), len(stamps))
        fresh[:both] = stamps[:both] != before[:both]
        for slot in np.flatnonzero(fresh).tolist():
            found = item(slot)
            if found is not None:
                self.words_at(int(stamps[slot]), partial(_itself, found))
        self._warmed = stamps

    def reordered(self, said: Voices, best: npt.NDArray[np.int64], them: Described, past: Described,
                  network: Network) -> Logs:  # fmt: skip
        """Every candidate's score [M], a log-probability as before: the `best` share theirs anew, others stay behind.

        Args:
            best: [K] places among the candidates, see `best_places`; `them` describes these.
            past: the newest items of the history, newest first, at least one.
        """
        if not len(best):
            return said.fused
        anew = normalised(network.logits(evidence(said.of(best), them, past)))
        highest = said.fused[best].max()
        anew += highest + np.log(np.exp(said.fused[best] - highest).sum())
        scores = said.fused.copy()
        others = np.ones(len(scores), dtype=np.bool_)
        others[best] = False
        if others.any():
            shift = max(0.0, float(np.fmax.reduce(scores[others]) - anew.min()))
            scores[others] = np.minimum(scores[others] - shift, anew.min())  # rounding must let nobody pass
        scores[best] = anew
        return scores


def _itself(item: Item) -> Item:
    return item


def best_places(fused: Logs) -> npt.NDArray[np.int64]:
    """Where the RANKED best candidates by fusion are, best first; none whose score is no number. [K]"""
    order = np.argsort(-fused, kind="stable")
    return order[~np.isnan(fused[order])][:RANKED]


def evidence(said: Voices, them: Described, past: Described) -> npt.NDArray[np.float64]:
    """Fourteen numbers a candidate, none of them an identity or a place in any list. [M, 14]"""
    vectors, before = them.vectors.astype(np.float64), past.vectors[:_PLACED].astype(np.float64)
    likeness = vectors @ before.T  # [M, T] of unit vectors
    shared = overlap(them.words, past.words[:NEWEST])
    length = np.full(len(vectors), np.log1p(len(past.words)))
    rows = np.column_stack(
        (
            said.remembered,
            said.near,
            np.maximum(said.generated, _SILENT),
            said.generated > _SILENT,
            np.log(said.companions + 1e-6),
            np.log(said.companions / max(said.companions_total, 1e-9) + 1e-5),
            likeness[:, 0],
            likeness[:, min(1, likeness.shape[1] - 1)],
            likeness.mean(axis=1),
            length,
            shared[:, 0],
            shared[:, min(1, shared.shape[1] - 1)],
            shared.max(axis=1),
            shared.mean(axis=1),
        )
    )
    return np.asarray(np.nan_to_num(rows, nan=0.0))  # one bad vector in a past must not silence all that is said


def overlap(some: Sequence[Words], others: Sequence[Words]) -> npt.NDArray[np.float64]:
    """The cosine of every text with every other. [M, T]"""
    theirs = np.concatenate([words.buckets for words in others])
    known, places = np.unique(theirs, return_inverse=True)
    table = np.zeros((len(known) + 1, len(others)))  # the last row stands for what none of the others says
    table[places, np.repeat(np.arange(len(others)), [len(words.buckets) for words in others])] = np.concatenate(
        [words.weights for words in others]
    )
    said = np.concatenate([words.buckets for words in some])
    found = np.minimum(np.searchsorted(known, said), len(known) - 1)
    rows = np.where(known[found] == said, found, len(known))
    products = table[rows] * np.concatenate([words.weights for words in some])[:, None]
    starts = np.cumsum([0, *(len(words.buckets) for words in some[:-1])])
    return np.asarray(np.add.reduceat(products, starts, axis=0))


def rarity(items: Sequence[Item]) -> npt.NDArray[np.float32]:
    """How rare each feature is among a catalogue's items; one that none has is as rare as can be. [BUCKETS]"""
    held = np.zeros(BUCKETS)
    for item in items:
        held[list(hashed_counts(item))] += 1
    return np.log((1 + len(items)) / (1 + held)).astype(np.float32)


def save_ranker(folder: Path, ranker: Ranker, decoder: str, notes: dict[str, Any]) -> str:
    """Afterwards `folder` is a ranker artefact for the decoder of that checksum; its own checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {"idf": ranker.idf}
    for mode, network in (("fused", ranker.network(True)), ("without", ranker.network(False))):
        if network is not None:
            columns |= {f"{mode}.{field.name}": getattr(network, field.name) for field in fields(Network)}
    np.savez(folder / _FILE, allow_pickle=False, **columns)
    return seal(folder, KIND, FORMAT, {**notes, "decoder": decoder}).checksum


def load_ranker(folder: Path, decoder: str) -> Ranker | None:
    """The ranker in `folder`, None where there is none; ArtifactError if it is damaged or of another decoder."""
    if not folder.is_dir():
        return None
    manifest = verified(folder, KIND, FORMAT)
    if manifest.notes.get("decoder") != decoder:
        raise ArtifactError(
            f"{folder} was trained with decoder {manifest.notes.get('decoder')}, the one beside it is {decoder}; "
            "run `adgram train --stage ranker`"
        )
    try:
        with np.load(folder / _FILE, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
        if columns["idf"].shape != (BUCKETS,):
            raise ArtifactError(f"{folder} was made for other features than this version's; train it again")
        return Ranker(columns["idf"], _network(columns, "fused"), _network(columns, "without"), manifest.checksum)
    except (OSError, KeyError, ValueError) as error:
        raise ArtifactError(f"{folder} cannot be read by this version ({error}); train it again") from error


def _network(columns: dict[str, npt.NDArray[Any]], mode: str) -> Network | None:
    if f"{mode}.mean" not in columns:
        return None
    return Network(**{field.name: columns[f"{mode}.{field.name}"] for field in fields(Network)})
