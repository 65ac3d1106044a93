"""Implements core.ports.Verifier: what an ad is worth here, and whether its words may be shown."""

import time
from collections.abc import Sequence
from pathlib import Path

from ..core.catalogue import Creative
from ..core.decision import Ad, JudgedAd, Value, Verdict
from ..core.environment import Environment
from ..core.request import BidRequest
from ..core.snapshot import CreativeColumns, Snapshot
from . import policy
from .compliance import ComplianceCheck, Reading
from .config import VerifierConfig
from .features import matrix
from .normalise import Normaliser
from .scorer import Scorer
from .sight import Sight, newest_contacts
from .verdicts import Remembered, VerdictKey

# While thousands of creatives are judged ahead, serving threads get a turn after every so many (about 5 ms of work).
WARMED_IN_A_ROW = 20


class LearnedVerifier:
    """The scorer and the compliance check together. Safe to use from several threads."""

    def __init__(self, scorer: Scorer, compliance: ComplianceCheck, verdicts: int) -> None:
        self._scorer = scorer
        self._compliance = compliance
        self._sight = Sight(scorer)
        self._verdicts: Remembered[VerdictKey, Verdict] = Remembered(verdicts)
        self._readings: Remembered[str, Reading] = Remembered(verdicts)
        self._warmed: CreativeColumns | None = None

    @property
    def models(self) -> dict[str, str]:
        return {"scorer": self._scorer.checksum, "policy": self._compliance.policy.version}

    @property
    def verdict_hits(self) -> int:
        """How many verdicts came out of the cache."""
        return self._verdicts.hits

    def judge(
        self, ads: Sequence[Ad], request: BidRequest, environment: Environment, snapshot: Snapshot
    ) -> tuple[JudgedAd, ...]:
        """Each ad judged, in order. Value holds the scorer's probabilities and, apart from them, the environment's
        lift.
        """
        if not ads:
            return ()
        values = self._values(ads, request, environment, snapshot)
        return tuple(
            JudgedAd(ad, self._verdict(ad.creative, snapshot), value) for ad, value in zip(ads, values, strict=True)
        )

    def cached_verdict(self, ad: Ad, snapshot: Snapshot) -> Verdict | None:
        """The verdict already known. Where only the offer changed, what was read in the words is held against the new
        one.
        """
        key = self._key(ad.creative, snapshot)
        verdict = self._verdicts.get(key)
        if verdict is None:
            reading = self._readings.get(key.content_hash)
            if reading is not None:
                verdict = self._decided(key, reading, ad.creative, snapshot)
        return verdict

    def warm(self, snapshot: Snapshot) -> None:
        """Judges what is new since the last call; costs what changed."""
        columns, before = snapshot.creatives, self._warmed
        if columns is before:
            return
        changed = None if before is None else columns.differing(before)
        worked = 0
        for slot in range(columns.count) if changed is None else changed[changed < columns.count].tolist():
            if columns.alive[slot]:
                self._verdict(columns.creatives[slot], snapshot)
                worked += 1
                if worked % WARMED_IN_A_ROW == 0:
                    time.sleep(0)
        self._warmed = columns

    def _values(
        self, ads: Sequence[Ad], request: BidRequest, environment: Environment, snapshot: Snapshot
    ) -> list[Value]:
        user = None if request.child_directed else snapshot.user(request.viewer.user_key)
        history = newest_contacts(user.history, request.event_time) if user else []
        seen = self._sight.items(ads, history, snapshot)
        scores = self._scorer.score(matrix(seen.facts, self._sight.viewings(ads, request, history, seen)))
        lifts, holding = self._scorer.lifts, self._scorer.lifts.holding(environment)
        return [
            Value(p_click, p_convert, lifts.factor(seen.category(ad.candidate.item_id), ad.creative.theme, holding))
            for ad, p_click, p_convert in zip(ads, scores.p_click.tolist(), scores.p_convert.tolist(), strict=True)
        ]

    def _verdict(self, creative: Creative, snapshot: Snapshot) -> Verdict:
        key = self._key(creative, snapshot)
        verdict = self._verdicts.get(key)
        if verdict is None:
            reading = self._readings.get(key.content_hash)
            if reading is None:
                reading = self._compliance.read(creative)
                self._readings.put(key.content_hash, reading)
            verdict = self._decided(key, reading, creative, snapshot)
        return verdict

    def _decided(self, key: VerdictKey, reading: Reading, creative: Creative, snapshot: Snapshot) -> Verdict:
        verdict = self._compliance.verdict(reading, snapshot.offer(creative.item_id))
        self._verdicts.put(key, verdict)
        return verdict

    def _key(self, creative: Creative, snapshot: Snapshot) -> VerdictKey:
        # The item's id is part of the facts: two items may share words and stamps, yet not the offer behind a price.
        facts = f"{creative.item_id}\x1f{snapshot.facts_changed(creative.item_id)}"
        return VerdictKey(creative.content_hash, self._compliance.policy.version, facts)


def load_verifier(folder: Path, config: VerifierConfig | None = None) -> LearnedVerifier:
    """The verifier with the scorer in `folder` and the configured policy; ArtifactError or ConfigError if one cannot
    be read.
    """
    settings = config or VerifierConfig()
    compliance = ComplianceCheck(policy.load(settings.policy), Normaliser())
    return LearnedVerifier(Scorer.load(folder, settings.threads), compliance, settings.verdicts)
