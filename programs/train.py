"""`adgram train`: models out of a marketplace."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass
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
from ..generative.tokenizer import FORMAT as TOKENIZER_FORMAT
from ..generative.weights import FORMAT as DECODER_FORMAT

_STAMP = "train.json"
_NEEDS_SHARE = 0.25  # of the minutes of tokenizer and decoder, at most those of NeedOptions

MarketplaceArgument = Annotated[
    Path, typer.Argument(help="Marketplace folder, from `adgram world` or `adgram import`.")
]
ModelsOption = Annotated[Path, typer.Option(help="Folder of the models: tokenizer/, decoder/, needs/ and scorer/.")]


def train(
    marketplace: MarketplaceArgument,
    models: ModelsOption = Path("runs/models"),
    minutes: Annotated[
        float, typer.Option(help="Wall time for tokenizer and decoder, at most; needs add a quarter, the scorer one.")
    ] = 15.0,
    threads: Annotated[int, typer.Option(help="CPU threads of the training.")] = 1,
    seed: Annotated[
        int, typer.Option(help="The same seed, data and epochs give the same models on the same machine.")
    ] = 0,
    all_events: Annotated[
        bool,
        typer.Option("--all", help="Learn from every event, to serve; without it each user's last two are held out."),
    ] = False,
    force: Annotated[bool, typer.Option(help="Train again even where the models are up to date.")] = False,
) -> None:
    """Train all models of a marketplace: tokenizer, decoder, needs, and the click and conversion scorer."""
    if minutes <= 0 or threads < 1:
        raise ConfigError(f"train: minutes must be above 0 and threads at least 1, not {minutes} and {threads}")
    console, opened = Console(), Marketplace(marketplace)
    from ..generative.training.options import TrainingOptions

    options = TrainingOptions(minutes=minutes, seed=seed, all_events=all_events, threads=threads)
    notes = {"marketplace": marketplace_digest(opened), "name": opened.manifest.name, "options": asdict(options)}
    table = RichTable("model", "figure", "value", title=f"models of {opened.manifest.name} in {models}")
    for row in _train_proposer(opened, models, notes, force, SystemClock(), console):
        table.add_row(*row)
    for row in _train_needs(opened, models, notes, force, SystemClock(), console):
        table.add_row(*row)
    for row in _train_scorer(opened, models, notes, force, console):
        table.add_row(*row)
    console.print(table)


def marketplace_digest(marketplace: Marketplace) -> str:
    """Changes whenever anything that models are trained from does."""
    digest = hashlib.sha256()
    for name in ("marketplace.json", "items.jsonl", "interactions.parquet", "searches.parquet", "impressions.parquet"):
        path = marketplace.folder / name
        if path.is_file():
            with path.open("rb") as file:
                digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _train_proposer(
    marketplace: Marketplace, models: Path, notes: dict[str, Any], force: bool, clock: Clock, console: Console
) -> list[tuple[str, str, str]]:
    from ..generative.training.fit import fit
    from ..generative.training.options import TrainingOptions

    if (
        not force
        and _is_current(models / "decoder", "decoder", DECODER_FORMAT, notes)
        and _is_current(models / "tokenizer", "tokenizer", TOKENIZER_FORMAT, notes)
    ):
        return [("proposer", "up to date", str(verified(models / "decoder", "decoder", DECODER_FORMAT).checksum))]
    with _progress(console) as progress:
        report = fit(marketplace, models, TrainingOptions(**notes["options"]), notes, clock, _telling(progress))
    return [("proposer", name, value) for name, value in _figures(report)]


def _train_needs(
    marketplace: Marketplace, models: Path, notes: dict[str, Any], force: bool, clock: Clock, console: Console
) -> list[tuple[str, str, str]]:
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


def _train_scorer(
    marketplace: Marketplace, models: Path, notes: dict[str, Any], force: bool, console: Console
) -> list[tuple[str, str, str]]:
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
