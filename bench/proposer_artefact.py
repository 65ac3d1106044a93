"""Trained models as `adgram serve` loads them: quality and time of one artefact, by its one checksum, in one row.

Quality is read from what `adgram eval --out` wrote for the same checksum; without it an artefact has no row.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from report import Report

from adgram.core.artifact import MANIFEST, Manifest
from adgram.core.clock import Deadline, SystemClock
from adgram.core.marketplace import Marketplace
from adgram.core.ports import ProposalContext
from adgram.generative.config import GenerativeConfig
from adgram.generative.proposer import load_proposer
from adgram.generative.tokenizer import load_encoder
from adgram.generative.training.evaluation import TOP
from adgram.programs.proposals import folded, history_of, select_users

USERS = 300
FIRST_CODE_MS = 10.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What `adgram eval` found for an artefact."""

    marketplace: Path
    recall_at_10: float
    ndcg_at_10: float
    source: Path


def artefacts(report: Report, folders: Iterable[Path], most_ms: float) -> None:
    """A row for each folder of models whose evaluation lies beside it; `most_ms` is what a request may take."""
    for folder in folders:
        manifest = msgspec.json.decode((folder / "decoder" / MANIFEST).read_bytes(), type=Manifest)
        measured = _measured(folder.parent, manifest.checksum)
        if measured is not None:
            _row(report, folder, manifest.checksum, measured, most_ms)


def _row(report: Report, folder: Path, checksum: str, measured: Measured, most_ms: float) -> None:
    market = Marketplace(measured.marketplace)
    config = GenerativeConfig()
    proposer = load_proposer(folder / "decoder", config)
    if checksum not in proposer.model:
        raise SystemExit(f"{folder} holds {checksum}, but {proposer.model} was loaded")
    snapshot, clock = folded(load_encoder(folder / "tokenizer").encode(market.items())), SystemClock()
    proposer.warm(snapshot)  # as `adgram serve` does before it answers
    whole, first = [], []
    for user in select_users(market, USERS, seed=0):
        history, admitted = history_of(user), snapshot.items.alive.copy()
        admitted[[slot for slot in (snapshot.slot(event.item_id) for event in history) if slot is not None]] = False
        context = ProposalContext(snapshot, admitted, history, TOP, Deadline.after_ms(10_000, clock))
        started, steps, done = time.process_time(), proposer.begin(context), 0
        while steps.advance(config.beam_width) is None:
            done += 1
            if done == 2:  # the history and the first level
                first.append((time.process_time() - started) * 1e3)
        whole.append((time.process_time() - started) * 1e3)
    quality = f"fused R@10 {measured.recall_at_10:.4f}, N@10 {measured.ndcg_at_10:.4f}"
    items = int(snapshot.items.alive.sum())
    report.add(
        f"artefact {checksum}: a request; {quality}", float(np.median(whole)), "ms",
        f"CPU, 1 thread, as served (W={config.beam_width}, memory and fusion in it), {items:,} items, median of "
        f"{len(whole)} users; quality by {measured.source.name}; at most the W=32 time asked of the fixed shape",
        to_reach=most_ms,
    )  # fmt: skip
    report.add(
        f"artefact {checksum}: first code decided", float(np.median(first)), "ms", "CPU, 1 thread, as served",
        to_reach=FIRST_CODE_MS,
    )  # fmt: skip


def _measured(folder: Path, checksum: str) -> Measured | None:
    """The evaluation of this checksum among the JSON files of a folder."""
    for path in sorted(folder.glob("*.json")):
        content = msgspec.json.decode(path.read_bytes())
        seeds: list[dict[str, Any]] = content.get("seeds", []) if isinstance(content, dict) else []
        for seed in seeds:
            if seed["decoder"] == checksum:
                fused = seed["rows"]["fused"]
                return Measured(Path(content["marketplace"]), fused["recall_at_10"], fused["ndcg_at_10"], path)
    return None
