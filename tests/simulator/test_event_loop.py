"""The loop: money is conserved, order is kept, waiting is measured, trouble is counted."""

import asyncio
import selectors
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core.catalogue import Campaign, Creative, Objective
from adgram.core.clock import NS_PER_MS, NS_PER_SECOND, Clock, SystemClock
from adgram.core.errors import Unavailable
from adgram.core.event import Event, Stop, Topic
from adgram.core.exchange import Answer, Notice, NoticeKind, OfferedBid
from adgram.core.feedback import FeedbackKind
from adgram.core.money import Money
from adgram.core.ports import Bidder
from adgram.core.pseudonym import Pseudonymiser
from adgram.core.request import AdFormat, BidRequest, Device, Impression, Page, Place, Size, Viewer
from adgram.simulator.agenda import Agenda, Arrival
from adgram.simulator.inspection import Inspector
from adgram.simulator.loop import Loop, Pace
from adgram.simulator.market_maker import Offering
from adgram.simulator.rivals import Rivals
from adgram.simulator.settlement import AgainstRivals, AtPaidPrice, SettlementRule
from adgram.simulator.summary import summarise
from adgram.simulator.tally import Tally
from adgram.simulator.world import Act, Audience, SilentAudience

SIZE = Size(300, 250)
SECRET = b"test"
CREATIVE = Creative("c1", "i1", "k1", AdFormat.BANNER, SIZE, "t", "x", "https://a.example", "a.example")
WIDE = replace(CREATIVE, creative_id="wide", size=Size(728, 90))
NATIVE = replace(CREATIVE, creative_id="native", format=AdFormat.NATIVE, size=Size(0, 0))
CAMPAIGN = Campaign("k1", "a1", Objective.CLICK, Money(5_000, "CNY"), Money(10**9, "CNY"))


def _offering(number: int, at_ns: int, market: int = 400_000, reserve: int = 100_000) -> Offering:
    impression = Impression("1", AdFormat.BANNER, (SIZE,), Money(reserve, "CNY"))
    request = BidRequest(
        f"r{number}", (impression,), Viewer(f"u{number}"), Device(), Page(), Place("CN"), at_ns, 50, 2, "CNY"
    )
    return Offering(request, f"u{number}", market)


def _bid(request: BidRequest, price: int) -> OfferedBid:
    return OfferedBid(f"b-{request.request_id}", "1", Money(price, "CNY"), "i1", "c1", "k1", "a.example", 300, 250, "")


class FixedPriceBidder:
    """Bids the same on everything and remembers what it was told, in order."""

    def __init__(self, price: int = 900_000) -> None:
        self.price = price
        self.told: list[str] = []
        self.notices: list[Notice] = []

    async def bid(self, request: BidRequest) -> Answer:
        self.told.append(request.request_id)
        return Answer(request.request_id, "d", (_bid(request, self.price),), None)

    async def notify(self, notice: Notice) -> None:
        self.told.append(f"{notice.kind}:{notice.bid_id}")
        self.notices.append(notice)


class DeafBidder(FixedPriceBidder):
    """Answers bids but takes no notices."""

    async def notify(self, notice: Notice) -> None:
        raise Unavailable("nobody listens")


class AbsentBidder(FixedPriceBidder):
    """Never answers."""

    async def bid(self, request: BidRequest) -> Answer:
        raise Unavailable("connection refused")


class ClickingAudience:
    """Everybody clicks after a second."""

    def acts(self, offering: Offering, bid: OfferedBid) -> tuple[Act, ...]:
        return (Act(FeedbackKind.CLICK, NS_PER_SECOND),)


class RememberingPublisher:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[tuple[Topic, Event]] = []

    def publish(self, topic: Topic, event: Event, partition_key: str | None = None) -> None:
        self.events.append((topic, event))

    def publish_stop(self, stop: Stop) -> None: ...
    def publish_decision(self, decision_id: str, record: bytes) -> None: ...
    def flush(self, timeout_s: float) -> None: ...


def _loop(
    bidder: Bidder,
    rule: SettlementRule | None = None,
    people: Audience | None = None,
    publisher: RememberingPublisher | None = None,
    pace: Pace | None = None,
    clock: Clock | None = None,
) -> Loop:
    return Loop(
        bidder,
        rule or AgainstRivals(Rivals(1, 3)),
        people or SilentAudience(),
        Inspector([CREATIVE, WIDE, NATIVE], [CAMPAIGN]),
        publisher,
        Pseudonymiser(SECRET),
        clock or SystemClock(),
        pace or Pace(),
        "CNY",
    )


