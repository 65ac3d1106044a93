"""What papers report on public data sets, to stand beside what is measured here."""

from dataclasses import dataclass

PROTOCOL = (
    "Papers' rows are quoted as reported and follow their own protocols (their own preprocessing, text and masking of "
    "the history), so they are no measurement of ours."
)


@dataclass(frozen=True, slots=True)
class Published:
    """One paper's figures on one data set."""

    paper: str
    recall_at_10: float
    ndcg_at_10: float


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "amazon_beauty": (
        Published("TIGER (2023)", 0.0648, 0.0384),
        Published("GRAM (ACL 2025)", 0.0890, 0.0531),
        Published("BARGE (2026)", 0.0927, 0.0547),
    ),
    "amazon_toys": (
        Published("TIGER (2023)", 0.0712, 0.0432),
        Published("best published generative (GRAM of ACL 2025, BARGE 2026)", 0.0987, 0.0603),
    ),
}
"""By the marketplace's name: the 5-core review sequences of Amazon in 2014."""
