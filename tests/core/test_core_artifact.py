"""Artefacts: verified before they are used."""

from pathlib import Path

import pytest

from adgram.core.artifact import seal, verified
from adgram.core.errors import ArtifactError


def test_a_sealed_folder_verifies_and_keeps_its_checksum(tmp_path: Path) -> None:
    """The checksum is the same when read again, and another when a file differs."""
    (tmp_path / "weights.bin").write_bytes(b"abc")
    first = seal(tmp_path, "decoder", 1, {"seed": 3})
    assert verified(tmp_path, "decoder", 1).checksum == first.checksum
    (tmp_path / "weights.bin").write_bytes(b"abd")
    assert seal(tmp_path, "decoder", 1, {"seed": 3}).checksum != first.checksum


@pytest.mark.parametrize("harm", ["change", "remove", "kind", "format", "manifest", "nothing"])
def test_a_damaged_or_foreign_artefact_is_refused(tmp_path: Path, harm: str) -> None:
    """Whatever is wrong with it, loading says so in one line and never half-loads."""
    (tmp_path / "weights.bin").write_bytes(b"abc")
    if harm != "nothing":
        seal(tmp_path, "scorer" if harm == "kind" else "decoder", 2 if harm == "format" else 1, {})
    if harm == "change":
        (tmp_path / "weights.bin").write_bytes(b"xyz")
    if harm == "remove":
        (tmp_path / "weights.bin").unlink()
    if harm == "manifest":
        (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError):
        verified(tmp_path, "decoder", 1)
