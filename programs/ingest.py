"""`adgram ingest` and its companions: the worker that folds events into memory, and what feeds it."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from ..core.clock import SystemClock
from ..core.errors import AdgramError, ConfigError, Unavailable
from ..core.event import SOURCE_TYPES, Stop, StopScope, Topic
from ..core.marketplace import Marketplace
from ..core.pseudonym import Pseudonymiser
from ..memory.config import MemoryConfig
from ..streaming.config import StreamingConfig
from . import publishing
from .settings import Settings, load

if TYPE_CHECKING:
    from ..streaming.log import KafkaPublisher
    from ..streaming.shards import Shards

FLUSH_S = 120.0  # a whole catalogue may still be queued when the last event was handed over
logger = structlog.get_logger(__name__)

BootstrapOption = Annotated[str, typer.Option(help="Kafka as host:port; the configuration's if not given.")]
PrefixOption = Annotated[str, typer.Option(help="What topic names begin with; the configuration's if not given.")]
ShardsOption = Annotated[int, typer.Option(help="Partitions of every source topic; the configuration's if 0.")]
ConfigOption = Annotated[Path | None, typer.Option(help="TOML with the sections of docs/CONFIGURATION.md.")]


def ingest(
    models: Annotated[Path, typer.Option(help="Folder of trained models; the tokenizer in it encodes new items.")],
    bootstrap: BootstrapOption = "",
    milvus: Annotated[str, typer.Option(help="Milvus URI to write commits to as well; none by default.")] = "",
    prefix: PrefixOption = "",
    shards: ShardsOption = 0,
    batch: Annotated[
        bool, typer.Option(help="Use the high-rate consumer instead of faust (same folds, same offsets).")
    ] = False,
    until_idle: Annotated[
        float, typer.Option(help="With --batch: stop after so many seconds without an event; 0 = never.")
    ] = 0.0,
    sink: Annotated[
        bool,
        typer.Option(help="Write to Milvus from this worker: one of a deployment does, the others --no-sink."),
    ] = True,
    config: ConfigOption = None,
) -> None:
    """Fold source events into versioned memory until stopped (Ctrl-C or SIGTERM): batch finished, committed, exit 0."""
    settings = load(config)
    streaming = _streaming(settings, bootstrap, prefix, shards)
    memory = replace(settings.memory, milvus_uri=milvus or settings.memory.milvus_uri)
    with ExitStack() as stack:
        _work(streaming, memory, models, stack, batch=batch, until_idle_s=until_idle, sink=sink)


def topics(
    bootstrap: BootstrapOption = "", prefix: PrefixOption = "", shards: ShardsOption = 0, config: ConfigOption = None
) -> None:
    """Create the deployment's topics where they are missing, check their partitions, and list them."""
    from ..streaming.topics import ensure_topics

    found = ensure_topics(_streaming(load(config), bootstrap, prefix, shards))
    table = RichTable("topic", "partitions")
    for name, partitions in sorted(found.items()):
        table.add_row(name, str(partitions))
    Console().print(table)


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
    streaming = _streaming(settings, bootstrap, prefix, shards)
    market = Marketplace(marketplace)
    pseudonymiser = Pseudonymiser(settings.secret)

    def outgoing() -> Iterator[publishing.Outgoing]:
        if catalogue:
            yield from publishing.catalogue(market, time.time_ns())
        if history:
            yield from publishing.history(market, pseudonymiser)

    with ExitStack() as stack:
        publisher = _publisher(streaming, stack)
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
    config: ConfigOption = None,
) -> None:
    """Check events and publish them; nothing is sent unless every line is sound."""
    from ..proto import events

    if topic not in SOURCE_TYPES:
        raise ConfigError(
            f"{topic.value} is no source topic; name one of {', '.join(one.value for one in SOURCE_TYPES)}"
        )
    streaming = _streaming(load(config), bootstrap, prefix, shards)
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
        publisher = _publisher(streaming, stack)
        for one in outgoing:
            publisher.publish(one.topic, one.event, one.partition_key)
        publisher.flush(FLUSH_S)
    print(f"sent {len(outgoing)} events to {streaming.topic(topic)}")


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

    streaming = _streaming(load(config), bootstrap, prefix, 0)
    with ExitStack() as stack:
        # No look at the other topics: whatever is wrong with them, a stop goes out.
        publisher = KafkaPublisher(streaming)
        stack.callback(publisher.close)
        publisher.publish_stop(Stop(scope, target, reason, time.time_ns(), lift))
        publisher.flush(FLUSH_S)
    print(f"{'lifted the stop of' if lift else 'stopped'} {scope.value} {target}")


def _work(
    streaming: StreamingConfig,
    memory: MemoryConfig,
    models: Path,
    stack: ExitStack,
    *,
    batch: bool,
    until_idle_s: float,
    sink: bool,
) -> None:
    from ..generative.tokenizer import load_encoder
    from ..rules.rulebook import Rulebook
    from ..streaming.dead_letters import CountedDeadLetters
    from ..streaming.log import KafkaCommitFeed, KafkaCommitLog
    from ..streaming.shard import Surroundings
    from ..streaming.shards import Shards
    from ..streaming.topics import require_topics

    encoder = load_encoder(models / "tokenizer")
    require_topics(streaming)
    publisher = _publisher(streaming, stack)
    log = KafkaCommitLog(streaming)
    stack.callback(log.close)
    store = None
    if memory.milvus_uri:
        from ..memory.sink import Sink
        from ..memory.store import MilvusStore

        store = MilvusStore(memory)
        stack.callback(store.close)
        if sink:
            sink_log = KafkaCommitLog(streaming)
            stack.callback(sink_log.close)
            writer = Sink(
                streaming.shards,
                sink_log,
                lambda version: KafkaCommitFeed(streaming, version),
                MilvusStore(memory),
                memory,
            )
            writer.start()
            stack.callback(writer.stop)
    dead_letters = CountedDeadLetters(publisher)
    around = Surroundings(streaming, log, encoder, dead_letters, SystemClock(), store, Rulebook.validate)
    owned = Shards(around)
    if batch:
        _run_batch(streaming, owned, until_idle_s)
    else:
        from ..streaming.app import Worker

        worker = Worker(streaming, owned)
        worker.run()
        if worker.failure:
            raise Unavailable(worker.failure)
    logger.info("stopped", dead_letters=dict(dead_letters.counts))


def _run_batch(streaming: StreamingConfig, owned: "Shards", until_idle_s: float) -> None:
    from ..streaming.batch import BatchWorker

    worker = BatchWorker(streaming, owned)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    worker.run(until_idle_s or None)
    logger.info("batch consumer finished", events=worker.folded)


def _publisher(streaming: StreamingConfig, stack: ExitStack) -> "KafkaPublisher":
    from ..streaming.log import KafkaPublisher
    from ..streaming.topics import require_topics

    require_topics(streaming)
    publisher = KafkaPublisher(streaming)
    stack.callback(publisher.close)
    return publisher


def _streaming(settings: Settings, bootstrap: str, prefix: str, shards: int) -> StreamingConfig:
    """The configured streams with what the command line says instead."""
    configured = settings.streaming
    return replace(
        configured,
        bootstrap=bootstrap or configured.bootstrap,
        topic_prefix=prefix or configured.topic_prefix,
        shards=shards or configured.shards,
    )


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
