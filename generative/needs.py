"""Needs in words, brought into the same code space as histories: what is asked for guides the decode.

An item fits a need by two things (`Wanted.fit`): the match of their vectors, which two small towers over hashed words
learned from what people clicked, and the words and parts of words they share, weighed by rarity. In the decode the need
speaks twice: as a token, the mean of what fits best (of vectors, and of words apart from it), read by the decoder as if
the viewer had just looked at it; and as the worth of every node of the trie, the best fit below it.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import scipy.sparse

from ..core.artifact import MANIFEST, seal, verified
from ..core.errors import ArtifactError
from ..core.snapshot import ItemColumns, Snapshot
from .need_text import BUCKETS, buckets_of, words_of
from .neighbours import products

KIND = "needs"
FORMAT = 1
_WEIGHTS = "weights.npz"
_SCALES = "scales.json"
_TINY = 1e-12
_TOKEN_ITEMS = 32  # the best-fitting items whose vectors make the token


@dataclass(frozen=True, slots=True)
class NeedWeights:
    """Both towers, with F buckets, E width and H hidden units; index 0 of a pair is the need's, 1 the item's."""

    worth: npt.NDArray[np.float32]  # [F] a feature's weight, 0 where training never met it
    rarity: npt.NDArray[np.float32]  # [F] the same among items alone, for what is shared word by word
    embedding: npt.NDArray[np.float32]  # [F, E]
    up: npt.NDArray[np.float32]  # [2, E, H]
    up_bias: npt.NDArray[np.float32]  # [2, H]
    down: npt.NDArray[np.float32]  # [2, H, E]


@dataclass(frozen=True, slots=True)
class NeedScales:
    """How loudly a need speaks, as settled on needs that were held out."""

    sharpness: float  # of the match: probabilities of items are the softmax of match · sharpness + shared · words
    words: float  # of the shared words, as a cosine
    lead: float  # how many times a need's fit counts as much as the decoder's log-probability
    codes: float = 0.5  # share of what was decoded in the final probability; the rest is the nearest items'


class NeedEncoder:
    """Needs and items to vectors; a text without a single known feature has none."""

    def __init__(self, weights: NeedWeights, scales: NeedScales, model: str) -> None:
        self._weights = weights
        self.scales = scales
        self.model = model

    @property
    def width(self) -> int:
        return int(self._weights.embedding.shape[1])

    def need(self, buckets: npt.NDArray[np.int64]) -> npt.NDArray[np.float32] | None:
        """The vector [E] of a need with these features, the longer the surer; None where training knew none of them."""
        return self._encoded(buckets, 0)

    def item(self, buckets: npt.NDArray[np.int64]) -> npt.NDArray[np.float32] | None:
        """The unit vector [E] of an item with these features; None where training knew none of them."""
        return self._encoded(buckets, 1)

    def words(self, buckets: npt.NDArray[np.int64]) -> "SharedWords":
        """The features that items of the training had, weighed by rarity, to unit length; perhaps none."""
        rarity = self._weights.rarity[buckets]
        known = rarity > 0
        return SharedWords(buckets[known].astype(np.int32), unit(rarity[known]))

    def _encoded(self, buckets: npt.NDArray[np.int64], tower: int) -> npt.NDArray[np.float32] | None:
        weights = self._weights
        known = buckets[weights.worth[buckets] > 0]
        if not len(known):
            return None
        worth = weights.worth[known].astype(np.float64)
        bag = (worth[:, None] * weights.embedding[known]).sum(axis=0) / np.sqrt((worth * worth).sum())
        hidden = np.tanh(bag @ weights.up[tower] + weights.up_bias[tower])
        vector = bag + hidden @ weights.down[tower]
        length = max(float(np.sqrt((vector * vector).sum())), _TINY) if tower else 1.0
        return np.asarray(vector / length, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class SharedWords:
    """A text's known features."""

    buckets: npt.NDArray[np.int32]  # [M] ascending
    weights: npt.NDArray[np.float32]  # [M] of unit length


