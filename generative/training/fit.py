"""Trains the tokenizer and the decoder of a marketplace, end to end and resumable."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from ...core.artifact import verified
from ...core.clock import Clock, elapsed_ms
from ...core.errors import MarketplaceError
from ...core.marketplace import Marketplace
from ..companions import CompanionTable
from ..decoder import DecoderShape
from ..fusion import Fusion
from ..tokenizer import load_encoder, save_tokenizer
from ..weights import FORMAT, KIND, save_decoder
from .baselines import TUNED_KNN, ItemKnn, KnnSettings
from .blending import fitted_fusion
from .catalogue_tree import CatalogueTree
from .codebook import codes_for
from .companionship import best_settings, companion_table
from .content import fit_content
from .options import TrainingOptions
from .pools import Sources, joined
from .schedule import Report
from .sequences import HeldOut, UserSequence, as_rows, user_sequences
from .stages import TrainingData, learn_codes, learn_interest, tokenizer_weights

MS_PER_MINUTE = 60_000
FIRST_STAGE = "interest"
"""Folder of the first stage's network, kept beside the decoder as what it is to be compared with."""
_MIN_EVENTS = 100  # below this there is nothing to learn from, and every figure would be noise
_FIRST_SHARE = 0.6  # of the minutes: naming among all items needs the most epochs
_FUSION_USERS = 6000  # NDCG to about .003; differences between fusions of the same users are finer


@dataclass(frozen=True, slots=True)
class GenerativeReport:
    """What came out of a training, in figures."""

    tokenizer: str
    decoder: str
    items: int
    users: int
    events: int
    colliding_items: int  # items that share their semantic ID with another
    validation_profile_ndcg: float  # of the profile alone, best epoch of the first stage, at 10
    validation_code_ndcg: float  # of the decoder alone, best epoch of the second stage, at 10
    companions: KnnSettings
    fusion: Fusion
    minutes: float


def fit(
    marketplace: Marketplace,
    models: Path,
    options: TrainingOptions,
    notes: dict[str, Any],
    clock: Clock,
    report: Report,
) -> GenerativeReport:
    """Afterwards `models`/tokenizer and `models`/decoder hold the trained artefacts, each with `notes`.

    A stopped run with the same notes resumes from `models`/.checkpoints. Sets torch's thread count for the process.
    """
    started = clock.monotonic_ns()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(options.seed)
    items = marketplace.items()
    item_ids = [item.item_id for item in items]
    data = _data(user_sequences(marketplace), {item_id: row for row, item_id in enumerate(item_ids)}, options)
    if sum(map(len, data.training)) < _MIN_EVENTS:
        raise MarketplaceError(
            f"{marketplace.folder} has {sum(map(len, data.training))} interactions to learn from; "
            f"at least {_MIN_EVENTS} are needed, so record more clicks or conversions"
        )
    checkpoints = _checkpoints(models, notes)
    report("content", 0.0, f"{len(items)} items")
    content = fit_content(items, options.content_width, rng)
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
    report("content", 1.0, f"{content.vectors.shape[1]} dimensions")

    settings = TUNED_KNN
    if not options.all_events:
        settings = _settings(data, len(items), checkpoints / "knn.json", report)
    companions = companion_table(ItemKnn(data.training, len(items), settings), data.met, item_ids, settings)

    left = options.minutes - elapsed_ms(started, clock) / MS_PER_MINUTE
    first = learn_interest(content, data, shape, options, left * _FIRST_SHARE, checkpoints, clock, report, rng)
    shutil.rmtree(models / "tokenizer", ignore_errors=True)
    save_tokenizer(
        models / "tokenizer",
        tokenizer_weights(content, first.model, data, item_ids, shape, rng),
        notes,
    )
    tokenizer = load_encoder(models / "tokenizer")
    encoded = tokenizer.encode(items)
    vectors = np.stack([np.frombuffer(entry.vector, dtype=np.float32) for entry in encoded])
    sids = np.array([entry.semantic_id for entry in encoded], dtype=np.int32)
    shutil.rmtree(models / FIRST_STAGE, ignore_errors=True)
    profile_alone = Fusion(companions=0.0, companions_without_codes=0.0)
    save_decoder(
        models / FIRST_STAGE, first.model.decoder, CompanionTable.empty(), profile_alone, tokenizer.model, notes
    )

    # A resumed first stage has spent its time before this run began.
    left = options.minutes - max(elapsed_ms(started, clock) / MS_PER_MINUTE, first.minutes)
    second = learn_codes(first.model, tokenizer, vectors, sids, data, shape, options, left, checkpoints, clock, report)
    fusion = Fusion()
    if not options.all_events:  # who has seen the answers cannot be weighed by them
        sources = Sources(
            second.decoder, torch.from_numpy(vectors), CatalogueTree.of(sids, shape.codes), companions, item_ids
        )
        fusion = _fused(sources, data.validation.first(_FUSION_USERS), report)
    shutil.rmtree(models / "decoder", ignore_errors=True)
    save_decoder(
        models / "decoder", second.decoder, companions, fusion, tokenizer.model, {**notes, "knn": asdict(settings)}
    )
    shutil.rmtree(checkpoints)
    _, sharing = np.unique(sids, axis=0, return_counts=True)
    return GenerativeReport(
        tokenizer.model,
        verified(models / "decoder", KIND, FORMAT).checksum,
        len(items),
        len(data.training),
        sum(map(len, data.training)),
        int(sharing[sharing > 1].sum()),
        first.figure,
        second.figure,
        settings,
        fusion,
        elapsed_ms(started, clock) / MS_PER_MINUTE,
    )


def _settings(data: TrainingData, items: int, checkpoint: Path, report: Report) -> KnnSettings:
    """The companions' settings, searched once in a training however often it is stopped."""
    if not checkpoint.is_file():
        found = best_settings(
            data.training, items, data.validation, lambda done, words: report("companions", done, words)
        )
        checkpoint.write_bytes(msgspec.json.encode(found))
    return msgspec.json.decode(checkpoint.read_bytes(), type=KnnSettings)


def _fused(sources: Sources, asked: HeldOut, report: Report) -> Fusion:
    """The fusion that serves these users best."""
    if not len(asked.targets):
        return Fusion()
    pools = []
    for pool in sources.pools(asked):
        pools.append(pool)
        report("fusion", 0.5 * len(pools) * 256 / len(asked.targets), "asking every source")
    return fitted_fusion(joined(pools), lambda done, words: report("fusion", 0.5 + done / 2, words))


def _data(sequences: Sequence[UserSequence], row_of: dict[str, int], options: TrainingOptions) -> TrainingData:
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


def _checkpoints(models: Path, notes: dict[str, Any]) -> Path:
    """The folder of checkpoints, emptied if they belong to other data or options."""
    folder = models / ".checkpoints"
    stamp = msgspec.json.encode(notes, order="sorted")
    if not (folder / "notes.json").is_file() or (folder / "notes.json").read_bytes() != stamp:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "notes.json").write_bytes(stamp)
    return folder
