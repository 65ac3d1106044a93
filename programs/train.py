"""`adgram train` and `adgram eval`: models out of a marketplace, and how well they propose."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table as RichTable

from ..core import rows
from ..core.artifact import verified
from ..core.catalogue import EncodedItem
from ..core.clock import Clock, Deadline, SystemClock
from ..core.commit import Commit, Table
from ..core.errors import ArtifactError, ConfigError, MarketplaceError
from ..core.feedback import FeedbackKind, Interaction
from ..core.marketplace import Marketplace
from ..core.ports import ProposalContext, Proposer
from ..generative.tokenizer import FORMAT as TOKENIZER_FORMAT
from ..generative.training.evaluation import TOP, RankingScore, chosen_users, ranking_score
from ..generative.training.sequences import UserSequence, as_rows, user_sequences
from ..memory.snapshot import MemorySnapshot
from ..streaming.folds.feedback import HISTORY as HISTORY_KEPT

_STAMP = "train.json"

MarketplaceArgument = Annotated[
    Path, typer.Argument(help="Marketplace folder, from `adgram world` or `adgram import`.")
]
ModelsOption = Annotated[Path, typer.Option(help="Folder of the models: tokenizer/, decoder/ and scorer/.")]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One row of the table: how a proposer ranked, and what a proposal took."""

    name: str
    score: RankingScore
    ms_per_user: float


def train(
    marketplace: MarketplaceArgument,
    models: ModelsOption = Path("runs/models"),
    minutes: Annotated[
        float, typer.Option(help="Wall time for tokenizer and decoder, at most; the scorer adds up to one.")
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
    """Train all models of a marketplace: tokenizer, decoder, and the click and conversion scorer."""
    if minutes <= 0 or threads < 1:
        raise ConfigError(f"train: minutes must be above 0 and threads at least 1, not {minutes} and {threads}")
    console, opened = Console(), Marketplace(marketplace)
    from ..generative.training.fit import TrainingOptions

    options = TrainingOptions(minutes=minutes, seed=seed, all_events=all_events, threads=threads)
    notes = {"marketplace": marketplace_digest(opened), "name": opened.manifest.name, "options": asdict(options)}
    table = RichTable("model", "figure", "value", title=f"models of {opened.manifest.name} in {models}")
    for row in _train_proposer(opened, models, notes, force, SystemClock(), console):
        table.add_row(*row)
    for row in _train_scorer(opened, models, notes, force, console):
        table.add_row(*row)
    console.print(table)


def evaluate(
    marketplace: MarketplaceArgument,
    models: ModelsOption = Path("runs/models"),
    users: Annotated[int | None, typer.Option(help="Ask for this many random users; all of them without it.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the table and each user's ten best items here, as JSON.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Picks the users and breaks the baselines' ties.")] = 0,
) -> None:
    """Measure the proposer: Recall and NDCG of each user's last choice, beside popularity and item-kNN."""
    console, opened = Console(), Marketplace(marketplace)
    asked = select_users(opened, users, seed)
    if not asked:
        raise MarketplaceError(f"{marketplace} has no user with three or more choices, so nothing can be held out")
    manifest = verified(models / "decoder", "decoder", 1)
    if manifest.notes.get("marketplace") != marketplace_digest(opened):
        raise ArtifactError(
            f"{models} was trained on another marketplace than {marketplace}; run `adgram train` on this one"
        )
    leaks = bool(manifest.notes["options"]["all_events"])
    rankings: dict[str, list[list[str]]] = {}
    evaluations = []
    for name, rank in _rankers(opened, models, seed).items():
        clock = SystemClock()
        started = clock.monotonic_ns()
        rankings[name] = [rank(user) for user in _tracked(asked, name, console)]
        took_ms = (clock.monotonic_ns() - started) / 1e6
        score = ranking_score(rankings[name], [user.target for user in asked])
        evaluations.append(Evaluation(name, score, took_ms / len(asked)))
    console.print(_score_table(opened.manifest.name, evaluations))
    console.print(
        f"Protocol: {len(asked)} users, leave-one-out: the last choice is asked for among the whole catalogue, "
        f"items of the history are masked (the newest {HISTORY_KEPT} events, as served). The validation choice "
        "(last but one) is in the history, but no model or count was trained on it. "
        "fused = what `adgram serve` proposes.",
        highlight=False,
    )
    if leaks:
        console.print(
            "[bold red]The models were trained with --all and have seen the answers: learned rows are no forecast.[/]"
        )
    if out is not None:
        _write_report(out, marketplace, models, manifest.checksum, seed, leaks, asked, rankings, evaluations)


def select_users(marketplace: Marketplace, users: int | None, seed: int) -> list[UserSequence]:
    """The users `evaluate` asks about, so that a served system can be asked about the same."""
    return chosen_users(user_sequences(marketplace), users, seed)


def history_of(user: UserSequence) -> tuple[Interaction, ...]:
    """What is known of a user when their last choice is asked for, as the engine would hold it."""
    newest = user.history[-HISTORY_KEPT:]
    return tuple(Interaction(item_id, FeedbackKind.CONVERSION, place) for place, item_id in enumerate(newest))


def folded(encoded: Sequence[EncodedItem]) -> MemorySnapshot:
    """A snapshot of nothing but these items, made as the engine makes its own: by folding a commit."""
    entries = tuple(rows.row(Table.ITEM, entry.item.item_id, entry) for entry in encoded)
    return MemorySnapshot.empty(1).fold(Commit(0, 1, 1, 0, 0, {}, entries))


def proposed(proposer: Proposer, snapshot: MemorySnapshot, user: UserSequence, clock: Clock) -> list[str]:
    """The ten best items for a user when every living item but those of the history is admitted."""
    history = history_of(user)
    admitted = snapshot.items.alive.copy()
    admitted[[slot for slot in (snapshot.slot(event.item_id) for event in history) if slot is not None]] = False
    # Ten seconds: quality is measured here, lateness elsewhere.
    context = ProposalContext(snapshot, admitted, history, TOP, Deadline.after_ms(10_000, clock))
    return [candidate.item_id for candidate in proposer.propose(context).candidates]


def marketplace_digest(marketplace: Marketplace) -> str:
    """Changes whenever anything that models are trained from does."""
    digest = hashlib.sha256()
    for name in ("marketplace.json", "items.jsonl", "interactions.parquet", "impressions.parquet"):
        path = marketplace.folder / name
        if path.is_file():
            with path.open("rb") as file:
                digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _train_proposer(
    marketplace: Marketplace, models: Path, notes: dict[str, Any], force: bool, clock: Clock, console: Console
) -> list[tuple[str, str, str]]:
    from ..generative.training.fit import TrainingOptions, fit

    if (
        not force
        and _is_current(models / "decoder", "decoder", 1, notes)
        and _is_current(models / "tokenizer", "tokenizer", TOKENIZER_FORMAT, notes)
    ):
        return [("proposer", "up to date", str(verified(models / "decoder", "decoder", 1).checksum))]
    with _progress(console) as progress:
        tasks: dict[str, TaskID] = {}

        def told(stage: str, done: float, words: str) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0, words=words)
            progress.update(tasks[stage], completed=min(done, 1.0), words=words)

        options = TrainingOptions(**notes["options"])
        report = fit(marketplace, models, options, notes, clock, told)
    return [("proposer", name, value) for name, value in _figures(report)]


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


def _rankers(marketplace: Marketplace, models: Path, seed: int) -> dict[str, Callable[[UserSequence], list[str]]]:
    """Every row of the table: from a user to at most ten item ids, best first."""
    import numpy as np

    from ..generative.config import GenerativeConfig
    from ..generative.proposer import load_proposer
    from ..generative.tokenizer import load_encoder
    from ..generative.training.baselines import PLAIN_KNN, TUNED_KNN, ItemKnn, Popularity, best

    items = marketplace.items()
    ids = [item.item_id for item in items]
    row_of = {item_id: row for row, item_id in enumerate(ids)}
    training = as_rows([user.training for user in user_sequences(marketplace)], row_of)

    def counted(scorer: Popularity | ItemKnn) -> Callable[[UserSequence], list[str]]:
        rng = np.random.default_rng(seed)

        def rank(user: UserSequence) -> list[str]:
            history = np.array([row_of[item_id] for item_id in user.history[-HISTORY_KEPT:]])
            return [ids[row] for row in best(scorer.scores(history), history, TOP, rng)]

        return rank

    snapshot, clock, config = (
        folded(load_encoder(models / "tokenizer").encode(items)),
        SystemClock(),
        GenerativeConfig(),
    )

    def learned(settings: GenerativeConfig) -> Callable[[UserSequence], list[str]]:
        proposer = load_proposer(models / "decoder", settings)
        return lambda user: proposed(proposer, snapshot, user, clock)

    return {
        "popularity": counted(Popularity(training, len(ids))),
        "item-kNN, plain": counted(ItemKnn(training, len(ids), PLAIN_KNN)),
        "item-kNN, tuned on Beauty": counted(ItemKnn(training, len(ids), TUNED_KNN)),
        "generative alone": learned(replace(config, memory=False)),
        "memory alone": learned(replace(config, decoder=False)),
        "fused": learned(config),
    }


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[words]}"),
        console=console,
    )


