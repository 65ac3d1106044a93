"""What `make chaos` does to a deployment while parts of it are killed: clicks, changes of an ad, requests for it."""

import threading
import time
from dataclasses import dataclass, field

import grpc

from adgram.core.catalogue import Advertiser, Campaign, Creative, Item, Objective, Offer
from adgram.core.errors import AdgramError
from adgram.core.event import Event, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.core.money import Money
from adgram.core.request import AdFormat, BidRequest, Device, Impression, Page, Place, Size, Viewer
from adgram.proto import bidding_pb2 as wire
from adgram.proto import bidding_pb2_grpc, events
from adgram.proto.openrtb import encode_request
from adgram.streaming.config import StreamingConfig
from adgram.streaming.log import KafkaPublisher, producer

PER_USER = 40  # few enough that a user's state still lists the id of every one
SIZE = Size(123, 45)  # of one creative alone, so that every answer is that one


class Load:
    """Clicks at a steady rate, and what became of each: `acknowledged` and `refused` by the broker."""

    def __init__(self, streaming: StreamingConfig) -> None:
        self._streaming = streaming
        self._producer = producer(streaming, linger_ms=5)
        self.sent, self.rate = 0, 0.0
        self.acknowledged: set[int] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def send(self, count: int) -> None:
        """Queues so many clicks."""
        for _ in range(count):
            number, self.sent = self.sent, self.sent + 1
            user = user_of(number)
            click = Event(f"e{number}", time.time_ns(), user, Feedback(FeedbackKind.CLICK, user, f"i{number}"))
            name = self._streaming.topic(Topic.FEEDBACK)
            sent = self._producer.send(name, events.encode(click), user.encode())
            sent.add_callback(lambda _, number=number: self.acknowledged.add(number))

    def start(self, rate: float) -> None:
        self.rate = rate
        self._thread.start()

    def stop(self) -> None:
        """Afterwards the broker has answered for every click."""
        self._stopping.set()
        self._thread.join()
        self._producer.flush(timeout=120)

    def flush(self) -> None:
        self._producer.flush(timeout=120)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(0.02):
            now = time.monotonic()
            count = int((now - due) * self.rate)
            if count:
                due += count / self.rate
                try:
                    self.send(count)
                except Exception:
                    due = now  # the queue is full while the broker is away; nothing of this was acknowledged


def user_of(number: int) -> str:
    """Every user gets PER_USER clicks, two hundred users at a time."""
    return f"u{number // (200 * PER_USER)}.{number % 200}"


@dataclass
class Served:
    """One answer of the engine: the version it names, and what it showed."""

    version: tuple[int, ...]
    bid_micros: int
    title: str


@dataclass
class Probe:
    """Changes one campaign and one creative all the time, and asks the engine for them."""

    streaming: StreamingConfig
    address: str
    served: list[Served] = field(default_factory=list)
    silent: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    def run_changes(self) -> None:
        publisher = KafkaPublisher(self.streaming)
        change = 0
        while not self.stopping.wait(0.1):
            change += 1
            try:
                self._publish(publisher, change)
            except AdgramError:
                continue  # the broker is away; the next change tells all there is to tell
        publisher.close()

    def run_requests(self) -> None:
        number = 0
        with grpc.insecure_channel(self.address) as channel:
            stub = bidding_pb2_grpc.BiddingServiceStub(channel)
            while not self.stopping.wait(0.05):
                number += 1
                try:
                    answer = stub.Bid(encode_request(_request(number)), timeout=1)
                    bid = answer.seatbid[0].bid[0] if answer.seatbid else None
                    if bid is None:
                        self.silent += 1
                        continue
                    record = stub.Explain(wire.ExplainRequest(decision_id=answer.ext.decision_id), timeout=1)
                except grpc.RpcError:
                    self.silent += 1
                    continue
                title = bid.adm.partition("<strong>")[2].partition("</strong>")[0]
                self.served.append(
                    Served(tuple(record.version), record.bids[0].ad.steps[0].price_micros // 1000, title)
                )

    def _publish(self, publisher: KafkaPublisher, change: int) -> None:
        now = time.time_ns()
        if change == 1:
            told = Advertiser("chaos-a", "Chaos", "chaos.example")
            publisher.publish(Topic.ADVERTISERS, Event("chaos-a", now, "chaos-a", told))
            publisher.publish(Topic.ITEMS, Event("chaos-i", now, "chaos-i", Item("chaos-i", "A lamp", ("home",))))
            offer = Offer("chaos-i", Money(30_000_000, "CNY"), 1_000_000)
            publisher.publish(Topic.OFFERS, Event("chaos-o", now, "chaos-i", offer))
        bid, budget = Money(20_000_000 + change, "CNY"), Money(10**15, "CNY")
        campaign = Campaign("chaos-k", "chaos-a", Objective.IMPRESSION, bid, budget)
        publisher.publish(Topic.CAMPAIGNS, Event(f"k{change}", now, "chaos-k", campaign))
        creative = Creative(
            "chaos-c", "chaos-i", "chaos-k", AdFormat.BANNER, SIZE, f"Lamp {change}", "In stock.",
            "https://chaos.example/lamp", "chaos.example",
        )  # fmt: skip
        publisher.publish(Topic.CREATIVES, Event(f"c{change}", now, "chaos-c", creative), "chaos-i")


def _request(number: int) -> BidRequest:
    slot = Impression("1", AdFormat.BANNER, (SIZE,), Money(0, "CNY"))
    return BidRequest(
        f"r{number}", (slot,), Viewer(""), Device(2), Page("news.example"), Place("CN", "nowhere", "nowhere"),
        time.time_ns(), 500, 2, "CNY", test=True,
    )  # fmt: skip
