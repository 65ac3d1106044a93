from adgram.proto import openrtb_pb2 as _openrtb_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Notice(_message.Message):
    __slots__ = ("kind", "bid_id", "price", "loss_reason", "event_time_ns", "uri")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Notice.Kind]
        WIN: _ClassVar[Notice.Kind]
        BILLING: _ClassVar[Notice.Kind]
        LOSS: _ClassVar[Notice.Kind]
    KIND_UNSPECIFIED: Notice.Kind
    WIN: Notice.Kind
    BILLING: Notice.Kind
    LOSS: Notice.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    BID_ID_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    LOSS_REASON_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    kind: Notice.Kind
    bid_id: str
    price: float
    loss_reason: int
    event_time_ns: int
    uri: str
    def __init__(self, kind: _Optional[_Union[Notice.Kind, str]] = ..., bid_id: _Optional[str] = ..., price: _Optional[float] = ..., loss_reason: _Optional[int] = ..., event_time_ns: _Optional[int] = ..., uri: _Optional[str] = ...) -> None: ...

class NoticeReceipt(_message.Message):
    __slots__ = ("known", "repeated")
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    known: bool
    repeated: bool
    def __init__(self, known: _Optional[bool] = ..., repeated: _Optional[bool] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class StatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EngineStats(_message.Message):
    __slots__ = ("version", "requests", "bids", "bids_by_source", "candidates_by_source", "rejections", "no_bids", "tiers", "lateness", "models", "items", "watermark_ns")
    class BidsBySourceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class CandidatesBySourceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class RejectionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class NoBidsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class TiersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class LatenessEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ModelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    BIDS_FIELD_NUMBER: _ClassVar[int]
    BIDS_BY_SOURCE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_BY_SOURCE_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    NO_BIDS_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    LATENESS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_NS_FIELD_NUMBER: _ClassVar[int]
    version: _containers.RepeatedScalarFieldContainer[int]
    requests: int
    bids: int
    bids_by_source: _containers.ScalarMap[str, int]
    candidates_by_source: _containers.ScalarMap[str, int]
    rejections: _containers.ScalarMap[str, int]
    no_bids: _containers.ScalarMap[str, int]
    tiers: _containers.ScalarMap[str, int]
    lateness: _containers.ScalarMap[str, int]
    models: _containers.ScalarMap[str, str]
    items: int
    watermark_ns: int
    def __init__(self, version: _Optional[_Iterable[int]] = ..., requests: _Optional[int] = ..., bids: _Optional[int] = ..., bids_by_source: _Optional[_Mapping[str, int]] = ..., candidates_by_source: _Optional[_Mapping[str, int]] = ..., rejections: _Optional[_Mapping[str, int]] = ..., no_bids: _Optional[_Mapping[str, int]] = ..., tiers: _Optional[_Mapping[str, int]] = ..., lateness: _Optional[_Mapping[str, int]] = ..., models: _Optional[_Mapping[str, str]] = ..., items: _Optional[int] = ..., watermark_ns: _Optional[int] = ...) -> None: ...

class DecisionRecord(_message.Message):
    __slots__ = ("decision_id", "decided_at_ns", "request", "version", "watermark_ns", "environment", "models", "rules", "stops", "pacing", "tiers", "bids", "nbr", "propensity", "step_ms", "took_ms", "admitted")
    class ModelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class PacingEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class PropensityEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class StepMsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class AdmittedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_NS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_NS_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    STOPS_FIELD_NUMBER: _ClassVar[int]
    PACING_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    BIDS_FIELD_NUMBER: _ClassVar[int]
    NBR_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    STEP_MS_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    ADMITTED_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    decided_at_ns: int
    request: _openrtb_pb2.BidRequest
    version: _containers.RepeatedScalarFieldContainer[int]
    watermark_ns: int
    environment: Environment
    models: _containers.ScalarMap[str, str]
    rules: _containers.RepeatedScalarFieldContainer[str]
    stops: _containers.RepeatedScalarFieldContainer[str]
    pacing: _containers.ScalarMap[str, float]
    tiers: _containers.RepeatedCompositeFieldContainer[TierRecord]
    bids: _containers.RepeatedCompositeFieldContainer[ChosenAd]
    nbr: int
    propensity: _containers.ScalarMap[str, float]
    step_ms: _containers.ScalarMap[str, float]
    took_ms: float
    admitted: _containers.ScalarMap[str, int]
    def __init__(self, decision_id: _Optional[str] = ..., decided_at_ns: _Optional[int] = ..., request: _Optional[_Union[_openrtb_pb2.BidRequest, _Mapping]] = ..., version: _Optional[_Iterable[int]] = ..., watermark_ns: _Optional[int] = ..., environment: _Optional[_Union[Environment, _Mapping]] = ..., models: _Optional[_Mapping[str, str]] = ..., rules: _Optional[_Iterable[str]] = ..., stops: _Optional[_Iterable[str]] = ..., pacing: _Optional[_Mapping[str, float]] = ..., tiers: _Optional[_Iterable[_Union[TierRecord, _Mapping]]] = ..., bids: _Optional[_Iterable[_Union[ChosenAd, _Mapping]]] = ..., nbr: _Optional[int] = ..., propensity: _Optional[_Mapping[str, float]] = ..., step_ms: _Optional[_Mapping[str, float]] = ..., took_ms: _Optional[float] = ..., admitted: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Environment(_message.Message):
    __slots__ = ("place_id", "weather", "temperature_c", "crowd", "local_events", "event_time_ns")
    PLACE_ID_FIELD_NUMBER: _ClassVar[int]
    WEATHER_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_C_FIELD_NUMBER: _ClassVar[int]
    CROWD_FIELD_NUMBER: _ClassVar[int]
    LOCAL_EVENTS_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    place_id: str
    weather: str
    temperature_c: float
    crowd: float
    local_events: _containers.RepeatedScalarFieldContainer[str]
    event_time_ns: int
    def __init__(self, place_id: _Optional[str] = ..., weather: _Optional[str] = ..., temperature_c: _Optional[float] = ..., crowd: _Optional[float] = ..., local_events: _Optional[_Iterable[str]] = ..., event_time_ns: _Optional[int] = ...) -> None: ...

class TierRecord(_message.Message):
    __slots__ = ("tier", "impression_id", "proposal", "considered", "rejections", "priced")
    TIER_FIELD_NUMBER: _ClassVar[int]
    IMPRESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    CONSIDERED_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    PRICED_FIELD_NUMBER: _ClassVar[int]
    tier: str
    impression_id: str
    proposal: Proposal
    considered: _containers.RepeatedCompositeFieldContainer[PricedAd]
    rejections: _containers.RepeatedCompositeFieldContainer[Rejection]
    priced: int
    def __init__(self, tier: _Optional[str] = ..., impression_id: _Optional[str] = ..., proposal: _Optional[_Union[Proposal, _Mapping]] = ..., considered: _Optional[_Iterable[_Union[PricedAd, _Mapping]]] = ..., rejections: _Optional[_Iterable[_Union[Rejection, _Mapping]]] = ..., priced: _Optional[int] = ...) -> None: ...

class Proposal(_message.Message):
    __slots__ = ("candidates", "reason", "took_ms", "model")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    reason: str
    took_ms: float
    model: str
    def __init__(self, candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., reason: _Optional[str] = ..., took_ms: _Optional[float] = ..., model: _Optional[str] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("item_id", "semantic_id", "log_prob", "source", "score")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_ID_FIELD_NUMBER: _ClassVar[int]
    LOG_PROB_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    semantic_id: _containers.RepeatedScalarFieldContainer[int]
    log_prob: float
    source: str
    score: float
    def __init__(self, item_id: _Optional[str] = ..., semantic_id: _Optional[_Iterable[int]] = ..., log_prob: _Optional[float] = ..., source: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class PricedAd(_message.Message):
    __slots__ = ("item_id", "creative_id", "campaign_id", "source", "outcome", "findings", "p_click", "p_convert", "environment_lift", "bid_price_micros", "steps")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    CREATIVE_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    P_CLICK_FIELD_NUMBER: _ClassVar[int]
    P_CONVERT_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_LIFT_FIELD_NUMBER: _ClassVar[int]
    BID_PRICE_MICROS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    creative_id: str
    campaign_id: str
    source: str
    outcome: str
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    p_click: float
    p_convert: float
    environment_lift: float
    bid_price_micros: int
    steps: _containers.RepeatedCompositeFieldContainer[PriceStep]
    def __init__(self, item_id: _Optional[str] = ..., creative_id: _Optional[str] = ..., campaign_id: _Optional[str] = ..., source: _Optional[str] = ..., outcome: _Optional[str] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., p_click: _Optional[float] = ..., p_convert: _Optional[float] = ..., environment_lift: _Optional[float] = ..., bid_price_micros: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[PriceStep, _Mapping]]] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("rule_id", "severity", "field", "start", "end", "evidence", "legal_basis")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    LEGAL_BASIS_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    severity: str
    field: str
    start: int
    end: int
    evidence: str
    legal_basis: str
    def __init__(self, rule_id: _Optional[str] = ..., severity: _Optional[str] = ..., field: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., evidence: _Optional[str] = ..., legal_basis: _Optional[str] = ...) -> None: ...

class PriceStep(_message.Message):
    __slots__ = ("name", "factor", "price_micros")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    PRICE_MICROS_FIELD_NUMBER: _ClassVar[int]
    name: str
    factor: float
    price_micros: int
    def __init__(self, name: _Optional[str] = ..., factor: _Optional[float] = ..., price_micros: _Optional[int] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("stage", "reason", "count", "ids")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    reason: str
    count: int
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, stage: _Optional[str] = ..., reason: _Optional[str] = ..., count: _Optional[int] = ..., ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ChosenAd(_message.Message):
    __slots__ = ("bid_id", "impression_id", "ad")
    BID_ID_FIELD_NUMBER: _ClassVar[int]
    IMPRESSION_ID_FIELD_NUMBER: _ClassVar[int]
    AD_FIELD_NUMBER: _ClassVar[int]
    bid_id: str
    impression_id: str
    ad: PricedAd
    def __init__(self, bid_id: _Optional[str] = ..., impression_id: _Optional[str] = ..., ad: _Optional[_Union[PricedAd, _Mapping]] = ...) -> None: ...
