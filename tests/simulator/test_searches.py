"""What people of a made world ask for: in logged words only, and mostly answered by what they asked for."""

import msgspec
import pytest

from adgram.core.marketplace import Marketplace
from adgram.simulator.market.needs import FITTING, LANGUAGES, LOGGED_PATTERNS, UNHEARD_PATTERNS, Wish, Words
from adgram.simulator.market.synonyms import OTHER_WORDS
from adgram.simulator.market.vocabulary import KINDS


def catalogue_words(language: str) -> set[str]:
    sides = ((k.nouns_en, k.traits_en) if language == "en" else (k.nouns_zh, k.traits_zh) for k in KINDS)
    return {word.lower() for nouns, traits in sides for word in (*nouns, *traits)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_unheard_patterns_and_words_are_in_no_logged_one(language: str) -> None:
    """Patterns, logged synonyms, unheard synonyms and the catalogue's words are four sets without a common member."""
    assert not set(LOGGED_PATTERNS[language]) & set(UNHEARD_PATTERNS[language])
    words = OTHER_WORDS[language]
    logged, unheard = {other.logged.lower() for other in words.values()}, {o.unheard.lower() for o in words.values()}
    own = catalogue_words(language)
    assert {word.lower() for word in words} == own
    assert not logged & unheard
    assert not (logged | unheard) & own


def test_every_search_is_in_logged_patterns_and_words(small_world: Marketplace) -> None:
    """Whatever is in the log can be said with logged patterns, the catalogue's words and their logged synonyms."""
    sayable = set()
    for language in LANGUAGES:
        for number, kind in enumerate(KINDS):
            for noun in range(len(kind.nouns_en)):
                for trait in range(len(kind.traits_en)):
                    own, others = Wish(number, noun, trait).words(language), OTHER_WORDS[language]
                    for said in (own.noun, others[own.noun].logged):
                        for so in (own.trait, others[own.trait].logged):
                            sayable |= {Words(said, so).into(pattern) for pattern in LOGGED_PATTERNS[language]}
    assert set(small_world.log("searches").column("need").to_pylist()) <= sayable


def test_clicks_after_a_search_are_mostly_on_what_was_asked_for(small_world: Marketplace) -> None:
    """The share of fitting clicks is as stated, and no unasked wish's words are in the log."""
    truth = msgspec.json.decode((small_world.folder / "truth" / "index.json").read_bytes())
    products = dict(zip(truth["items"], truth["products"], strict=True))
    unasked = {tuple(wish.values()) for wish in truth["unasked"]}
    fitting = total = 0
    said = {
        Words(noun, trait).into("{trait} {noun}"): Wish(number, at, place)
        for number, kind in enumerate(KINDS)
        for at, noun in enumerate(kind.nouns_en)
        for place, trait in enumerate(kind.traits_en)
    }
    log = small_world.log("searches")
    for need, item_id in zip(log.column("need").to_pylist(), log.column("item_id").to_pylist(), strict=True):
        wish = said.get(need)
        if wish is None:
            continue
        assert (wish.kind, wish.noun, wish.trait) not in unasked
        fitting += products[item_id]["wish"] == {"kind": wish.kind, "noun": wish.noun, "trait": wish.trait}
        total += 1
    assert total > 50
    assert FITTING - 0.12 < fitting / total < FITTING + 0.15
