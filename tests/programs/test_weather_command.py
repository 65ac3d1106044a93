"""`adgram ingest weather` and `adgram ingest reset` on a real broker."""

import json
import time

import pytest
from inline_worker import folded
from weather_service import forecast, weather_service

from adgram.core.catalogue import Item
from adgram.core.clock import NS_PER_HOUR
from adgram.core.environment import Weather
from adgram.core.errors import ConfigError
from adgram.core.event import Event, Topic
from adgram.core.surroundings import CELL_RESOLUTIONS, cell_of
from adgram.streaming.config import StreamingConfig
from adgram.streaming.log import KafkaPublisher
from adgram.streaming.topics import ensure_topics


@pytest.fixture
def config(local_broker, topic_prefix):
    config = StreamingConfig(bootstrap=local_broker, topic_prefix=topic_prefix, shards=2)
    ensure_topics(config)
    return config


@pytest.fixture
def ingest(adgram_here, config):
    """Runs `adgram ingest …` on the test's own topics."""
    place = ("--bootstrap", config.bootstrap, "--prefix", config.topic_prefix, "--shards", config.shards)
    return lambda *arguments: adgram_here("ingest", *arguments, *place)


@pytest.mark.e2e
def test_weather_of_a_service_is_in_memory_under_its_place_or_cell(ingest, config, hashing_encoder):
    """One look: both places, now and by hour, from the service through Kafka into a snapshot."""
    now = time.time_ns()
    hour = now // NS_PER_HOUR
    with weather_service() as service:
        service.body = json.dumps([forecast((hour, hour + 2)), forecast((hour + 1,), -3.0, 0)]).encode()
        place = ("--at", "CN/SH=31.23,121.47", "--at", "52.37,4.89")
        told = ingest("weather", "service", *place, "--url", service.url, "--rate", 1000, "--once")
        assert told.exit_code == 0, told.output
        service.status, service.body = 400, b'{"reason": "no such place"}'
        refused = ingest("weather", "service", *place, "--url", service.url, "--once")
        assert isinstance(refused.exception, ConfigError) and "no such place" in str(refused.exception)
        service.status = 503
        away = ingest("weather", "service", *place, "--url", service.url, "--tries", 1, "--rate", 1000, "--once")
        assert away.exit_code == 0, "the next look comes soon"
    memory = folded(config, hashing_encoder)
    shanghai, amsterdam = (
        memory.environment(key, now) for key in ("CN/SH", cell_of(52.37, 4.89, CELL_RESOLUTIONS[-1]))
    )
    assert (shanghai.temperature_c, amsterdam.weather, amsterdam.temperature_c) == (12.5, Weather.SUN, -3.0)
    assert memory.environment("CN/SH", (hour + 2) * NS_PER_HOUR).weather is Weather.SNOW, "no look holds so long"


@pytest.mark.parametrize(
    ("at", "words"), [("north", "LATITUDE,LONGITUDE"), ("95,0", "not on Earth"), ("x=1", "LATITUDE,LONGITUDE")]
)
def test_a_place_that_is_none_is_one_line(adgram_here, at, words):
    """Before anything is asked or sent."""
    refused = adgram_here("ingest", "weather", "service", "--at", at)
    assert isinstance(refused.exception, ConfigError) and words in str(refused.exception)


@pytest.mark.e2e
def test_weather_of_a_file_is_replayed_from_now(ingest, config, hashing_encoder, tmp_path):
    """The first row is of now, whenever it was recorded."""
    file = tmp_path / "weather.csv"
    file.write_text("day,sky,deg\n2012/01/01,drizzle,50\n")
    columns = ("--time-column", "day", "--weather-column", "sky", "--temperature-column", "deg", "--fahrenheit")
    told = ingest("weather", "replay", file, "--place", "US/WA/Seattle", *columns, "--from-now", "--json")
    assert json.loads(told.stdout.splitlines()[-1]) == {"sent": 1, "stopped": False}, told.output
    found = folded(config, hashing_encoder).environment("US/WA/Seattle", time.time_ns())
    assert (found.weather, found.temperature_c) == (Weather.RAIN, 10.0)
    nowhere = ingest("weather", "replay", file, *columns)
    assert isinstance(nowhere.exception, ConfigError) and "--place" in str(nowhere.exception)


@pytest.mark.e2e
def test_a_reset_lets_shards_read_a_topic_from_its_beginning(ingest, config, hashing_encoder):
    """What had been covered is folded again, which changes no row; other topics go on where they were."""
    publisher = KafkaPublisher(config, linger_ms=0)
    for number in range(4):
        publisher.publish(Topic.ITEMS, Event(f"e{number}", time.time_ns(), f"i{number}", Item(f"i{number}", "t")))
    publisher.flush(10)
    publisher.close()
    before = folded(config, hashing_encoder)
    done = ingest("reset", "items", "--yes", "--json")
    assert json.loads(done.stdout.splitlines()[-1]) == {"topics": [config.topic(Topic.ITEMS)], "shards": 2}, done.output
    after = folded(config, hashing_encoder)
    commits = [now - then for now, then in zip(after.version.numbers, before.version.numbers, strict=True)]
    assert commits == [4, 4], "two owners; one forgot the offsets, one told the items again"
    assert set(after.items.item_ids) == set(before.items.item_ids) == {f"i{number}" for number in range(4)}
    refused = ingest("reset", "commits", "--yes")
    assert isinstance(refused.exception, ConfigError) and "no source topic" in str(refused.exception)
