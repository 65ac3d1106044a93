"""The click and conversion models: features in, calibrated probabilities out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import msgspec
import numpy as np
import numpy.typing as npt

from ..core.artifact import verified
from ..core.errors import ArtifactError
from .environment import Condition, Lift, Lifts
from .features import Floats, log_odds
from .rates import Rates

KIND = "scorer"
FORMAT = 1
TABLES_FILE = "tables.json"
CLICK_FILE = "click.txt"
CONVERT_FILE = "convert.txt"


@dataclass(frozen=True, slots=True)
class Tables:
    """All of the artefact that is not trees: codes of the categorical features, rates, lifts, and the models' base
    rates.
    """

    vocabularies: dict[str, dict[str, int]]
    rates: dict[str, Rates]
    lifts: tuple[Lift, ...]
    conditions: tuple[Condition, ...]
    p_click: float
    p_convert: float


@dataclass(frozen=True, slots=True)
class Scores:
    """[R] what showing each ad is worth, before the environment's lift."""

    p_click: Floats
    p_convert: Floats  # given a click


@dataclass(frozen=True, slots=True)
class Model:
    """Trees over a base rate: the log-odds of a row are those of the base rate plus what the trees add."""

    base_rate: float
    trees: lgb.Booster | None = None  # None where a log is too thin to grow any

    def predict(self, features: npt.NDArray[np.float32], threads: int) -> Floats:
        """[R] probabilities."""
        if self.trees is None or not len(features):
            return np.full(len(features), self.base_rate)
        added = np.asarray(self.trees.predict(features, raw_score=True, num_threads=threads), np.float64)
        return np.asarray(1.0 / (1.0 + np.exp(-(added + log_odds(np.array(self.base_rate))))), np.float64)


class Scorer:
    """The models with their tables, read-only after loading and safe to use from several threads."""

    def __init__(self, tables: Tables, click: Model, convert: Model, checksum: str, threads: int = 1) -> None:
        self.tables = tables
        self.checksum = checksum
        self.lifts = Lifts(tables.lifts, tables.conditions)
        self._click = click
        self._convert = convert
        self._threads = threads

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> "Scorer":
        """The scorer saved in `folder`; ArtifactError if it is missing, damaged or of another version."""
        manifest = verified(folder, KIND, FORMAT)
        try:
            tables = msgspec.json.decode((folder / TABLES_FILE).read_bytes(), type=Tables)
            click = Model(tables.p_click, _trees(folder / CLICK_FILE))
            convert = Model(tables.p_convert, _trees(folder / CONVERT_FILE))
        except (OSError, msgspec.DecodeError, lgb.basic.LightGBMError) as error:
            raise ArtifactError(f"{folder} cannot be read as a scorer: {error}; train it again") from error
        return cls(tables, click, convert, manifest.checksum, threads)

    def code(self, feature: str, name: str) -> float:
        """A categorical feature's code; NaN for a name that was not seen in training."""
        return self.tables.vocabularies[feature].get(name, np.nan)

    def codes(self, feature: str, names: Sequence[str]) -> Floats:
        """[R] the codes of R names."""
        vocabulary = self.tables.vocabularies[feature]
        return np.array([vocabulary.get(name, np.nan) for name in names], np.float64)

    def score(self, features: npt.NDArray[np.float32]) -> Scores:
        """The probabilities of each row of `features` ([R, F], as `features.matrix` makes them)."""
        return Scores(self._click.predict(features, self._threads), self._convert.predict(features, self._threads))


def save(folder: Path, tables: Tables, models: Mapping[str, Model]) -> None:
    """Afterwards the folder holds the scorer's files; the manifest is sealed by the caller, who knows its notes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TABLES_FILE).write_bytes(msgspec.json.encode(tables))
    for name, model in models.items():
        path = folder / name
        path.unlink(missing_ok=True)
        if model.trees is not None:
            path.write_text(model.trees.model_to_string(), encoding="utf-8")


def _trees(path: Path) -> lgb.Booster | None:
    return lgb.Booster(model_str=path.read_text(encoding="utf-8")) if path.is_file() else None
