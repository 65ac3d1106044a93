"""Configuration: frozen dataclasses read from TOML, where an unknown key is an error that names the nearest valid
one.
"""

import dataclasses
import difflib
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .errors import ConfigError

T = TypeVar("T")


def from_toml(path: Path, schema: type[T]) -> T:
    """The configuration in a TOML file; ConfigError if it cannot be read or does not fit `schema`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; name an existing TOML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    return from_mapping(values, schema, str(path))


def from_mapping(values: Mapping[str, Any], schema: type[T], origin: str) -> T:
    """`values` as a `schema` instance; ConfigError names the offending key and its nearest valid neighbour."""
    _refuse_unknown(values, schema, origin, prefix="")
    try:
        return msgspec.convert(dict(values), schema)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {error}") from error


def _refuse_unknown(values: Mapping[str, Any], schema: type[Any], origin: str, prefix: str) -> None:
    hints = typing.get_type_hints(schema)
    names = [field.name for field in dataclasses.fields(schema)]
    for key, value in values.items():
        if key not in hints or key not in names:
            near = difflib.get_close_matches(key, names, n=1, cutoff=0)
            advice = f"; did you mean {prefix}{near[0]}?" if near else ""
            raise ConfigError(f"{origin}: unknown key {prefix}{key}{advice}")
        if dataclasses.is_dataclass(hints[key]) and isinstance(value, Mapping):
            _refuse_unknown(value, typing.cast(type[Any], hints[key]), origin, f"{prefix}{key}.")
