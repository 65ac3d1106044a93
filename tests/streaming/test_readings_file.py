"""Readings out of CSV files, good and bad."""

import pytest

from adgram.core.clock import NS_PER_HOUR, NS_PER_SECOND
from adgram.core.environment import EnvironmentReading, Weather
from adgram.core.errors import ConfigError
from adgram.streaming.connectors.readings_file import Columns, readings

COLUMNS = Columns("day", "%Y-%m-%d %H:%M", place="CN/SH", weather="sky", temperature="deg", crowd="people")
HEAD = "day,sky,deg,people,city\n"
SECOND_OF_2024 = 1_704_067_200


def _read(tmp_path, text, columns=COLUMNS, **options):
    file = tmp_path / "weather.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(readings(file, columns, valid_hours=2, **options))


def test_a_row_is_a_reading_of_its_time_that_holds_for_so_long(tmp_path):
    """Words are coarse weather, whatever their case; an empty cell tells nothing."""
    first, second = _read(tmp_path, HEAD + "2024-01-01 00:00,Drizzle,3.5,1.2,x\n2024-01-01 01:00,,,,x\n")
    at = SECOND_OF_2024 * NS_PER_SECOND
    assert (first.event_time, second.event_time) == (at, at + NS_PER_HOUR)
    assert first.reading == EnvironmentReading("CN/SH", Weather.RAIN, 3.5, 1.2, expires=at + 2 * NS_PER_HOUR)
    assert second.reading == EnvironmentReading("CN/SH", expires=at + 3 * NS_PER_HOUR)


def test_places_come_from_a_column_and_fahrenheit_becomes_celsius(tmp_path):
    """The mapping decides what a column means."""
    columns = Columns("day", "%Y-%m-%d %H:%M", place_column="city", temperature="deg", fahrenheit=True)
    (told,) = _read(tmp_path, HEAD + "2024-01-01 00:00,anything,212,,NL\n", columns)
    assert (told.reading.place_id, told.reading.temperature_c, told.reading.weather) == ("NL", pytest.approx(100), None)


def test_times_keep_their_zone_and_can_all_be_moved(tmp_path):
    """A zone that is written counts; moved, the first row is of then and the distances stay."""
    columns = Columns("day", "%Y-%m-%d %H:%M%z", place="NL")
    text = HEAD + "2024-01-01 08:00+0800,,,,\n2024-01-01 01:00+0000,,,,\n"
    assert [one.event_time // NS_PER_SECOND - SECOND_OF_2024 for one in _read(tmp_path, text, columns)] == [0, 3600]
    moved = _read(tmp_path, text, columns, moved_to_ns=7 * NS_PER_HOUR)
    assert [one.event_time // NS_PER_HOUR for one in moved] == [7, 8]
    assert [one.reading.expires // NS_PER_HOUR for one in moved] == [9, 10]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time,sky\n", ("no column day", "time, sky")),
        (HEAD + "2024-01-01 00:00,plague,,,\n", (":2:", "'plague'", "rain")),
        (HEAD + "2024-01-01 00:00,,,,\n01/02/24,,,,\n", (":3:", "--time-format")),
        (HEAD + "2024-01-01 00:00,,warm,,\n", (":2:", "deg 'warm' is no number")),
        (HEAD + "2024-01-01 00:00,sun\n", (":2:", "not as many values")),
        (HEAD + "2024-01-01 00:00,sun,1,1,x,more\n", (":2:", "not as many values")),
        (b"day,\xff\n", ("no CSV in UTF-8",)),
    ],
)
def test_a_bad_row_is_one_line_with_file_and_place(tmp_path, text, words):
    """What is wrong and where; nothing is guessed."""
    with pytest.raises(ConfigError) as caught:
        _read(tmp_path, text)
    assert "weather.csv" in str(caught.value) and all(word in str(caught.value) for word in words), caught.value


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    """It is named."""
    with pytest.raises(ConfigError, match=r"gone\.csv"):
        list(readings(tmp_path / "gone.csv", COLUMNS, 1))
