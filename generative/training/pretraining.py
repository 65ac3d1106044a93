"""Pre-training: content vectors from text and attributes alone."""

import shutil
from dataclasses import dataclass

from ...core.clock import elapsed_ms
from ..content import ContentEncoder, load_content, save_content
from ..hashing import HashingWeights
from ..pretrained import PACKAGE, PretrainedWeights, embedding, version
from .content import fit_content, fit_pretrained
from .options import TrainingStage
from .workshop import Workshop, items_digest

MS_PER_MINUTE = 60_000
_SAMPLE = 2_000  # texts a pretrained encoder is fitted to: mean and directions settle long before


@dataclass(frozen=True, slots=True)
class ContentReport:
    """What came out of the pre-training."""

    content: str  # checksum
    encoder: str
    width: int
    items: int
    minutes: float


def pretrain(workshop: Workshop) -> ContentReport:
    """Afterwards `content`/ holds the content encoder of the marketplace's items."""
    started, options = workshop.clock.monotonic_ns(), workshop.options
    items, rng = workshop.marketplace.items(), workshop.generator(TrainingStage.CONTENT)
    told = workshop.report
    told("content", 0.0, f"{len(items)} items")
    weights: HashingWeights | PretrainedWeights
    if options.encoder is ContentEncoder.HASHING:
        weights = fit_content(items, options.content_width, rng).weights
    else:
        chosen = [items[row] for row in rng.permutation(len(items))[:_SAMPLE].tolist()]
        weights = fit_pretrained(
            chosen, options.content_width, embedding(), version(), lambda done, words: told("content", done, words)
        )
    minutes = elapsed_ms(started, workshop.clock) / MS_PER_MINUTE
    folder = workshop.folder(TrainingStage.CONTENT)
    shutil.rmtree(folder, ignore_errors=True)
    save_content(folder, weights, workshop.sealed(TrainingStage.CONTENT, items_digest(items), minutes))
    encoder = load_content(folder)
    told("content", 1.0, f"{encoder.width} dimensions")
    named = options.encoder.value if options.encoder is ContentEncoder.HASHING else f"{PACKAGE} {version()}"
    return ContentReport(encoder.model, named, encoder.width, len(items), minutes)
