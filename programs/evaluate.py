"""`adgram eval`: how well models propose, on choices they never saw."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..core.artifact import Manifest, verified
from ..core.catalogue import Item
from ..core.clock import SystemClock, elapsed_ms
from ..core.errors import ArtifactError, MarketplaceError
from ..core.marketplace import Marketplace
from ..generative.config import GenerativeConfig
from ..generative.proposer import load_proposer
from ..generative.tokenizer import load_encoder
from ..generative.training.comparison import FUSED, WITHOUT, Comparison, compare
from ..generative.training.evaluation import RankingScore, score_of
from ..generative.training.sequences import HeldOut, UserSequence, as_rows, user_sequences
from ..generative.training.significance import PairedTest, paired_test
from ..generative.weights import FORMAT
from ..streaming.folds.feedback import HISTORY as HISTORY_KEPT
from .papers import PROTOCOL, PUBLISHED
from .proposals import folded, proposed, select_users
from .train import MarketplaceArgument, marketplace_digest

_LEAKS = (
    "[bold red]These models were trained with --all, as the demo's are, and have seen the answers: what learned rows "
    "say is no forecast. Train without --all to measure.[/]"
)
SERVED_USERS = 300  # asked through the served proposer, too: their lists must be the table's


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One folder of models, measured."""

    manifest: Manifest
    compared: Comparison
    test: PairedTest  # fused against fused without generative
    served_ms: float  # of one proposal, median
    served_equal: int
    served: int
    model: str  # checksums of what was served: decoder, ranker, needs


def evaluate(
    marketplace: MarketplaceArgument,
    models: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of models; several (seeds) give mean and standard deviation. [default: runs/models]"),
    ] = None,
    users: Annotated[int | None, typer.Option(help="Ask for this many random users; all of them without it.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the table and each user's ten best items here, as JSON.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Picks the users and breaks ties.")] = 0,
) -> None:
    """Measure the proposer: Recall and NDCG of each user's last choice, beside the baselines."""
    console, opened = Console(), Marketplace(marketplace)
    asked = select_users(opened, users, seed)
    if not asked:
        raise MarketplaceError(f"{marketplace} has no user with three or more choices, so nothing can be held out")
    folders = models or [Path("runs/models")]
    manifests = [_manifest(folder, opened, marketplace) for folder in folders]
    items = opened.items()
    row_of = {item.item_id: row for row, item in enumerate(items)}
    training = as_rows([user.training for user in user_sequences(opened)], row_of)
    histories = as_rows([user.history[-HISTORY_KEPT:] for user in asked], row_of)
    held_out = HeldOut(histories, np.array([row_of[user.target] for user in asked]))
    leaks = any(manifest.notes["options"]["all_events"] for manifest in manifests)
    if leaks:
        console.print(_LEAKS, soft_wrap=True)
    evaluations = []
    for folder, manifest in zip(folders, manifests, strict=True):
        with _progress(console) as progress:
            bars: dict[str, TaskID] = {}

            def told(name: str, done: float, progress: Progress = progress, bars: dict[str, TaskID] = bars) -> None:
                if name not in bars:
                    bars[name] = progress.add_task(name, total=1.0)
                progress.update(bars[name], completed=done)

            compared = compare(folder, items, training, held_out, seed, told)
        test = paired_test(compared.ranks[FUSED], compared.ranks[WITHOUT], np.random.default_rng(seed))
        evaluations.append(_served(Evaluation(manifest, compared, test, 0.0, 0, 0, ""), folder, items, asked))
    console.print(_table(opened.manifest.name, evaluations))
    for folder, evaluation in zip(folders, evaluations, strict=True):
        console.print(_line(folder, evaluation), highlight=False)
    if len(evaluations) > 1:
        test, gains = _together(evaluations, seed), [evaluation.test.ndcg_gain for evaluation in evaluations]
        console.print(
            f"These {len(evaluations)} trainings together, each user once: {_against(test, 'sign test')} "
            f"From training to training the gain is {np.mean(gains):+.4f} ± {np.std(gains, ddof=1):.4f}.",
            highlight=False,
        )
    console.print(
        f"Protocol: {len(asked)} users, leave-one-out: the last choice is asked for among the whole catalogue, "
        f"items of the history are masked (the newest {HISTORY_KEPT} events, as served), ties are broken at random. "
        "The validation choice (last but one) is in the history; no proposing network and no count was made from it. "
        "Settings, the shares of the fusion and the ranker were. fused = what `adgram serve` proposes.",
        highlight=False,
    )
    if opened.manifest.name in PUBLISHED:
        console.print(PROTOCOL, highlight=False)
    if leaks:
        console.print(_LEAKS, soft_wrap=True)
    if out is not None:
        _write_report(out, marketplace, folders, seed, leaks, asked, evaluations)


