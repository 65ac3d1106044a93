"""Rows of CSV, TSV and JSON Lines files as dictionaries of text, with errors that name file, line and column."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ...core.errors import MarketplaceError

DELIMITERS = {".csv": ",", ".tsv": "\t"}


def rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row as (line number, text by column); all of `columns` are there, MarketplaceError otherwise.

    The format follows the file's ending: .csv, .tsv, .jsonl. Lists of a JSON line are joined by "|".
    """
    if not path.is_file():
        raise MarketplaceError(f"no file {path}; name the folder or file to import")
    if path.suffix == ".jsonl":
        return _json_rows(path, columns)
    if path.suffix in DELIMITERS:
        return _delimited_rows(path, columns, DELIMITERS[path.suffix])
    raise MarketplaceError(f"{path} is none of .csv, .tsv, .jsonl; rename or convert it")


def _delimited_rows(path: Path, columns: Sequence[str], delimiter: str) -> Iterator[tuple[int, dict[str, str]]]:
    # csv's own quoting is only for commas: a TSV's quotes are part of its text.
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, quoting=quoting)
        header = reader.fieldnames or []
        _require(path, columns, header)
        try:
            for number, row in enumerate(reader, start=2):
                short = next((column for column in columns if row[column] is None), None)
                if short is not None:
                    raise MarketplaceError(f"{path}:{number}: the row ends before the column {short}")
                yield number, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise MarketplaceError(f"{path}: {error}") from error


def _json_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    decoder = msgspec.json.Decoder(dict[str, object])
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = decoder.decode(line)
            except msgspec.DecodeError as error:
                raise MarketplaceError(f"{path}:{number}: {error}") from error
            _require(path, columns, tuple(row), number)
            yield number, {name: _text(value) for name, value in row.items()}


def _require(path: Path, columns: Sequence[str], present: Sequence[str], line: int | None = None) -> None:
    missing = next((column for column in columns if column not in present), None)
    if missing is not None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        raise MarketplaceError(f"{where} lacks the column {missing}; it has {', '.join(present) or 'none'}")


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "|".join(map(str, value))
    return str(value)


def number(text: str, path: Path, line: int, column: str) -> float:
    """A number in a cell, 0 for an empty one; MarketplaceError names the cell."""
    try:
        return float(text) if text else 0.0
    except ValueError as error:
        raise MarketplaceError(f"{path}:{line}: column {column} is not a number: {text!r}") from error