def _agenda(offerings: list[Offering]) -> Agenda:
    agenda = Agenda()
    for offering in offerings:
        agenda.add(offering.request.event_time, Arrival(offering))
    return agenda


def _play(loop: Loop, offerings: list[Offering]) -> Tally:
    return asyncio.run(loop.run(_agenda(offerings)))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)), max_size=25),
    st.integers(1, 6),
    st.sampled_from([AgainstRivals(Rivals(3, 2)), AtPaidPrice()]),
)
def test_spend_is_the_sum_of_billed_clearing_prices(
    rows: list[tuple[int, int]], in_flight: int, rule: SettlementRule
) -> None:
    """Every win is billed once at its clearing price, every other bid gets one loss, and nothing else moves money."""
    bidder = FixedPriceBidder(600_000)
    offerings = [_offering(n, n * NS_PER_MS, market * 1000, floor * 1000) for n, (market, floor) in enumerate(rows)]
    tally = _play(_loop(bidder, rule, pace=Pace(in_flight=in_flight, strict_timeout=False)), offerings)
    billed = [n for n in bidder.notices if n.kind is NoticeKind.BILLING]
    won = [bid for request in tally.requests for bid in request.bids if bid.won]
    lost = [bid for request in tally.requests for bid in request.bids if not bid.won]
    assert sorted(n.bid_id for n in billed) == sorted(bid.bid_id for bid in won)
    paid = sum(n.clearing_price.per_impression.micros for n in billed if n.clearing_price is not None)
    assert paid == tally.billed_micros == summarise(tally).spend_micros
    assert sorted(n.bid_id for n in bidder.notices if n.kind is NoticeKind.LOSS) == sorted(b.bid_id for b in lost)
    assert len(tally.requests) == len(rows)


def test_with_one_request_in_flight_a_run_is_a_sequence() -> None:
    """Each request is settled, and a click that is due before the next request told, before that request is sent."""
    bidder, publisher = FixedPriceBidder(), RememberingPublisher()
    loop = _loop(bidder, people=ClickingAudience(), publisher=publisher, pace=Pace(in_flight=1, strict_timeout=False))
    seen: list[int] = []
    plain_bid = bidder.bid

    async def counting(request: BidRequest) -> Answer:
        seen.append(len(publisher.events))
        return await plain_bid(request)

    bidder.bid = counting  # type: ignore[method-assign]
    _play(loop, [_offering(n, n * 2 * NS_PER_SECOND) for n in range(3)])
    assert bidder.told == [line for n in range(3) for line in (f"r{n}", f"win:b-r{n}", f"billing:b-r{n}")]
    assert seen == [0, 1, 2]


def test_reactions_carry_the_pseudonym_never_the_raw_id() -> None:
    """Clicks are published under the keyed hash of the user's id, keyed by it, with an id that names bid and kind."""
    publisher = RememberingPublisher()
    loop = _loop(FixedPriceBidder(), people=ClickingAudience(), publisher=publisher, pace=Pace(strict_timeout=False))
    tally = _play(loop, [_offering(7, 5)])
    topic, event = publisher.events[0]
    assert topic is Topic.FEEDBACK
    assert event.key == event.value.user_key == Pseudonymiser(SECRET).user_key("u7")
    assert event.event_id == "b-r7:click"
    assert event.event_time == 5 + NS_PER_SECOND
    assert "u7" not in repr(event.value)
    assert summarise(tally).revenue_micros == CAMPAIGN.bid.micros


def test_a_bidder_that_is_away_costs_errors_not_the_run() -> None:
    """Unanswered requests are counted with their reason, and so are notices nobody takes."""
    figures = summarise(_play(_loop(AbsentBidder()), [_offering(n, n) for n in range(4)]))
    assert (figures.errors, figures.bids) == (4, 0)
    assert figures.error_kinds == {"connection refused": 4}
    deaf = _play(_loop(DeafBidder(), pace=Pace(strict_timeout=False)), [_offering(0, 0)])
    assert deaf.failed_notices == 2


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"creative_id": "c9"}, "unknown creative"),
        ({"item_id": "i9"}, "creative of another item"),
        ({"campaign_id": "k9"}, "creative of another campaign"),
        ({"width": 728, "height": 90}, "wrong size"),
        ({"creative_id": "wide"}, "wrong size"),
        ({"creative_id": "wide", "width": 728, "height": 90}, "wrong size"),
        ({"creative_id": "native", "width": 0, "height": 0}, "wrong format"),
        ({"bid_price": Money(99_000, "CNY")}, "under floor"),
        ({"bid_price": Money(900_000, "USD")}, "wrong currency"),
        ({"impression_id": "2"}, "unknown impression"),
    ],
)
def test_a_faulty_bid_is_named_and_loses(change: dict[str, Any], fault: str) -> None:
    """What an exchange would refuse never wins, however high it is."""

    class FaultyBidder(FixedPriceBidder):
        async def bid(self, request: BidRequest) -> Answer:
            return Answer(request.request_id, "d", (replace(_bid(request, 900_000), **change),), None)

    tally = _play(_loop(FaultyBidder(), AtPaidPrice(), pace=Pace(strict_timeout=False)), [_offering(0, 0, market=1)])
    (bid,) = tally.requests[0].bids
    assert (bid.fault, bid.won) == (fault, False)


