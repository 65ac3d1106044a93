"""What an exchange says of a need, and which of it is heard."""

import pytest

from adgram.core.pseudonym import Pseudonymiser
from adgram.core.request import BidRequest
from adgram.proto import openrtb_pb2 as wire
from adgram.proto.openrtb import decode_request, encode_request


def heard(**parts: object) -> BidRequest:
    """The decoded request of one banner with these parts of OpenRTB's message."""
    banner = wire.Imp(id="1", banner=wire.Banner(w=300, h=250))
    message = wire.BidRequest(id="r", imp=[banner], **parts)  # type: ignore[arg-type]
    return decode_request(message, Pseudonymiser(b"k" * 32), 0, 50, False, "CNY")


@pytest.mark.parametrize(
    ("parts", "need"),
    [
        ({}, ""),
        ({"site": wire.Site(search="轻便跑步鞋", keywords="news")}, "轻便跑步鞋"),
        ({"site": wire.Site(keywords="running shoes, trail,,")}, "running shoes trail"),
        ({"app": wire.App(bundle="a.b", keywords="yoga")}, "yoga"),
        ({"user": wire.User(keywords="kites,rain")}, "kites rain"),
        ({"user": wire.User(kwarray=["kites", "rain"])}, "kites rain"),
        ({"site": wire.Site(keywords="tea"), "user": wire.User(keywords="kites")}, "tea"),
        ({"user": wire.User(keywords="kites"), "regs": wire.Regs(coppa=True)}, ""),
        ({"site": wire.Site(search="kites"), "regs": wire.Regs(coppa=True)}, "kites"),
    ],
)
def test_the_search_is_heard_before_the_pages_keywords_and_those_before_the_viewers(
    parts: dict[str, object], need: str
) -> None:
    """What was typed says most; keywords about a child are never used."""
    assert heard(**parts).need == need


@pytest.mark.parametrize("page", [{"site": wire.Site(domain="x", search="q", keywords="a,b")},
                                  {"app": wire.App(bundle="x", keywords="a,b")}])  # fmt: skip
def test_keywords_of_a_page_come_back_as_they_were_sent(page: dict[str, object]) -> None:
    """Encoding a decoded request keeps search and keywords."""
    request = heard(**page)
    again = decode_request(encode_request(request), Pseudonymiser(b"k" * 32), 0, 50, False, "CNY")
    assert again.page == request.page
