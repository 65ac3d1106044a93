"""The decoder's artefact: its shape, its weights, and the tokenizer it was trained with."""

import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from ..core.artifact import seal, verified
from ..core.errors import ArtifactError
from .decoder import DecoderShape, SemanticDecoder
from .tokenizer import load_encoder

KIND = "decoder"
FORMAT = 1
_SHAPE = "shape.json"
_WEIGHTS = "weights.pt"


@dataclass(frozen=True, slots=True)
class LoadedDecoder:
    """A decoder with its artefact's checksum."""

    decoder: SemanticDecoder
    model: str


def save_decoder(folder: Path, decoder: SemanticDecoder, tokenizer: str, notes: dict[str, Any]) -> None:
    """Afterwards `folder` is a decoder artefact for the tokenizer of that checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _SHAPE).write_bytes(msgspec.json.encode(asdict(decoder.shape)))
    torch.save(decoder.state_dict(), folder / _WEIGHTS)
    seal(folder, KIND, FORMAT, {**notes, "tokenizer": tokenizer})


def load_decoder(folder: Path, tokenizer_folder: Path) -> LoadedDecoder:
    """The decoder in `folder`; ArtifactError if it is missing, damaged, or trained with another tokenizer."""
    manifest = verified(folder, KIND, FORMAT)
    encoder = load_encoder(tokenizer_folder)
    if manifest.notes.get("tokenizer") != encoder.model:
        raise ArtifactError(
            f"{folder} was trained with tokenizer {manifest.notes.get('tokenizer')}, "
            f"{tokenizer_folder} is {encoder.model}; train both again with `adgram train --force`"
        )
    try:
        shape = msgspec.json.decode((folder / _SHAPE).read_bytes(), type=DecoderShape)
        decoder = SemanticDecoder(shape, torch.zeros(shape.levels, shape.codes, shape.vector_width))
        decoder.load_state_dict(torch.load(folder / _WEIGHTS, map_location="cpu", weights_only=True))
    except (msgspec.DecodeError, RuntimeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{folder} cannot be read by this version ({reason}); train it again") from error
    return LoadedDecoder(decoder.eval(), manifest.checksum)
