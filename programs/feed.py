"""What feeds the streams by hand: `adgram publish` a marketplace, `adgram send` events, `adgram stop` something."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..core.errors import AdgramError, ConfigError
from ..core.event import SOURCE_TYPES, Stop, StopScope, Topic
from ..core.marketplace import Marketplace
from ..core.pseudonym import Pseudonymiser
from . import publishing
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


def publish(
    marketplace: Annotated[Path, typer.Argument(help="Marketplace folder, from `adgram world` or `adgram import`.")],
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    shards: ShardsOption = 0,
    catalogue: Annotated[bool, typer.Option(help="Publish advertisers, campaigns, items, offers, creatives.")] = True,
    history: Annotated[bool, typer.Option(help="Publish the interactions log as feedback, user ids hashed.")] = False,
    config: ConfigOption = None,
) -> None:
    """Publish a marketplace into the source topics; returns when the broker has acknowledged all of it."""
    settings = load(config)
    streaming = streaming_of(settings, bootstrap, prefix, shards)
    market = Marketplace(marketplace)
    pseudonymiser = Pseudonymiser(settings.secret)

    def outgoing() -> Iterator[publishing.Outgoing]:
        if catalogue:
            yield from publishing.catalogue(market, time.time_ns())
        if history:
            yield from publishing.history(market, pseudonymiser)

    with ExitStack() as stack:
        publisher = publisher_on(streaming, stack)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        bar = stack.enter_context(Progress(*columns, console=Console(stderr=True)))
        total = _size(market, catalogue=catalogue, history=history)
        task = bar.add_task(f"publishing {market.manifest.name}", total=total)
        for one in outgoing():
            publisher.publish(one.topic, one.event, one.partition_key)
            bar.advance(task)
        publisher.flush(FLUSH_S)
    print(f"published {total} events of {market.manifest.name} to {streaming.bootstrap}")


def send(
    topic: Annotated[Topic, typer.Argument(help="A source topic, e.g. items.")],
    file: Annotated[Path, typer.Argument(help="Events, one JSON envelope a line; - reads standard input.")],
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    shards: ShardsOption = 0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check events and publish them; nothing is sent unless every line is sound."""
    from ..proto import events

    if topic not in SOURCE_TYPES:
        raise ConfigError(
            f"{topic.value} is no source topic; name one of {', '.join(one.value for one in SOURCE_TYPES)}"
        )
    streaming = streaming_of(load(config), bootstrap, prefix, shards)
    outgoing = []
    for number, line in enumerate(_lines(file), start=1):
        try:
            event = events.decode(topic, line, streaming.max_event_bytes)
        except AdgramError as error:
            raise ConfigError(f"{file}:{number}: {error}; correct it, nothing was sent") from error
        key = events.partition_key(topic, event)
        if key is None:
            raise ConfigError(f"{file}:{number}: the deletion of a creative does not tell its item; stop it instead")
        outgoing.append(publishing.Outgoing(topic, event, key))
    with ExitStack() as stack:
        publisher = publisher_on(streaming, stack)
        for one in outgoing:
            publisher.publish(one.topic, one.event, one.partition_key)
        publisher.flush(FLUSH_S)
    name = streaming.topic(topic)
    answer(f"sent {len(outgoing)} events to {name}", {"topic": name, "sent": len(outgoing)}, as_json=as_json)


def stop(
    scope: Annotated[StopScope, typer.Argument(help="What kind of thing to stop.")],
    target: Annotated[str, typer.Argument(help="Its id.")],
    reason: Annotated[str, typer.Option(help="Why; kept with every decision it touches.")] = "stopped by an operator",
    lift: Annotated[bool, typer.Option("--lift", help="Lift the stop instead.")] = False,
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    config: ConfigOption = None,
) -> None:
    """Halt an advertiser, campaign, creative or item in every engine at once, or lift that again."""
    from ..streaming.log import KafkaPublisher

    streaming = streaming_of(load(config), bootstrap, prefix)
    with ExitStack() as stack:
        # No look at the other topics: whatever is wrong with them, a stop goes out.
        publisher = KafkaPublisher(streaming)
        stack.callback(publisher.close)
        publisher.publish_stop(Stop(scope, target, reason, time.time_ns(), lift))
        publisher.flush(FLUSH_S)
    print(f"{'lifted the stop of' if lift else 'stopped'} {scope.value} {target}")


def _size(market: Marketplace, *, catalogue: bool, history: bool) -> int:
    counts = 0
    if catalogue:
        kinds: tuple[list[Any], ...] = (
            market.advertisers(),
            market.campaigns(),
            market.items(),
            market.offers(),
            market.creatives(),
        )
        counts += sum(map(len, kinds))
    if history:
        counts += market.log("interactions").num_rows
    return counts


def _lines(file: Path) -> list[bytes]:
    if str(file) == "-":
        return sys.stdin.buffer.read().splitlines()
    try:
        return file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}; name a file with one event a line") from error
