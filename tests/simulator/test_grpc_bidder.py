"""The gRPC bidder against a real server in the same process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest

from adgram.core.errors import Unavailable
from adgram.core.exchange import Notice, NoticeKind
from adgram.core.money import Money
from adgram.core.request import AdFormat, BidRequest, Device, Impression, Page, Place, Size, Viewer
from adgram.proto import bidding_pb2, bidding_pb2_grpc, openrtb_pb2
from adgram.simulator.client import GrpcBidder

REQUEST = BidRequest(
    "r1",
    (Impression("1", AdFormat.BANNER, (Size(300, 250),), Money(250_000, "CNY"), "slot", 1),),
    Viewer("raw-user"),
    Device(4, "android", "agent"),
    Page("site.example", publisher_id="p1"),
    Place("CN", "216", "222"),
    1_700_000_000_000_000_000,
    50,
    1,
    "CNY",
)


@dataclass
class EchoingServer(bidding_pb2_grpc.BiddingServiceServicer, bidding_pb2_grpc.NoticeServiceServicer):  # type: ignore[misc]
    """Bids the floor plus one yuan on whatever comes and keeps it."""

    asked: list[openrtb_pb2.BidRequest] = field(default_factory=list)
    told: list[bidding_pb2.Notice] = field(default_factory=list)
    refuse: bool = False

    async def Bid(self, request: openrtb_pb2.BidRequest, context: grpc.aio.ServicerContext) -> openrtb_pb2.BidResponse:
        if self.refuse:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "imp[0].banner.w: is required")
        self.asked.append(request)
        imp = request.imp[0]
        bid = openrtb_pb2.Bid(
            id="b1", impid=imp.id, price=imp.bidfloor + 1, crid="c1", cid="k1", adomain=["a.example"], w=300, h=250
        )
        response = openrtb_pb2.BidResponse(id=request.id, cur="CNY")
        response.seatbid.append(openrtb_pb2.SeatBid(bid=[bid]))
        return response

    async def Stats(self, request: object, context: object) -> bidding_pb2.EngineStats:
        return bidding_pb2.EngineStats(
            version=[3, 4], candidates_by_source={"memory": 2}, rejections={"match/size": 1}, tiers={"learned": 5}
        )

    async def Notify(self, request: bidding_pb2.Notice, context: object) -> bidding_pb2.NoticeReceipt:
        self.told.append(request)
        return bidding_pb2.NoticeReceipt(known=True)


@asynccontextmanager
async def _serving(servicer: EchoingServer) -> AsyncIterator[GrpcBidder]:
    server = grpc.aio.server()
    bidding_pb2_grpc.add_BiddingServiceServicer_to_server(servicer, server)
    bidding_pb2_grpc.add_NoticeServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with GrpcBidder(f"127.0.0.1:{port}") as bidder:
            yield bidder
    finally:
        await server.stop(0)


def test_requests_bids_notices_and_counts_cross_the_wire() -> None:
    """What is asked arrives as OpenRTB, what is answered comes back exact to the micro."""
    servicer = EchoingServer()

    async def talk() -> None:
        async with _serving(servicer) as bidder:
            await bidder.ready(5.0)
            answer = await bidder.bid(REQUEST)
            assert answer.bids[0].bid_price == Money(1_250_000, "CNY")
            assert (answer.bids[0].width, answer.bids[0].creative_id) == (300, "c1")
            await bidder.notify(Notice(NoticeKind.BILLING, "b1", 77, Money(333_000, "CNY")))
            stats = await bidder.stats()
            assert (stats.version, stats.tiers) == ("3.4", {"learned": 5})
            assert stats.since(stats).candidates_by_source == {}

    asyncio.run(talk())
    (asked,) = servicer.asked
    assert (asked.user.id, asked.site.domain, asked.device.geo.city) == ("raw-user", "site.example", "222")
    assert (asked.tmax, asked.at, asked.ext.event_time_ns) == (50, 1, REQUEST.event_time)
    assert (asked.imp[0].banner.w, asked.imp[0].tagid) == (300, "slot")
    (told,) = servicer.told
    assert (told.bid_id, told.price, told.event_time_ns) == ("b1", 0.333, 77)


def test_a_refused_request_is_unavailable_with_the_servers_words() -> None:
    """The status and its message come through."""

    async def talk() -> None:
        async with _serving(EchoingServer(refuse=True)) as bidder:
            with pytest.raises(Unavailable, match=r"INVALID_ARGUMENT imp\[0\]\.banner\.w"):
                await bidder.bid(REQUEST)

    asyncio.run(talk())


def test_nobody_there_is_unavailable_with_advice() -> None:
    """A refused connection names the address and what to start."""

    async def talk() -> None:
        async with GrpcBidder("127.0.0.1:9") as bidder:
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9: .*is `adgram serve` running there\?"):
                await bidder.bid(REQUEST)
            with pytest.raises(Unavailable, match="is `adgram serve` running"):
                await bidder.ready(0.2)

    asyncio.run(talk())
