"""The wire: the IAB's numbers, codecs both ways, errors that name the field."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adgram.core.errors import InvalidRequest
from adgram.core.money import Money
from adgram.core.pseudonym import Pseudonymiser
from adgram.core.request import (
    AdFormat,
    BidRequest,
    Device,
    Impression,
    NativeAsset,
    NativeAssetKind,
    Page,
    Place,
    Size,
    Viewer,
)
from adgram.proto import openrtb_pb2 as wire
from adgram.proto.native import assets_asked, request_json
from adgram.proto.openrtb import decode_request, encode_request

# Field numbers of IABTechLab/openrtb2.x openrtb.proto ("OpenRTB v2.6-202606"), for the fields we declare.
IAB_NUMBERS = {
    "BidRequest": "id=1 imp=2 site=3 app=4 device=5 user=6 at=7 tmax=8 wseat=9 allimps=10 cur=11 bcat=12 badv=13 "
    "regs=14 test=15 bapp=16 bseat=17 source=19 cattax=21 acat=23 ext=99",
    "Source": "fd=1 tid=2 pchain=3 ext=99",
    "Imp": "id=1 banner=2 instl=6 tagid=7 bidfloor=8 bidfloorcur=9 secure=12 native=13 exp=14 rwdd=18 ext=99",
    "Banner": "w=1 h=2 id=3 pos=4 btype=5 battr=6 mimes=7 topframe=8 api=10 format=15 ext=99",
    "Format": "w=1 h=2 wratio=3 hratio=4 wmin=5 ext=99",
    "Native": "request=1 ver=2 api=3 battr=4 ext=99",
    "Publisher": "id=1 name=2 cat=3 domain=4 ext=99",
    "Site": "id=1 name=2 domain=3 cat=4 sectioncat=5 pagecat=6 page=7 ref=9 search=10 publisher=11 "
    "keywords=13 mobile=15 ext=99",
    "App": "id=1 name=2 domain=3 cat=4 sectioncat=5 pagecat=6 ver=7 bundle=8 publisher=11 "
    "keywords=13 storeurl=16 ext=99",
    "Device": "dnt=1 ua=2 ip=3 geo=4 ipv6=9 carrier=10 language=11 make=12 model=13 os=14 osv=15 js=16 "
    "connectiontype=17 devicetype=18 ifa=20 lmt=23 w=25 h=26 ppi=27 pxratio=28 ext=99",
    "Geo": "lat=1 lon=2 country=3 region=4 metro=6 city=7 zip=8 type=9 utcoffset=10 accuracy=11 ext=99",
    "User": "id=1 buyeruid=2 keywords=5 geo=7 kwarray=9 consent=10 ext=99",
    "Regs": "coppa=1 gpp=2 gpp_sid=3 gdpr=4 us_privacy=5 ext=99",
    "BidResponse": "id=1 seatbid=2 bidid=3 cur=4 customdata=5 nbr=6 ext=99",
    "SeatBid": "bid=1 seat=2 group=3 ext=99",
    "Bid": "id=1 impid=2 price=3 adid=4 nurl=5 adm=6 adomain=7 iurl=8 cid=9 crid=10 attr=11 dealid=13 cat=15 "
    "w=16 h=17 exp=21 burl=22 lurl=23 language=25 cattax=30 mtype=33 ext=99",
}
PSEUDONYMISER = Pseudonymiser(b"test")


def decoded(message: wire.BidRequest) -> BidRequest:
    return decode_request(message, PSEUDONYMISER, 1_000, 50, trust_event_time=True, currency="CNY")


def minimal() -> wire.BidRequest:
    return wire.BidRequest(id="r", imp=[wire.Imp(id="1", banner=wire.Banner(w=300, h=250))])


@pytest.mark.parametrize("name", IAB_NUMBERS)
def test_every_declared_field_has_the_iab_number(name: str) -> None:
    """An exchange's bytes parse here because each field's number is the IAB's."""
    declared = {field.name: field.number for field in wire.DESCRIPTOR.message_types_by_name[name].fields}
    expected = {pair.split("=")[0]: int(pair.split("=")[1]) for pair in IAB_NUMBERS[name].split()}
    assert declared == expected


def test_unknown_fields_and_enum_values_survive_a_round_trip() -> None:
    """What we do not model is kept byte for byte, and an unknown device type is no error."""
    foreign = b"\xaa\x01\x03abc"  # field 21, three bytes long: a number our Imp does not declare
    imp = wire.Imp.FromString(minimal().imp[0].SerializeToString() + foreign)
    message = minimal()
    message.imp[0].CopyFrom(imp)
    message.device.devicetype = 987
    again = wire.BidRequest.FromString(message.SerializeToString())
    assert foreign in again.imp[0].SerializeToString()
    assert decoded(again).device.device_type == 987


