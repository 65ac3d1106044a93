"""`adgram serve`: the bidding endpoint, built from its parts and run until it is told to stop."""

import asyncio
import fcntl
import gc
import signal
import sys
import threading
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop
from rich.console import Console

from ..core.artifact import require
from ..core.clock import SystemClock
from ..core.errors import Unavailable
from ..core.ports import CommitStore, FeedbackFeed, StopFeed
from ..core.pseudonym import Pseudonymiser
from ..core.snapshot import Snapshot
from ..engine.audit import AuditWriter
from ..engine.ledger import Ledger
from ..engine.market import MarketModel
from ..engine.newcomers import Evidence
from ..engine.notices import NoticeDesk
from ..engine.outbox import OutboxRelay
from ..engine.pacing import Pacer
from ..engine.pipeline import Parts, Pipeline
from ..engine.pricing import Pricer
from ..engine.rehearsal import rehearse
from ..engine.screening import Rulebooks
from ..engine.server import Endpoint, Server
from ..engine.statistics import Statistics
from ..engine.stops import StopBoard
from ..engine.tier import GuardedProposer
from ..engine.trail import Trail
from ..engine.values import ItemValues
from ..memory.follower import Follower
from ..rules.admission import Admissions
from ..rules.fallback import FallbackProposer
from .loading import Loading
from .settings import Settings, load

_SWITCH_INTERVAL_S = (
    0.0005  # the follower and the audit thread yield to the request loop ten times sooner than Python's 5 ms
)
_STOP_POLL_S = _FEEDBACK_POLL_S = 0.2
_log = structlog.get_logger(__name__)


def serve(
    models: Annotated[Path, typer.Option(help="Folder of trained models, as `adgram train` writes it.")],
    bootstrap: Annotated[str, typer.Option(help="Kafka as host:port; the configuration's if not given.")] = "",
    milvus: Annotated[str, typer.Option(help="Milvus URI for a cold start; without it the log alone is read.")] = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one and prints it.")] = 50061,
    state: Annotated[Path, typer.Option(help="Folder of the ledger and the decision trail.")] = Path("runs/engine"),
    config: Annotated[Path | None, typer.Option(help="TOML with the sections of docs/CONFIGURATION.md.")] = None,
) -> None:
    """Answer OpenRTB bid requests over gRPC until stopped (Ctrl-C or SIGTERM)."""
    settings = load(config)
    streaming = replace(settings.streaming, bootstrap=bootstrap or settings.streaming.bootstrap)
    memory = replace(settings.memory, milvus_uri=milvus or settings.memory.milvus_uri)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    chosen = replace(settings, streaming=streaming, memory=memory)
    with ExitStack() as stack:
        uvloop.run(_serve(chosen, models, state, host, port, stack))


async def _serve(settings: Settings, models: Path, state: Path, host: str, port: int, stack: ExitStack) -> None:
    server = build(settings, models, state, host, port, stack)
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    print(f"adgram serves on {host}:{server.port}", flush=True)
    await server.run(stopping)


