"""What the studies of training share: people of a data set, models of its first stages, cells that survive a stop.

A study trains many times, so it does with the dense part of a data set: its most chosen items, and people drawn from
those with five choices or more among them. Everything is split as in `adgram eval`: the last choice is tested, the one
before validates. Decoders read items by their vectors alone, without words. Minutes are CPU minutes of one thread, so
that what else runs on the machine changes nothing; on a quiet machine they are minutes.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from adgram.core.marketplace import Manifest, Marketplace, write_entities, write_log, write_manifest
from adgram.generative.content import load_content
from adgram.generative.decoder import SemanticDecoder
from adgram.generative.training.baselines import KnnSettings
from adgram.generative.training.encoded import EncodedCatalogue
from adgram.generative.training.fit import fit_stage
from adgram.generative.training.options import TrainingOptions, TrainingStage
from adgram.generative.training.sequences import HeldOut, as_rows, user_sequences
from adgram.generative.training.stages import TrainingData
from adgram.generative.training.workshop import FIRST_STAGE, Workshop
from adgram.generative.weights import load_decoder
from adgram.simulator.market.amazon import import_amazon

INTEREST_EPOCHS, CODE_EPOCHS = 12, 10  # of these small sets; later ones are hardly ever the best on validation
FEWEST = 5  # choices of a person: three to learn from, one to validate and one to test


@dataclass(frozen=True, slots=True)
class Studied:
    """One data set with the first two stages trained on it by one seed."""

    data: TrainingData
    test: HeldOut
    content: npt.NDArray[np.float32]  # [N, C]
    vectors: npt.NDArray[np.float32]  # [N, D] as the tokenizer serves them
    sids: npt.NDArray[np.int32]  # [N, L]
    codebooks: npt.NDArray[np.float32]  # [L, K, D]
    categories: list[tuple[str, ...]]  # [N]
    interest: SemanticDecoder
    settings: KnnSettings  # of the companions that teach
    options: TrainingOptions


class Cells:
    """A study's results, one at a time on disk, so that a stopped study goes on."""

    def __init__(self, folder: Path, settings: object) -> None:
        """Results of other settings are not taken up."""
        self._path = folder / "cells.json"
        self._settings = msgspec.to_builtins(settings)
        kept = msgspec.json.decode(self._path.read_bytes()) if self._path.is_file() else {}
        self._values: dict[str, dict[str, float]] = kept["cells"] if kept.get("settings") == self._settings else {}

    def cell(self, name: str, make: Callable[[], dict[str, float]]) -> dict[str, float]:
        """The cell's figures, made now unless they are there."""
        if name not in self._values:
            self._values[name] = make()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._path.with_suffix(".partial")
            partial.write_bytes(msgspec.json.encode({"settings": self._settings, "cells": self._values}))
            partial.replace(self._path)
        return self._values[name]


def people_of(data: Path, folder: Path, users: int, items: int, seed: int) -> Marketplace:
    """The marketplace of `users` people and the `items` most chosen items of an Amazon data set, made once."""
    name = f"{data.name}-{users}-{items}-{seed}"
    if (folder / name / "marketplace.json").is_file():
        return Marketplace(folder / name)
    whole = folder / data.name
    if not (whole / "marketplace.json").is_file():
        import_amazon(data, whole, 1)
    opened = Marketplace(whole)
    log = opened.log("interactions").to_pydict()
    dense = {item_id for item_id, _ in Counter(log["item_id"]).most_common(items)}
    kept = [row for row, item_id in enumerate(log["item_id"]) if item_id in dense]
    choices = Counter(log["user_id"][row] for row in kept)
    busy = sorted(user_id for user_id, count in choices.items() if count >= FEWEST)
    chosen = set(np.random.default_rng(seed).choice(busy, min(users, len(busy)), replace=False).tolist())
    kept = [row for row in kept if log["user_id"][row] in chosen]
    met = {log["item_id"][row] for row in kept}
    write_entities(folder / name, "items", [item for item in opened.items() if item.item_id in met])
    write_log(folder / name, "interactions", {column: [values[row] for row in kept] for column, values in log.items()})
    write_manifest(folder / name, Manifest(name, "USD", opened.manifest.source, seed))
    return Marketplace(folder / name)


def studied(marketplace: Marketplace, folder: Path, options: TrainingOptions, console: Console) -> Studied:
    """The data with content encoder and tokenizer, trained with these options unless they are there."""
    notes = {"marketplace": marketplace.manifest.name}
    models = folder / f"models-{marketplace.manifest.name}-{options.seed}-{options.width}"
    with console.status("first stages") as status:
        told = lambda stage, done, words: status.update(f"{stage} {done:.0%}: {words}")  # noqa: E731
        workshop = Workshop(marketplace, models, options, notes, CpuClock(), told)
        for stage in (TrainingStage.CONTENT, TrainingStage.TOKENIZER):
            fit_stage(workshop, stage)
    items = marketplace.items()
    tokenizer = workshop.tokenizer()
    catalogue = EncodedCatalogue.of(tokenizer, items)
    row_of = {item.item_id: row for row, item in enumerate(items)}
    asked = [user for user in user_sequences(marketplace) if user.testable]
    return Studied(
        data=workshop.data(items),
        test=HeldOut(as_rows([one.history for one in asked], row_of), np.array([row_of[one.target] for one in asked])),
        content=load_content(models / "content").vectors(items).astype(np.float32),
        vectors=catalogue.vectors,
        sids=catalogue.sids,
        codebooks=tokenizer.weights.codebooks,
        categories=[item.category for item in items],
        interest=load_decoder(models / FIRST_STAGE, models / "tokenizer").decoder,
        settings=msgspec.convert(workshop.manifest(TrainingStage.TOKENIZER).notes["knn"], KnnSettings),
        options=options,
    )


class CpuClock:
    """Implements core.clock.Clock with this process's CPU time for the clock that budgets are taken from."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.process_time_ns()


def said(marketplace: Marketplace) -> str:
    """The size of a study's data, in words."""
    log = marketplace.log("interactions")
    return f"{len(set(log['user_id'].to_pylist()))} people, {len(marketplace.items())} items, {log.num_rows} choices"


def one_thread() -> None:
    """Afterwards torch uses one thread, as studies say they did."""
    torch.set_num_threads(1)
