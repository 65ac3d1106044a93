"""Text folded to one spelling, with every folded character traced back to where it stood in the original."""

import unicodedata
from dataclasses import dataclass

import opencc

# Letters of other alphabets that look like Latin ones, in lower case: the swaps seen in evasion ("bеst" with a
# Cyrillic е).
_HOMOGLYPHS = str.maketrans(
    "абвгдеёзикмнорстухѕіјԁԛԝαβεικνορτυχ０ı",
    "a6brдee3икmhopctyxsijdqwabeikvoptux0i",
)
_MARKS = frozenset({"Mn", "Me", "Cf", "Cc", "Cs"})  # combining, zero-width, control and broken ones carry no letter
_SPACE = frozenset("\t\n\r\x0b\x0c\x85\u2028\u2029")  # control characters that do separate words
_KEPT = frozenset("%#$€£¥")  # symbols that mean something next to a digit
# A term interrupted by one of these may as well be the end of one clause and the beginning of the next.
CLAUSE_ENDS = frozenset("。！？；，、：.!?;,:\n")


@dataclass(frozen=True, slots=True)
class Folded:
    """A text with its two folded forms.

    `text` keeps separators (any of them as a space, or itself if it is a clause end); `compact` has letters, digits and
    meaningful symbols only, so that "最 佳", "最*佳" and "最佳" are one. `origin[i]` is the index in the original of
    `text[i]`, `place[j]` the index in `text` of `compact[j]`.
    """

    original: str
    text: str
    origin: tuple[int, ...]
    compact: str
    place: tuple[int, ...]

    def compact_span(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) of `compact` as [start, end) of the original; the characters between are part of it."""
        return self.text_span(self.place[start], self.place[end - 1] + 1)

    def text_span(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) of `text` as [start, end) of the original."""
        return self.origin[start], self.origin[end - 1] + 1


class Normaliser:
    """Folds texts: compatibility forms, case, accents, look-alike letters, traditional to simplified Chinese.

    Works character by character, so that offsets are exact; what one character folds to is worked out once.
    """

    def __init__(self) -> None:
        self._simplify = opencc.OpenCC("t2s")
        self._folds: dict[str, str] = {}

    def fold(self, text: str) -> Folded:
        """The folded forms of `text`."""
        folded: list[str] = []
        origin: list[int] = []
        compact: list[str] = []
        place: list[int] = []
        folds = self._folds
        for index, character in enumerate(text):
            forms = folds.get(character)
            if forms is None:
                forms = folds[character] = self._fold_character(character)
            for form in forms:
                if form.isalnum() or form in _KEPT:
                    compact.append(form)
                    place.append(len(folded))
                folded.append(form)
                origin.append(index)
        return Folded(text, "".join(folded), tuple(origin), "".join(compact), tuple(place))

    def compact(self, text: str) -> str:
        """The compact form alone."""
        return self.fold(text).compact

    def _fold_character(self, character: str) -> str:
        return "".join(self._fold_part(part) for part in unicodedata.normalize("NFKC", character))

    def _fold_part(self, part: str) -> str:
        if part in _SPACE:
            return "\n" if part != "\t" else " "
        if unicodedata.category(part) in _MARKS:
            return ""
        part = unicodedata.normalize("NFD", part.lower())[:1] if part < "\u2e80" else part.lower()
        part = part.translate(_HOMOGLYPHS)
        if not part.isascii():
            part = self._simplify.convert(part)
        if len(part) == 1 and not part.isalnum() and part not in _KEPT and part not in CLAUSE_ENDS:
            return " "
        return part