def build(settings: Settings, models: Path, state: Path, host: str, port: int, stack: ExitStack) -> Server:
    """A server with everything behind it started; `stack` stops it all again, in order. Call it on the serving loop."""
    for kind in ("tokenizer", "decoder", "scorer"):  # before torch and the rest are loaded for nothing
        require(models / kind, kind)
    from ..discriminative.priors import load_priors
    from ..discriminative.verifier import load_verifier
    from ..generative.proposer import load_proposer
    from ..generative.tokenizer import load_encoder
    from ..streaming.log import KafkaCommitFeed, KafkaCommitLog, KafkaPublisher, KafkaStopFeed
    from ..streaming.topics import require_topics

    engine, streaming, clock = settings.engine, settings.streaming, SystemClock()
    proposer = load_proposer(models / "decoder", settings.generative)
    verifier = load_verifier(models / "scorer", settings.verifier)
    memory = replace(settings.memory, codes_per_level=load_encoder(models / "tokenizer").weights.codebooks.shape[1])
    require_topics(streaming)
    _lock(state, stack)
    log, publisher = KafkaCommitLog(streaming), KafkaPublisher(streaming)
    stack.callback(publisher.close)
    stack.callback(log.close)

    admissions, rulebooks, fallback = Admissions(), Rulebooks(), FallbackProposer()
    follower = Follower(
        streaming.shards,
        log,
        lambda version: KafkaCommitFeed(streaming, version),
        _store(settings),
        (admissions.warm, rulebooks.warm, fallback.warm, verifier.warm, proposer.warm),
        memory,
    )
    follower.start()
    stack.callback(follower.stop)

    def snapshot() -> Snapshot | None:
        return follower.current() if follower.ready and stops_known.is_set() else None

    board = StopBoard()
    stops_known = _start_stops(KafkaStopFeed(streaming), board, stack)
    ledger = Ledger(state / "ledger.sqlite", engine.reservation_ttl_s, engine.charge_on)
    stack.callback(ledger.close)
    relay = OutboxRelay(state / "ledger.sqlite", publisher)
    relay.start()
    stack.callback(relay.stop)
    trail = Trail(state / "trail", engine.trail_segment_bytes, engine.trail_segments)
    stack.callback(trail.close)
    audit = AuditWriter(trail, publisher, engine.record_queue)
    audit.start()
    stack.callback(audit.stop)

    evidence = Evidence()
    if engine.newcomer_share > 0:  # nobody else reads it
        from ..streaming.feedback_feed import KafkaFeedbackFeed

        _start_evidence(KafkaFeedbackFeed(streaming), evidence, stack)
    learned, market = GuardedProposer(proposer, clock), MarketModel()
    stack.callback(learned.close)
    parts = Parts(
        snapshot=snapshot,
        stops=board,
        admissions=admissions,
        learned=learned,
        fallback=fallback,
        verifier=verifier,
        rulebooks=rulebooks,
        pricer=Pricer(market),
        pacer=Pacer(),
        ledger=ledger,
        clock=clock,
        new_id=lambda: uuid.uuid4().hex,
        evidence=evidence,
        values=ItemValues(load_priors(models / "scorer")) if settings.generative.value_weight else None,
    )
    pipeline = Pipeline(parts, engine)
    statistics = Statistics(snapshot, lambda: {"proposer": learned.model, **verifier.models}, learned.lateness)
    endpoint = Endpoint(
        pipeline,
        NoticeDesk(ledger, market),
        audit,
        trail,
        statistics,
        Pseudonymiser(settings.secret),
        engine,
        clock,
    )

    async def rehearsal() -> None:
        await rehearse(pipeline, follower.current(), engine, clock)
        # Memory is there and every part warm: what is loaded now lives as long as the process, and left out of every
        # later collection it costs no pauses.
        gc.collect()
        gc.freeze()

    return Server(endpoint, host, port, lambda: follower.ready and stops_known.is_set(), rehearsal)


def _store(settings: Settings) -> CommitStore | None:
    if not settings.memory.milvus_uri:
        return None
    from ..memory.store import MilvusStore

    store = MilvusStore(settings.memory)
    store.on_progress = Loading(Console(stderr=True))
    return store


def _start_stops(feed: StopFeed, board: StopBoard, stack: ExitStack) -> threading.Event:
    """A thread that keeps `board` current; the event is set once the stops said before now are in force."""
    stopping, known = threading.Event(), threading.Event()

    def follow() -> None:
        while not stopping.is_set():
            try:
                board.apply(feed.poll(_STOP_POLL_S))
                if not known.is_set() and feed.caught_up:
                    known.set()
            except Exception as error:
                # The thread's edge: whatever happens, later stops must still be seen.
                _log.warning("stops cannot be read; those in force stay in force", reason=repr(error))
                stopping.wait(_STOP_POLL_S)

    thread = threading.Thread(target=follow, name="stops", daemon=True)
    thread.start()
    stack.callback(feed.close)
    stack.callback(thread.join, 2.0)
    stack.callback(stopping.set)
    return known


def _start_evidence(feed: FeedbackFeed, evidence: Evidence, stack: ExitStack) -> None:
    """A thread that counts feedback into `evidence`; while the broker is away, what is known stays known."""
    stopping = threading.Event()

    def follow() -> None:
        while not stopping.is_set():
            try:
                evidence.observe(feed.poll(_FEEDBACK_POLL_S))
            except Exception as error:
                # The thread's edge: exploration goes on with what it knows.
                _log.warning("feedback cannot be read; exploration learns nothing for now", reason=repr(error))
                stopping.wait(_FEEDBACK_POLL_S)

    thread = threading.Thread(target=follow, name="evidence", daemon=True)
    thread.start()
    stack.callback(feed.close)
    stack.callback(thread.join, 2.0)
    stack.callback(stopping.set)


def _lock(state: Path, stack: ExitStack) -> None:
    """Takes the folder of state for this process alone: two engines on one ledger would spend a budget twice."""
    state.mkdir(parents=True, exist_ok=True)
    file = stack.enter_context((state / "lock").open("w"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise Unavailable(f"another engine uses {state}; give this one its own folder with --state") from error
