"""`adgram train`: models out of a marketplace, stage by stage."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from ..core.artifact import verified
from ..core.clock import Clock, SystemClock
from ..core.errors import ArtifactError, ConfigError
from ..core.marketplace import Marketplace
from ..generative.content import ContentEncoder
from ..streaming.config import StreamingConfig
from .settings import load
from .streams import BootstrapOption, ConfigOption, PrefixOption, ShardsOption, streaming_of

_STAMP = "train.json"
_NEEDS_SHARE = 0.25  # of the minutes of the proposer, at most those of NeedOptions
Rows = list[tuple[str, str, str]]


class Stage(StrEnum):
    """What `--stage` names: each leaves an artefact of its own, in this order."""

    CONTENT = "content"
    TOKENIZER = "tokenizer"
    DECODER = "decoder"
    NEEDS = "needs"
    PREFERENCE = "preference"
    RANKER = "ranker"
    SCORER = "scorer"


MarketplaceArgument = Annotated[
    Path, typer.Argument(help="Marketplace folder, from `adgram world`, `adgram import` or `adgram train --from-log`.")
]
ModelsOption = Annotated[Path, typer.Option(help="Folder of the models: one folder inside for each stage's artefact.")]


def train(
    marketplace: MarketplaceArgument,
    models: ModelsOption = Path("runs/models"),
    stage: Annotated[
        list[Stage] | None,
        typer.Option(
            help="Train this stage alone, or several: [bold]content[/] (text and attributes), [bold]tokenizer[/] "
            "(content aligned with behaviour, codebooks), [bold]decoder[/] (histories to codes), [bold]needs[/] (words "
            "to items), [bold]preference[/] (the decoder aligned with what really retrieves), [bold]ranker[/] (the "
            "order of what all sources found), [bold]scorer[/] (clicks and conversions). Each is built on the one "
            "before and refuses another.  [default: all]"
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="Wall time for the proposer's stages, at most; needs add a quarter, the scorer one.")
    ] = 15.0,
    threads: Annotated[int, typer.Option(help="CPU threads of the training.")] = 1,
    seed: Annotated[
        int, typer.Option(help="The same seed, data and epochs give the same models on the same machine.")
    ] = 0,
    text_encoder: Annotated[
        ContentEncoder, typer.Option(help="Content vectors from hashed words, or from a pretrained model (an extra).")
    ] = ContentEncoder.HASHING,
    width: Annotated[
        int,
        typer.Option(
            help="Numbers in an item's vector and in a step of a history. 128 finds more in catalogues of ten thousand "
            "items and needs three times the minutes."
        ),
    ] = 64,
    all_events: Annotated[
        bool,
        typer.Option("--all", help="Learn from every event, to serve; without it each user's last two are held out."),
    ] = False,
    force: Annotated[bool, typer.Option(help="Train again even where the models are up to date.")] = False,
    from_log: Annotated[
        bool,
        typer.Option(
            "--from-log",
            help="First read a running system's own log into the marketplace folder: catalogue, feedback and decisions "
            "in Kafka. What was read before stays.",
        ),
    ] = False,
    trail: Annotated[
        list[Path] | None,
        typer.Option(help="With --from-log: read decisions from this engine's trail, too (<state>/trail)."),
    ] = None,
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    shards: ShardsOption = 0,
    config: ConfigOption = None,
) -> None:
    """Train the models of a marketplace: all stages that are not up to date, or those named by --stage."""
    if minutes <= 0 or threads < 1:
        raise ConfigError(f"train: minutes must be above 0 and threads at least 1, not {minutes} and {threads}")
    if width < 8 or width % 8:
        raise ConfigError(f"train: width must be a multiple of 8, not {width}")
    console = Console()
    if from_log:
        _read_log(marketplace, streaming_of(load(config), bootstrap, prefix, shards), trail or (), console)
    elif trail:
        raise ConfigError("train: --trail is read with --from-log only; add it")
    opened = Marketplace(marketplace)
    from ..generative.training.options import TrainingOptions

    options = TrainingOptions(
        minutes=minutes, seed=seed, all_events=all_events, encoder=text_encoder, threads=threads, width=width,
        vector_width=width,
    )  # fmt: skip
    notes = {"marketplace": marketplace_digest(opened), "name": opened.manifest.name, "options": asdict(options)}
    table = RichTable("stage", "figure", "value", title=f"models of {opened.manifest.name} in {models}")
    for row in _trained(opened, models, notes, stage or list(Stage), force, SystemClock(), console):
        table.add_row(*row)
    console.print(table)


def _read_log(folder: Path, streaming: StreamingConfig, trails: Sequence[Path], console: Console) -> None:
    """Afterwards the folder is a marketplace of what the log keeps and of what was read into it before."""
    from ..streaming.source_log import kept
    from .learning_log import TOPICS, read_into

    with console.status("reading the log") as status:
        records = ((record.topic, record.payload) for record in kept(streaming, TOPICS))
        report = read_into(
            folder,
            records,
            trails,
            streaming.max_event_bytes,
            lambda count: status.update(f"reading the log: {count:,} records"),
        )
    console.print(
        f"{folder}: {report.items:,} items, {report.interactions:,} interactions, {report.impressions:,} impressions, "
        f"from {report.feedback:,} pieces of feedback and {report.bids:,} bids; {report.passed_over:,} records said "
        "nothing sound",
        highlight=False,
    )


def marketplace_digest(marketplace: Marketplace) -> str:
    """Changes whenever anything that models are trained from does."""
    digest = hashlib.sha256()
    for name in ("marketplace.json", "items.jsonl", "interactions.parquet", "searches.parquet", "impressions.parquet"):
        path = marketplace.folder / name
        if path.is_file():
            with path.open("rb") as file:
                digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _trained(
    marketplace: Marketplace,
    models: Path,
    notes: dict[str, Any],
    stages: Sequence[Stage],
    force: bool,
    clock: Clock,
    console: Console,
) -> Rows:
    """The figures of the stages named, in their own order, each trained unless it is up to date."""
    makers: dict[Stage, Callable[[], Rows]] = {
        Stage.NEEDS: lambda: _train_needs(marketplace, models, notes, force, clock, console),
        Stage.SCORER: lambda: _train_scorer(marketplace, models, notes, force, console),
    }
    rows: Rows = []
    for stage in Stage:
        if stage in stages:
            make = makers.get(stage)
            rows += make() if make else _train_proposer(marketplace, models, notes, stage, force, clock, console)
    return rows


def _train_proposer(
    marketplace: Marketplace,
    models: Path,
    notes: dict[str, Any],
    stage: Stage,
    force: bool,
    clock: Clock,
    console: Console,
) -> Rows:
    from ..generative.training.fit import fit_stage
    from ..generative.training.options import TrainingOptions, TrainingStage
    from ..generative.training.workshop import Workshop

    with _progress(console) as progress:
        options = TrainingOptions(**notes["options"])
        workshop = Workshop(marketplace, models, options, notes, clock, _telling(progress))
        trained = fit_stage(workshop, TrainingStage(stage), force)
    if trained is None:
        return [(stage, "up to date", workshop.manifest(TrainingStage(stage)).checksum)]
    return [(stage, name, value) for name, value in _figures(trained)]


def _train_needs(
    marketplace: Marketplace, models: Path, notes: dict[str, Any], force: bool, clock: Clock, console: Console
) -> Rows:
    """Only where searches are known: keywords that nobody clicked after would be heard as if they meant something."""
    if not marketplace.has("searches"):
        return [("needs", "not trained", "this marketplace keeps no searches log")]
    from ..generative.needs import FORMAT, KIND
    from ..generative.training.needs import NeedOptions, fit_needs

    folder = models / "needs"
    if not force and _is_current(folder, KIND, FORMAT, notes):
        return [("needs", "up to date", str(verified(folder, KIND, FORMAT).checksum))]
    minutes = min(NeedOptions().minutes, _NEEDS_SHARE * notes["options"]["minutes"])
    options = NeedOptions(minutes, notes["options"]["seed"])
    with _progress(console) as progress:
        report = fit_needs(marketplace, models, options, notes, clock, _telling(progress))
    return [("needs", name, value) for name, value in _figures(report)]


def _telling(progress: Progress) -> Callable[[str, float, str], None]:
    """Shows each stage on a line of its own."""
    tasks: dict[str, TaskID] = {}

    def told(stage: str, done: float, words: str) -> None:
        if stage not in tasks:
            tasks[stage] = progress.add_task(stage, total=1.0, words=words)
        progress.update(tasks[stage], completed=min(done, 1.0), words=words)

    return told


def _train_scorer(marketplace: Marketplace, models: Path, notes: dict[str, Any], force: bool, console: Console) -> Rows:
    if not marketplace.has("impressions"):
        return [("scorer", "not trained", "this marketplace keeps no impressions log")]
    from ..discriminative.training import fit

    seed, threads = notes["options"]["seed"], notes["options"]["threads"]
    folder, stamp_path = models / "scorer", models / _STAMP
    stamp = msgspec.json.encode({"marketplace": notes["marketplace"], "seed": seed})
    if not force and (folder / "manifest.json").is_file() and stamp_path.is_file() and stamp_path.read_bytes() == stamp:
        return [("scorer", "up to date", "")]
    with console.status("scorer") as status:
        report = fit(marketplace, folder, seed, lambda words: status.update(f"scorer: {words}"), threads)
    stamp_path.write_bytes(stamp)
    return [("scorer", name, value) for name, value in _figures(report)]


def _is_current(folder: Path, kind: str, format: int, notes: dict[str, Any]) -> bool:
    """Whether the artefact is whole and was trained from the same data with the same options."""
    try:
        return verified(folder, kind, format).notes.items() >= notes.items()
    except ArtifactError:
        return False


def _figures(report: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A report's fields in words; parts of it line by line, tuples by their length."""
    lines: list[tuple[str, str]] = []
    for field in fields(report):
        name, value = f"{prefix}{field.name.replace('_', ' ')}", getattr(report, field.name)
        if is_dataclass(value):
            lines += _figures(value, f"{name}: ")
        elif value is None:
            lines.append((name, "not measured: no choices are held out"))
        elif isinstance(value, tuple):
            lines.append((name, str(len(value))))
        else:
            lines.append((name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return lines


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[words]}"),
        console=console,
    )