@dataclass(frozen=True, slots=True)
class Wanted:
    """A need as one request's decode hears it, over the N items of a snapshot."""

    fit: npt.NDArray[np.float32]  # [N] see NeedScales, -inf where not admitted
    log_total: float  # log of the sum of exp(fit)
    slots: npt.NDArray[np.int64]  # [M] what fits best, ascending
    scales: NeedScales

    def token(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The unit vector of what fits best, where `vectors` [M, any] are those of `slots`."""
        token = np.exp(self.log_probs(self.slots)) @ vectors
        return np.asarray(token / max(float(np.sqrt((token * token).sum())), _TINY), np.float32)

    def worth(self, snapshot: Snapshot) -> Callable[[npt.NDArray[np.int64], int], npt.NDArray[np.float32]]:
        """What the beam search (beam.Worth) adds to a beam's log-probability: the best fit below it, `lead` times."""
        worths = self.fit * np.float32(self.scales.lead)
        return lambda prefixes, level: snapshot.trie.best_children(prefixes, level, worths)

    def log_probs(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Each slot's probability by its fit alone, among all admitted items. [M]"""
        return self.fit[slots].astype(np.float64) - self.log_total

    def led(self, slots: npt.NDArray[np.int64], log_probs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The shares of decoded items [M] by fit and log-probability, as the beams were ranked. [M]"""
        if not len(slots):
            return log_probs
        scores = self.fit[slots] + log_probs / self.scales.lead
        return np.asarray(scores - np.logaddexp.reduce(scores))

    def nearest(self, count: int) -> npt.NDArray[np.int64]:
        """The `count` admitted slots that fit best, in no order; fewer where fewer are admitted."""
        return _nearest(self.fit, count)


def _nearest(fit: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    keep = min(count, len(fit))
    slots = np.argpartition(-fit, keep - 1)[:keep] if keep < len(fit) else np.arange(keep)
    return np.asarray(slots[np.isfinite(fit[slots])], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Held:
    """The items as needs see them, in one version."""

    columns: ItemColumns
    vectors: npt.NDArray[np.float32]  # [N, E], zero for items that say nothing known
    words: list[SharedWords]  # [N]
    shared: scipy.sparse.csr_matrix  # [N, F] the same, as rows


class Needs:
    """Hears needs over snapshots; the items' vectors follow from version to version, encoded once an item."""

    def __init__(self, encoder: NeedEncoder) -> None:
        self._encoder = encoder
        self._held: _Held | None = None
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """The artefact's checksum."""
        return self._encoder.model

    def warm(self, snapshot: Snapshot) -> None:
        """Encodes items that are new or reworded in this snapshot, ahead of any request. Safe beside `wanted`."""
        self._follow(snapshot)

    def wanted(self, need: str, snapshot: Snapshot, admitted: npt.NDArray[np.bool_]) -> Wanted | None:
        """The need over the admitted items [N], of which there is one at least; None where it says nothing known."""
        buckets = buckets_of(need)
        vector = self._encoder.need(buckets)
        if vector is None:
            return None
        scales, held = self._encoder.scales, self._follow(snapshot)
        words, said = self._encoder.words(buckets), np.zeros(BUCKETS, np.float32)
        said[words.buckets] = words.weights * np.float32(scales.words)
        fit = products(held.vectors, vector * np.float32(scales.sharpness)) + held.shared @ said
        fit[~admitted] = -np.inf
        best = float(fit.max())
        log_total = best + float(np.log(np.exp(fit - best, dtype=np.float64).sum()))
        return Wanted(fit, log_total, np.sort(_nearest(fit, _TOKEN_ITEMS)), scales)

    def _follow(self, snapshot: Snapshot) -> _Held:
        """The items of this version, encoding only what the version held before does not have."""
        columns = snapshot.items
        with self._lock:
            held = self._held
            if held is not None and held.columns.vectors is columns.vectors:
                return held
            nothing = SharedWords(np.empty(0, np.int32), np.empty(0, np.float32))
            vectors, words = np.zeros((columns.count, self._encoder.width), np.float32), [nothing] * columns.count
            fresh = np.ones(columns.count, np.bool_)
            if held is not None:
                both = min(held.columns.count, columns.count)
                vectors[:both], words[:both] = held.vectors[:both], held.words[:both]
                fresh[:both] = _changed(held.columns.vectors[:both], columns.vectors[:both])
            for slot in np.flatnonzero(fresh).tolist():
                entry = snapshot.item(columns.item_ids[slot])
                buckets = buckets_of(words_of(entry.item)) if entry else np.empty(0, np.int64)
                vector = self._encoder.item(buckets)
                vectors[slot] = 0.0 if vector is None else vector
                words[slot] = self._encoder.words(buckets)
            followed = _Held(columns, vectors, words, rows_of(words))
            if held is None or columns.count >= held.columns.count:  # never back to an older version
                self._held = followed
            return followed


def rows_of(words: Sequence[SharedWords]) -> scipy.sparse.csr_matrix:
    """One row a text. [N, F] float32"""
    bounds = np.concatenate(([0], np.cumsum([len(entry.buckets) for entry in words], dtype=np.int64)))
    empty = [SharedWords(np.empty(0, np.int32), np.empty(0, np.float32))]
    buckets = np.concatenate([entry.buckets for entry in (*words, *empty)])
    weights = np.concatenate([entry.weights for entry in (*words, *empty)])
    return scipy.sparse.csr_matrix((weights, buckets, bounds), shape=(len(words), BUCKETS))


def unit(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The weights to unit length; none stay none."""
    return np.asarray(weights / max(float(np.sqrt((weights.astype(np.float64) ** 2).sum())), _TINY), np.float32)


def _changed(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which rows differ: another wording gives an item another content vector. [N]"""
    if before.ctypes.data == after.ctypes.data:  # versions never write what they share
        return np.zeros(len(before), np.bool_)
    return np.asarray((before != after).any(axis=1))


def save_needs(folder: Path, weights: NeedWeights, scales: NeedScales, notes: dict[str, Any]) -> None:
    """Afterwards `folder` is a needs artefact."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {name: getattr(weights, name) for name in NeedWeights.__dataclass_fields__}
    np.savez(folder / _WEIGHTS, allow_pickle=False, **columns)
    (folder / _SCALES).write_bytes(msgspec.json.encode(asdict(scales)))
    seal(folder, KIND, FORMAT, notes)


def load_encoder(folder: Path) -> NeedEncoder:
    """The encoder stored in `folder`; ArtifactError where it is missing, changed, or does not fit this version."""
    manifest = verified(folder, KIND, FORMAT)
    try:
        with np.load(folder / _WEIGHTS, allow_pickle=False) as file:
            weights = NeedWeights(**{name: file[name] for name in NeedWeights.__dataclass_fields__})
        scales = msgspec.json.decode((folder / _SCALES).read_bytes(), type=NeedScales)
    except (msgspec.DecodeError, OSError, KeyError, ValueError) as error:
        raise ArtifactError(f"{folder} cannot be read by this version ({error}); train it again") from error
    if weights.worth.shape != (BUCKETS,):
        raise ArtifactError(f"{folder} has {len(weights.worth)} buckets, this version reads {BUCKETS}; train it again")
    return NeedEncoder(weights, scales, manifest.checksum)


def load_needs(folder: Path) -> Needs | None:
    """What hears needs, or None where no such model was trained; ArtifactError where one is damaged."""
    return Needs(load_encoder(folder)) if (folder / MANIFEST).is_file() else None
