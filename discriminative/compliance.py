"""Whether an ad's words may be shown: findings with the exact place in the original text, and the law they rest on."""

import re
from dataclasses import dataclass

from ahocorasick_rs import AhoCorasick

from ..core.catalogue import Creative, Item, Offer
from ..core.decision import Finding, Outcome, Span, Verdict
from .claims import Claim, Terms, stated, unsupported
from .normalise import CLAUSE_ENDS, Folded, Normaliser
from .policy import Policy, PolicyRule

# Characters an evader may put between two of a term's; more are a sentence of their own.
GAP_CHARS = 3
_WORD = re.compile(r"[a-z0-9%]")
_RANK = {Outcome.ALLOW: 0, Outcome.REVIEW: 1, Outcome.BLOCK: 2}


@dataclass(frozen=True, slots=True)
class FieldReading:
    """One field's text, folded, with all that can be said of it without knowing the offer."""

    field: str
    text: Folded
    findings: tuple[Finding, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A creative's words as read once: only the offer is missing for a verdict."""

    fields: tuple[FieldReading, ...]


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One entry of the automaton: a term of a rule, or (`innocent`) a phrase that clears the rule's terms inside it."""

    rule: int
    inner: tuple[bool, ...]  # [len - 1] whether two neighbouring characters belong to one Latin word
    latin_start: bool
    latin_end: bool
    innocent: bool


@dataclass(frozen=True, slots=True)
class _Hit:
    rule: int
    start: int  # in the folded text
    end: int
    split: bool  # a clause ends inside
    innocent: bool

    def covers(self, other: "_Hit") -> bool:
        return self.start <= other.start and other.end <= self.end


class ComplianceCheck:
    """Reads creatives under one policy. Safe to use from several threads; equal words always get equal verdicts."""

    def __init__(self, policy: Policy, normaliser: Normaliser) -> None:
        self.policy = policy
        self._normaliser = normaliser
        self._patterns: list[_Pattern] = []
        spellings: list[str] = []
        for index, rule in enumerate(policy.rules):
            for term, innocent in (*((term, False) for term in rule.terms), *((term, True) for term in rule.unless)):
                compact, pattern = self._pattern(term, index, innocent)
                if compact:
                    spellings.append(compact)
                    self._patterns.append(pattern)
        self._automaton = AhoCorasick(spellings) if spellings else None
        self._expressions = [
            (index, re.compile(expression)) for index, rule in enumerate(policy.rules) for expression in rule.patterns
        ]
        patterns = [f"(?:{expression.pattern})" for _, expression in self._expressions]
        self._any_expression = re.compile("|".join(patterns) or r"(?!)")
        self._when = [tuple(normaliser.compact(word) for word in rule.when) for rule in policy.rules]

    def check(self, creative: Creative, item: Item | None, offer: Offer | None) -> Verdict:  # noqa: ARG002
        """The verdict on a creative: what the policy finds in its words, and claims its offer does not bear out."""
        return self.verdict(self.read(creative), offer)

    def read(self, creative: Creative) -> Reading:
        """What can be said of the words alone; costs tens of microseconds, so it is worth keeping."""
        folded = {
            name: self._normaliser.fold(text) for name, text in (("title", creative.title), ("text", creative.text))
        }
        everything = "\n".join(text.compact for text in folded.values())
        return Reading(
            tuple(
                FieldReading(name, text, self._findings(name, text, everything), stated(text))
                for name, text in folded.items()
            )
        )

    def verdict(self, reading: Reading, offer: Offer | None) -> Verdict:
        """The verdict once the offer is known."""
        claims = any(field.claims for field in reading.fields)
        terms = Terms.of(offer if claims else None, self._normaliser.fold)
        findings: list[Finding] = []
        for field in reading.fields:
            findings += field.findings
            findings += unsupported(field.field, field.text, field.claims, offer, terms)
        worst = max((finding.severity for finding in findings), key=_RANK.__getitem__, default=Outcome.ALLOW)
        return Verdict(worst, tuple(findings))

    def _findings(self, field: str, text: Folded, everything: str) -> tuple[Finding, ...]:
        hits = self._hits(text)
        guilty = [hit for hit in hits if not hit.innocent and self._in_context(hit.rule, everything)]
        cleared = [hit for hit in hits if hit.innocent]
        guilty = [hit for hit in guilty if not any(kept.rule == hit.rule and kept.covers(hit) for kept in cleared)]
        guilty.sort(key=lambda hit: (-_RANK[self._severity(hit)], hit.start - hit.end, hit.start))
        kept: list[_Hit] = []
        for hit in guilty:  # a term inside a graver or longer one adds nothing
            if not any(other.covers(hit) for other in kept):
                kept.append(hit)
        return tuple(self._finding(field, text, hit) for hit in sorted(kept, key=lambda hit: hit.start))

    def _hits(self, text: Folded) -> list[_Hit]:
        hits = []
        if self._automaton is not None:
            for index, start, end in self._automaton.find_matches_as_indexes(text.compact, overlapping=True):
                hit = _matched(self._patterns[index], text, start, end)
                if hit is not None:
                    hits.append(hit)
        if self._any_expression.search(text.text):  # most texts match none: one pass tells
            for rule, expression in self._expressions:
                hits += [
                    _Hit(rule, match.start(), match.end(), False, False) for match in expression.finditer(text.text)
                ]
        return hits

    def _in_context(self, rule: int, everything: str) -> bool:
        words = self._when[rule]
        return not words or any(word in everything for word in words)

    def _severity(self, hit: _Hit) -> Outcome:
        return Outcome.REVIEW if hit.split else self.policy.rules[hit.rule].severity

    def _finding(self, field: str, text: Folded, hit: _Hit) -> Finding:
        rule: PolicyRule = self.policy.rules[hit.rule]
        start, end = text.text_span(hit.start, hit.end)
        return Finding(
            rule.id, self._severity(hit), Span(field, start, end), text.original[start:end], rule.legal_basis
        )

    def _pattern(self, term: str, rule: int, innocent: bool) -> tuple[str, _Pattern]:
        open_end = term.endswith("*")
        folded = self._normaliser.fold(term.rstrip("*"))
        compact = folded.compact
        inner = tuple(
            folded.place[at + 1] == folded.place[at] + 1
            and bool(_WORD.match(compact[at]) and _WORD.match(compact[at + 1]))
            for at in range(len(compact) - 1)
        )
        latin_end = bool(compact) and bool(_WORD.match(compact[-1])) and not open_end
        pattern = _Pattern(rule, inner, bool(_WORD.match(compact[:1])), latin_end, innocent)
        return compact, pattern


def _matched(pattern: _Pattern, text: Folded, start: int, end: int) -> _Hit | None:
    """The hit at [start, end) of the compact text; None where what lies around or between makes it another word."""
    words, place = text.text, text.place
    first, last = place[start], place[end - 1]
    if pattern.latin_start and first > 0 and _WORD.match(words[first - 1]):
        return None
    if pattern.latin_end and last + 1 < len(words) and _WORD.match(words[last + 1]):
        return None
    spelled = opened = 0
    split = False
    for at, within_word in enumerate(pattern.inner, start=start):
        gap = words[place[at] + 1 : place[at + 1]]
        if len(gap) > GAP_CHARS:
            return None
        if within_word:
            spelled += 1
            opened += bool(gap)
        elif gap:
            split = split or any(character in CLAUSE_ENDS for character in gap)
    if opened not in (0, spelled):  # "be stable" is not "best"; "b e s t" and "b.e.s.t" are
        return None
    return _Hit(pattern.rule, first, last + 1, split, pattern.innocent)