def _manifest(folder: Path, marketplace: Marketplace, path: Path) -> Manifest:
    manifest = verified(folder / "decoder", "decoder", FORMAT)
    if manifest.notes.get("marketplace") != marketplace_digest(marketplace):
        raise ArtifactError(f"{folder} was trained on another marketplace than {path}; run `adgram train` on this one")
    return manifest


def _served(evaluation: Evaluation, folder: Path, items: Sequence[Item], asked: Sequence[UserSequence]) -> Evaluation:
    """The evaluation with what the served proposer answers to the first users, one by one."""
    snapshot = folded(load_encoder(folder / "tokenizer").encode(items))
    proposer, clock = load_proposer(folder / "decoder", GenerativeConfig()), SystemClock()
    proposer.warm(snapshot)
    took, equal = [], 0
    for user, fused in zip(asked[:SERVED_USERS], evaluation.compared.fused, strict=False):
        started = clock.monotonic_ns()
        equal += proposed(proposer, snapshot, user, clock) == fused
        took.append(elapsed_ms(started, clock))
    return replace(
        evaluation, served_ms=float(np.median(took)), served_equal=equal, served=len(took), model=proposer.model
    )


def _score(evaluation: Evaluation, name: str) -> RankingScore:
    return score_of(evaluation.compared.ranks[name])


def _table(name: str, evaluations: Sequence[Evaluation]) -> Table:
    seeds = f", mean ± sd of {len(evaluations)} trainings" if len(evaluations) > 1 else ""
    table = Table("", "Recall@5", "NDCG@5", "Recall@10", "NDCG@10", title=f"next choice on {name}{seeds}")
    for row in evaluations[0].compared.ranks:
        scores = [_score(evaluation, row) for evaluation in evaluations]
        cells = []
        for figure in ("recall_at_5", "ndcg_at_5", "recall_at_10", "ndcg_at_10"):
            values = [getattr(score, figure) for score in scores]
            spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.4f}{spread}")
        table.add_row(row, *cells)
    table.add_section()
    for paper in PUBLISHED.get(name, ()):
        figures = (f"{paper.recall_at_10:.4f}", f"{paper.ndcg_at_10:.4f}")
        table.add_row(f"{paper.paper}, paper, its own protocol", "", "", *figures, style="dim")
    return table


def _line(folder: Path, evaluation: Evaluation) -> str:
    """One artefact in one line: its checksum, its quality, its time, and the paired test."""
    score = _score(evaluation, FUSED)
    return (
        f"{folder}: {evaluation.model} (decoder, which names its tokenizer, and ranker): fused Recall@10 "
        f"{score.recall_at_10:.4f}, NDCG@10 {score.ndcg_at_10:.4f}, {evaluation.served_ms:.1f} ms a proposal (median "
        f"of {evaluation.served}; {evaluation.served_equal} of them the same list as in the table). "
        f"{_against(evaluation.test, 'exact McNemar')}"
    )


def _together(evaluations: Sequence[Evaluation], seed: int) -> PairedTest:
    """Fused against fused without generative over all trainings."""
    fused, without = (np.stack([one.compared.ranks[name] for one in evaluations]) for name in (FUSED, WITHOUT))
    return paired_test(fused, without, np.random.default_rng(seed))


def _against(test: PairedTest, hits: str) -> str:
    return (
        f"Against {WITHOUT}, paired over users: NDCG@10 {test.ndcg_gain:+.4f} [{test.low:+.4f}, {test.high:+.4f}], "
        f"Wilcoxon p {test.p_ndcg:.2g}; hits at 10 {test.gained} gained, {test.lost} lost, {hits} p "
        f"{test.p_recall:.2g}."
    )


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:>26}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)


def _write_report(
    out: Path,
    marketplace: Path,
    folders: Sequence[Path],
    seed: int,
    leaks: bool,
    asked: Sequence[UserSequence],
    evaluations: Sequence[Evaluation],
) -> None:
    """Afterwards `out` holds the first folder's scores and lists of `fused`, all folders' scores beside them, and the
    paired test over all of them."""
    first = evaluations[0]
    report: dict[str, Any] = {
        "marketplace": os.fspath(marketplace),
        "models": os.fspath(folders[0]),
        "decoder": first.manifest.checksum,
        "seed": seed,
        "trained_on_answers": leaks,
        "rows": {name: asdict(_score(first, name)) for name in first.compared.ranks},
        "seeds": [
            {
                "models": os.fspath(folder),
                "decoder": evaluation.manifest.checksum,
                "model": evaluation.model,
                "rows": {name: asdict(_score(evaluation, name)) for name in evaluation.compared.ranks},
                "fused_against_without": asdict(evaluation.test),
                "served_ms": evaluation.served_ms,
            }
            for folder, evaluation in zip(folders, evaluations, strict=True)
        ],
        "fused_against_without": asdict(_together(evaluations, seed)),
        "targets": {user.user_id: user.target for user in asked},
        "fused": {user.user_id: ranking for user, ranking in zip(asked, first.compared.fused, strict=True)},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
