"""Readings of the environment out of a CSV file, by a mapping of its columns."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ...core.clock import NS_PER_HOUR, NS_PER_SECOND
from ...core.environment import EnvironmentReading, Weather
from ...core.errors import ConfigError

# Words that records of weather use, by ours; a word that is not here is an error, never a guess.
WORDS = {
    Weather.SUN: ("sun", "sunny", "clear", "fair"),
    Weather.CLOUDS: ("clouds", "cloudy", "overcast", "fog", "mist", "haze"),
    Weather.RAIN: ("rain", "drizzle", "showers", "storm", "thunderstorm", "sleet", "hail"),
    Weather.SNOW: ("snow", "blizzard"),
}
_WEATHER = {word: weather for weather, words in WORDS.items() for word in words}


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column tells what; an empty name is not there. `place` is the place of every row without a column of it.

    `time_format` is strptime's; times without a zone are UTC.
    """

    time: str
    time_format: str
    place: str = ""
    place_column: str = ""
    weather: str = ""
    temperature: str = ""
    crowd: str = ""
    fahrenheit: bool = False


@dataclass(frozen=True, slots=True)
class TimedReading:
    """A reading with the time it is of (ns UTC)."""

    event_time: int
    reading: EnvironmentReading


def readings(path: Path, columns: Columns, valid_hours: float, moved_to_ns: int = 0) -> Iterator[TimedReading]:
    """The file's rows in its order, each holding for `valid_hours`; ConfigError names file, line and column.

    Args:
        moved_to_ns: if not 0, all times are moved so that the first row is of then.
    """
    moved = 0
    for line, row in _rows(path, columns):
        at = _time(row[columns.time], columns, path, line)
        if moved_to_ns and not moved:
            moved = moved_to_ns - at
        at += moved
        yield TimedReading(
            at,
            EnvironmentReading(
                place_id=row[columns.place_column] if columns.place_column else columns.place,
                weather=_weather(row[columns.weather], path, line) if columns.weather else None,
                temperature_c=_temperature(row, columns, path, line),
                crowd=_number(row[columns.crowd], path, line, columns.crowd) if columns.crowd else None,
                expires=at + int(valid_hours * NS_PER_HOUR),
            ),
        )


def _rows(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, str]]]:
    names = (columns.time, columns.place_column, columns.weather, columns.temperature, columns.crowd)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in names if name and name not in (rows.fieldnames or ())]
            if missing:
                raise ConfigError(f"{path} has no column {missing[0]}; it has {', '.join(rows.fieldnames or ())}")
            for row in rows:
                if None in row.values() or None in row:
                    raise ConfigError(f"{path}:{rows.line_num}: the row has not as many values as the first line names")
                yield rows.line_num, row
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; name a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is no CSV in UTF-8: {error}") from error


def _time(text: str, columns: Columns, path: Path, line: int) -> int:
    try:
        moment = datetime.strptime(text, columns.time_format)
    except ValueError as error:
        raise ConfigError(f"{path}:{line}: {error}; say how times are written with --time-format") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * NS_PER_SECOND


def _weather(text: str, path: Path, line: int) -> Weather | None:
    if not text.strip():
        return None
    word = text.strip().lower()
    if word not in _WEATHER:
        raise ConfigError(f"{path}:{line}: weather {text!r} is none of {', '.join(sorted(_WEATHER))}")
    return _WEATHER[word]


def _temperature(row: dict[str, str], columns: Columns, path: Path, line: int) -> float | None:
    if not columns.temperature:
        return None
    degrees = _number(row[columns.temperature], path, line, columns.temperature)
    return (degrees - 32) / 1.8 if degrees is not None and columns.fahrenheit else degrees


def _number(text: str, path: Path, line: int, column: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"{path}:{line}: {column} {text!r} is no number") from error
