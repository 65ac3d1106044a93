"""Application: the decoder over the tokenizer's codes, the counted companions beside it, and how they are fused."""

import shutil
from dataclasses import asdict, dataclass

import msgspec
import torch

from ...core.clock import elapsed_ms
from ..fusion import Fusion
from ..weights import load_decoder, save_decoder
from ..wording import Wording
from .baselines import ItemKnn, KnnSettings
from .blending import fitted_fusion
from .companionship import companion_table
from .encoded import EncodedCatalogue
from .options import TrainingStage
from .pools import Pool, Sources, joined
from .pretraining import MS_PER_MINUTE
from .schedule import Report
from .sequences import HeldOut
from .stages import learn_codes
from .workshop import FIRST_STAGE, UNALIGNED, Workshop

_FUSION_USERS = 12_000  # half of them chose, by chance, what was worse for all (seen without the test: see docs/LOG.md)


@dataclass(frozen=True, slots=True)
class DecoderReport:
    """What came out of the decoder's stage."""

    decoder: str  # checksum
    tokenizer: str  # that of what it was built on
    users: int
    events: int
    validation_ndcg: float  # of the decoder alone, best epoch, at 10: the mean of its codes' and of its words' match
    companions: KnnSettings
    fusion: Fusion
    minutes: float


def teach_decoder(workshop: Workshop, minutes: float) -> DecoderReport:
    """Afterwards `decoder`/ holds the decoder, not yet aligned with preferences, trained for at most `minutes`; stopped
    and started again it goes on."""
    started, options, stage = workshop.clock.monotonic_ns(), workshop.options, TrainingStage.DECODER
    torch.set_num_threads(options.threads)
    tokenizer, items = workshop.tokenizer(), workshop.marketplace.items()
    first = load_decoder(workshop.models / FIRST_STAGE, workshop.folder(TrainingStage.TOKENIZER))
    checkpoints = workshop.checkpoints(stage, tokenizer.model)
    data, catalogue = workshop.data(items), EncodedCatalogue.of(tokenizer, items)
    settings = msgspec.convert(workshop.manifest(TrainingStage.TOKENIZER).notes["knn"], KnnSettings)
    companions = companion_table(ItemKnn(data.training, len(items), settings), data.met, catalogue.item_ids, settings)
    codebooks = tokenizer.weights.codebooks
    left = minutes - elapsed_ms(started, workshop.clock) / MS_PER_MINUTE
    second = learn_codes(
        first.decoder, codebooks, catalogue.vectors, catalogue.sids, data, options, left, checkpoints,
        workshop.clock, workshop.report, settings, items if options.word_width else None,
    )  # fmt: skip
    fusion, wording = Fusion(), second.wording or Wording.of(items)
    if not options.all_events:  # who has seen the answers cannot be weighed by them
        read = catalogue.reworded(items, wording)
        fusion = fused(Sources(second.decoder, first.decoder, read, companions), data.validation, workshop.report)
    spent = max(elapsed_ms(started, workshop.clock) / MS_PER_MINUTE, second.minutes)
    notes = {**workshop.sealed(stage, tokenizer.model, spent), "knn": asdict(settings)}
    folder = workshop.folder(stage)
    for stale in (folder, workshop.models / UNALIGNED):
        shutil.rmtree(stale, ignore_errors=True)
    checksum = save_decoder(folder, second.decoder, wording, companions, fusion, tokenizer.model, notes, first.decoder)
    workshop.finish(stage)
    return DecoderReport(
        checksum, tokenizer.model, len(data.training), data.events, second.figure, settings, fusion, spent
    )


def fused(sources: Sources, validation: HeldOut, report: Report) -> Fusion:
    """The fusion that serves these users best; the plain one where there are none to ask."""
    asked = validation.first(_FUSION_USERS)
    if not len(asked.targets):
        return Fusion()

    def pool(codes: bool, begun: float) -> Pool:
        pools = []
        for part in sources.pools(asked, codes):
            pools.append(part)
            report("fusion", begun + 0.25 * min(1.0, len(pools) * 256 / len(asked.targets)), "asking every source")
        return joined(pools)

    return fitted_fusion(
        pool(True, 0.0), pool(False, 0.25), lambda done, words: report("fusion", 0.5 + done / 2, words)
    )
