"""`adgram ingest weather`: feeds the topic `environment` from a weather service, or from a file."""

import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import tenacity
import typer

from ..core.clock import NS_PER_SECOND
from ..core.environment import EnvironmentReading
from ..core.errors import ConfigError, Unavailable
from ..core.event import Event, Topic
from ..core.surroundings import CELL_RESOLUTIONS, cell_of, require_readable
from .interrupts import stop_event
from .settings import load
from .streams import (
    FLUSH_S,
    BootstrapOption,
    ConfigOption,
    JsonOption,
    PrefixOption,
    ShardsOption,
    answer,
    publisher_on,
    streaming_of,
)

if TYPE_CHECKING:
    from ..streaming.connectors.open_meteo import OpenMeteo, Spot
    from ..streaming.log import KafkaPublisher

SERVICE = "https://api.open-meteo.com"
TIMEOUT_S = 10.0
LONGEST_WAIT_S = 60.0  # between two tries
logger = structlog.get_logger(__name__)
weather = typer.Typer(no_args_is_help=True, help="Feed the environment: from a weather service, or from a file.")


@weather.command()
def service(
    at: Annotated[
        list[str],
        typer.Option(help="LATITUDE,LONGITUDE (told of its H3 cell) or PLACE=LATITUDE,LONGITUDE; may be repeated."),
    ],
    url: Annotated[str, typer.Option(help="Open-Meteo, or your own instance of it.")] = SERVICE,
    every_s: Annotated[float, typer.Option(help="Seconds between two looks at a place.")] = 900.0,
    hours: Annotated[int, typer.Option(help="Hours of forecast to tell.")] = 24,
    tries: Annotated[int, typer.Option(help="Tries of one look, with growing waits, before it is left out.")] = 5,
    rate: Annotated[float, typer.Option(help="Requests a second to the service at most.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    shards: ShardsOption = 0,
    config: ConfigOption = None,
) -> None:
    """Publish the weather of places, now and by hour, until stopped (Ctrl-C or SIGTERM)."""
    from ..streaming.connectors.open_meteo import SPOTS_PER_REQUEST, OpenMeteo

    spots = [_spot(one) for one in at]
    streaming = streaming_of(load(config), bootstrap, prefix, shards)
    with ExitStack() as stack:
        publisher = publisher_on(streaming, stack)
        source = OpenMeteo(url, hours, TIMEOUT_S)
        stack.callback(source.close)
        stopping = stop_event()
        while True:
            for start in range(0, len(spots), SPOTS_PER_REQUEST):
                some = spots[start : start + SPOTS_PER_REQUEST]
                told = _looked(source, some, tries, stopping, valid_s=3 * every_s)
                _publish(publisher, "open-meteo", time.time_ns(), told)
                publisher.flush(FLUSH_S)
                logger.info("weather told", places=len(some), readings=len(told))
                if stopping.wait(1 / rate):
                    break
            if once or stopping.wait(every_s):
                break


@weather.command()
def replay(
    file: Annotated[Path, typer.Argument(help="CSV with a line of column names.")],
    time_column: Annotated[str, typer.Option(help="The column of times.")],
    time_format: Annotated[str, typer.Option(help="How they are written, as strptime has it.")] = "%Y/%m/%d",
    place: Annotated[str, typer.Option(help="The place of all rows: COUNTRY/REGION/CITY or an H3 cell.")] = "",
    place_column: Annotated[str, typer.Option(help="The column of places, instead.")] = "",
    weather_column: Annotated[str, typer.Option(help="The column of words such as rain.")] = "",
    temperature_column: Annotated[str, typer.Option(help="The column of temperatures, in °C.")] = "",
    fahrenheit: Annotated[bool, typer.Option("--fahrenheit", help="Temperatures are in °F.")] = False,
    crowd_column: Annotated[str, typer.Option(help="The column of crowds, 1 being the usual.")] = "",
    valid_hours: Annotated[float, typer.Option(help="How long a reading holds.")] = 24.0,
    from_now: Annotated[bool, typer.Option("--from-now", help="Move all times: the first row is of now.")] = False,
    rate: Annotated[float, typer.Option(help="Readings a second at most.")] = 100.0,
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    shards: ShardsOption = 0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Publish a file of readings, oldest first as it stands; Ctrl-C or SIGTERM ends it after the reading under way."""
    from ..streaming.connectors.readings_file import Columns, readings

    if bool(place) == bool(place_column):
        raise ConfigError("say where the readings are from: either --place or --place-column")
    columns = Columns(
        time_column, time_format, place, place_column, weather_column, temperature_column, crowd_column, fahrenheit
    )
    streaming = streaming_of(load(config), bootstrap, prefix, shards)
    sent = 0
    with ExitStack() as stack:
        publisher = publisher_on(streaming, stack)
        stopping = stop_event()
        began = time.monotonic()
        for one in readings(file, columns, valid_hours, time.time_ns() if from_now else 0):
            if stopping.wait(max(0.0, began + sent / rate - time.monotonic())):
                break
            _publish(publisher, file.name, one.event_time, [one.reading])
            sent += 1
        publisher.flush(FLUSH_S)
    answer(f"sent {sent} readings of {file}", {"sent": sent, "stopped": stopping.is_set()}, as_json=as_json)


def _looked(
    source: "OpenMeteo", spots: "list[Spot]", tries: int, stopping: threading.Event, valid_s: float
) -> list[EnvironmentReading]:
    """What the service says; nothing when it does not answer after all tries, since the next look comes soon."""
    attempts = tenacity.Retrying(
        stop=tenacity.stop_any(tenacity.stop_after_attempt(tries), tenacity.stop_when_event_set(stopping)),
        wait=tenacity.wait_exponential_jitter(initial=1.0, max=LONGEST_WAIT_S),
        retry=tenacity.retry_if_exception_type(Unavailable),
        sleep=tenacity.sleep_using_event(stopping),
        reraise=True,
    )
    try:
        return attempts(lambda: source.readings(spots, time.time_ns(), valid_s))
    except Unavailable as error:
        logger.warning("no weather this time", reason=str(error), tries=tries)
        return []


def _publish(publisher: "KafkaPublisher", source: str, event_time: int, told: list[EnvironmentReading]) -> None:
    for reading in told:
        # The same reading told again has the same id, and folds to the same row.
        event_id = f"{source}/{reading.place_id}/{event_time // NS_PER_SECOND}/{reading.hour}"
        publisher.publish(Topic.ENVIRONMENT, Event(event_id, event_time, reading.place_id, reading))


def _spot(text: str) -> "Spot":
    from ..streaming.connectors.open_meteo import Spot

    place, _, point = text.rpartition("=")
    latitude, _, longitude = point.partition(",")
    try:
        here = Spot(place, float(latitude), float(longitude))
    except ValueError as error:
        raise ConfigError(f"--at {text!r} is not LATITUDE,LONGITUDE or PLACE=LATITUDE,LONGITUDE") from error
    cell = cell_of(here.latitude, here.longitude, CELL_RESOLUTIONS[-1])  # weather is the same over some 250 km²
    if not cell:
        raise ConfigError(f"--at {text!r} is not on Earth; degrees go from -90 to 90 and from -180 to 180")
    if place:
        require_readable(place)
    return Spot(place or cell, here.latitude, here.longitude)
