"""The weather service, played by a server on this machine that speaks its JSON."""

import json

import pytest
from weather_service import Service, forecast, weather_service

from adgram.core.clock import NS_PER_HOUR, NS_PER_SECOND
from adgram.core.environment import EnvironmentReading, Weather
from adgram.core.errors import ConfigError, Unavailable
from adgram.streaming.connectors.open_meteo import OpenMeteo, Spot, weather_of
from adgram.streaming.local_broker import free_port

HOUR = 490_000
NOW = HOUR * NS_PER_HOUR + NS_PER_HOUR // 2
SPOTS = [Spot("CN/SH", 31.23, 121.47), Spot("NL", 52.37, 4.89)]
TIMEOUT_S = 30.0


@pytest.fixture
def service():
    with weather_service() as running:
        yield running


def _ask(service, spots=SPOTS):
    source = OpenMeteo(service.url, 24, TIMEOUT_S)
    try:
        return source.readings(spots, NOW, valid_s=900)
    finally:
        source.close()


def test_each_place_is_told_now_and_by_hour_in_one_request(service):
    """Now holds for as long as asked; hours that are over are left out; places come in the order of the question."""
    service.body = json.dumps([forecast((HOUR - 1, HOUR, HOUR + 1)), forecast((), 3.0, 0)]).encode()
    expires = NOW + 900 * NS_PER_SECOND
    assert _ask(service) == [
        EnvironmentReading("CN/SH", Weather.RAIN, 12.5, expires=expires),
        EnvironmentReading("CN/SH", Weather.SNOW, 13.5, hour=HOUR),
        EnvironmentReading("CN/SH", Weather.SNOW, 13.5, hour=HOUR + 1),
        EnvironmentReading("NL", Weather.SUN, 3.0, expires=expires),
    ]
    (asked,) = service.asked
    assert asked["path"] == "/v1/forecast"
    assert (asked["latitude"], asked["longitude"]) == (["31.23000,52.37000"], ["121.47000,4.89000"])
    assert (asked["forecast_hours"], asked["timeformat"]) == (["24"], ["unixtime"])


def test_one_place_is_answered_without_a_list_and_unknown_values_stay_unknown(service):
    """The service writes one forecast as an object, and null where it does not know."""
    service.body = json.dumps(forecast((HOUR,)) | {"current": {"temperature_2m": None, "weather_code": None}}).encode()
    now, *_ = _ask(service, SPOTS[:1])
    assert (now.weather, now.temperature_c) == (None, None)


@pytest.mark.parametrize(
    ("code", "weather"),
    [
        (None, None), (0, Weather.SUN), (1, Weather.SUN), (2, Weather.CLOUDS), (45, Weather.CLOUDS), (51, Weather.RAIN),
        (66, Weather.RAIN), (77, Weather.SNOW), (80, Weather.RAIN), (86, Weather.SNOW), (99, Weather.RAIN),
    ],
)  # fmt: skip
def test_codes_of_the_world_meteorological_organisation_become_coarse_weather(code, weather):
    """Drizzle, sleet, showers and thunder are rain; fog is clouds."""
    assert weather_of(code) is weather


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (500, b"oops", Unavailable, "500 Internal Server Error"),
        (429, b'{"error": true, "reason": "Hourly limit exceeded"}', Unavailable, "429 Hourly limit exceeded"),
        (400, b'{"error": true, "reason": "Latitude 95 is too far north"}', ConfigError, "400 Latitude 95"),
        (404, b"<html>", ConfigError, "correct the places or the address"),
        (200, b"<html>", Unavailable, "no forecast"),
        (200, b"\xff", Unavailable, "no forecast"),
        (200, b"[]", Unavailable, "0 forecasts for 2 places"),
        (200, json.dumps([forecast((HOUR,)), {"current": {}}]).encode(), Unavailable, "no forecast"),
        (200, json.dumps([forecast((HOUR,)), forecast((HOUR,), code="rain")]).encode(), Unavailable, "no forecast"),
    ],
)
def test_what_is_no_forecast_is_one_line_that_says_whether_to_try_again(service, status, body, error, words):
    """Unavailable where the next try may do better, ConfigError where only another question would."""
    service.status, service.body = status, body
    with pytest.raises(error) as caught:
        _ask(service)
    assert words in str(caught.value) and "\n" not in str(caught.value) and service.url in str(caught.value)


def test_hours_without_values_are_no_forecast(service):
    """A column that is shorter than the times would tell one hour's weather of another."""
    torn = forecast((HOUR, HOUR + 1))
    torn["hourly"]["weather_code"].pop()
    service.body = json.dumps(torn).encode()
    with pytest.raises(Unavailable, match="hours without values"):
        _ask(service, SPOTS[:1])


def test_a_service_that_is_away_is_worth_another_try():
    """The address is named."""
    with pytest.raises(Unavailable, match="no weather service answers"):
        _ask(Service(f"http://127.0.0.1:{free_port()}"))
