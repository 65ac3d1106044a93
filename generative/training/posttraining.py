"""Post-training: content aligned with what is chosen together, and codebooks fitted to where that puts the items."""

import shutil
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch

from ...core.clock import elapsed_ms
from ..companions import CompanionTable
from ..content import load_content
from ..decoder import DecoderShape
from ..fusion import Fusion
from ..tokenizer import load_encoder, save_tokenizer
from ..weights import save_decoder
from ..wording import Wording
from .baselines import TUNED_KNN
from .codebook import codes_for
from .companionship import settings_found
from .options import TrainingStage
from .pretraining import MS_PER_MINUTE
from .sequences import HeldOut
from .stages import learn_interest, tokenizer_weights
from .workshop import FIRST_STAGE, Workshop

NEAREST = 20
"""How many neighbours are looked at when the recall of held-out companions is counted."""


@dataclass(frozen=True, slots=True)
class TokenizerReport:
    """What came out of the post-training. A recall is None where every event was learned from."""

    tokenizer: str  # checksum
    content: str  # that of what it was built on
    neighbour_recall_at_20_of_content: float | None  # see `neighbour_recall`: before,
    neighbour_recall_at_20: float | None  # and after
    colliding_items: int  # items that share their semantic ID with another
    validation_profile_ndcg: float  # of the profile alone, best epoch, at 10
    minutes: float


def align_with_behaviour(workshop: Workshop, minutes: float) -> TokenizerReport:
    """Afterwards `tokenizer`/ holds the tokenizer, `interest`/ the network that learned it, trained for at most
    `minutes`; stopped and started again it goes on."""
    started, options, stage = workshop.clock.monotonic_ns(), workshop.options, TrainingStage.TOKENIZER
    torch.set_num_threads(options.threads)
    encoder, items = load_content(workshop.folder(TrainingStage.CONTENT)), workshop.marketplace.items()
    checkpoints = workshop.checkpoints(stage, encoder.model)
    data, item_ids, rng = workshop.data(items), [item.item_id for item in items], workshop.generator(stage)
    content = encoder.vectors(items).astype(np.float32)
    shape = DecoderShape(
        options.levels,
        options.codes or codes_for(len(items)),
        options.vector_width,
        options.width,
        options.heads,
        options.layers,
        options.history_length,
        options.dropout,
    )
    settings, told = TUNED_KNN, workshop.report
    if not options.all_events:  # who learns from every event has none left to choose settings by
        settings = settings_found(
            data.training, len(items), data.validation, lambda done, words: told("companions", done, words),
            checkpoints / "knn.json",
        )  # fmt: skip
    first = learn_interest(content, data, shape, options, minutes, checkpoints, workshop.clock, told, rng, settings)
    # A resumed stage has spent its time before this run began.
    spent = max(elapsed_ms(started, workshop.clock) / MS_PER_MINUTE, first.minutes)
    notes = {**workshop.sealed(stage, encoder.model, spent), "knn": asdict(settings)}
    folder = workshop.folder(stage)
    shutil.rmtree(folder, ignore_errors=True)
    weights = tokenizer_weights(first.model, data, item_ids, shape, rng)
    save_tokenizer(folder, workshop.folder(TrainingStage.CONTENT), weights, notes)
    tokenizer = load_encoder(folder)
    shutil.rmtree(workshop.models / FIRST_STAGE, ignore_errors=True)
    save_decoder(
        workshop.models / FIRST_STAGE,
        first.model.decoder,
        Wording.of(items),
        CompanionTable.empty(),
        Fusion(companions=0.0),
        tokenizer.model,
        notes,
    )
    workshop.finish(stage)
    encoded = tokenizer.encode(items)
    vectors = np.stack([np.frombuffer(entry.vector, dtype=np.float32) for entry in encoded])
    _, sharing = np.unique([entry.semantic_id for entry in encoded], axis=0, return_counts=True)
    asked = None if options.all_events else data.validation
    return TokenizerReport(
        tokenizer.model,
        encoder.model,
        None if asked is None else neighbour_recall(content, asked),
        None if asked is None else neighbour_recall(vectors, asked),
        int(sharing[sharing > 1].sum()),
        first.figure,
        spent,
    )


def neighbour_recall(vectors: npt.NDArray[np.float32], asked: HeldOut, nearest: int = NEAREST) -> float:
    """The share of held-out choices among the `nearest` items to the choice before them.

    Each user is one pair: the newest item learned from, and the one chosen next, which nothing was learned from.
    `vectors` [N, D] are compared by their dot product; an item is no neighbour of itself.
    """
    found, users = 0, len(asked.targets)
    for start in range(0, users, 256):
        last = np.array([history[-1] for history in asked.histories[start : start + 256]])
        scores = vectors[last] @ vectors.T
        scores[np.arange(len(last)), last] = -np.inf
        aims = asked.targets[start : start + 256]
        better = (scores > scores[np.arange(len(last)), aims][:, None]).sum(axis=1)
        found += int((better < nearest).sum())
    return found / max(users, 1)
