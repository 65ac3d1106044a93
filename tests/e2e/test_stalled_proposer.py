"""The fallback: a proposer that never answers costs quality, not answers."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest

from adgram.core.decision import Outcome
from adgram.core.money import Money
from adgram.core.request import AdFormat, BidRequest, Device, Impression, Page, Place, Size, Viewer
from adgram.programs.deployment import serving
from adgram.proto import bidding_pb2 as wire
from adgram.proto import bidding_pb2_grpc
from adgram.proto.openrtb import encode_request
from adgram.streaming.local_broker import free_port

pytestmark = pytest.mark.e2e
REQUESTS, TMAX_MS, IN_FLIGHT = 1_000, 50, 2
FLOOR_MICROS = 50_000


def request(number: int, now_ns: int) -> BidRequest:
    slot = Impression("1", AdFormat.BANNER, (Size(300, 250),), Money(FLOOR_MICROS, "CNY"))
    viewer, page, place = Viewer(f"u{number % 97}"), Page("news.example"), Place("CN")
    return BidRequest(f"s{number}", (slot,), viewer, Device(2), page, place, now_ns, TMAX_MS, 2, "CNY")


@pytest.fixture
def stalled_engine(scene, trained: Path, eventually):
    """The address of an engine whose proposer never answers, following the deployment's memory."""
    port = free_port()
    script = Path(__file__).with_name("engine_with_stalled_proposer.py")
    command = [
        sys.executable, str(script), "serve", "--models", str(trained / "models"), "--port", str(port),
        "--bootstrap", scene.deployment.bootstrap, "--state", str(trained / "stalled"),
        "--config", str(trained / "adgram.toml"),
    ]  # fmt: skip
    with (trained / "stalled.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
    try:
        address = f"127.0.0.1:{port}"
        eventually(lambda: serving(address), 60)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


async def ask(address: str, now_ns: int) -> tuple[list[float], list[wire.DecisionRecord]]:
    """Milliseconds of each answer, and the records of those that bid."""
    times: list[float] = []
    decisions: list[str] = []
    async with grpc.aio.insecure_channel(address) as channel:
        stub = bidding_pb2_grpc.BiddingServiceStub(channel)
        slots = asyncio.Semaphore(IN_FLIGHT)
        await channel.channel_ready()  # an exchange keeps its connections open

        async def one(number: int) -> None:
            async with slots:
                message, began = encode_request(request(number, now_ns)), time.monotonic()
                response = await stub.Bid(message, timeout=5)
                times.append((time.monotonic() - began) * 1000)
                if response.seatbid:
                    decisions.append(response.ext.decision_id)

        await asyncio.gather(*map(one, range(REQUESTS)))
        records = [await stub.Explain(wire.ExplainRequest(decision_id=each), timeout=5) for each in decisions[-200:]]
    return times, records


def test_a_stalled_proposer_still_answers_in_time_from_the_fallback(scene, stalled_engine: str) -> None:
    """1,000 requests at tmax 50 ms: ≥ 99.9 % are answered in time; every bid comes from the fallback, with a verdict of
    ALLOW, above its floor, and no campaign is over its budget."""
    times, records = asyncio.run(ask(stalled_engine, scene.now_ns))
    late = sum(ms > TMAX_MS for ms in times)
    print(f"{len(times)} answers, {late} late, slowest {max(times):.1f} ms, {len(records)} bids looked into")
    assert len(times) == REQUESTS and late <= REQUESTS // 1000
    assert len(records) > 100
    for record in records:
        learned, fallback = record.tiers
        assert learned.proposal.reason in ("late", "stalled") and fallback.tier == "fallback"
        (bid,) = record.bids
        assert bid.ad.source == "fallback" and bid.ad.outcome == Outcome.ALLOW
        assert bid.ad.bid_price_micros >= FLOOR_MICROS
    budgets = {campaign.campaign_id: campaign.daily_budget.micros for campaign in scene.marketplace.campaigns()}
    reserved: dict[str, int] = {}
    for record in records:
        ad = record.bids[0].ad
        reserved[ad.campaign_id] = reserved.get(ad.campaign_id, 0) + ad.bid_price_micros // 1000
    assert all(held <= budgets[campaign] for campaign, held in reserved.items())
