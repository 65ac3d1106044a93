"""What somebody says they need, as hashed features: words and parts of words, in any script."""

import re
import unicodedata
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..core.catalogue import Item

BUCKETS = 1 << 15  # a made world's words and grams are some 10^4; those that collide are rarely asked for together
LONGEST = 256  # characters; no search is longer, and what is longer would only cost time
_WORD = re.compile(r"[^\W_]+")
_GRAMS = (3, 4)  # of a word in a script with spaces, its ends marked
_CHARACTERS = (1, 2, 3)  # of a run of Chinese, Japanese or Korean, which has no spaces
_SPACELESS = re.compile(r"[぀-ヿ㐀-鿿가-힯豈-﫿]+")


def cleaned(text: str) -> str:
    """The text as it is read: compatibility forms folded, lower case, no control characters, at most LONGEST long."""
    folded = unicodedata.normalize("NFKC", text[: 4 * LONGEST])
    plain = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in folded)
    return " ".join(plain.lower().split())[:LONGEST]


def buckets_of(text: str) -> npt.NDArray[np.int64]:
    """The distinct buckets of a text's features, ascending; none where it has no letter or digit. [M]"""
    return np.array(sorted({zlib.crc32(feature.encode()) % BUCKETS for feature in _features(cleaned(text))}), np.int64)


def words_of(item: Item) -> str:
    """All that an item says of itself, short enough to be read whole."""
    return " ".join((item.title, item.brand, *item.category, item.text))[:LONGEST]


def _features(text: str) -> Iterator[str]:
    before = ""
    for match in _WORD.finditer(text):
        for part in _parts(match.group()):
            if _SPACELESS.fullmatch(part):
                for length in _CHARACTERS:
                    yield from (f"z{part[start : start + length]}" for start in range(len(part) - length + 1))
                before = ""
                continue
            yield f"w{part}"
            if before:
                yield f"p{before} {part}"
            before = part
            marked = f"<{part}>"
            for length in _GRAMS:
                yield from (f"g{marked[start : start + length]}" for start in range(len(marked) - length + 1))


def _parts(word: str) -> Iterator[str]:
    """A run of letters and digits, cut where it passes into or out of a script without spaces."""
    end = 0
    for match in _SPACELESS.finditer(word):
        if match.start() > end:
            yield word[end : match.start()]
        yield match.group()
        end = match.end()
    if end < len(word):
        yield word[end:]
