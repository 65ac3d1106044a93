"""`adgram dlq`: what could not be folded, to look at and to send back once its cause is mended."""

import threading
from collections import Counter, deque
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..core.clock import SystemClock
from ..core.errors import ConfigError, NotFound
from .interrupts import stop_event
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

if TYPE_CHECKING:
    from ..streaming.dead_letter_queue import Buried, DeadLetterQueue, Wanted

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SHOWN_BYTES = 2_000

app = typer.Typer(no_args_is_help=True, help="Events that could not be folded: list them, show one, send them back.")
TopicOption = Annotated[str, typer.Option(help="Only of this topic, with or without the prefix.")]
ReasonOption = Annotated[str, typer.Option(help="Only with this reason, e.g. wrong-schema.")]
SinceOption = Annotated[str, typer.Option(help="Only buried since: 30m, 2h, 7d ago, or 2026-11-24T03:00.")]
UntilOption = Annotated[str, typer.Option(help="Only buried before, written the same way.")]


@app.command("list")
def list_(
    topic: TopicOption = "",
    reason: ReasonOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    limit: Annotated[int, typer.Option(help="The newest so many.")] = 50,
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List dead letters, newest last, and count them by reason."""
    queue = _queue(config, bootstrap, prefix)
    newest: deque[Buried] = deque(maxlen=max(1, limit))
    reasons: Counter[str] = Counter()
    for buried in queue.letters(_wanted(topic, reason, since, until)):
        newest.append(buried)
        reasons[buried.letter.reason] += 1
    if as_json:
        for buried in newest:
            answer("", _facts(buried), as_json=True)
        return
    table = Table("number", "buried (UTC)", "from", "reason", "problem", "replayed")
    for buried in newest:
        letter = buried.letter
        origin = f"{letter.topic}[{letter.partition}]@{letter.offset}"
        cells = (str(buried.number), _moment(buried.at_ms), origin, letter.reason, letter.problem[:80])
        table.add_row(*map(escape, cells), "yes" if buried.replayed else "")
    console = Console()
    console.print(table)
    counted = ", ".join(f"{count:,} {name}" for name, count in reasons.most_common())
    console.print(f"{reasons.total():,} dead letters" + (f": {escape(counted)}" if counted else ""), highlight=False)


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="The letter's number, as `adgram dlq list` has it.")],
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show one dead letter: where it was, what is wrong with it, and its bytes."""
    from ..streaming.dead_letter_queue import Wanted

    buried = next(_queue(config, bootstrap, prefix).letters(Wanted(numbers=frozenset({number}))), None)
    if buried is None:
        raise NotFound(f"there is no dead letter {number}; `adgram dlq list` shows which there are")
    facts = _facts(buried)
    if as_json:
        answer("", facts, as_json=True)
        return
    for name, value in facts.items():
        print(f"{name:<12} {value}")


@app.command()
def replay(
    numbers: Annotated[list[int] | None, typer.Argument(help="Letters' numbers; none: all the options name.")] = None,
    topic: TopicOption = "",
    reason: ReasonOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    rate: Annotated[float, typer.Option(min=0.001, help="Letters a second at most.")] = 100.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    shards: ShardsOption = 0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Send dead letters back to their topics under their own keys, each once; Ctrl-C ends it after the one under way.

    What is still wrong becomes a dead letter again. What was replayed before is passed over.
    """
    from ..streaming import dead_letter_queue

    streaming = streaming_of(load(config), bootstrap, prefix, shards)
    wanted = _wanted(topic, reason, since, until, frozenset(numbers or ()))
    letters = dead_letter_queue.DeadLetterQueue(streaming).letters(wanted)
    if dry_run:
        done = dead_letter_queue.rehearsed(letters, streaming)
    else:
        with ExitStack() as stack:
            publisher = publisher_on(streaming, stack)
            stopping: threading.Event = stop_event()
            done = dead_letter_queue.replay(letters, publisher, streaming, rate, SystemClock(), stopping.wait)
    verb = "would send" if dry_run else "sent"
    sentence = f"{verb} {done.sent} dead letters back" + (", stopped before the end" if done.stopped else "")
    sentence += "".join(f"; passed over {count}: {why}" for why, count in sorted(done.refused.items()))
    answer(sentence, done, as_json=as_json)


def _queue(config: ConfigOption, bootstrap: str, prefix: str) -> "DeadLetterQueue":
    from ..streaming.dead_letter_queue import DeadLetterQueue

    return DeadLetterQueue(streaming_of(load(config), bootstrap, prefix))


def _wanted(topic: str, reason: str, since: str, until: str, numbers: frozenset[int] = frozenset()) -> "Wanted":
    from ..streaming.dead_letter_queue import Wanted

    now = datetime.now(UTC)
    return Wanted(topic, reason, moment_ms(since, now), moment_ms(until, now), numbers)


def moment_ms(text: str, now: datetime) -> int:
    """The time a person means, in ms UTC: so long ago (30m, 2h, 7d), or a date and time; 0 for an empty text."""
    if not text:
        return 0
    if text[-1] in _UNITS and text[:-1].isdecimal():
        moment = now - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise ConfigError(f"{text!r} is no time; write 30m, 2h, 7d or 2026-11-24T03:00") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _facts(buried: "Buried") -> dict[str, Any]:
    letter = buried.letter
    return {
        "number": buried.number,
        "buried": _moment(buried.at_ms),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp": _moment(letter.timestamp_ms) if letter.timestamp_ms >= 0 else "",
        "stage": letter.stage,
        "reason": letter.reason,
        "problem": letter.problem,
        "replayed": buried.replayed,
        "key": _text(letter.key),
        "value": _text(letter.value),
    }


def _text(content: bytes | None) -> str | None:
    """Bytes for a person: text as it is, the rest escaped, the long cut."""
    if content is None:
        return None
    shown = content[:_SHOWN_BYTES].decode(errors="backslashreplace")
    return shown if len(content) <= _SHOWN_BYTES else f"{shown}… ({len(content):,} bytes)"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
