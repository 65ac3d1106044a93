"""One training: what is asked of it, where its artefacts lie, and which of them are up to date."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...core.artifact import MANIFEST, Manifest, verified
from ...core.catalogue import Item
from ...core.clock import Clock
from ...core.errors import ArtifactError, MarketplaceError
from ...core.marketplace import Marketplace
from .. import content, ranker, tokenizer, weights
from ..tokenizer import ItemTokenizer, load_encoder
from .options import READ_BY, TrainingOptions, TrainingStage
from .schedule import Report
from .sequences import HeldOut, UserSequence, as_rows, user_sequences
from .stages import TrainingData

FIRST_STAGE = "interest"
"""Folder of the post-training's network: what the decoder starts from, and what searches memory."""
UNALIGNED = "unaligned"
"""Folder of the decoder as it was before preference alignment, where alignment changed it."""
_CHECKPOINTS = ".checkpoints"
_MIN_EVENTS = 100  # below this there is nothing to learn from, and every figure would be noise
_FORMATS = {
    TrainingStage.CONTENT: (content.KIND, content.FORMAT),
    TrainingStage.TOKENIZER: (tokenizer.KIND, tokenizer.FORMAT),
    TrainingStage.DECODER: (weights.KIND, weights.FORMAT),
    TrainingStage.PREFERENCE: (weights.KIND, weights.FORMAT),
    TrainingStage.RANKER: (ranker.KIND, ranker.FORMAT),
}


@dataclass(frozen=True, slots=True)
class Workshop:
    """A marketplace, a folder of models, and what every stage between them is given."""

    marketplace: Marketplace
    models: Path
    options: TrainingOptions
    notes: dict[str, Any]  # written into every artefact; all but "options" decides whether it is up to date
    clock: Clock
    report: Report

    def folder(self, stage: TrainingStage) -> Path:
        """Where the stage's artefact lies; the preference stage changes the decoder's in place."""
        return self.models / (TrainingStage.DECODER if stage is TrainingStage.PREFERENCE else stage).value

    def manifest(self, stage: TrainingStage) -> Manifest:
        """Of the stage's artefact; ArtifactError where it is missing or damaged."""
        return verified(self.folder(stage), *_FORMATS[stage])

    def made_from(self, stage: TrainingStage, built_on: str) -> dict[str, Any]:
        """All that decides what the stage's artefact becomes: data, options, and the checksum it is built on."""
        options = {name: getattr(self.options, name) for name in READ_BY[stage]}
        said = {name: value for name, value in self.notes.items() if name != "options"}
        if stage is TrainingStage.CONTENT:
            said = {}  # the items alone, whose digest is what it is built on
        return {"built_on": built_on, "options": options, **said}

    def is_current(self, stage: TrainingStage, built_on: str) -> bool:
        """Whether the stage's artefact is whole and came from the same data, options and predecessor."""
        try:
            notes = self.manifest(stage).notes
            if stage is TrainingStage.TOKENIZER:
                verified(self.models / FIRST_STAGE, weights.KIND, weights.FORMAT)
        except ArtifactError:
            return False
        if stage is TrainingStage.PREFERENCE:
            notes = notes.get("preference", {})
        return bool(notes.get("made_from") == self.made_from(stage, built_on))

    def sealed(self, stage: TrainingStage, built_on: str, minutes: float) -> dict[str, Any]:
        """The notes of the stage's artefact."""
        made_from = self.made_from(stage, built_on)
        return {"options": asdict(self.options), **self.notes, "made_from": made_from, "minutes": minutes}

    def checkpoints(self, stage: TrainingStage, built_on: str) -> Path:
        """The folder of the stage's checkpoints, emptied if they belong to other data, options or predecessors."""
        folder = self.models / _CHECKPOINTS / stage.value
        stamp = msgspec.json.encode(self.made_from(stage, built_on), order="sorted")
        path = folder / "made_from.json"
        if not path.is_file() or path.read_bytes() != stamp:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            path.write_bytes(stamp)
        return folder

    def finish(self, stage: TrainingStage) -> None:
        """Afterwards the stage has no checkpoints."""
        shutil.rmtree(self.models / _CHECKPOINTS / stage.value, ignore_errors=True)
        if (self.models / _CHECKPOINTS).is_dir() and not any((self.models / _CHECKPOINTS).iterdir()):
            (self.models / _CHECKPOINTS).rmdir()

    def generator(self, stage: TrainingStage) -> np.random.Generator:
        """The stage's own randomness, whatever ran before it."""
        return np.random.default_rng((self.options.seed, list(TrainingStage).index(stage)))

    def tokenizer(self) -> ItemTokenizer:
        """The trained tokenizer; ArtifactError where it was built on another content encoder than the trained one."""
        loaded = load_encoder(self.folder(TrainingStage.TOKENIZER))
        if (self.folder(TrainingStage.CONTENT) / MANIFEST).is_file():
            present = self.manifest(TrainingStage.CONTENT).checksum
            if present != loaded.content.model:
                raise ArtifactError(
                    f"{self.folder(TrainingStage.TOKENIZER)} was built on content {loaded.content.model}, "
                    f"{self.folder(TrainingStage.CONTENT)} is {present}; run `adgram train --stage tokenizer`"
                )
        return loaded

    def data(self, items: Sequence[Item]) -> TrainingData:
        """What people chose, as rows of `items`; MarketplaceError where that is too little to learn from."""
        row_of = {item.item_id: row for row, item in enumerate(items)}
        data = training_data(user_sequences(self.marketplace), row_of, self.options)
        if data.events < _MIN_EVENTS:
            raise MarketplaceError(
                f"{self.marketplace.folder} has {data.events} interactions to learn from; "
                f"at least {_MIN_EVENTS} are needed, so record more clicks or conversions"
            )
        return data


def items_digest(items: Sequence[Item]) -> str:
    """Changes whenever anything that items say of themselves does."""
    return hashlib.sha256(b"\n".join(map(msgspec.json.encode, items))).hexdigest()[:16]


def training_data(sequences: Sequence[UserSequence], row_of: dict[str, int], options: TrainingOptions) -> TrainingData:
    """What to learn from and what to validate on, in the seed's order."""
    learned = [sequence.item_ids if options.all_events else sequence.training for sequence in sequences]
    training = as_rows(learned, row_of)
    met = np.zeros(len(row_of), dtype=np.bool_)
    if training:
        met[np.concatenate(training)] = True
    # With all events learned, the figure still orders epochs, but it is then one of fit, not of foresight.
    testable = [
        sequence for sequence in sequences if sequence.testable and sequence.item_ids[-2] not in sequence.training
    ]
    chosen = np.random.default_rng(options.seed).permutation(len(testable))
    histories = as_rows([testable[row].training for row in chosen], row_of)
    targets = np.array([row_of[testable[row].item_ids[-2]] for row in chosen], dtype=np.int64)
    return TrainingData(training, HeldOut(histories, targets), met)