@pytest.mark.parametrize(
    ("break_it", "path"),
    [
        (lambda m: m.ClearField("id"), "id"),
        (lambda m: m.ClearField("imp"), "imp"),
        (lambda m: m.imp[0].ClearField("id"), "imp[0].id"),
        (lambda m: m.imp.add(id="1", banner=wire.Banner(w=1, h=1)), "imp[1].id"),
        (lambda m: m.imp[0].banner.ClearField("w"), "imp[0].banner.w"),
        (lambda m: m.imp[0].banner.Clear(), "imp[0].banner.w"),
        (lambda m: setattr(m.imp[0].banner, "h", -1), "imp[0].banner.h"),
        (lambda m: setattr(m.imp[0], "bidfloor", -0.1), "imp[0].bidfloor"),
        (lambda m: setattr(m.imp[0], "bidfloor", math.nan), "imp[0].bidfloor"),
        (lambda m: setattr(m, "tmax", -5), "tmax"),
        (
            lambda m: m.imp[0].native.CopyFrom(wire.Native(request="[" * 100_000)) or m.imp[0].ClearField("banner"),
            "imp[0].native.request",
        ),
        (lambda m: setattr(m.device.geo, "lat", 91.0), "device.geo.lat"),
        (
            lambda m: m.imp[0].native.CopyFrom(wire.Native(request="{")) or m.imp[0].ClearField("banner"),
            "imp[0].native.request",
        ),
    ],
)
def test_a_broken_request_names_the_field(break_it, path: str) -> None:
    """The error carries the path of the field that is wrong, in OpenRTB's words."""
    message = minimal()
    break_it(message)
    with pytest.raises(InvalidRequest) as caught:
        decoded(message)
    assert caught.value.path == path


def test_a_request_of_too_many_impressions_is_refused() -> None:
    """Decoding stays cheap whatever is sent."""
    message = minimal()
    message.imp.extend(wire.Imp(id=f"x{n}", banner=wire.Banner(w=1, h=1)) for n in range(200))
    with pytest.raises(InvalidRequest) as caught:
        decoded(message)
    assert caught.value.path == "imp"


def test_an_impression_we_cannot_fill_is_left_out() -> None:
    """A slot for video alone is no error; there is just nothing for us in it."""
    message = minimal()
    message.imp.add(id="2")
    assert [impression.impression_id for impression in decoded(message).impressions] == ["1"]


def test_the_raw_user_id_does_not_enter_the_request() -> None:
    """Only the keyed hash of the user's id gets past the codec, and another key gives another hash."""
    message = minimal()
    message.user.id = "someone@example.com"
    key = decoded(message).viewer.user_key
    assert "someone" not in key
    assert key != decode_request(message, Pseudonymiser(b"other"), 0, 50, False, "CNY").viewer.user_key


def test_event_time_is_trusted_only_where_told() -> None:
    """A live server stamps its own time, whatever the request's ext claims."""
    message = minimal()
    message.ext.event_time_ns = 77
    assert decoded(message).event_time == 77
    assert decode_request(message, PSEUDONYMISER, 1_000, 50, False, "CNY").event_time == 1_000


text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
sizes = st.builds(Size, st.integers(1, 4000), st.integers(1, 4000))
banners = st.builds(
    Impression,
    st.uuids().map(str),
    st.just(AdFormat.BANNER),
    st.lists(sizes, min_size=1, max_size=3, unique=True).map(tuple),
    st.integers(0, 10**9).map(lambda micros: Money(micros, "CNY")),
    text,
    st.integers(0, 9),
)
assets = st.builds(NativeAsset, st.integers(0, 99), st.sampled_from(NativeAssetKind), st.just(0), st.booleans())
natives = st.builds(
    Impression,
    st.uuids().map(str),
    st.just(AdFormat.NATIVE),
    st.just((Size(0, 0),)),
    st.integers(0, 10**9).map(lambda micros: Money(micros, "CNY")),
    text,
    st.just(0),
    st.lists(assets, max_size=3).map(tuple),
)
requests = st.builds(
    BidRequest,
    request_id=text.filter(bool),
    impressions=st.lists(banners | natives, min_size=1, max_size=3).map(tuple),
    viewer=st.builds(Viewer, st.just(""), st.lists(text.filter(bool), max_size=2).map(tuple)),
    device=st.builds(Device, st.integers(0, 8), text, text, text),
    page=st.builds(Page, text, st.just(""), text, st.lists(text, max_size=2).map(tuple), text),
    place=st.builds(Place, text, text, text, st.none(), st.none()),
    event_time=st.integers(1, 2**62),
    timeout_ms=st.integers(1, 1000),
    auction_type=st.sampled_from([1, 2]),
    currency=st.just("CNY"),
    blocked_categories=st.frozensets(text.filter(bool), max_size=2),
    blocked_advertisers=st.frozensets(text.filter(bool), max_size=2),
    child_directed=st.booleans(),
    test=st.booleans(),
)


@given(requests)
def test_a_request_survives_the_wire(request: BidRequest) -> None:
    """Encoding and decoding a request gives the request back, prices exact to the micro."""
    data = encode_request(request).SerializeToString()
    assert decoded(wire.BidRequest.FromString(data)) == request


def test_both_spellings_of_a_native_request_are_read() -> None:
    """Native 1.0's wrapper and the bare object of 1.2 ask for the same assets."""
    assets = (NativeAsset(1, NativeAssetKind.TITLE, 25, True), NativeAsset(2, NativeAssetKind.DESCRIPTION, 90, False))
    bare = request_json(assets)
    assert assets_asked(bare, "x") == assets == assets_asked(f'{{"native": {bare}}}', "x")
