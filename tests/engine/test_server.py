"""The gRPC edge over a real channel: answers, errors, notices, explanations, health."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest.mock import MagicMock

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from adgram.core.clock import SystemClock
from adgram.core.errors import Unavailable
from adgram.core.pseudonym import Pseudonymiser
from adgram.engine.audit import AuditWriter
from adgram.engine.config import EngineConfig
from adgram.engine.notices import NoticeDesk
from adgram.engine.server import Endpoint, Server
from adgram.engine.statistics import Statistics
from adgram.engine.trail import Trail
from adgram.proto import bidding_pb2 as wire
from adgram.proto import bidding_pb2_grpc
from adgram.proto.openrtb import encode_request


class ForgetfulPublisher:
    """Takes decisions and keeps none."""

    def publish_decision(self, decision_id: str, record: bytes) -> None:
        pass


async def unrehearsed() -> None:
    """Nothing to warm up here."""


class Stubs:
    """The client's side of one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.bidding = bidding_pb2_grpc.BiddingServiceStub(channel)
        self.notices = bidding_pb2_grpc.NoticeServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)


@pytest.fixture
def served(bench, make, tmp_path: Path) -> Callable[[Callable[[Stubs], Awaitable[None]]], None]:
    """Runs a scenario against a server over the small catalogue."""

    def run(scenario: Callable[[Stubs], Awaitable[None]], **settings: object) -> None:
        async def serve() -> None:
            snapshot = make.catalogue()
            built = bench(snapshot, **settings)
            trail = Trail(tmp_path / "trail", 1_000_000, 2)
            audit = AuditWriter(trail, ForgetfulPublisher(), 100)  # type: ignore[arg-type]
            audit.start()
            endpoint = Endpoint(
                built.pipeline, NoticeDesk(built.ledger, built.market), audit, trail,
                Statistics(lambda: snapshot, lambda: {"proposer": "scripted"}, Counter()),
                Pseudonymiser(b"k"), EngineConfig(trust_event_time=True), SystemClock(),
            )  # fmt: skip
            server, stopping = Server(endpoint, "127.0.0.1", 0, lambda: True, unrehearsed), asyncio.Event()
            running = asyncio.create_task(server.run(stopping))
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                await scenario(Stubs(channel))
            stopping.set()
            await running
            audit.stop()

        asyncio.run(serve())

    return run


def test_a_bid_carries_what_an_exchange_needs(served, make) -> None:
    """Price, markup, ids, domain, size and notice URIs with macros are all there, and Explain knows the decision."""

    async def scenario(stubs: Stubs) -> None:
        response = await stubs.bidding.Bid(encode_request(make.bid_request()))
        (bid,) = response.seatbid[0].bid
        assert response.cur == "CNY" and response.id == "r"
        assert bid.price >= 1.0 and bid.impid == "1" and (bid.w, bid.h) == (300, 250)
        assert bid.crid == bid.adid == "k0" and bid.cid == "c0" and list(bid.adomain) == ["x.com"]
        assert bid.ext.item_id == "i0" and 'href="https://x/"' in bid.adm
        assert "${AUCTION_PRICE}" in bid.nurl and "${AUCTION_PRICE}" in bid.burl and "${AUCTION_LOSS}" in bid.lurl
        record = await stubs.bidding.Explain(wire.ExplainRequest(decision_id=response.ext.decision_id))
        assert record.decision_id == response.bidid
        assert record.bids[0].ad.steps and record.tiers[0].proposal.candidates and record.models["scorer"] == "fixed"

    served(scenario)


def test_a_no_bid_is_ok_with_a_reason(served, make) -> None:
    """Nothing above the floor is status OK and nbr, not an error."""

    async def scenario(stubs: Stubs) -> None:
        response = await stubs.bidding.Bid(encode_request(make.bid_request(reserve_micros=10**9)))
        assert response.HasField("nbr") and response.nbr == 504 and not response.seatbid

    served(scenario)


def test_malformed_requests_are_invalid_argument_and_the_server_lives(served, make) -> None:
    """A broken field is named, broken bytes are refused, and the next request is answered."""

    async def scenario(stubs: Stubs) -> None:
        broken = encode_request(make.bid_request())
        broken.imp[0].banner.w = -3
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stubs.bidding.Bid(broken)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details().startswith("imp[0].banner.w:")
        raw = stubs.channel.unary_unary("/adgram.v1.BiddingService/Bid")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(b"\xff\xff\xff")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await stubs.bidding.Bid(encode_request(make.bid_request()))).seatbid

    served(scenario)


def test_notices_are_taken_once(served, make) -> None:
    """A billing by its expanded URI is known and new the first time, repeated the second, and unknown for a foreign
    bid.
    """

    async def scenario(stubs: Stubs) -> None:
        response = await stubs.bidding.Bid(encode_request(make.bid_request()))
        uri = response.seatbid[0].bid[0].burl.replace("${AUCTION_PRICE}", "1.5")
        receipts = [await stubs.notices.Notify(wire.Notice(uri=uri)) for _ in range(2)]
        assert [(receipt.known, receipt.repeated) for receipt in receipts] == [(True, False), (True, True)]
        foreign = await stubs.notices.Notify(wire.Notice(kind=wire.Notice.WIN, bid_id="x", price=1))
        assert not foreign.known

    served(scenario)


def test_an_unknown_decision_is_not_found(served) -> None:
    """Explain says that the record is not here, and where older ones are."""

    async def scenario(stubs: Stubs) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stubs.bidding.Explain(wire.ExplainRequest(decision_id="nothing"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    served(scenario)


def test_health_says_serving(served) -> None:
    """The standard health service answers SERVING once memory is ready."""

    async def scenario(stubs: Stubs) -> None:
        for _ in range(40):
            status = (await stubs.health.Check(health_pb2.HealthCheckRequest())).status
            if status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(0.02)
        pytest.fail("never SERVING")

    served(scenario)


def test_a_port_in_use_is_one_clear_error() -> None:
    """A second server on the same port is refused with advice."""

    async def twice() -> None:
        endpoint = MagicMock()  # never called: no server here starts
        first = Server(endpoint, "127.0.0.1", 0, lambda: True, unrehearsed)
        with pytest.raises(Unavailable, match="port is in use"):
            Server(endpoint, "127.0.0.1", first.port, lambda: True, unrehearsed)

    asyncio.run(twice())
