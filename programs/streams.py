"""What all commands around the streams share: their options, the configured streams, a publisher, how they answer."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from ..streaming.config import StreamingConfig
from .settings import Settings

if TYPE_CHECKING:
    from ..streaming.log import KafkaPublisher

FLUSH_S = 120.0  # a whole catalogue may still be queued when the last event was handed over

BootstrapOption = Annotated[str, typer.Option(help="Kafka as host:port; the configuration's if not given.")]
PrefixOption = Annotated[str, typer.Option(help="What topic names begin with; the configuration's if not given.")]
ShardsOption = Annotated[int, typer.Option(help="Partitions of every source topic; the configuration's if 0.")]
ConfigOption = Annotated[Path | None, typer.Option(help="TOML with the sections of docs/CONFIGURATION.md.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, for machines.")]


def streaming_of(settings: Settings, bootstrap: str = "", prefix: str = "", shards: int = 0) -> StreamingConfig:
    """The configured streams with what the command line says instead."""
    configured = settings.streaming
    return replace(
        configured,
        bootstrap=bootstrap or configured.bootstrap,
        topic_prefix=prefix or configured.topic_prefix,
        shards=shards or configured.shards,
    )


def publisher_on(streaming: StreamingConfig, stack: ExitStack) -> "KafkaPublisher":
    """A publisher that `stack` closes, once all topics were found to fit."""
    from ..streaming.log import KafkaPublisher
    from ..streaming.topics import require_topics

    require_topics(streaming)
    publisher = KafkaPublisher(streaming)
    stack.callback(publisher.close)
    return publisher


def answer(sentence: str, facts: Any, *, as_json: bool) -> None:
    """Prints a command's result: a sentence for people, or its facts as one line of JSON."""
    print(msgspec.json.encode(facts).decode() if as_json else sentence)
