"""What people ask for in the made world, and in which words: searches, and the items clicked after them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.clock import NS_PER_HOUR
from .synonyms import OTHER_WORDS
from .truth import Truth
from .vocabulary import KINDS

LANGUAGES = ("en", "zh")
LOGGED_PATTERNS = {
    "en": (
        "{trait} {noun}",
        "{noun} {trait}",
        "looking for {trait} {noun}",
        "buy {noun}, {trait}",
        "i need a {noun} that is {trait}",
        "{trait} {noun} for sale",
        "where to get {trait} {noun}",
        "best price {noun} {trait}",
    ),
    "zh": (
        "{trait}{noun}",
        "{noun} {trait}",
        "想买{trait}的{noun}",
        "{noun}要{trait}的",
        "哪里有{trait}{noun}",
        "求推荐{noun}，{trait}",
        "{trait}{noun}多少钱",
        "找一款{noun} {trait}",
    ),
}
# Patterns that no logged search follows: for measuring what was learned from those that do.
UNHEARD_PATTERNS = {
    "en": (
        "any recommendations for {noun}? it should be {trait}",
        "my old {noun} broke, want something {trait} this time",
        "gift idea: {noun} ({trait})",
        "can you show me {noun} which are {trait} please",
        "{noun} - must be {trait}, delivered this week",
        "thinking about getting {trait} {noun} before my holiday",
        "which {noun} would you pick if {trait} matters most",
    ),
    "zh": (
        "家里的{noun}坏了，这次想换个{trait}的",
        "送朋友{noun}，最好{trait}一点",
        "有没有{trait}一些的{noun}啊",
        "最近打算入手{noun}，看重{trait}",
        "出门用的{noun}，{trait}优先",
        "帮我挑{noun}：{trait}",
        "老人用的{noun}，{trait}就行",
    ),
}
UNASKED_SHARE = 0.2  # ours: of all wishes, nobody has searched for these yet
FITTING, SAME_PRODUCT = 0.85, 0.10  # ours: shares of clicks on what was asked, and on its kind without the trait
OWN_LANGUAGE = 0.75  # ours: share of clicks on items in the language of the search
INTERESTED = 0.8  # ours: share of searches within the searcher's interests of the day


@dataclass(frozen=True, slots=True, order=True)
class Wish:
    """A product with a property: numbers into KINDS and into that kind's nouns and traits, whatever the language."""

    kind: int
    noun: int
    trait: int

    def words(self, language: str) -> "Words":
        """The catalogue's own words for it."""
        kind = KINDS[self.kind]
        chinese = language == "zh"
        nouns, traits = (kind.nouns_zh, kind.traits_zh) if chinese else (kind.nouns_en, kind.traits_en)
        return Words(nouns[self.noun], traits[self.trait])


@dataclass(frozen=True, slots=True)
class Words:
    """A noun and a trait, as said by somebody."""

    noun: str
    trait: str

    def into(self, pattern: str) -> str:
        """The need in one sentence, lower case as people type."""
        return pattern.format(noun=self.noun, trait=self.trait).lower()


@dataclass(frozen=True, slots=True)
class Product:
    """What an item is, and in which language it says so."""

    wish: Wish
    language: str


@dataclass(frozen=True, slots=True)
class Searches:
    """[S] clicks after searches, in no order, and the wishes that nobody searched for."""

    event_time: npt.NDArray[np.int64]
    user: npt.NDArray[np.int64]
    need: list[str]
    item: npt.NDArray[np.int64]
    unasked: tuple[Wish, ...]

    def columns(self, user_ids: list[str], item_ids: list[str]) -> dict[str, Any]:
        """The columns of the log `searches`."""
        return {
            "event_time": self.event_time,
            "user_id": np.array(user_ids)[self.user],
            "need": self.need,
            "item_id": np.array(item_ids)[self.item],
            "kind": ["click"] * len(self.need),
        }


def make_searches(
    truth: Truth,
    products: Sequence[Product],
    launched: npt.NDArray[np.bool_],
    searches: int,
    days: int,
    rng: np.random.Generator,
) -> Searches:
    """What people searched for in the first `days` days, in logged patterns and words, and what they clicked then.

    Args:
        products: [I] what each item is; only `launched` [I] ones are clicked.
    """
    shelves = _Shelves(products, launched)
    wishes = sorted(shelves.fitting)
    unasked = {wishes[row] for row in np.flatnonzero(rng.random(len(wishes)) < UNASKED_SHARE).tolist()}
    by_kind: dict[int, list[Wish]] = {}
    for wish in wishes:
        if wish not in unasked:
            by_kind.setdefault(wish.kind, []).append(wish)
    kinds = sorted(by_kind)
    users = rng.choice(len(truth.user_place), searches, p=truth.user_activity / truth.user_activity.sum(dtype=float))
    times = truth.climate.start + rng.integers(0, days * 24 * NS_PER_HOUR, searches)
    needs, items = [], np.empty(searches, dtype=np.int64)
    for row, user in enumerate(users.tolist()):
        day = int((times[row] - truth.climate.start) // (24 * NS_PER_HOUR))
        kind = int(rng.choice(truth.user_kinds[user, day]))
        if kind not in by_kind or rng.random() >= INTERESTED:
            kind = kinds[int(rng.integers(len(kinds)))]
        wish = by_kind[kind][int(rng.integers(len(by_kind[kind])))]
        language = LANGUAGES[int(rng.integers(2))]
        needs.append(_asked(wish, language, rng))
        items[row] = shelves.clicked(wish, language, rng)
    return Searches(times, users, needs, items, tuple(sorted(unasked)))


def _asked(wish: Wish, language: str, rng: np.random.Generator) -> str:
    """One logged way to say it: half of all words are the catalogue's, half the other logged ones."""
    own, others = wish.words(language), OTHER_WORDS[language]
    noun = own.noun if rng.random() < 0.5 else others[own.noun].logged
    trait = own.trait if rng.random() < 0.5 else others[own.trait].logged
    patterns = LOGGED_PATTERNS[language]
    return Words(noun, trait).into(patterns[int(rng.integers(len(patterns)))])


class _Shelves:
    """Items by what they are."""

    def __init__(self, products: Sequence[Product], launched: npt.NDArray[np.bool_]) -> None:
        self.fitting: dict[Wish, list[int]] = {}
        self._products = products
        self._same: dict[tuple[int, int], list[int]] = {}
        self._kind: dict[int, list[int]] = {}
        for row in np.flatnonzero(launched).tolist():
            wish = products[row].wish
            self.fitting.setdefault(wish, []).append(row)
            self._same.setdefault((wish.kind, wish.noun), []).append(row)
            self._kind.setdefault(wish.kind, []).append(row)

    def clicked(self, wish: Wish, language: str, rng: np.random.Generator) -> int:
        """The row of an item that somebody with this wish clicks."""
        draw = rng.random()
        rows = self._kind[wish.kind]
        if draw < FITTING:
            rows = self.fitting[wish]
        elif draw < FITTING + SAME_PRODUCT:
            rows = self._same[wish.kind, wish.noun]
        if rng.random() < OWN_LANGUAGE:
            rows = [row for row in rows if self._products[row].language == language] or rows
        return rows[int(rng.integers(len(rows)))]
