"""Folding text without losing where anything stood."""

from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.discriminative.normalise import Normaliser

NORMALISER = Normaliser()
TRICKY = "最佳國家級ＢＥСT①½ﬁ\u200b *.。\ud800"
EVASIONS = (
    "最 佳",
    "最*佳",
    "最\u200b佳",
    "最　佳",
    "ＢＥＳＴ",
    "b\u0435st",
    "bést",
    "B.E.S.T",
    "國家級",
    "國 家·級",
    "㊗１００％",
    "第①",
)


@settings(max_examples=300, deadline=None)
@given(st.text(st.one_of(st.characters(), st.sampled_from(TRICKY)), max_size=40), st.data())
def test_any_stretch_of_the_folded_text_is_what_its_original_span_folds_to(text, data):
    """A finding's evidence, folded by itself, contains exactly the characters that matched."""
    folded = NORMALISER.fold(text)
    assert len(folded.origin) == len(folded.text) and len(folded.place) == len(folded.compact)
    assert list(folded.origin) == sorted(folded.origin)
    if not folded.compact:
        return
    start = data.draw(st.integers(0, len(folded.compact) - 1))
    end = data.draw(st.integers(start + 1, len(folded.compact)))
    low, high = folded.compact_span(start, end)
    assert 0 <= low < high <= len(text)
    assert folded.compact[start:end] in NORMALISER.compact(text[low:high])


def test_evasions_fold_to_the_plain_word():
    """Full width, zero width, inserted signs, look-alikes, accents, traditional characters, circled digits."""
    plain = ["最佳"] * 4 + ["best"] * 4 + ["国家级"] * 2
    assert [NORMALISER.compact(text) for text in EVASIONS[:10]] == plain
    assert NORMALISER.compact(EVASIONS[10]).endswith("100%")
    assert NORMALISER.compact(EVASIONS[11]) == "第1"


@given(st.text(max_size=30))
def test_folding_twice_changes_nothing_more(text):
    """The compact form is a fixed point."""
    once = NORMALISER.compact(text)
    assert NORMALISER.compact(once) == once
