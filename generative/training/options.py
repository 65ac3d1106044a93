"""What shapes a training: its stages in their order, and the options each of them reads."""

from dataclasses import dataclass
from enum import StrEnum

from ..content import ContentEncoder


class TrainingStage(StrEnum):
    """The steps from a marketplace to a served proposer; each leaves an artefact that the next is built on."""

    CONTENT = "content"  # pre-training: text and attributes → content vectors
    TOKENIZER = "tokenizer"  # post-training: content aligned with behaviour, and codebooks over it
    DECODER = "decoder"  # application: words, and histories → codes, with companions and their fusion
    PREFERENCE = "preference"  # application: the decoder prefers what really retrieves over its own wrong beams
    RANKER = "ranker"  # application: the fused candidates, ordered anew by words and all sources together


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What shapes the models; part of what decides whether trained ones are up to date."""

    minutes: float = 15.0
    seed: int = 0
    all_events: bool = False  # True: learn from every event (to serve); False: hold two a user out (to evaluate)
    levels: int = 3
    codes: int = 0  # 0: chosen by the catalogue's size
    encoder: ContentEncoder = ContentEncoder.HASHING
    content_width: int = 128
    vector_width: int = 64
    word_width: int = 64  # of the words beside an item's vector, as the decoder reads it
    width: int = 64
    layers: int = 2
    heads: int = 2
    history_length: int = 20
    dropout: float = 0.5
    interest_epochs: int = 20
    word_epochs: int = 14
    code_epochs: int = 12
    preference_epochs: int = 6
    threads: int = 1


_SHAPE = ("vector_width", "width", "layers", "heads", "history_length", "dropout")
_RUN = ("minutes", "seed", "all_events", "threads")
READ_BY: dict[TrainingStage, tuple[str, ...]] = {
    TrainingStage.CONTENT: ("seed", "encoder", "content_width"),
    TrainingStage.TOKENIZER: (*_RUN, *_SHAPE, "levels", "codes", "interest_epochs"),
    TrainingStage.DECODER: (*_RUN, *_SHAPE, "word_width", "word_epochs", "code_epochs"),
    TrainingStage.PREFERENCE: (*_RUN, "preference_epochs"),
    TrainingStage.RANKER: ("seed", "all_events", "threads"),
}
"""Which options a stage reads itself; what it takes from the stages before is in their checksums."""
