"""The last word on a proposal: a small network orders the fused candidates by what every source says of them, and by
how their words and vectors stand to what the viewer chose last.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.artifact import seal, verified
from ..core.errors import ArtifactError
from .fusion import Logs, normalised
from .wording import Words, overlap, vectors_of

KIND = "ranker"
FORMAT = 2
FOLDER = "ranker"
RANKED = 60  # candidates that are ordered anew, best first by fusion; the rest stays behind them
NEWEST = 10  # items of the history whose words count
_PLACED = 8  # newest items whose vectors make the mean
NO_QUERY = np.empty(0, dtype=np.float32)  # of a decoder that was not asked
_FAR = 8.0  # standard deviations; beyond them a number says no more
_FILE = "ranker.npz"


@dataclass(frozen=True, slots=True)
class Voices:
    """What the sources say of one request's M candidates, as natural logarithms."""

    fused: Logs  # [M]
    remembered: Logs  # [M] memory alone
    near: Logs  # [M] memory's profile alone
    generated: Logs  # [M] the decoder alone, -inf where the beams missed the item
    companions: Logs  # [M] weights, not logarithms; 0 where the item is none
    companions_total: float  # of all admitted companions
    query: npt.NDArray[np.float32]  # [R] the decoder's own profile, empty where it was not asked

    def of(self, places: npt.NDArray[np.int64]) -> "Voices":
        """The same of some of the candidates."""
        return Voices(
            self.fused[places],
            self.remembered[places],
            self.near[places],
            self.generated[places],
            self.companions[places],
            self.companions_total,
            self.query,
        )


@dataclass(frozen=True, slots=True)
class Described:
    """Some items by their vectors and their words."""

    vectors: npt.NDArray[np.float32]  # [M, D]
    words: Sequence[Words]  # [M]


@dataclass(frozen=True, slots=True)
class Network:
    """One hidden layer over F standardised numbers a candidate; what is no number counts as the mean.

    A source that says nothing of a candidate must not speak as one that says very little: a few such numbers far out
    would take the others' scale, and what companions say of one another would be lost in it (N@10 of Amazon Toys on
    validation choices: .0752 so, .0771 as it is).
    """

    mean: npt.NDArray[np.float64]  # [F]
    scale: npt.NDArray[np.float64]  # [F]
    up: npt.NDArray[np.float64]  # [F, H]
    up_bias: npt.NDArray[np.float64]  # [H]
    down: npt.NDArray[np.float64]  # [H]

    def standardised(self, evidence: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """[M, F] as the layer reads it."""
        return np.nan_to_num(np.clip((evidence - self.mean) / self.scale, -_FAR, _FAR), nan=0.0)

    def logits(self, evidence: npt.NDArray[np.float64]) -> Logs:
        """[M] of the candidates with this evidence [M, F]; only differences mean something."""
        return np.asarray(np.maximum(self.standardised(evidence) @ self.up + self.up_bias, 0.0) @ self.down)


class Ranker:
    """Orders candidates, with a network for proposals with the decoder and one for those without; either may be
    missing where it did not help."""

    def __init__(self, fused: Network | None, without: Network | None, model: str = "") -> None:
        self.model = model
        self._networks = {True: fused, False: without}

    def network(self, decoder: bool) -> Network | None:
        """The network for proposals with or without the decoder."""
        return self._networks[decoder]

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


def best_places(fused: Logs) -> npt.NDArray[np.int64]:
    """Where the RANKED best candidates by fusion are, best first; none whose score is no number. [K]"""
    order = np.argsort(-fused, kind="stable")
    return order[~np.isnan(fused[order])][:RANKED]


def evidence(said: Voices, them: Described, past: Described) -> npt.NDArray[np.float64]:
    """Seventeen numbers a candidate, none of them an identity or a place in any list; NaN for what a source does not
    know of it. [M, 17]"""
    vectors, before = them.vectors.astype(np.float64), past.vectors[:_PLACED].astype(np.float64)
    likeness = vectors @ before.T  # [M, T] of unit vectors
    shared = overlap(them.words, past.words[:NEWEST])
    length = np.full(len(vectors), np.log1p(len(past.words)))
    generated, beside = np.isfinite(said.generated), said.companions > 0
    weights = np.log(np.where(beside, said.companions, np.nan))
    return np.column_stack(
        (
            said.remembered,
            said.near,
            np.where(generated, said.generated, np.nan),
            generated,
            *_expected(said.query, them),
            weights,
            weights - np.log(said.companions_total or np.nan),
            beside,
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


def _expected(query: npt.NDArray[np.float32], them: Described) -> tuple[Logs, Logs]:
    """How the decoder's profile matches the candidates' vectors, and their words, each as log-shares among them. [M]"""
    if not len(query):
        unknown = np.full(len(them.words), np.nan)
        return unknown, unknown
    width, expected = them.vectors.shape[1], query.astype(np.float64)
    placed = _shares(them.vectors @ expected[:width])
    if len(query) == width:  # a decoder that reads no words
        return placed, np.full(len(them.words), np.nan)
    return placed, _shares(vectors_of(them.words, len(query) - width) @ expected[width:])


def _shares(matches: Logs) -> Logs:
    """Log-shares among those that are numbers."""
    numbers = np.isfinite(matches)
    return np.asarray(matches - np.logaddexp.reduce(matches[numbers])) if numbers.any() else matches


def save_ranker(folder: Path, ranker: Ranker, decoder: str, notes: dict[str, Any]) -> str:
    """Afterwards `folder` is a ranker artefact for the decoder of that checksum; its own checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {}
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
        return Ranker(_network(columns, "fused"), _network(columns, "without"), manifest.checksum)
    except (OSError, KeyError, ValueError) as error:
        raise ArtifactError(f"{folder} cannot be read by this version ({error}); train it again") from error


def _network(columns: dict[str, npt.NDArray[Any]], mode: str) -> Network | None:
    if f"{mode}.mean" not in columns:
        return None
    return Network(**{field.name: columns[f"{mode}.{field.name}"] for field in fields(Network)})
