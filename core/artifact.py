"""Trained models on disk: a folder with a manifest that names every file's checksum, and one checksum for all."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from .errors import ArtifactError

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artefact is: its kind, the format version of that kind, its files' SHA-256, and what its trainer
    noted.
    """

    kind: str
    format: int
    files: dict[str, str]
    notes: dict[str, Any]

    @property
    def checksum(self) -> str:
        """One name for the whole artefact: it changes when any file does."""
        lines = [self.kind, str(self.format), *(f"{name} {digest}" for name, digest in sorted(self.files.items()))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def seal(folder: Path, kind: str, format: int, notes: Mapping[str, Any]) -> Manifest:
    """Afterwards `folder` holds a manifest over the files now in it."""
    files = {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = Manifest(kind, format, files, dict(notes))
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    return manifest


def require(folder: Path, kind: str) -> Path:
    """The manifest's path; ArtifactError where there is no model of this kind at all."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"no {kind} model in {folder}; train one with `adgram train`")
    return path


def verified(folder: Path, kind: str, format: int) -> Manifest:
    """The manifest of an artefact whose files are all present and unchanged; ArtifactError otherwise."""
    path = require(folder, kind)
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise ArtifactError(f"{path} is not a manifest: {error}") from error
    if manifest.kind != kind or manifest.format != format:
        found = f"{manifest.kind} format {manifest.format}"
        raise ArtifactError(f"{folder} holds {found}, this version reads {kind} format {format}; train it again")
    for name, digest in manifest.files.items():
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            raise ArtifactError(
                f"{folder / name} is missing or was changed since training; train it again or restore it"
            )
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
