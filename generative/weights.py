"""The decoder's artefact: its shape and weights, the words it reads, the memories beside it, and how all are fused."""

import pickle
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from ..core.artifact import seal, verified
from ..core.errors import ArtifactError
from .companions import CompanionTable
from .decoder import DecoderShape, SemanticDecoder
from .fusion import Fusion
from .tokenizer import load_encoder
from .wording import Wording

KIND = "decoder"
FORMAT = 4
_SHAPE = "shape.json"
_WEIGHTS = "weights.pt"
_PROFILER = "profiler.pt"  # of a network of the same shape that reads no words; absent where the decoder is its own
_WORDING = "wording.npz"
_COMPANIONS = "companions.npz"
_FUSION = "fusion.json"
_TOKENIZER = "tokenizer.txt"  # its checksum, so that the decoder's own names both


@dataclass(frozen=True, slots=True)
class LoadedDecoder:
    """What proposes: a decoder, the two memories beside it and how they are fused, with their artefact's checksum."""

    decoder: SemanticDecoder
    profiler: SemanticDecoder  # whose profile searches memory; may be the decoder
    wording: Wording
    companions: CompanionTable
    fusion: Fusion
    model: str
    notes: dict[str, Any]  # its trainer's


def save_decoder(
    folder: Path,
    decoder: SemanticDecoder,
    wording: Wording,
    companions: CompanionTable,
    fusion: Fusion,
    tokenizer: str,
    notes: dict[str, Any],
    profiler: SemanticDecoder | None = None,
) -> str:
    """Afterwards `folder` is a decoder artefact for the tokenizer of that checksum; its own checksum. `profiler` has
    the decoder's shape but for words; without one, memory is searched with the decoder's own profile."""
    if wording.width != decoder.shape.word_width:
        raise ValueError(f"the decoder reads {decoder.shape.word_width} numbers of words, there are {wording.width}")
    if profiler is None and wording.width:
        raise ValueError("memory holds no words, so it is searched by a network that reads none")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _SHAPE).write_bytes(msgspec.json.encode(asdict(decoder.shape)))
    torch.save(decoder.state_dict(), folder / _WEIGHTS)
    (folder / _PROFILER).unlink(missing_ok=True)
    if profiler is not None and profiler is not decoder:
        torch.save(profiler.state_dict(), folder / _PROFILER)
    np.savez(folder / _WORDING, allow_pickle=False, rarity=wording.rarity, meanings=wording.meanings)
    np.savez(folder / _COMPANIONS, allow_pickle=False, **_columns(companions))
    (folder / _FUSION).write_bytes(msgspec.json.encode(fusion))
    (folder / _TOKENIZER).write_text(tokenizer, encoding="ascii")
    return seal(folder, KIND, FORMAT, {**notes, "tokenizer": tokenizer}).checksum


def load_decoder(folder: Path, tokenizer_folder: Path) -> LoadedDecoder:
    """The decoder in `folder`; ArtifactError if it is missing, damaged, or trained with another tokenizer."""
    manifest = verified(folder, KIND, FORMAT)
    encoder = load_encoder(tokenizer_folder)
    if manifest.notes.get("tokenizer") != encoder.model:
        raise ArtifactError(
            f"{folder} was trained with tokenizer {manifest.notes.get('tokenizer')}, "
            f"{tokenizer_folder} is {encoder.model}; run `adgram train` to train what is stale"
        )
    try:
        shape = msgspec.json.decode((folder / _SHAPE).read_bytes(), type=DecoderShape)
        decoder = _network(shape, folder / _WEIGHTS)
        own = (folder / _PROFILER).is_file()
        profiler = _network(replace(shape, word_width=0), folder / _PROFILER) if own else decoder
        wording = _wording(folder / _WORDING, shape)
        companions = _companions(folder / _COMPANIONS)
        fusion = msgspec.json.decode((folder / _FUSION).read_bytes(), type=Fusion)
    except (msgspec.DecodeError, OSError, RuntimeError, KeyError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{folder} cannot be read by this version ({reason}); train it again") from error
    return LoadedDecoder(decoder, profiler, wording, companions, fusion, manifest.checksum, manifest.notes)


def _network(shape: DecoderShape, weights: Path) -> SemanticDecoder:
    network = SemanticDecoder(shape, torch.zeros(shape.levels, shape.codes, shape.vector_width))
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


def _wording(path: Path, shape: DecoderShape) -> Wording:
    with np.load(path, allow_pickle=False) as file:
        wording = Wording(file["rarity"], file["meanings"])
    if wording.width != shape.word_width:
        raise ValueError(f"{wording.width} numbers a word, the decoder reads {shape.word_width}")
    return wording


def _columns(table: CompanionTable) -> dict[str, Any]:
    return {field.name: np.asarray(getattr(table, field.name)) for field in fields(table)}


def _companions(path: Path) -> CompanionTable:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in ("item_ids", "bounds", "companions", "weights")}
        return CompanionTable(**arrays, decay=float(file["decay"]), last=int(file["last"]))
