"""`adgram memory`: what the durable store holds, what it held, and what it may forget."""

import getpass
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.tree import Tree

from ..core.clock import NS_PER_SECOND, SystemClock
from ..core.errors import AdgramError, ConfigError, NotFound, Unavailable
from ..core.event import Event, Topic
from ..core.pseudonym import Pseudonymiser
from ..memory.config import MemoryConfig
from ..streaming.config import StreamingConfig
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
    from ..memory.leases import Leases
    from ..memory.runs import Head
    from ..memory.store import MilvusStore
    from ..streaming.log import KafkaCommitLog

UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
MilvusOption = Annotated[str, typer.Option(help="Milvus URI; the configuration's if not given.")]

app = typer.Typer(no_args_is_help=True, help="Look into versioned memory: versions, an item's past, leases, eviction.")


@dataclass(frozen=True, slots=True)
class ShardVersions:
    """What `adgram memory versions` tells of one shard. Times are ns UTC; `lag` is None without a broker."""

    shard: int
    newest: int
    watermark: int
    oldest: int
    batches: int
    rows: int
    stored_bytes: int
    lag: int | None


@app.command()
def versions(
    milvus: MilvusOption = "",
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    shards: ShardsOption = 0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List each shard's versions, what they take, how far they lag behind the log, and who holds leases."""
    memory, streaming = _configured(config, milvus, bootstrap, prefix, shards)
    with ExitStack() as stack:
        store, leases = _store(memory, stack), _leases(memory, stack)
        log = _log_if_there(streaming, stack)
        heads = store.heads(range(streaming.shards))
        found = [_versions(store, shard, head, log) for shard, head in heads.items()]
        held = leases.held()
    if as_json:
        answer("", {"shards": [asdict(one) for one in found], "leases": [asdict(one) for one in held]}, as_json=True)
        return
    table = Table("shard", "newest", "as of", "oldest kept", "batches", "rows", "stored", "behind the log")
    for one in found:
        table.add_row(
            str(one.shard), str(one.newest), _iso(one.watermark), str(one.oldest), f"{one.batches:,}", f"{one.rows:,}",
            f"{one.stored_bytes / 1e6:,.1f} MB", "no broker" if one.lag is None else f"{one.lag:,}",
        )  # fmt: skip
    Console().print(table)
    if held:
        table = Table("lease", "holder", "reads from", "expires")
        for lease in held:
            table.add_row(lease.lease_id, escape(lease.holder), _iso(lease.since), _iso(lease.expires))
        Console().print(table)


@app.command()
def show(
    item: Annotated[str, typer.Argument(help="The item's id.")],
    at: Annotated[str, typer.Option(help="As of this event time: ISO 8601 (UTC) or ns; now by default.")] = "",
    milvus: MilvusOption = "",
    shards: ShardsOption = 0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what an item looked like at a time: itself, its offer, its creatives."""
    from ..memory.snapshot import MemorySnapshot
    from ..streaming.partitions import partition_of

    memory, streaming = _configured(config, milvus, "", "", shards)
    shard = partition_of(item.encode(), streaming.shards)
    with ExitStack() as stack:
        store = _store(memory, stack)
        number = store.as_of(shard, _ns(at)) if at else store.head(shard)
        snapshot = MemorySnapshot.empty(streaming.shards, memory.codes_per_level)
        for commit in store.excerpt(shard, number, item):
            snapshot = snapshot.leap(commit)
    encoded, offer = snapshot.item(item), snapshot.offer(item)
    if encoded is None and offer is None:
        raise NotFound(f"version {number} of shard {shard} knows no item {item!r}; check its id and the time")
    creatives = [snapshot.creatives.creatives[slot] for slot in snapshot.creative_slots(item)]
    if as_json:
        facts = {"shard": shard, "version": number, "item": encoded, "offer": offer, "creatives": creatives}
        answer("", facts, as_json=True)
        return
    tree = Tree(f"[bold]{escape(item)}[/] in version {number} of shard {shard}")
    if encoded is not None:
        known = encoded.item
        tree.add(escape(f"{known.title} ({' › '.join(known.category) or 'no category'}) {known.brand}").rstrip())
        tree.add(f"semantic ID {'-'.join(map(str, encoded.semantic_id))}, encoded by {encoded.model[:12]}")
    if offer is not None:
        promotion = f", {escape(offer.promotion)}" if offer.promotion else ""
        tree.add(f"{offer.price.micros / 1e6:.2f} {offer.price.currency}, {offer.stock:,} in stock{promotion}")
    for creative in creatives:
        tree.add(escape(f"{creative.creative_id} of {creative.campaign_id}: {creative.title} — {creative.text}"))
    Console().print(tree, highlight=False)


@app.command()
def evict(
    older_than: Annotated[str, typer.Option(help="Age, counted from each shard's newest commit: 90m, 12h, 7d.")],
    milvus: MilvusOption = "",
    shards: ShardsOption = 0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Forget versions older than this, except what leases need. With Milvus Lite, stop the worker first."""
    from ..memory.eviction import evict as evicted_from

    age_ns = _duration_ns(older_than)
    memory, streaming = _configured(config, milvus, "", "", shards)
    with ExitStack() as stack:
        store, leases = _store(memory, stack), _leases(memory, stack)
        with Console(stderr=True).status("looking at leases") as status:
            found = evicted_from(store, leases, streaming.shards, age_ns, status.update)
    if as_json:
        answer("", [asdict(one) for one in found], as_json=True)
        return
    table = Table("shard", "oldest kept", "versions gone", "runs deleted", "held by")
    for one in found:
        table.add_row(str(one.shard), str(one.horizon), f"{one.batches:,}", f"{one.deleted_runs:,}", one.held_by or "–")
    Console().print(table)


@app.command()
def lease(
    since: Annotated[
        str, typer.Option(help="The oldest event time it reads: ISO 8601 (UTC) or ns; now by default.")
    ] = "",
    lasting: Annotated[str, typer.Option("--for", help="How long it holds: 90m, 12h, 7d.")] = "1h",
    holder: Annotated[str, typer.Option(help="Who reads, for people to see; the user's name by default.")] = "",
    renew: Annotated[str, typer.Option(help="Renew this lease instead, for so long from now.")] = "",
    release: Annotated[str, typer.Option(help="Give this lease back instead.")] = "",
    milvus: MilvusOption = "",
    shards: ShardsOption = 0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Keep the past from being forgotten while a replay or a backup reads it; prints the lease's id."""
    from ..memory.leases import Lease

    memory, streaming = _configured(config, milvus, "", "", shards)
    clock = SystemClock()
    expires = clock.now_ns() + _duration_ns(lasting)
    with ExitStack() as stack:
        store, leases = _store(memory, stack), _leases(memory, stack)
        if release:
            leases.release(release)
            answer(f"released {release}", {"released": release}, as_json=as_json)
            return
        if renew:
            held = leases.renew(renew, expires)
        else:
            held = Lease(
                uuid.uuid4().hex[:12], holder or getpass.getuser(), _ns(since) if since else clock.now_ns(), expires
            )
            leases.take(held, store, streaming.shards)
    answer(f"{held.lease_id} holds until {_iso(held.expires)}", asdict(held), as_json=as_json)


@app.command()
def verify(
    milvus: MilvusOption = "",
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    shards: ShardsOption = 0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Read the whole store again and prove every checksum, against the log's own commits where a broker answers."""
    from ..memory.verification import verify as verified

    memory, streaming = _configured(config, milvus, bootstrap, prefix, shards)
    with ExitStack() as stack:
        store = _store(memory, stack)
        log = _log_if_there(streaming, stack)
        bar = stack.enter_context(_progress())
        found = []
        for shard in range(streaming.shards):
            with _told(bar, f"shard {shard}") as told:
                found.append(verified(store, shard, log, told))
    problems = [problem for one in found for problem in one.problems]
    if as_json:
        answer("", [asdict(one) for one in found], as_json=True)
    else:
        table = Table("shard", "batches", "merged runs", "rows read", "made anew from the log", "problems")
        for one in found:
            table.add_row(
                str(one.shard), f"{one.batches:,}", f"{one.merged_runs:,}", f"{one.rows:,}", f"{one.from_log:,}",
                str(len(one.problems)),
            )  # fmt: skip
        Console().print(table)
    if problems:
        raise Unavailable(f"{len(problems)} problems, the first: {problems[0]}")


@app.command()
def forget(
    user: Annotated[str, typer.Argument(help="The person's id, as requests and feedback give it.")],
    hashed: Annotated[bool, typer.Option("--hashed", help="The id is a user key already.")] = False,
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Erase a person: gone from memory with the next commit, from the store with the next eviction that covers it."""
    if not user.strip():
        raise ConfigError("an empty id is nobody's; name the person's id")
    settings = load(config)
    key = user if hashed else Pseudonymiser(settings.secret).user_key(user)
    streaming = streaming_of(settings, bootstrap, prefix)
    with ExitStack() as stack:
        publisher = publisher_on(streaming, stack)
        publisher.publish(Topic.FEEDBACK, Event(f"forget-{uuid.uuid4().hex}", time.time_ns(), key, None))
        publisher.flush(FLUSH_S)
    answer(f"the erasure of {key} is in the log", {"user_key": key}, as_json=as_json)


def _configured(
    config: Any, milvus: str, bootstrap: str, prefix: str, shards: int
) -> tuple[MemoryConfig, StreamingConfig]:
    settings = load(config)
    memory = replace(settings.memory, milvus_uri=milvus or settings.memory.milvus_uri)
    if not memory.milvus_uri:
        raise ConfigError("no Milvus is named; give --milvus http://host:port, or milvus_uri under [memory]")
    return memory, streaming_of(settings, bootstrap, prefix, shards)


def _store(memory: MemoryConfig, stack: ExitStack) -> "MilvusStore":
    from ..memory.store import MilvusStore

    store = MilvusStore(memory)
    stack.callback(store.close)
    return store


def _leases(memory: MemoryConfig, stack: ExitStack) -> "Leases":
    from ..memory.leases import Leases

    leases = Leases(memory, SystemClock())
    stack.callback(leases.close)
    return leases


def _log_if_there(streaming: StreamingConfig, stack: ExitStack) -> "KafkaCommitLog | None":
    """The log, None with a word about it where no broker answers: a store can be looked at without one."""
    from ..streaming.connection import require_broker
    from ..streaming.log import KafkaCommitLog
    from ..streaming.topics import require_topics

    try:
        require_broker(streaming.bootstrap, streaming.connect_timeout_ms)
        require_topics(streaming)
    except AdgramError as error:
        Console(stderr=True).print(f"[yellow]without the log:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return None
    log = KafkaCommitLog(streaming)
    stack.callback(log.close)
    return log


def _versions(store: "MilvusStore", shard: int, head: "Head", log: "KafkaCommitLog | None") -> ShardVersions:
    singles = [head.name(0, sequence) for sequence in range(head.base.sequence + 1, head.sequence + 1)]
    found = store.markers(shard, [head.base.name, *singles] if head.base.name else singles)
    lag = None
    if log is not None:
        last = log.last(shard)
        lag = (0 if last is None else last.number) - head.number
    return ShardVersions(
        shard,
        head.number,
        head.watermark,
        head.base.number or (found[0].number if found else 0),
        len(found),
        sum(run.rows for run in found),
        sum(run.stored_bytes for run in found),
        lag,
    )


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


@contextmanager
def _told(bar: Progress, name: str) -> Iterator[Any]:
    task = bar.add_task(name, total=None)
    yield lambda done, total: bar.update(task, completed=done, total=total)


def _duration_ns(text: str) -> int:
    found = re.fullmatch(r"(\d+)([smhd])", text.strip())
    if found is None:
        raise ConfigError(f"{text!r} is no duration; write a number and s, m, h or d, like 90m or 7d")
    return int(found[1]) * UNITS_S[found[2]] * NS_PER_SECOND


def _ns(text: str) -> int:
    """ns UTC, from itself or from ISO 8601; a time without zone is UTC."""
    if text.isdigit():
        return int(text)
    try:
        told = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no time; write 2026-11-24T12:00:00 (UTC) or nanoseconds") from error
    return (
        int((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()) * NS_PER_SECOND + told.microsecond * 1_000
    )


def _iso(ns: int) -> str:
    return datetime.fromtimestamp(ns / NS_PER_SECOND, UTC).isoformat(timespec="milliseconds") if ns else "–"
