"""The two stages that learn by gradient, and the tokenizer made between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ...core.catalogue import Item
from ...core.clock import Clock
from ..decoder import DecoderShape, SemanticDecoder
from ..tokenizer import TokenizerWeights
from ..wording import Wording
from .baselines import KnnSettings
from .codebook import distinct_last_codes, fit_codebooks, quantise
from .codes import CodeModel
from .content import behaviour_vectors, ridge
from .counted import CountedCompanions
from .interest import InterestModel
from .options import TrainingOptions
from .schedule import Plan, Report, Stage, shuffled_batches
from .sequences import HeldOut, windows
from .wording import learn_words

_RIDGE = 1.0  # content vectors have unit length, so this equals one item's worth of doubt
_WORDS = 0.2  # share of the second stage's minutes that learning words may take
_VALIDATION_USERS = 3000  # asked after every epoch: NDCG to about .005, in two seconds


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What the stages read, as item rows."""

    training: list[npt.NDArray[np.int64]]
    validation: HeldOut  # the training part of all testable users, shuffled, and their validation items
    met: npt.NDArray[np.bool_]  # [N] whether anybody chose the item

    @property
    def events(self) -> int:
        """How many choices there are to learn from."""
        return sum(map(len, self.training))


@dataclass(frozen=True, slots=True)
class Interest:
    """The first stage's outcome: its model, the best validation NDCG@10, and what it took."""

    model: InterestModel
    figure: float
    minutes: float


@dataclass(frozen=True, slots=True)
class Codes:
    """The second stage's outcome: the decoder, what words mean to it, the best validation NDCG@10 of its codes alone
    (with words the mean of theirs and the codes', see CodeModel.ndcg), and what it took."""

    decoder: SemanticDecoder
    wording: Wording | None
    figure: float
    minutes: float


def learn_interest(
    content: npt.NDArray[np.float32],
    data: TrainingData,
    shape: DecoderShape,
    options: TrainingOptions,
    minutes: float,
    checkpoints: Path,
    clock: Clock,
    report: Report,
    rng: np.random.Generator,
    settings: KnnSettings | None = None,
) -> Interest:
    """The first stage, over `content` [N, C]; with `settings`, companions counted so teach beside what was chosen."""
    behaviour = behaviour_vectors(data.training, len(data.met), shape.vector_width, rng)
    placed = np.flatnonzero(np.linalg.norm(behaviour, axis=1) > 0)
    interest = ridge(content[placed], behaviour[placed], _RIDGE)
    offsets = np.zeros_like(behaviour)
    offsets[placed] = behaviour[placed] - content[placed] @ interest
    torch.manual_seed(options.seed)
    empty = torch.zeros(shape.levels, shape.codes, shape.vector_width)
    cut, asked = windows(data.training, shape.history_length + 1), data.validation.first(_VALIDATION_USERS)
    companions = _counted(cut, len(data.met), settings, options)
    model = InterestModel(SemanticDecoder(shape, empty), content, interest, offsets, data.met, companions)
    plan = Plan("interest", options.interest_epochs, minutes, 1e-3, options.seed)
    stage = Stage(plan, model, clock, checkpoints / "interest.pt")
    stage.run(
        lambda rng: list(shuffled_batches(cut, plan.batch_users, True, rng)),
        lambda batch, _: model.loss(batch),
        lambda: model.ndcg(asked.histories, asked.targets),
        report,
    )
    return Interest(model, stage.best, stage.spent_s / 60)


def tokenizer_weights(
    model: InterestModel,
    data: TrainingData,
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
        interest=model.interest.detach().numpy(),
        known_ids=np.array([item_ids[row] for row in met]),
        known_offsets=model.offsets.detach().numpy()[met],
        known_last_codes=distinct_last_codes(vectors[met], quantise(vectors[met], codebooks), codebooks),
        default=(middle / np.linalg.norm(middle)).astype(np.float32),
        codebooks=codebooks,
    )


def learn_codes(
    interest: SemanticDecoder,
    codebooks: npt.NDArray[np.float32],
    vectors: npt.NDArray[np.float32],
    sids: npt.NDArray[np.int32],
    data: TrainingData,
    options: TrainingOptions,
    minutes: float,
    checkpoints: Path,
    clock: Clock,
    report: Report,
    settings: KnnSettings | None = None,
    items: Sequence[Item] | None = None,
) -> Codes:
    """The second stage, from the first one's network on, over `vectors` [N, D] and `sids` [N, L] of all items; with
    `settings`, companions counted so teach, too; with the `items` themselves, the decoder reads their words."""
    cut = windows(data.training, interest.shape.history_length + 1)
    asked, meanings, spent = data.validation.first(_VALIDATION_USERS), None, 0.0
    if items is not None:
        meanings, spent = learn_words(items, cut, asked, options, _WORDS * minutes, checkpoints, clock, report)
        minutes = max(minutes - spent, 0.5 * minutes)
    torch.manual_seed(options.seed + 1)
    decoder = _continued(interest, codebooks, 0 if meanings is None else options.word_width)
    companions = _counted(cut, len(data.met), settings, options)
    model = CodeModel(decoder, vectors, sids, None, companions, meanings, interest)
    plan = Plan("codes", options.code_epochs, minutes, 1e-3, options.seed + 1)
    stage = Stage(plan, model, clock, checkpoints / "codes.pt")
    stage.run(
        lambda rng: list(shuffled_batches(cut, plan.batch_users, True, rng)),
        lambda batch, _: model.loss(batch),
        lambda: model.ndcg(asked.histories, asked.targets),
        report,
    )
    return Codes(decoder, None if meanings is None else meanings.wording(), stage.best, spent + stage.spent_s / 60)


def _continued(interest: SemanticDecoder, codebooks: npt.NDArray[np.float32], word_width: int) -> SemanticDecoder:
    """A decoder that begins where the first stage ended, and knows nothing of words yet."""
    decoder = SemanticDecoder(replace(interest.shape, word_width=word_width), torch.from_numpy(codebooks))
    learned = interest.state_dict()
    fitting = {name: value for name, value in learned.items() if not name.startswith(("codebooks", "input", "query"))}
    decoder.load_state_dict(fitting, strict=False)
    width, wider = interest.shape.vector_width, decoder.shape.reading_width
    with torch.no_grad():
        decoder.input.weight[:, width:] *= 0.5  # the vectors' part is known, words come in softly
        decoder.input.weight[:, :width] = learned["input.weight"] * (width / wider) ** 0.5  # see the scale of `states`
        decoder.input.bias.copy_(learned["input.bias"])
        decoder.query.weight[:width] = learned["query.weight"]
        decoder.query.bias[:width] = learned["query.bias"]
        for head in decoder.head_vector:  # the profile already knows which codewords it is close to
            head.load_state_dict(interest.query.state_dict())
    return decoder


def _counted(
    cut: Sequence[npt.NDArray[np.int64]], items: int, settings: KnnSettings | None, options: TrainingOptions
) -> CountedCompanions | None:
    """Companions counted for these sequences, the same in both stages."""
    if settings is None:
        return None
    return CountedCompanions(cut, items, settings, np.random.default_rng(options.seed))
