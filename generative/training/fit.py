"""Trains the tokenizer and the decoder of a marketplace, end to end and resumable."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from ...core.artifact import verified
from ...core.clock import Clock, elapsed_ms
from ...core.errors import MarketplaceError
from ...core.marketplace import Marketplace
from ..companions import CompanionTable
from ..decoder import DecoderShape, SemanticDecoder
from ..tokenizer import ItemTokenizer, TokenizerWeights, load_encoder, save_tokenizer
from ..weights import FORMAT, KIND, save_decoder
from .baselines import TUNED_KNN, ItemKnn
from .codebook import codes_for, distinct_last_codes, fit_codebooks, quantise
from .codes import CodeModel
from .content import ContentSpace, behaviour_vectors, fit_content, ridge
from .interest import InterestModel
from .schedule import Plan, Report, Stage, shuffled_batches
from .sequences import UserSequence, as_rows, user_sequences, windows

MS_PER_MINUTE = 60_000
_MIN_EVENTS = 100  # below this there is nothing to learn from, and every figure would be noise
_RIDGE = 1.0  # content vectors have unit length, so this equals one item's worth of doubt
_FIRST_SHARE = 0.6  # of the minutes: naming among all items costs more per epoch than spelling codes
_COMPANIONS = 100  # kept per item: 50 cost .002 of recall on Beauty, more cost time at serving
_SEARCHED_USERS = 1000
_VALIDATION_USERS = 3000  # NDCG to about .005, in two seconds


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What shapes the models; part of what decides whether trained ones are up to date."""

    minutes: float = 15.0
    seed: int = 0
    all_events: bool = False  # True: learn from every event (to serve); False: hold two a user out (to evaluate)
    levels: int = 3
    codes: int = 0  # 0: chosen by the catalogue's size
    content_width: int = 128
    vector_width: int = 64
    width: int = 64
    layers: int = 2
    heads: int = 2
    history_length: int = 20
    dropout: float = 0.5
    interest_epochs: int = 16
    code_epochs: int = 24
    threads: int = 1


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
    minutes: float


@dataclass(frozen=True, slots=True)
class _Data:
    """Everything the stages read, as item rows."""

    training: list[npt.NDArray[np.int64]]
    histories: list[npt.NDArray[np.int64]]  # of validation: the training part of some users
    targets: npt.NDArray[np.int64]  # their validation items
    met: npt.NDArray[np.bool_]  # [N]


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

    left = options.minutes - elapsed_ms(started, clock) / MS_PER_MINUTE
    first = _learn_interest(content, data, shape, options, left * _FIRST_SHARE, checkpoints, clock, report, rng)
    shutil.rmtree(models / "tokenizer", ignore_errors=True)
    save_tokenizer(
        models / "tokenizer",
        _tokenizer_weights(content, first.model, data, item_ids, shape, rng),
        notes,
    )
    tokenizer = load_encoder(models / "tokenizer")
    encoded = tokenizer.encode(items)
    vectors = np.stack([np.frombuffer(entry.vector, dtype=np.float32) for entry in encoded])
    sids = np.array([entry.semantic_id for entry in encoded], dtype=np.int32)

    # A resumed first stage has spent its time before this run began.
    left = options.minutes - max(elapsed_ms(started, clock) / MS_PER_MINUTE, first.minutes)
    second = _learn_codes(first.model, tokenizer, vectors, sids, data, shape, options, left, checkpoints, clock, report)
    shutil.rmtree(models / "decoder", ignore_errors=True)
    save_decoder(models / "decoder", second.decoder, _companion_table(data, item_ids), tokenizer.model, notes)
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
        elapsed_ms(started, clock) / MS_PER_MINUTE,
    )


@dataclass(frozen=True, slots=True)
class _Interest:
    model: InterestModel
    figure: float
    minutes: float


@dataclass(frozen=True, slots=True)
class _Codes:
    decoder: SemanticDecoder
    figure: float


def _data(sequences: Sequence[UserSequence], row_of: dict[str, int], options: TrainingOptions) -> _Data:
    learned = [sequence.item_ids if options.all_events else sequence.training for sequence in sequences]
    training = as_rows(learned, row_of)
    met = np.zeros(len(row_of), dtype=np.bool_)
    if training:
        met[np.concatenate(training)] = True
    # With all events learned, the figure still orders epochs, but it is then one of fit, not of foresight.
    testable = [
        sequence for sequence in sequences if sequence.testable and sequence.item_ids[-2] not in sequence.training
    ]
    chosen = np.random.default_rng(options.seed).permutation(len(testable))[:_VALIDATION_USERS]
    histories = as_rows([testable[row].training for row in chosen], row_of)
    targets = np.array([row_of[testable[row].item_ids[-2]] for row in chosen], dtype=np.int64)
    return _Data(training, histories, targets, met)