def _tracked(users: Sequence[UserSequence], name: str, console: Console) -> Any:
    columns = (TextColumn(f"{name:>26}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield from progress.track(users)


def _score_table(name: str, evaluations: Sequence[Evaluation]) -> RichTable:
    table = RichTable("", "Recall@5", "NDCG@5", "Recall@10", "NDCG@10", "ms per user", title=f"next choice on {name}")
    for evaluation in evaluations:
        score = evaluation.score
        figures = (score.recall_at_5, score.ndcg_at_5, score.recall_at_10, score.ndcg_at_10)
        table.add_row(evaluation.name, *(f"{figure:.4f}" for figure in figures), f"{evaluation.ms_per_user:.1f}")
    return table


def _write_report(
    out: Path,
    marketplace: Path,
    models: Path,
    checksum: str,
    seed: int,
    leaks: bool,
    asked: Sequence[UserSequence],
    rankings: dict[str, list[list[str]]],
    evaluations: Sequence[Evaluation],
) -> None:
    """Afterwards `out` holds the scores of all rows, and per user the target and the ten best items of `fused`."""
    report = {
        "marketplace": os.fspath(marketplace),
        "models": os.fspath(models),
        "decoder": checksum,
        "seed": seed,
        "trained_on_answers": leaks,
        "rows": {evaluation.name: asdict(evaluation.score) for evaluation in evaluations},
        "ms_per_user": {evaluation.name: evaluation.ms_per_user for evaluation in evaluations},
        "targets": {user.user_id: user.target for user in asked},
        "fused": {user.user_id: ranking for user, ranking in zip(asked, rankings["fused"], strict=True)},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
