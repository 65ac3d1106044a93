"""Implements core.ports.Priors from the scorer's tables."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from ..core.artifact import verified
from ..core.errors import ArtifactError
from .scorer import FORMAT, KIND, TABLES_FILE, Tables


class ScorerPriors:
    """Click rates of items as the log had them, shrunk towards the overall rate; the conversion rate of all."""

    def __init__(self, tables: Tables) -> None:
        self._rates = tables.rates["item"]
        self.p_convert = tables.p_convert

    def p_click(self, item_ids: Sequence[str]) -> npt.NDArray[np.float64]:
        """[M] in order; an item the log never showed has the overall rate."""
        odds = np.array(self._rates.of(item_ids), np.float64)
        return np.asarray(1.0 / (1.0 + np.exp(-odds)), np.float64)


def load_priors(folder: Path) -> ScorerPriors:
    """The priors of the scorer in `folder`; ArtifactError if it is missing, damaged or of another version."""
    verified(folder, KIND, FORMAT)
    try:
        return ScorerPriors(msgspec.json.decode((folder / TABLES_FILE).read_bytes(), type=Tables))
    except (OSError, msgspec.DecodeError, KeyError) as error:
        raise ArtifactError(f"{folder} has no item rates that can be read: {error}; train it again") from error