def _learn_interest(
    content: ContentSpace,
    data: _Data,
    shape: DecoderShape,
    options: TrainingOptions,
    minutes: float,
    checkpoints: Path,
    clock: Clock,
    report: Report,
    rng: np.random.Generator,
) -> _Interest:
    behaviour = behaviour_vectors(data.training, len(data.met), shape.vector_width, rng)
    placed = np.flatnonzero(np.linalg.norm(behaviour, axis=1) > 0)
    interest = ridge(content.vectors[placed], behaviour[placed], _RIDGE)
    offsets = np.zeros_like(behaviour)
    offsets[placed] = behaviour[placed] - content.vectors[placed] @ interest
    torch.manual_seed(options.seed)
    empty = torch.zeros(shape.levels, shape.codes, shape.vector_width)
    model = InterestModel(SemanticDecoder(shape, empty), content.vectors, interest, offsets, data.met)
    cut = windows(data.training, shape.history_length + 1)
    plan = Plan("interest", options.interest_epochs, minutes, 1e-3, options.seed)
    stage = Stage(plan, model, clock, checkpoints / "interest.pt")
    stage.run(
        lambda rng: list(shuffled_batches(cut, plan.batch_users, True, rng)),
        lambda batch, _: model.loss(batch),
        lambda: model.ndcg(data.histories, data.targets),
        report,
    )
    return _Interest(model, stage.best, stage.spent_s / 60)


def _tokenizer_weights(
    content: ContentSpace,
    model: InterestModel,
    data: _Data,
    item_ids: Sequence[str],
    shape: DecoderShape,
    rng: np.random.Generator,
) -> TokenizerWeights:
    """The first stage's item vectors in the tokenizer's form, with codebooks fitted to them."""
    with torch.inference_mode():
        vectors = model.vectors().numpy()
    met = sorted(np.flatnonzero(data.met).tolist(), key=lambda row: item_ids[row])
    middle = vectors.mean(axis=0)
    codebooks = fit_codebooks(vectors, shape.levels, shape.codes, rng)
    return TokenizerWeights(
        idf=content.idf,
        content=content.projection,
        interest=model.interest.detach().numpy(),
        known_ids=np.array([item_ids[row] for row in met]),
        known_offsets=model.offsets.detach().numpy()[met],
        known_last_codes=distinct_last_codes(vectors[met], quantise(vectors[met], codebooks), codebooks),
        default=(middle / np.linalg.norm(middle)).astype(np.float32),
        codebooks=codebooks,
    )


def _learn_codes(
    interest: InterestModel,
    tokenizer: ItemTokenizer,
    vectors: npt.NDArray[np.float32],
    sids: npt.NDArray[np.int32],
    data: _Data,
    shape: DecoderShape,
    options: TrainingOptions,
    minutes: float,
    checkpoints: Path,
    clock: Clock,
    report: Report,
) -> _Codes:
    decoder = SemanticDecoder(shape, torch.from_numpy(tokenizer.weights.codebooks))
    learned = {name: value for name, value in interest.decoder.state_dict().items() if name != "codebooks"}
    decoder.load_state_dict(learned, strict=False)
    for head in decoder.head_vector:
        head.load_state_dict(decoder.query.state_dict())  # the profile already knows which codewords it is close to
    model = CodeModel(decoder, vectors, sids)
    cut = windows(data.training, shape.history_length + 1)
    # A search takes some 5 ms: a share of the training, so that small catalogues stay quick.
    searched = min(_SEARCHED_USERS, len(data.training) // 20 + 1)
    plan = Plan("codes", options.code_epochs, minutes, 1e-3, options.seed + 1)
    stage = Stage(plan, model, clock, checkpoints / "codes.pt")
    stage.run(
        lambda rng: list(shuffled_batches(cut, plan.batch_users, True, rng)),
        model.loss,
        lambda: model.ndcg(data.histories[:searched], data.targets[:searched]),
        report,
    )
    return _Codes(decoder, stage.best)


def _companion_table(data: _Data, item_ids: Sequence[str]) -> CompanionTable:
    """The strongest companions of every item that was met, counted on the training events."""
    settings = TUNED_KNN
    similar = ItemKnn(data.training, len(item_ids), settings).similar
    met = sorted(np.flatnonzero(data.met).tolist(), key=lambda row: item_ids[row])
    place = np.full(len(item_ids), -1, dtype=np.int32)
    place[met] = np.arange(len(met))
    companions, weights = [], []
    for row in met:
        low, high = similar.indptr[row], similar.indptr[row + 1]
        strongest = np.argsort(-similar.data[low:high], kind="stable")[:_COMPANIONS]
        companions.append(place[similar.indices[low:high][strongest]])
        weights.append(similar.data[low:high][strongest].astype(np.float32))
    return CompanionTable(
        item_ids=np.array([item_ids[row] for row in met]),
        bounds=np.cumsum([0, *map(len, companions)]),
        companions=np.concatenate(companions),
        weights=np.concatenate(weights),
        decay=settings.decay,
        last=settings.last,
    )


def _checkpoints(models: Path, notes: dict[str, Any]) -> Path:
    """The folder of checkpoints, emptied if they belong to other data or options."""
    folder = models / ".checkpoints"
    stamp = msgspec.json.encode(notes, order="sorted")
    if not (folder / "notes.json").is_file() or (folder / "notes.json").read_bytes() != stamp:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "notes.json").write_bytes(stamp)
    return folder
