"""Trains a marketplace's proposer stage by stage; what is up to date is left as it is."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...core.clock import Clock
from ...core.errors import ArtifactError
from ...core.marketplace import Marketplace
from .aligning import PreferenceReport, prefer, reference_of
from .application import DecoderReport, teach_decoder
from .options import TrainingOptions, TrainingStage
from .posttraining import TokenizerReport, align_with_behaviour
from .pretraining import ContentReport, pretrain
from .ranking import RankerReport, rank
from .schedule import Report
from .workshop import Workshop, items_digest

StageReport = ContentReport | TokenizerReport | DecoderReport | PreferenceReport | RankerReport

# How stages divide the minutes that those before them left. Naming among all items needs the most epochs; the content
# of a catalogue and the ranker take the seconds they take.
_SHARES = {TrainingStage.TOKENIZER: 0.55, TrainingStage.DECODER: 0.36, TrainingStage.PREFERENCE: 0.09}


def fit(
    marketplace: Marketplace,
    models: Path,
    options: TrainingOptions,
    notes: dict[str, Any],
    clock: Clock,
    report: Report,
) -> dict[TrainingStage, StageReport | None]:
    """Afterwards `models` holds all artefacts of a proposer, each with `notes`; what came out of each stage, None for
    one that was up to date.

    A stopped run with the same notes resumes from `models`/.checkpoints. Sets torch's thread count for the process.
    """
    workshop = Workshop(marketplace, models, options, notes, clock, report)
    return {stage: fit_stage(workshop, stage) for stage in TrainingStage}


def fit_stage(workshop: Workshop, stage: TrainingStage, force: bool = False) -> StageReport | None:
    """Afterwards the stage's artefact is up to date; None where it was already, and `force` did not say to make it
    again. ArtifactError where what it is built on is missing."""
    if not force and workshop.is_current(stage, _built_on(workshop, stage)):
        return None
    if stage is TrainingStage.RANKER:
        return rank(workshop)
    shutil.rmtree(workshop.folder(TrainingStage.RANKER), ignore_errors=True)  # it orders what is about to change
    if stage is TrainingStage.CONTENT:
        return pretrain(workshop)
    makers: dict[TrainingStage, Callable[[Workshop, float], StageReport]] = {
        TrainingStage.TOKENIZER: align_with_behaviour,
        TrainingStage.DECODER: teach_decoder,
        TrainingStage.PREFERENCE: prefer,
    }
    return makers[stage](workshop, _minutes(workshop, stage))


def _built_on(workshop: Workshop, stage: TrainingStage) -> str:
    """The checksum of what the stage reads."""
    if stage is TrainingStage.CONTENT:
        return items_digest(workshop.marketplace.items())
    if stage is TrainingStage.TOKENIZER:
        return workshop.manifest(TrainingStage.CONTENT).checksum
    if stage is TrainingStage.DECODER:
        return workshop.tokenizer().model
    if stage is TrainingStage.RANKER:
        return workshop.manifest(TrainingStage.DECODER).checksum
    return reference_of(workshop).checksum


def _minutes(workshop: Workshop, stage: TrainingStage) -> float:
    """What the stage may take: its share of what the stages before it left, and no less than half its share of all."""
    stages: Sequence[TrainingStage] = list(TrainingStage)
    place, minutes = stages.index(stage), workshop.options.minutes
    left = minutes - sum(_spent(workshop, one) for one in stages[:place])
    share = left * _SHARES[stage] / sum(_SHARES.get(one, 0.0) for one in stages[place:])
    return max(share, 0.5 * minutes * _SHARES[stage])


def _spent(workshop: Workshop, stage: TrainingStage) -> float:
    """The minutes that the stage's artefact took."""
    try:
        return float(workshop.manifest(stage).notes.get("minutes", 0.0))
    except ArtifactError:
        return 0.0
