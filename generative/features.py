"""An item's words as hashed features, for Latin and Chinese script alike."""

import functools
import re
import zlib
from collections import defaultdict
from dataclasses import dataclass

from ..core.catalogue import Item

BUCKETS = 1 << 15  # 12,000 items have some 10^5 distinct n-grams; the rare half may collide
_WORD = re.compile(r"[a-z0-9]+|[^\W_a-z0-9]+", re.IGNORECASE)
_GRAM = 4  # characters; glued or cut keywords still share these with their origin
_REMEMBERED_CHARS = 24  # a longer run of letters is a sentence without spaces, which comes once
# A brand says more than a word, a word more than a gram.
_TITLE, _TEXT, _GRAMS, _BRAND, _CATEGORY = 1.0, 0.7, 0.35, 2.0, 1.5


def hashed_counts(item: Item) -> dict[int, float]:
    """The item's feature weights by bucket (0 … BUCKETS-1), before any inverse document frequency."""
    counts: defaultdict[int, float] = defaultdict(float)
    for weight, field in ((_TITLE, item.title), (_TEXT, item.text)):
        gram_weight = weight * _GRAMS
        for word in _WORD.findall(field.lower()):
            hashed = _hashed(word) if len(word) <= _REMEMBERED_CHARS else _hashed.__wrapped__(word)
            for bucket in hashed.words:
                counts[bucket] += weight
            for bucket in hashed.grams:
                counts[bucket] += gram_weight
    if item.brand:
        counts[_bucket(f"b{item.brand.lower()}")] += _BRAND
    for depth in range(len(item.category)):
        counts[_bucket("c" + "\x1f".join(item.category[: depth + 1]).lower())] += _CATEGORY
    return dict(counts)


@dataclass(frozen=True, slots=True)
class _Hashed:
    """The buckets of a run of letters, in order, each as often as its feature is there."""

    words: tuple[int, ...]
    grams: tuple[int, ...]


@functools.lru_cache(maxsize=1 << 15)  # a catalogue says the same words again and again; some 20 MB when full
def _hashed(word: str) -> _Hashed:
    """Words and character grams; Chinese, which has no spaces, gives single and paired characters as words."""
    if word.isascii():
        grams = (word[start : start + _GRAM] for start in range(max(0, len(word) - _GRAM + 1)))
        return _Hashed((_bucket(f"w{word}"),), tuple(_bucket(f"g{gram}") for gram in grams))
    pairs = (word[start : start + 2] for start in range(len(word) - 1))
    return _Hashed(tuple(_bucket(f"w{part}") for part in (*word, *pairs)), ())


def _bucket(feature: str) -> int:
    return zlib.crc32(feature.encode()) % BUCKETS