class _VirtualTime(asyncio.SelectorEventLoop):
    """An asyncio loop whose sleeps take no time: its clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self.virtual_s = 0.0
        plain = self._selector.select

        def select(timeout: float | None = None) -> Any:
            if timeout:
                self.virtual_s += timeout
            return plain(0)

        self._selector.select = select  # type: ignore[method-assign]

    def time(self) -> float:
        return self.virtual_s


class _LoopClock:
    """The loop's virtual time as a clock."""

    def __init__(self, loop: _VirtualTime) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        return self.monotonic_ns()

    def monotonic_ns(self) -> int:
        return round(self._loop.virtual_s * NS_PER_SECOND)


class OneServerBidder(FixedPriceBidder):
    """Serves one request after the other, each for an exponentially distributed time."""

    def __init__(self, mean_s: float, rng: np.random.Generator) -> None:
        super().__init__()
        self._lock = asyncio.Lock()
        self._mean_s = mean_s
        self._rng = rng

    async def bid(self, request: BidRequest) -> Answer:
        async with self._lock:
            await asyncio.sleep(float(self._rng.exponential(self._mean_s)))
        return Answer(request.request_id, "", (), None)


def _in_virtual_time(loop: _VirtualTime, work: Coroutine[Any, Any, Tally]) -> Tally:
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


@pytest.mark.parametrize("in_flight", [10_000, 1])
def test_latencies_are_those_of_queueing_theory(in_flight: int) -> None:
    """Poisson arrivals at one exponential server (M/M/1) spend 1 / (μ - λ) seconds there on average; and where the
    loop holds requests back because too many are in flight, their waiting is measured, not left out.
    """
    arrivals, service = 10.0, 20.0
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.exponential(1 / arrivals, 20_000))
    virtual = _VirtualTime()
    bidder = OneServerBidder(1 / service, rng)
    loop = _loop(bidder, pace=Pace(in_flight=in_flight, speed=1.0), clock=_LoopClock(virtual))
    offerings = [_offering(n, int(at * NS_PER_SECOND)) for n, at in enumerate(times)]
    tally = _in_virtual_time(virtual, loop.run(_agenda(offerings)))
    spent_ms = np.mean([request.latency_ms + request.waited_ms for request in tally.requests])
    assert spent_ms == pytest.approx(1000 / (service - arrivals), rel=0.08)
    if in_flight == 1:
        assert np.mean([request.latency_ms for request in tally.requests]) == pytest.approx(1000 / service, rel=0.05)


def test_no_more_requests_are_under_way_than_allowed() -> None:
    """The bound holds at every moment."""
    virtual = _VirtualTime()
    under_way, most = 0, 0

    class CountingBidder(FixedPriceBidder):
        async def bid(self, request: BidRequest) -> Answer:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.01)
            under_way -= 1
            return Answer(request.request_id, "", (), None)

    loop = _loop(CountingBidder(), pace=Pace(in_flight=3))
    _in_virtual_time(virtual, loop.run(_agenda([_offering(n, n) for n in range(50)])))
    assert most == 3


def test_a_late_answer_loses_where_timeouts_are_strict() -> None:
    """After tmax a bid is told that the opportunity expired; without strictness it is only counted as late."""
    for strict, won in ((True, False), (False, True)):
        virtual = _VirtualTime()

        class LateBidder(FixedPriceBidder):
            async def bid(self, request: BidRequest) -> Answer:
                await asyncio.sleep(0.2)
                return await super().bid(request)

        loop = _loop(LateBidder(), AtPaidPrice(), pace=Pace(strict_timeout=strict), clock=_LoopClock(virtual))
        tally = _in_virtual_time(virtual, loop.run(_agenda([_offering(0, 0)])))
        assert tally.requests[0].bids[0].won is won
        assert summarise(tally).late == 1
