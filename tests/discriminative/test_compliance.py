"""The compliance check of creatives' words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core.catalogue import Creative, Offer
from adgram.core.decision import Outcome
from adgram.core.errors import ConfigError
from adgram.core.money import from_units
from adgram.core.request import AdFormat, Size
from adgram.discriminative import policy
from adgram.discriminative.compliance import ComplianceCheck
from adgram.discriminative.normalise import Normaliser

CHECK = ComplianceCheck(policy.load(), Normaliser())
OFFER = Offer("i", from_units(99, "CNY"), 10, "8折")
TERMS = [(rule, term) for rule in CHECK.policy.rules for term in rule.terms if not rule.when and not term.endswith("*")]


def made(text: str, title: str = "a thing") -> Creative:
    """A banner with these words."""
    return Creative("k", "i", "c", AdFormat.BANNER, Size(300, 250), title, text, "https://a.example/", "a.example")


def outcome(text: str, offer: Offer | None = OFFER) -> Outcome:
    """The verdict's outcome on a text."""
    return CHECK.check(made(text), None, offer).outcome


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("全网第一的雨伞", "全网第一"),
        ("品质最*佳", "最*佳"),
        ("這是國家級工藝", "國家級"),
        ("有效根 治失眠", "根 治"),
        ("理财保本，零风险", "保本"),
        ("全网第①的雨伞", "全网第①"),
        ("The ＢＥＳＴ lamp", "The ＢＥＳＴ"),
        ("It will c.u.r.e you", "c.u.r.e"),
        ("Our #1 choice", "#1"),
        ("月瘦 20 斤", "月瘦 20 斤"),
        ("Guaranteed returns!", "Guaranteed returns"),
        ("what a sh\u0456t", "sh\u0456t"),
    ],
)
def test_forbidden_words_are_blocked_at_their_place_in_the_original(text, evidence):
    """Evidence quotes the original, evasions included, and names the law."""
    verdict = CHECK.check(made(text), None, None)
    assert verdict.outcome is Outcome.BLOCK
    finding = next(finding for finding in verdict.findings if finding.evidence == evidence)
    assert finding.span.field == "text"
    assert text[finding.span.start : finding.span.end] == evidence
    assert finding.legal_basis


@pytest.mark.parametrize(
    "text",
    [
        "第一次使用请先清洗",
        "最大承重 120 公斤",
        "本品不能替代药物",
        "bestow a gift",
        "to be stable",
        "it may be St Louis",
        "asbestos-free? Of course",
        "Best before 2027",
        "Umbrella for every day. See details and price.",
        "下雨了？防风雨伞，规格58 cm。",
        "三折伞，轻便",
        "妈妈的味道",
        "a secure lock",
        "",
    ],
)
def test_innocent_words_are_allowed(text):
    """Exceptions and word boundaries hold."""
    assert CHECK.check(made(text), None, OFFER).findings == ()


def test_a_clause_end_inside_a_term_is_for_a_person_to_decide():
    """ "最。佳" may be evasion or the end of a sentence."""
    assert outcome("价格最。佳品") is Outcome.REVIEW


def test_the_worst_finding_decides_and_a_shorter_term_inside_a_graver_one_is_not_listed_twice():
    """ "The best" is one finding of the graver rule."""
    findings = CHECK.check(made("The best and perfect"), None, None).findings
    assert [finding.evidence for finding in findings] == ["The best", "perfect"]
    assert outcome("perfect") is Outcome.REVIEW


def test_titles_are_read_too():
    """The span names the field."""
    finding = CHECK.check(made("fine", title="史上最低价"), None, None).findings[0]
    assert finding.span.field == "title"


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(TERMS),
    st.sampled_from(["", " ", "*", "\u200b", "·"]),
    st.text("的这款好物 ab", max_size=6),
    st.text("，。 xy", max_size=6),
)
def test_every_term_of_the_policy_is_found_whatever_is_put_between_its_characters(drawn, gap, before, after):
    """For each term: found at its span, wherever it stands."""
    rule, term = drawn
    latin = any("a" <= character.lower() <= "z" for character in term)
    written = term if latin else gap.join(term)
    text = f"{before} {written} {after}" if latin else f"{before}{written}{after}"
    findings = CHECK.check(made(text), None, None).findings
    start = text.index(written, len(before))
    assert any(finding.span.start <= start + len(written) - 1 and finding.span.end > start for finding in findings), (
        rule.id,
        term,
    )


@given(st.text(max_size=60))
def test_any_text_gets_a_verdict_with_true_quotations(text):
    """No text breaks the check; each finding quotes what stands at its span."""
    for finding in CHECK.check(made(text), None, OFFER).findings:
        assert text[finding.span.start : finding.span.end] == finding.evidence
        assert finding.evidence


def test_the_policy_version_changes_with_the_file(tmp_path):
    """A cached verdict cannot outlive the policy it was made under."""
    path = tmp_path / "own.toml"
    path.write_text('[[rule]]\nid = "a"\nseverity = "block"\nlegal_basis = "law"\nterms = ["vexing"]\n')
    first = policy.load(str(path))
    path.write_text(path.read_text().replace("vexing", "soothing"))
    assert policy.load(str(path)).version != first.version
    assert ComplianceCheck(first, Normaliser()).check(made("vexing"), None, None).outcome is Outcome.BLOCK


def test_a_policy_with_an_unknown_key_or_a_doubled_id_is_refused(tmp_path):
    """One line that names what is wrong."""
    path = tmp_path / "own.toml"
    entry = '[[rule]]\nid = "a"\nseverity = "block"\nlegal_basis = "law"\n'
    path.write_text(entry + 'words = ["x"]\n')
    with pytest.raises(ConfigError, match="words"):
        policy.load(str(path))
    path.write_text(entry + entry)
    with pytest.raises(ConfigError, match="two rules with the id a"):
        policy.load(str(path))
    with pytest.raises(ConfigError, match="cannot read"):
        policy.load(str(tmp_path / "missing.toml"))
