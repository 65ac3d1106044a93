"""From candidates to a decision, and the record that explains and replays it."""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from .catalogue import Campaign, Creative, SemanticId
from .environment import Environment
from .money import Money
from .request import BidRequest, Impression


class CandidateSource(StrEnum):
    """Which memory a candidate came from."""

    GENERATIVE = "generative"
    MEMORY = "memory"
    FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item worth showing. `log_prob` is the decoder's, of the item given the context (None when it did not
    generate it);
    `score` is what the list is ordered by."""

    item_id: str
    semantic_id: SemanticId
    log_prob: float | None
    source: CandidateSource
    score: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """Candidates, best first. An empty one says why in `reason` ("" otherwise)."""

    candidates: tuple[Candidate, ...]
    reason: str
    took_ms: float
    model: str = ""


@dataclass(frozen=True, slots=True)
class Ad:
    """A candidate with the creative that would show it in one impression."""

    candidate: Candidate
    creative: Creative
    campaign: Campaign
    impression: Impression


class Outcome(StrEnum):
    """What the verifier says of a creative."""

    ALLOW = "allow"
    REVIEW = "review"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of the original text of `field` ("title" or "text")."""

    field: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to doubt a creative; `evidence` quotes the original text at `span`."""

    rule_id: str
    severity: Outcome
    span: Span
    evidence: str
    legal_basis: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about a creative's text; the worst severity found."""

    outcome: Outcome
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """What showing the ad is worth: probabilities per impression and per click, and the learned lift of this
    environment
    (already outside the probabilities; 1.0 where none was learned)."""

    p_click: float
    p_convert: float
    environment_lift: float = 1.0


@dataclass(frozen=True, slots=True)
class JudgedAd:
    """An ad with the verifier's word on it."""

    ad: Ad
    verdict: Verdict
    value: Value


@dataclass(frozen=True, slots=True)
class PriceStep:
    """One factor of a price: its name, the factor, and the price per mille after it."""

    name: str
    factor: float
    price_micros: int


@dataclass(frozen=True, slots=True)
class PricedAd:
    """A judged ad with the price it would bid (per mille) and how that came about."""

    judged: JudgedAd
    bid_price: Money
    steps: tuple[PriceStep, ...]


@dataclass(frozen=True, slots=True)
class ConsideredAd:
    """A priced ad as the record keeps it: by id, since the snapshot's version says what the ids meant."""

    item_id: str
    creative_id: str
    campaign_id: str
    source: CandidateSource
    verdict: Verdict
    value: Value
    price_micros: int
    steps: tuple[PriceStep, ...]

    @classmethod
    def of(cls, priced: "PricedAd") -> "ConsideredAd":
        """The short form of a priced ad."""
        judged, ad = priced.judged, priced.judged.ad
        ids = (ad.creative.item_id, ad.creative.creative_id, ad.campaign.campaign_id)
        return cls(*ids, ad.candidate.source, judged.verdict, judged.value, priced.bid_price.micros, priced.steps)


@dataclass(frozen=True, slots=True)
class ChosenAd:
    """The ad a bid was made for, as the record keeps it."""

    bid_id: str
    impression_id: str
    ad: ConsideredAd


@dataclass(frozen=True, slots=True)
class Bid:
    """What is answered: `bid_id` also names the money reserved for it."""

    bid_id: str
    priced: PricedAd


class NoBidReason(IntEnum):
    """OpenRTB's nbr; from 500 on, this engine's own."""

    INSUFFICIENT_AUCTION_TIME = 15
    NOTHING_ADMITTED = 500
    NOTHING_PROPOSED = 501
    NO_FITTING_CREATIVE = 502
    ALL_BLOCKED = 503
    BELOW_RESERVE = 504
    NO_BUDGET = 505
    NOT_READY = 506


class Tier(StrEnum):
    """The passes over steps 3 to 7 of a request, in their order; a share of requests is offered to newcomers first."""

    NEWCOMERS = "newcomers"
    LEARNED = "learned"
    FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why something proposed was not shown: the stage, its reason, and how many it hit ("ids" names the first few)."""

    stage: str
    reason: str
    count: int
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TierRecord:
    """What one tier did for one impression, in the order it happened.

    `considered` holds the best-priced of the `priced` ads that passed; every candidate is in the proposal.
    """

    tier: Tier
    impression_id: str
    proposal: Proposal
    priced: int
    considered: tuple[ConsideredAd, ...]
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """All that explains a decision, replays it and lets a later model learn from it.

    `propensity` is the probability with which the exploration policy showed what it showed, by impression id, given
    the ads that were eligible in the tier that bid (the last of `tiers`); whether a request goes through the tier of
    newcomers is drawn before anything is known of its ads. `models` maps each part to its artefact's checksum.
    `stops` are the kill switches in force.
    """

    decision_id: str
    decided_at: int
    request: BidRequest
    version: tuple[int, ...]
    watermark: int
    environment: Environment
    models: dict[str, str]
    rules: tuple[str, ...]
    stops: tuple[str, ...]
    pacing: dict[str, float]
    tiers: tuple[TierRecord, ...]
    bids: tuple[ChosenAd, ...]
    no_bid_reason: NoBidReason | None
    propensity: dict[str, float]
    step_ms: dict[str, float]
    took_ms: float
    admitted: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a request: bids, or the reason for none."""

    decision_id: str
    bids: tuple[Bid, ...]
    no_bid_reason: NoBidReason | None
    record: DecisionRecord
