from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BidRequest(_message.Message):
    __slots__ = ("id", "imp", "site", "app", "device", "user", "at", "tmax", "wseat", "allimps", "cur", "bcat", "badv", "regs", "test", "bapp", "bseat", "source", "cattax", "acat", "ext")
    class Ext(_message.Message):
        __slots__ = ("event_time_ns",)
        EVENT_TIME_NS_FIELD_NUMBER: _ClassVar[int]
        event_time_ns: int
        def __init__(self, event_time_ns: _Optional[int] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    IMP_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    TMAX_FIELD_NUMBER: _ClassVar[int]
    WSEAT_FIELD_NUMBER: _ClassVar[int]
    ALLIMPS_FIELD_NUMBER: _ClassVar[int]
    CUR_FIELD_NUMBER: _ClassVar[int]
    BCAT_FIELD_NUMBER: _ClassVar[int]
    BADV_FIELD_NUMBER: _ClassVar[int]
    REGS_FIELD_NUMBER: _ClassVar[int]
    TEST_FIELD_NUMBER: _ClassVar[int]
    BAPP_FIELD_NUMBER: _ClassVar[int]
    BSEAT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CATTAX_FIELD_NUMBER: _ClassVar[int]
    ACAT_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    imp: _containers.RepeatedCompositeFieldContainer[Imp]
    site: Site
    app: App
    device: Device
    user: User
    at: int
    tmax: int
    wseat: _containers.RepeatedScalarFieldContainer[str]
    allimps: bool
    cur: _containers.RepeatedScalarFieldContainer[str]
    bcat: _containers.RepeatedScalarFieldContainer[str]
    badv: _containers.RepeatedScalarFieldContainer[str]
    regs: Regs
    test: bool
    bapp: _containers.RepeatedScalarFieldContainer[str]
    bseat: _containers.RepeatedScalarFieldContainer[str]
    source: Source
    cattax: int
    acat: _containers.RepeatedScalarFieldContainer[str]
    ext: BidRequest.Ext
    def __init__(self, id: _Optional[str] = ..., imp: _Optional[_Iterable[_Union[Imp, _Mapping]]] = ..., site: _Optional[_Union[Site, _Mapping]] = ..., app: _Optional[_Union[App, _Mapping]] = ..., device: _Optional[_Union[Device, _Mapping]] = ..., user: _Optional[_Union[User, _Mapping]] = ..., at: _Optional[int] = ..., tmax: _Optional[int] = ..., wseat: _Optional[_Iterable[str]] = ..., allimps: _Optional[bool] = ..., cur: _Optional[_Iterable[str]] = ..., bcat: _Optional[_Iterable[str]] = ..., badv: _Optional[_Iterable[str]] = ..., regs: _Optional[_Union[Regs, _Mapping]] = ..., test: _Optional[bool] = ..., bapp: _Optional[_Iterable[str]] = ..., bseat: _Optional[_Iterable[str]] = ..., source: _Optional[_Union[Source, _Mapping]] = ..., cattax: _Optional[int] = ..., acat: _Optional[_Iterable[str]] = ..., ext: _Optional[_Union[BidRequest.Ext, _Mapping]] = ...) -> None: ...

class Ext(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Source(_message.Message):
    __slots__ = ("fd", "tid", "pchain", "ext")
    FD_FIELD_NUMBER: _ClassVar[int]
    TID_FIELD_NUMBER: _ClassVar[int]
    PCHAIN_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    fd: bool
    tid: str
    pchain: str
    ext: Ext
    def __init__(self, fd: _Optional[bool] = ..., tid: _Optional[str] = ..., pchain: _Optional[str] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class Imp(_message.Message):
    __slots__ = ("id", "banner", "instl", "tagid", "bidfloor", "bidfloorcur", "secure", "native", "exp", "rwdd", "ext")
    ID_FIELD_NUMBER: _ClassVar[int]
    BANNER_FIELD_NUMBER: _ClassVar[int]
    INSTL_FIELD_NUMBER: _ClassVar[int]
    TAGID_FIELD_NUMBER: _ClassVar[int]
    BIDFLOOR_FIELD_NUMBER: _ClassVar[int]
    BIDFLOORCUR_FIELD_NUMBER: _ClassVar[int]
    SECURE_FIELD_NUMBER: _ClassVar[int]
    NATIVE_FIELD_NUMBER: _ClassVar[int]
    EXP_FIELD_NUMBER: _ClassVar[int]
    RWDD_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    banner: Banner
    instl: bool
    tagid: str
    bidfloor: float
    bidfloorcur: str
    secure: bool
    native: Native
    exp: int
    rwdd: bool
    ext: Ext
    def __init__(self, id: _Optional[str] = ..., banner: _Optional[_Union[Banner, _Mapping]] = ..., instl: _Optional[bool] = ..., tagid: _Optional[str] = ..., bidfloor: _Optional[float] = ..., bidfloorcur: _Optional[str] = ..., secure: _Optional[bool] = ..., native: _Optional[_Union[Native, _Mapping]] = ..., exp: _Optional[int] = ..., rwdd: _Optional[bool] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class Banner(_message.Message):
    __slots__ = ("w", "h", "id", "pos", "btype", "battr", "mimes", "topframe", "api", "format", "ext")
    W_FIELD_NUMBER: _ClassVar[int]
    H_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    POS_FIELD_NUMBER: _ClassVar[int]
    BTYPE_FIELD_NUMBER: _ClassVar[int]
    BATTR_FIELD_NUMBER: _ClassVar[int]
    MIMES_FIELD_NUMBER: _ClassVar[int]
    TOPFRAME_FIELD_NUMBER: _ClassVar[int]
    API_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    w: int
    h: int
    id: str
    pos: int
    btype: _containers.RepeatedScalarFieldContainer[int]
    battr: _containers.RepeatedScalarFieldContainer[int]
    mimes: _containers.RepeatedScalarFieldContainer[str]
    topframe: bool
    api: _containers.RepeatedScalarFieldContainer[int]
    format: _containers.RepeatedCompositeFieldContainer[Format]
    ext: Ext
    def __init__(self, w: _Optional[int] = ..., h: _Optional[int] = ..., id: _Optional[str] = ..., pos: _Optional[int] = ..., btype: _Optional[_Iterable[int]] = ..., battr: _Optional[_Iterable[int]] = ..., mimes: _Optional[_Iterable[str]] = ..., topframe: _Optional[bool] = ..., api: _Optional[_Iterable[int]] = ..., format: _Optional[_Iterable[_Union[Format, _Mapping]]] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class Format(_message.Message):
    __slots__ = ("w", "h", "wratio", "hratio", "wmin", "ext")
    W_FIELD_NUMBER: _ClassVar[int]
    H_FIELD_NUMBER: _ClassVar[int]
    WRATIO_FIELD_NUMBER: _ClassVar[int]
    HRATIO_FIELD_NUMBER: _ClassVar[int]
    WMIN_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    w: int
    h: int
    wratio: int
    hratio: int
    wmin: int
    ext: Ext
    def __init__(self, w: _Optional[int] = ..., h: _Optional[int] = ..., wratio: _Optional[int] = ..., hratio: _Optional[int] = ..., wmin: _Optional[int] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class Native(_message.Message):
    __slots__ = ("request", "ver", "api", "battr", "ext")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    VER_FIELD_NUMBER: _ClassVar[int]
    API_FIELD_NUMBER: _ClassVar[int]
    BATTR_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    request: str
    ver: str
    api: _containers.RepeatedScalarFieldContainer[int]
    battr: _containers.RepeatedScalarFieldContainer[int]
    ext: Ext
    def __init__(self, request: _Optional[str] = ..., ver: _Optional[str] = ..., api: _Optional[_Iterable[int]] = ..., battr: _Optional[_Iterable[int]] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class Publisher(_message.Message):
    __slots__ = ("id", "name", "cat", "domain", "ext")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CAT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    cat: _containers.RepeatedScalarFieldContainer[str]
    domain: str
    ext: Ext
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., cat: _Optional[_Iterable[str]] = ..., domain: _Optional[str] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class Site(_message.Message):
    __slots__ = ("id", "name", "domain", "cat", "sectioncat", "pagecat", "page", "ref", "search", "publisher", "keywords", "mobile", "ext")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    CAT_FIELD_NUMBER: _ClassVar[int]
    SECTIONCAT_FIELD_NUMBER: _ClassVar[int]
    PAGECAT_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    PUBLISHER_FIELD_NUMBER: _ClassVar[int]
    KEYWORDS_FIELD_NUMBER: _ClassVar[int]
    MOBILE_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    domain: str
    cat: _containers.RepeatedScalarFieldContainer[str]
    sectioncat: _containers.RepeatedScalarFieldContainer[str]
    pagecat: _containers.RepeatedScalarFieldContainer[str]
    page: str
    ref: str
    search: str
    publisher: Publisher
    keywords: str
    mobile: bool
    ext: Ext
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., domain: _Optional[str] = ..., cat: _Optional[_Iterable[str]] = ..., sectioncat: _Optional[_Iterable[str]] = ..., pagecat: _Optional[_Iterable[str]] = ..., page: _Optional[str] = ..., ref: _Optional[str] = ..., search: _Optional[str] = ..., publisher: _Optional[_Union[Publisher, _Mapping]] = ..., keywords: _Optional[str] = ..., mobile: _Optional[bool] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class App(_message.Message):
    __slots__ = ("id", "name", "domain", "cat", "sectioncat", "pagecat", "ver", "bundle", "publisher", "keywords", "storeurl", "ext")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    CAT_FIELD_NUMBER: _ClassVar[int]
    SECTIONCAT_FIELD_NUMBER: _ClassVar[int]
    PAGECAT_FIELD_NUMBER: _ClassVar[int]
    VER_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    PUBLISHER_FIELD_NUMBER: _ClassVar[int]
    KEYWORDS_FIELD_NUMBER: _ClassVar[int]
    STOREURL_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    domain: str
    cat: _containers.RepeatedScalarFieldContainer[str]
    sectioncat: _containers.RepeatedScalarFieldContainer[str]
    pagecat: _containers.RepeatedScalarFieldContainer[str]
    ver: str
    bundle: str
    publisher: Publisher
    keywords: str
    storeurl: str
    ext: Ext
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., domain: _Optional[str] = ..., cat: _Optional[_Iterable[str]] = ..., sectioncat: _Optional[_Iterable[str]] = ..., pagecat: _Optional[_Iterable[str]] = ..., ver: _Optional[str] = ..., bundle: _Optional[str] = ..., publisher: _Optional[_Union[Publisher, _Mapping]] = ..., keywords: _Optional[str] = ..., storeurl: _Optional[str] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("dnt", "ua", "ip", "geo", "ipv6", "carrier", "language", "make", "model", "os", "osv", "js", "connectiontype", "devicetype", "ifa", "lmt", "w", "h", "ppi", "pxratio", "ext")
    DNT_FIELD_NUMBER: _ClassVar[int]
    UA_FIELD_NUMBER: _ClassVar[int]
    IP_FIELD_NUMBER: _ClassVar[int]
    GEO_FIELD_NUMBER: _ClassVar[int]
    IPV6_FIELD_NUMBER: _ClassVar[int]
    CARRIER_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    MAKE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OS_FIELD_NUMBER: _ClassVar[int]
    OSV_FIELD_NUMBER: _ClassVar[int]
    JS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONTYPE_FIELD_NUMBER: _ClassVar[int]
    DEVICETYPE_FIELD_NUMBER: _ClassVar[int]
    IFA_FIELD_NUMBER: _ClassVar[int]
    LMT_FIELD_NUMBER: _ClassVar[int]
    W_FIELD_NUMBER: _ClassVar[int]
    H_FIELD_NUMBER: _ClassVar[int]
    PPI_FIELD_NUMBER: _ClassVar[int]
    PXRATIO_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    dnt: bool
    ua: str
    ip: str
    geo: Geo
    ipv6: str
    carrier: str
    language: str
    make: str
    model: str
    os: str
    osv: str
    js: bool
    connectiontype: int
    devicetype: int
    ifa: str
    lmt: bool
    w: int
    h: int
    ppi: int
    pxratio: float
    ext: Ext
    def __init__(self, dnt: _Optional[bool] = ..., ua: _Optional[str] = ..., ip: _Optional[str] = ..., geo: _Optional[_Union[Geo, _Mapping]] = ..., ipv6: _Optional[str] = ..., carrier: _Optional[str] = ..., language: _Optional[str] = ..., make: _Optional[str] = ..., model: _Optional[str] = ..., os: _Optional[str] = ..., osv: _Optional[str] = ..., js: _Optional[bool] = ..., connectiontype: _Optional[int] = ..., devicetype: _Optional[int] = ..., ifa: _Optional[str] = ..., lmt: _Optional[bool] = ..., w: _Optional[int] = ..., h: _Optional[int] = ..., ppi: _Optional[int] = ..., pxratio: _Optional[float] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class Geo(_message.Message):
    __slots__ = ("lat", "lon", "country", "region", "metro", "city", "zip", "type", "utcoffset", "accuracy", "ext")
    LAT_FIELD_NUMBER: _ClassVar[int]
    LON_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    METRO_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    ZIP_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UTCOFFSET_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    lat: float
    lon: float
    country: str
    region: str
    metro: str
    city: str
    zip: str
    type: int
    utcoffset: int
    accuracy: int
    ext: Ext
    def __init__(self, lat: _Optional[float] = ..., lon: _Optional[float] = ..., country: _Optional[str] = ..., region: _Optional[str] = ..., metro: _Optional[str] = ..., city: _Optional[str] = ..., zip: _Optional[str] = ..., type: _Optional[int] = ..., utcoffset: _Optional[int] = ..., accuracy: _Optional[int] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class User(_message.Message):
    __slots__ = ("id", "buyeruid", "keywords", "geo", "kwarray", "consent", "ext")
    ID_FIELD_NUMBER: _ClassVar[int]
    BUYERUID_FIELD_NUMBER: _ClassVar[int]
    KEYWORDS_FIELD_NUMBER: _ClassVar[int]
    GEO_FIELD_NUMBER: _ClassVar[int]
    KWARRAY_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    buyeruid: str
    keywords: str
    geo: Geo
    kwarray: _containers.RepeatedScalarFieldContainer[str]
    consent: str
    ext: Ext
    def __init__(self, id: _Optional[str] = ..., buyeruid: _Optional[str] = ..., keywords: _Optional[str] = ..., geo: _Optional[_Union[Geo, _Mapping]] = ..., kwarray: _Optional[_Iterable[str]] = ..., consent: _Optional[str] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class Regs(_message.Message):
    __slots__ = ("coppa", "gpp", "gpp_sid", "gdpr", "us_privacy", "ext")
    COPPA_FIELD_NUMBER: _ClassVar[int]
    GPP_FIELD_NUMBER: _ClassVar[int]
    GPP_SID_FIELD_NUMBER: _ClassVar[int]
    GDPR_FIELD_NUMBER: _ClassVar[int]
    US_PRIVACY_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    coppa: bool
    gpp: str
    gpp_sid: _containers.RepeatedScalarFieldContainer[int]
    gdpr: bool
    us_privacy: str
    ext: Ext
    def __init__(self, coppa: _Optional[bool] = ..., gpp: _Optional[str] = ..., gpp_sid: _Optional[_Iterable[int]] = ..., gdpr: _Optional[bool] = ..., us_privacy: _Optional[str] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class BidResponse(_message.Message):
    __slots__ = ("id", "seatbid", "bidid", "cur", "customdata", "nbr", "ext")
    class Ext(_message.Message):
        __slots__ = ("decision_id",)
        DECISION_ID_FIELD_NUMBER: _ClassVar[int]
        decision_id: str
        def __init__(self, decision_id: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SEATBID_FIELD_NUMBER: _ClassVar[int]
    BIDID_FIELD_NUMBER: _ClassVar[int]
    CUR_FIELD_NUMBER: _ClassVar[int]
    CUSTOMDATA_FIELD_NUMBER: _ClassVar[int]
    NBR_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    seatbid: _containers.RepeatedCompositeFieldContainer[SeatBid]
    bidid: str
    cur: str
    customdata: str
    nbr: int
    ext: BidResponse.Ext
    def __init__(self, id: _Optional[str] = ..., seatbid: _Optional[_Iterable[_Union[SeatBid, _Mapping]]] = ..., bidid: _Optional[str] = ..., cur: _Optional[str] = ..., customdata: _Optional[str] = ..., nbr: _Optional[int] = ..., ext: _Optional[_Union[BidResponse.Ext, _Mapping]] = ...) -> None: ...

class SeatBid(_message.Message):
    __slots__ = ("bid", "seat", "group", "ext")
    BID_FIELD_NUMBER: _ClassVar[int]
    SEAT_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    bid: _containers.RepeatedCompositeFieldContainer[Bid]
    seat: str
    group: bool
    ext: Ext
    def __init__(self, bid: _Optional[_Iterable[_Union[Bid, _Mapping]]] = ..., seat: _Optional[str] = ..., group: _Optional[bool] = ..., ext: _Optional[_Union[Ext, _Mapping]] = ...) -> None: ...

class Bid(_message.Message):
    __slots__ = ("id", "impid", "price", "adid", "nurl", "adm", "adomain", "iurl", "cid", "crid", "attr", "dealid", "cat", "w", "h", "exp", "burl", "lurl", "language", "cattax", "mtype", "ext")
    class Ext(_message.Message):
        __slots__ = ("item_id",)
        ITEM_ID_FIELD_NUMBER: _ClassVar[int]
        item_id: str
        def __init__(self, item_id: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    IMPID_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    ADID_FIELD_NUMBER: _ClassVar[int]
    NURL_FIELD_NUMBER: _ClassVar[int]
    ADM_FIELD_NUMBER: _ClassVar[int]
    ADOMAIN_FIELD_NUMBER: _ClassVar[int]
    IURL_FIELD_NUMBER: _ClassVar[int]
    CID_FIELD_NUMBER: _ClassVar[int]
    CRID_FIELD_NUMBER: _ClassVar[int]
    ATTR_FIELD_NUMBER: _ClassVar[int]
    DEALID_FIELD_NUMBER: _ClassVar[int]
    CAT_FIELD_NUMBER: _ClassVar[int]
    W_FIELD_NUMBER: _ClassVar[int]
    H_FIELD_NUMBER: _ClassVar[int]
    EXP_FIELD_NUMBER: _ClassVar[int]
    BURL_FIELD_NUMBER: _ClassVar[int]
    LURL_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    CATTAX_FIELD_NUMBER: _ClassVar[int]
    MTYPE_FIELD_NUMBER: _ClassVar[int]
    EXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    impid: str
    price: float
    adid: str
    nurl: str
    adm: str
    adomain: _containers.RepeatedScalarFieldContainer[str]
    iurl: str
    cid: str
    crid: str
    attr: _containers.RepeatedScalarFieldContainer[int]
    dealid: str
    cat: _containers.RepeatedScalarFieldContainer[str]
    w: int
    h: int
    exp: int
    burl: str
    lurl: str
    language: str
    cattax: int
    mtype: int
    ext: Bid.Ext
    def __init__(self, id: _Optional[str] = ..., impid: _Optional[str] = ..., price: _Optional[float] = ..., adid: _Optional[str] = ..., nurl: _Optional[str] = ..., adm: _Optional[str] = ..., adomain: _Optional[_Iterable[str]] = ..., iurl: _Optional[str] = ..., cid: _Optional[str] = ..., crid: _Optional[str] = ..., attr: _Optional[_Iterable[int]] = ..., dealid: _Optional[str] = ..., cat: _Optional[_Iterable[str]] = ..., w: _Optional[int] = ..., h: _Optional[int] = ..., exp: _Optional[int] = ..., burl: _Optional[str] = ..., lurl: _Optional[str] = ..., language: _Optional[str] = ..., cattax: _Optional[int] = ..., mtype: _Optional[int] = ..., ext: _Optional[_Union[Bid.Ext, _Mapping]] = ...) -> None: ...
