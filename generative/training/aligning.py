"""The stage of preference alignment: its artefact is the decoder's, changed where that is seen to help."""

import shutil
from dataclasses import dataclass
from typing import Any

import torch

from ...core.artifact import Manifest, seal, verified
from ...core.clock import elapsed_ms
from ..weights import FORMAT, KIND, LoadedDecoder, load_decoder, save_decoder
from .application import fused
from .encoded import EncodedCatalogue
from .options import TrainingStage
from .pools import Sources
from .preference import PreferenceModel, drawn_choices
from .pretraining import MS_PER_MINUTE
from .schedule import Plan, Stage
from .sequences import HeldOut
from .workshop import UNALIGNED, Workshop

_USERS = 6000  # asked for a validation figure: one half chooses the round, the other decides whether it is kept
_MOMENTS = 4000  # learned from in a round: an alignment that helps does so soon, and one that harms is stopped early
_RATE = 1e-4  # a tenth of the decoder's own: it is to change its mind, not to learn anew


@dataclass(frozen=True, slots=True)
class PreferenceReport:
    """What came out of the alignment. The figures are the decoder's own NDCG at 10 on validation choices."""

    decoder: str  # checksum of what is served now
    built_on: str  # checksum of the decoder before
    outcome: str
    validation_ndcg_before: float | None  # of people who did not choose the round
    validation_ndcg_after: float | None
    minutes: float


def reference_of(workshop: Workshop) -> Manifest:
    """The decoder as it was before any alignment; ArtifactError where there is none."""
    served = workshop.manifest(TrainingStage.DECODER)
    if served.notes.get("preference", {}).get("kept"):
        return verified(workshop.models / UNALIGNED, KIND, FORMAT)
    return served


def prefer(workshop: Workshop, minutes: float) -> PreferenceReport:
    """Afterwards `decoder`/ holds the aligned decoder where its validation NDCG rose, and `unaligned`/ the one before;
    where it did not rise, the decoder is as it was and its notes say so."""
    started, options, stage = workshop.clock.monotonic_ns(), workshop.options, TrainingStage.PREFERENCE
    torch.set_num_threads(options.threads)
    tokenizer, items = workshop.tokenizer(), workshop.marketplace.items()
    reference, folder = reference_of(workshop), workshop.folder(stage)
    if workshop.manifest(TrainingStage.DECODER).checksum != reference.checksum:
        _restore(workshop)
    loaded = load_decoder(folder, workshop.folder(TrainingStage.TOKENIZER))
    data = workshop.data(items)
    if options.all_events or not len(data.validation.targets):
        # Whether it helps can only be seen on choices that nothing was learned from.
        outcome = "not tried: no choices are held out to see whether it helps"
        _note(workshop, reference, {"kept": False, "outcome": outcome}, 0.0)
        return PreferenceReport(reference.checksum, reference.checksum, outcome, None, None, 0.0)
    catalogue = EncodedCatalogue.of(tokenizer, items, loaded.wording)
    asked, model = data.validation.first(_USERS), PreferenceModel(loaded.decoder, catalogue.as_read, catalogue.sids)
    # The best of some rounds looks better than it is to those whom it was chosen by.
    half = (len(asked.targets) + 1) // 2
    choosing, deciding = asked.first(half), HeldOut(asked.histories[half:], asked.targets[half:])
    with torch.inference_mode():
        before = model.ndcg(deciding.histories, deciding.targets)
    plan = Plan("preference", options.preference_epochs, minutes, _RATE, options.seed + 2, batch_users=64)
    run = Stage(plan, model, workshop.clock, workshop.checkpoints(stage, reference.checksum) / "preference.pt")
    length = loaded.decoder.shape.history_length
    run.run(
        lambda rng: drawn_choices(data.training, plan.batch_users, length, rng)[: _MOMENTS // plan.batch_users],
        lambda choices, _: model.loss(choices),
        lambda: model.ndcg(choosing.histories, choosing.targets),
        workshop.report,
    )
    with torch.inference_mode():
        after = model.ndcg(deciding.histories, deciding.targets)
    spent = max(elapsed_ms(started, workshop.clock) / MS_PER_MINUTE, run.spent_s / 60)
    figures = {"validation_ndcg_before": before, "validation_ndcg_after": after}
    if after > before:
        outcome, checksum = "kept: validation NDCG rose", _keep(workshop, loaded, reference, catalogue, figures, spent)
    else:
        outcome, checksum = "not kept: validation NDCG did not rise", reference.checksum
        _note(workshop, reference, {"kept": False, "outcome": outcome, **figures}, spent)
    workshop.finish(stage)
    return PreferenceReport(checksum, reference.checksum, outcome, before, after, spent)


def _keep(
    workshop: Workshop,
    loaded: LoadedDecoder,
    reference: Manifest,
    catalogue: EncodedCatalogue,
    figures: dict[str, Any],
    spent: float,
) -> str:
    """Afterwards the aligned decoder is served, fused anew; its checksum."""
    sources = Sources(loaded.decoder, loaded.profiler, catalogue, loaded.companions)
    fusion = fused(sources, workshop.data(workshop.marketplace.items()).validation, workshop.report)
    stage, folder = TrainingStage.PREFERENCE, workshop.folder(TrainingStage.PREFERENCE)
    made_from = workshop.made_from(stage, reference.checksum)
    aligned = {"kept": True, "outcome": "kept", **figures, "made_from": made_from, "minutes": spent}
    # Made whole beside the old one, so that whoever is stopped here has either.
    partial = workshop.checkpoints(stage, reference.checksum) / "decoder"
    shutil.rmtree(partial, ignore_errors=True)
    checksum = save_decoder(
        partial, loaded.decoder, loaded.wording, loaded.companions, fusion, reference.notes["tokenizer"],
        {**reference.notes, "preference": aligned, "unaligned": reference.checksum}, loaded.profiler,
    )  # fmt: skip
    shutil.rmtree(workshop.models / UNALIGNED, ignore_errors=True)
    folder.rename(workshop.models / UNALIGNED)
    partial.rename(folder)
    return checksum


def _restore(workshop: Workshop) -> None:
    """Afterwards the decoder before any alignment is served again."""
    folder = workshop.folder(TrainingStage.DECODER)
    shutil.rmtree(folder)
    (workshop.models / UNALIGNED).rename(folder)


def _note(workshop: Workshop, reference: Manifest, outcome: dict[str, Any], spent: float) -> None:
    """Afterwards the decoder's notes say what became of its alignment; its files and checksum are as they were."""
    made_from = workshop.made_from(TrainingStage.PREFERENCE, reference.checksum)
    notes = {**reference.notes, "preference": {**outcome, "made_from": made_from, "minutes": spent}}
    seal(workshop.folder(TrainingStage.DECODER), KIND, FORMAT, notes)
