"""An item's words as hashed features, for Latin and Chinese script alike."""

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator

from ..core.catalogue import Item

BUCKETS = 1 << 15  # 12,000 items have some 10^5 distinct n-grams; the rare half may collide
_WORD = re.compile(r"[a-z0-9]+|[^\W_a-z0-9]+", re.IGNORECASE)
_GRAM = 4  # characters; glued or cut keywords still share these with their origin
# A brand says more than a word, a word more than a gram.
_TITLE, _TEXT, _GRAMS, _BRAND, _CATEGORY = 1.0, 0.7, 0.35, 2.0, 1.5


def hashed_counts(item: Item) -> dict[int, float]:
    """The item's feature weights by bucket (0 … BUCKETS-1), before any inverse document frequency."""
    counts: defaultdict[int, float] = defaultdict(float)
    for weight, field in ((_TITLE, item.title), (_TEXT, item.text)):
        for kind, feature in _features(field.lower()):
            counts[_bucket(f"{kind}{feature}")] += weight if kind == "w" else weight * _GRAMS
    if item.brand:
        counts[_bucket(f"b{item.brand.lower()}")] += _BRAND
    for depth in range(len(item.category)):
        counts[_bucket("c" + "\x1f".join(item.category[: depth + 1]).lower())] += _CATEGORY
    return dict(counts)


def _features(text: str) -> Iterator[tuple[str, str]]:
    """Words and character grams; Chinese, which has no spaces, gives single and paired characters as words."""
    for match in _WORD.finditer(text):
        word = match.group()
        if word.isascii():
            yield "w", word
            yield from (("g", word[start : start + _GRAM]) for start in range(max(0, len(word) - _GRAM + 1)))
        else:
            yield from (("w", character) for character in word)
            yield from (("w", word[start : start + 2]) for start in range(len(word) - 1))


def _bucket(feature: str) -> int:
    return zlib.crc32(feature.encode()) % BUCKETS
