"""Lets pass what the verifier and the operator's rules allow, and notes what they stop."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from ..core.catalogue import Rule
from ..core.decision import Ad, JudgedAd, Outcome, Tier
from ..core.ports import Verifier
from ..core.snapshot import Snapshot
from ..rules.rulebook import Rulebook
from .trace import Trace

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Compiled:
    rules: Sequence[Rule]
    book: Rulebook


class Rulebooks:
    """The rulebook of a snapshot, compiled when its rules change and kept while they do not."""

    def __init__(self) -> None:
        # One reference for both, since the follower's thread writes what the request loop reads.
        self._compiled: _Compiled = _Compiled((), Rulebook.compile(()))

    def of(self, snapshot: Snapshot) -> Rulebook:
        """The snapshot's rules, compiled."""
        compiled = self._compiled
        if snapshot.rules is not compiled.rules:
            compiled = _Compiled(snapshot.rules, Rulebook.compile(snapshot.rules))
            for refused in compiled.book.refused:
                _log.warning("a rule is not in force", rule=str(refused))
            self._compiled = compiled
        return compiled.book

    def warm(self, snapshot: Snapshot) -> None:
        """Compiles ahead of requests, on the follower's thread."""
        self.of(snapshot)


class Screen:
    """Steps 5 and 6's gate: verdict first, rules last."""

    def __init__(self, verifier: Verifier, rulebooks: Rulebooks, serve_under_review: bool) -> None:
        self._verifier, self._rulebooks = verifier, rulebooks
        self._passing = {Outcome.ALLOW, Outcome.REVIEW} if serve_under_review else {Outcome.ALLOW}

    def passed(self, tier: Tier, ads: Sequence[Ad], snapshot: Snapshot, trace: Trace) -> tuple[JudgedAd, ...]:
        """The ads that may be shown, judged, in order.

        The fallback tier takes only creatives already known to be allowed.
        """
        if tier is Tier.FALLBACK:
            ads = self._already_allowed(ads, snapshot, trace)
        if not ads:
            return ()
        book = self._rulebooks.of(snapshot)
        passed = []
        for judged in self._verifier.judge(ads, trace.request, trace.environment, snapshot):
            verdict, creative_id = judged.verdict, judged.ad.creative.creative_id
            if verdict.outcome not in self._passing:
                named = verdict.findings[0].rule_id if verdict.findings else verdict.outcome.value
                trace.reject("verifier", named, creative_id)
                continue
            rule = book.blocks(judged.ad, trace.request, trace.environment, snapshot)
            if rule is not None:
                trace.reject("rules", rule.rule_id, creative_id)
                continue
            passed.append(judged)
        return tuple(passed)

    def _already_allowed(self, ads: Sequence[Ad], snapshot: Snapshot, trace: Trace) -> tuple[Ad, ...]:
        allowed = []
        for ad in ads:
            verdict = self._verifier.cached_verdict(ad, snapshot)
            if verdict is not None and verdict.outcome is Outcome.ALLOW:
                allowed.append(ad)
            else:
                trace.reject("fallback", "not known to be allowed", ad.creative.creative_id)
        return tuple(allowed)
