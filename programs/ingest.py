"""`adgram ingest`: the worker that folds events into memory, and what prepares its topics."""

import signal
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer
from rich.console import Console
from rich.table import Table as RichTable
from typer.core import TyperGroup

from ..core.clock import SystemClock
from ..core.errors import ConfigError, Unavailable
from ..core.event import SOURCE_TYPES, Topic
from ..memory.config import MemoryConfig
from ..streaming.config import StreamingConfig
from .feed import send
from .logs import log_to_stderr
from .settings import load
from .streams import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    PrefixOption,
    ShardsOption,
    answer,
    publisher_on,
    streaming_of,
)
from .supervision import Supervision
from .weather import weather

if TYPE_CHECKING:
    from ..streaming.shards import Shards

logger = structlog.get_logger(__name__)


class _WorkerByDefault(TyperGroup):
    """`adgram ingest --models …` is `adgram ingest worker --models …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["worker", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_WorkerByDefault,
    no_args_is_help=True,
    help="Fold source events into versioned memory; without a command named, `worker` is meant.",
)


@app.command()
def worker(
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
    metrics_port: Annotated[int, typer.Option(help="Show figures for Prometheus on this port; 0 = do not.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Log in JSON, one object a line.")] = False,
    config: ConfigOption = None,
) -> None:
    """Fold source events into versioned memory until stopped (Ctrl-C or SIGTERM): batch finished, committed, exit 0."""
    log_to_stderr(as_json=as_json)
    settings = load(config)
    streaming = streaming_of(settings, bootstrap, prefix, shards)
    memory = replace(settings.memory, milvus_uri=milvus or settings.memory.milvus_uri)
    supervision = Supervision(streaming, metrics_port)
    try:
        with ExitStack() as stack:
            _work(streaming, memory, models, stack, supervision, batch=batch, until_idle_s=until_idle, sink=sink)
    finally:  # a consumer that had stalled may well fail while it stops
        supervision.restart_if_asked()


@app.command()
def topics(
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    shards: ShardsOption = 0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Create the deployment's topics where they are missing, check their partitions, and list them."""
    from ..streaming.topics import ensure_topics

    found = ensure_topics(streaming_of(load(config), bootstrap, prefix, shards))
    if as_json:
        answer("", found, as_json=True)
        return
    table = RichTable("topic", "partitions")
    for name, partitions in sorted(found.items()):
        table.add_row(name, str(partitions))
    Console().print(table)


@app.command()
def reset(
    topics: Annotated[list[Topic], typer.Argument(help="Source topics to read from their beginning again.")],
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    shards: ShardsOption = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Let the shards read topics anew that were deleted and made again, or filled again; stop all workers first.

    Memory keeps its rows, and telling a row again changes nothing. Feedback is known again by the last 128 event ids of
    each user only: older clicks that are still in the topic would count twice.
    """
    from ..streaming.log import KafkaCommitLog
    from ..streaming.reset import reset as forget_offsets
    from ..streaming.topics import require_topics

    wrong = [topic.value for topic in topics if topic not in SOURCE_TYPES]
    if wrong:
        raise ConfigError(
            f"{', '.join(wrong)} is no source topic; name some of {', '.join(one.value for one in SOURCE_TYPES)}"
        )
    streaming = streaming_of(load(config), bootstrap, prefix, shards)
    names = ", ".join(streaming.topic(topic) for topic in topics)
    if not yes:
        typer.confirm(f"Read {names} from the beginning again?", abort=True)
    require_topics(streaming)
    with ExitStack() as stack:
        log = KafkaCommitLog(streaming)
        stack.callback(log.close)
        changed = forget_offsets(streaming, topics, log, SystemClock())
    answer(
        f"{changed} shards read {names} from the beginning when a worker starts",
        {"topics": [streaming.topic(topic) for topic in topics], "shards": changed},
        as_json=as_json,
    )


app.command()(send)
app.add_typer(weather, name="weather")


def _work(
    streaming: StreamingConfig,
    memory: MemoryConfig,
    models: Path,
    stack: ExitStack,
    supervision: Supervision,
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

    encoder = load_encoder(models / "tokenizer")
    publisher = publisher_on(streaming, stack)
    log = KafkaCommitLog(streaming)
    stack.callback(log.close)
    store = None
    if memory.milvus_uri:
        from ..memory.eviction import room_maker
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
                (sunk := MilvusStore(memory)),
                memory,
                room_maker(sunk, memory, streaming.shards),
            )
            writer.start()
            stack.callback(writer.stop)
    dead_letters = CountedDeadLetters(publisher)
    metrics = supervision.metrics
    width = encoder.weights.default.size
    owned = Shards(
        Surroundings(streaming, log, encoder, dead_letters, SystemClock(), store, Rulebook.validate, metrics, width)
    )
    supervision.watch(owned, stack)
    if batch:
        _run_batch(streaming, owned, until_idle_s)
    else:
        from ..streaming.app import Worker

        faust = Worker(streaming, owned)
        faust.run()
        if faust.failure:
            raise Unavailable(faust.failure)
    logger.info("stopped", dead_letters=dict(dead_letters.counts))


def _run_batch(streaming: StreamingConfig, owned: "Shards", until_idle_s: float) -> None:
    from ..streaming.batch import BatchWorker, spare_collections

    worker = BatchWorker(streaming, owned)
    spare_collections()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    worker.run(until_idle_s or None)
    logger.info("batch consumer finished", events=worker.folded)
