"""Configuration: unknown keys are errors with a hint."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adgram.core.config import from_toml
from adgram.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Inner:
    beam_width: int = 32


@dataclass(frozen=True, slots=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    currency: str = "CNY"


def test_values_replace_defaults(tmp_path: Path) -> None:
    """What the file says replaces the default, and what it does not say stays."""
    path = tmp_path / "a.toml"
    path.write_text("[inner]\nbeam_width = 8\n")
    assert from_toml(path, Outer) == Outer(Inner(8))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("curency = 'x'", "unknown key curency; did you mean currency?"),
        ("[inner]\nbeamwidth = 3", "unknown key inner.beamwidth; did you mean inner.beam_width?"),
        ("currency = 3", "$.currency"),
        ("= 3", "is not TOML"),
    ],
)
def test_a_wrong_file_is_one_line_that_helps(tmp_path: Path, text: str, words: str) -> None:
    """The error names the key, and the nearest valid one."""
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        from_toml(path, Outer)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error names the file that is not there."""
    with pytest.raises(ConfigError, match=r"nothing\.toml"):
        from_toml(tmp_path / "nothing.toml", Outer)
