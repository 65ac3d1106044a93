"""`adgram simulate` and `adgram settle` against a real endpoint over gRPC."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import typer

from adgram.core.catalogue import Creative
from adgram.core.errors import ConfigError, Unavailable
from adgram.core.marketplace import Manifest, Marketplace, write_entities, write_log, write_manifest
from adgram.core.request import AdFormat
from adgram.programs.simulate import settle, simulate
from adgram.proto import bidding_pb2, bidding_pb2_grpc, openrtb_pb2
from adgram.simulator.market.generator import WorldSettings, make_world

SMALL = WorldSettings(seed=2, items=200, users=100, days=2, impressions=2_000, requests=400)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Marketplace:
    """A small world."""
    folder = tmp_path_factory.mktemp("world")
    make_world(SMALL, folder, lambda part: None)
    return Marketplace(folder)


class WellBehavedServer(bidding_pb2_grpc.BiddingServiceServicer, bidding_pb2_grpc.NoticeServiceServicer):  # type: ignore[misc]
    """Bids a price that depends on the request, at least the floor, on a creative that fits."""

    def __init__(self, creatives: list[Creative], factor: float = 1.0) -> None:
        self._by_size = {(c.format, c.size.width, c.size.height): c for c in creatives}
        self._factor = factor
        self.bids = 0

    async def Bid(self, request: openrtb_pb2.BidRequest, context: object) -> openrtb_pb2.BidResponse:
        imp = request.imp[0]
        form = AdFormat.NATIVE if imp.HasField("native") else AdFormat.BANNER
        size = (0, 0) if form is AdFormat.NATIVE else (imp.banner.w, imp.banner.h)
        creative = self._by_size[form, *size]
        self.bids += 1
        price = max(imp.bidfloor, round(0.5 + (self.bids % 97) / 100, 3)) * self._factor
        bid = openrtb_pb2.Bid(
            id=f"b{request.id}",
            impid=imp.id,
            price=price,
            crid=creative.creative_id,
            cid=creative.campaign_id,
            adomain=[creative.adomain],
            w=size[0],
            h=size[1],
        )
        bid.ext.item_id = creative.item_id
        response = openrtb_pb2.BidResponse(id=request.id, cur="CNY")
        response.seatbid.append(openrtb_pb2.SeatBid(bid=[bid]))
        return response

    async def Stats(self, request: object, context: object) -> bidding_pb2.EngineStats:
        return bidding_pb2.EngineStats(version=[1], tiers={"learned": self.bids})

    async def Notify(self, request: object, context: object) -> bidding_pb2.NoticeReceipt:
        return bidding_pb2.NoticeReceipt(known=True)


@contextmanager
def _endpoint(servicer: WellBehavedServer) -> Iterator[str]:
    """The address of an endpoint that runs in a thread of its own."""
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []
    ready = threading.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        bidding_pb2_grpc.add_BiddingServiceServicer_to_server(servicer, server)
        bidding_pb2_grpc.add_NoticeServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stop = asyncio.Event()
        started.append((asyncio.get_running_loop(), stop, port))
        ready.set()
        await stop.wait()
        await server.stop(0)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait(5.0)
    loop, stop, port = started[0]
    try:
        yield f"127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5.0)


def test_a_simulation_prints_its_table_and_writes_its_page(
    market: Marketplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every request is answered over gRPC; the engine's own counts are in the table."""
    with _endpoint(WellBehavedServer(market.creatives())) as address:
        simulate(market.folder, address=address, requests=200, timeout_ms=2000, report=tmp_path / "report.html")
    out = capsys.readouterr().out
    assert "win rate" in out
    assert "learned 200" in out
    assert "<svg" in (tmp_path / "report.html").read_text()


def _paid_log(market: Marketplace, folder: Path, rows: int = 120) -> Path:
    """A log of won impressions: the world's own traffic at half the market's prices."""
    columns = market.log("traffic").slice(0, rows).to_pydict()
    columns["market_price_micros"] = [300_000 + 10_000 * (n % 60) for n in range(rows)]
    for name in ("advertisers", "campaigns", "items", "offers", "creatives", "places", "users"):
        write_entities(folder, name, [])
    write_log(folder, "traffic", columns)
    write_manifest(folder, Manifest("log", "CNY", "test", 1))
    return folder


def test_settling_passes_on_a_sound_endpoint_and_fails_on_a_cheating_one(
    market: Marketplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sound: every check holds. Bidding under floors: exit code 1, and the check is named."""
    log = _paid_log(market, tmp_path / "log")
    with _endpoint(WellBehavedServer(market.creatives())) as address:
        settle(market.folder, log, address=address, timeout_ms=5000)
    out = capsys.readouterr().out
    assert "FAILED" not in out
    assert "cannot show" in " ".join(out.split())
    with (
        _endpoint(WellBehavedServer(market.creatives(), factor=0.001)) as address,
        pytest.raises(typer.Exit) as ended,
    ):
        settle(market.folder, log, address=address, timeout_ms=5000)
    assert ended.value.exit_code == 1
    assert "FAILED bids under their floor" in " ".join(capsys.readouterr().out.split())


def test_nobody_at_the_address_is_one_clear_error(market: Marketplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """So are impossible numbers."""
    monkeypatch.setattr("adgram.programs.simulate.REACH_S", 0.3)
    with pytest.raises(Unavailable, match="is `adgram serve` running there"):
        simulate(market.folder, address="127.0.0.1:9", requests=1)
    with pytest.raises(ConfigError, match="must be at least 1"):
        simulate(market.folder, requests=0)
