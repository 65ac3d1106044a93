"""One small deployment of real processes for all end-to-end tests: broker, Milvus, worker, engine."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from adgram.core.catalogue import Advertiser, Campaign, Creative, Item, Objective, Offer
from adgram.core.environment import EnvironmentReading, Weather
from adgram.core.event import Event, Topic
from adgram.core.marketplace import Marketplace
from adgram.core.money import Money
from adgram.core.request import AdFormat, BidRequest, Device, Impression, Page, Place, Size, Viewer
from adgram.programs.deployment import Deployment
from adgram.proto import bidding_pb2 as wire
from adgram.proto import bidding_pb2_grpc, openrtb_pb2
from adgram.proto.openrtb import encode_request
from adgram.streaming.config import StreamingConfig
from adgram.streaming.log import KafkaPublisher

CONFIG = """
[engine]
trust_event_time = true
exploration = 0.0
{engine}

[generative]
{generative}

[streaming]
simulated_time = true
shards = 2
"""
ITEMS = 400
SEED = 7


def adgram(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """An adgram command, run to its end."""
    command = [sys.executable, "-m", "adgram", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, **options)


@dataclass
class Scene:
    """The running deployment, with short ways to change its world and to ask its engine."""

    deployment: Deployment
    marketplace: Marketplace
    publisher: KafkaPublisher
    now_ns: int

    def publish(self, topic: Topic, key: str, value: object, partition_key: str | None = None) -> None:
        self.now_ns += 1_000_000
        event = Event(f"{topic}-{key}-{self.now_ns}", self.now_ns, key, value)
        self.publisher.publish(topic, event, partition_key)

    def flush(self) -> None:
        self.publisher.flush(10.0)

    def advertise(self, item: Item, size: Size, advertiser_id: str, themes: Sequence[str] = ("plain",)) -> list[str]:
        """Publishes an item with its offer, its own campaign and one creative a theme, all in `size`; the
        creatives' ids.
        """
        campaign_id, currency = f"{item.item_id}-c", "CNY"
        bid, budget = Money(20_000, currency), Money(10**9, currency)
        self.publish(
            Topic.ADVERTISERS, advertiser_id, Advertiser(advertiser_id, advertiser_id, f"{advertiser_id}.example")
        )
        campaign = Campaign(campaign_id, advertiser_id, Objective.CLICK, bid, budget)
        self.publish(Topic.CAMPAIGNS, campaign_id, campaign)
        self.publish(Topic.ITEMS, item.item_id, item)
        self.publish(Topic.OFFERS, item.item_id, Offer(item.item_id, Money(30_000_000, currency), 50))
        ids = []
        for theme in themes:
            creative = Creative(
                f"{item.item_id}-{theme}", item.item_id, campaign_id, AdFormat.BANNER, size, item.title, "In stock.",
                f"https://{advertiser_id}.example/{item.item_id}", f"{advertiser_id}.example", (), theme,
            )  # fmt: skip
            self.publish(Topic.CREATIVES, creative.creative_id, creative, item.item_id)
            ids.append(creative.creative_id)
        return ids

    def weather(self, place: Place, weather: Weather) -> None:
        """Publishes a place's weather."""
        reading = EnvironmentReading(place.place_id, weather, 18.0, 1.0)
        self.publish(Topic.ENVIRONMENT, place.place_id, reading)

    def request(self, size: Size, place: Place | None = None, **changes: Any) -> BidRequest:
        """A test request (no money) for one banner of `size` from a viewer without history."""
        slot = Impression("1", AdFormat.BANNER, (size,), Money(0, "CNY"))
        place = place or Place("CN", "nowhere", "nowhere")
        request = BidRequest(
            f"r{self.now_ns}", (slot,), Viewer(""), Device(2), Page("news.example"), place, self.now_ns, 500, 2, "CNY",
            test=True,
        )  # fmt: skip
        return replace(request, **changes)

    def bid(self, request: BidRequest, address: str = "") -> openrtb_pb2.BidResponse:
        """The engine's answer."""
        with grpc.insecure_channel(address or self.deployment.address) as channel:
            stub = bidding_pb2_grpc.BiddingServiceStub(channel)
            return stub.Bid(encode_request(request), timeout=10)

    def explained(self, request: BidRequest, address: str = "") -> wire.DecisionRecord:
        """The whole story of the engine's answer."""
        response = self.bid(request, address)
        with grpc.insecure_channel(address or self.deployment.address) as channel:
            stub = bidding_pb2_grpc.BiddingServiceStub(channel)
            return stub.Explain(wire.ExplainRequest(decision_id=response.ext.decision_id), timeout=10)


def seconds_until(ready: Callable[[], Any], timeout_s: float) -> float:
    """Seconds until `ready()` was true; fails the test when it never was."""
    began = time.monotonic()
    while not ready():
        assert time.monotonic() - began < timeout_s, f"not within {timeout_s} s"
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small world and its models, made by the command line."""
    folder = tmp_path_factory.mktemp("e2e")
    made = adgram("world", str(folder / "world"), "--seed", str(SEED), "--items", str(ITEMS), "--users", "300")
    assert made.returncode == 0, made.stderr
    models = ("--models", str(folder / "models"), "--minutes", "0.3", "--seed", str(SEED), "--all")
    fitted = adgram("train", str(folder / "world"), *models)
    assert fitted.returncode == 0, fitted.stderr
    return folder


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], Any], float], float]:
    """Waits for a condition; how long it took."""
    return seconds_until


@pytest.fixture(scope="session")
def run_adgram() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs an adgram command to its end."""
    return adgram


@pytest.fixture(scope="session")
def write_config() -> Callable[..., Path]:
    """Writes a deployment's TOML."""

    def write(path: Path, engine: str = "", generative: str = "") -> Path:
        path.write_text(CONFIG.format(engine=engine, generative=generative))
        return path

    return write


@pytest.fixture(scope="session")
def scene(trained: Path, write_config: Callable[..., Path]) -> Iterator[Scene]:
    """The deployment with the world's catalogue in its memory."""
    config = write_config(trained / "adgram.toml")
    with ExitStack() as stack:
        deployment = Deployment(trained, trained / "models", stack, config)
        deployment.start_broker(os.environ.get("ADGRAM_E2E_KAFKA", ""))
        deployment.start_milvus()
        deployment.load(trained / "world")
        deployment.start_worker()
        deployment.start_engine()
        deployment.wait_for_items(ITEMS)
        publisher = KafkaPublisher(StreamingConfig(bootstrap=deployment.bootstrap, shards=2))
        stack.callback(publisher.close)
        # Later than anything the catalogue was published with, and steps on with every event.
        yield Scene(deployment, Marketplace(trained / "world"), publisher, time.time_ns())
