"""The discrete-event loop: virtual time, real calls.

Happenings are handled in the agenda's order, and none is taken up while `in_flight` requests are under way. With one
in flight a simulation is therefore a sequence, and the same bidder gives the same run. With more, what follows from an
answer (notices, reactions) may come after requests that were already under way, as it would in the world.
"""

import asyncio
from dataclasses import dataclass

from ..core.clock import NS_PER_SECOND, Clock, elapsed_ms
from ..core.errors import Unavailable
from ..core.event import Event, Topic
from ..core.exchange import Answer, Notice, NoticeKind, OfferedBid
from ..core.feedback import Feedback, FeedbackKind
from ..core.money import Money
from ..core.ports import Bidder, EventPublisher
from ..core.pseudonym import Pseudonymiser
from ..core.request import Impression
from .agenda import Agenda, Arrival, Due, Reaction, Reading
from .inspection import Inspector
from .market_maker import Offering
from .settlement import LOSS_EXPIRED, LOSS_INVALID, Settlement, SettlementRule
from .tally import BidRecord, ReactionRecord, RequestRecord, Tally
from .world import Audience

FLUSH_S = 10.0  # how long a broker may take to acknowledge the weather


@dataclass(frozen=True, slots=True)
class Pace:
    """How virtual time passes. `speed` is virtual seconds per real second, 0 = as fast as answers come.
    `reading_pause_s` is the real time given to the engine to learn of new readings, which in a world at its own speed
    are minutes old. A late answer counts as none where `strict_timeout`."""

    in_flight: int = 8
    speed: float = 0.0
    reading_pause_s: float = 0.0
    strict_timeout: bool = True


class Loop:
    """Plays an agenda against a bidder and keeps the tally."""

    def __init__(
        self,
        bidder: Bidder,
        rule: SettlementRule,
        audience: Audience,
        inspector: Inspector,
        publisher: EventPublisher | None,
        pseudonymiser: Pseudonymiser,
        clock: Clock,
        pace: Pace,
        currency: str,
    ) -> None:
        self._bidder = bidder
        self._rule = rule
        self._audience = audience
        self._inspector = inspector
        self._publisher = publisher
        self._pseudonymiser = pseudonymiser
        self._clock = clock
        self._pace = pace
        self._agenda = Agenda()
        self.tally = Tally(currency)

    async def run(self, agenda: Agenda) -> Tally:
        """Afterwards everything on the agenda, and what followed from it, has happened."""
        self._agenda = agenda
        began = self._clock.monotonic_ns()
        virtual_began: int | None = None
        flying: set[asyncio.Task[None]] = set()
        try:
            while agenda or flying:
                if not agenda or len(flying) >= self._pace.in_flight:
                    done, flying = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                    continue
                due = agenda.pop()
                virtual_began = due.at if virtual_began is None else virtual_began
                due_at_ns = await self._until(began, due.at - virtual_began)
                if isinstance(due.happening, Arrival):
                    flying.add(asyncio.create_task(self._serve(due.happening.offering, due_at_ns)))
                    await asyncio.sleep(0)  # lets the call out
                else:
                    await self._publish(due)
        finally:
            for task in flying:
                task.cancel()
        self.tally.took_s = elapsed_ms(began, self._clock) / 1000.0
        return self.tally

    async def _until(self, began_ns: int, virtual_ns: int) -> int:
        """The monotonic instant at which something so far into virtual time is due, once it has come; now, without a
        speed."""
        if not self._pace.speed:
            return self._clock.monotonic_ns()
        due_at_ns = began_ns + int(virtual_ns / self._pace.speed)
        left_ns = due_at_ns - self._clock.monotonic_ns()
        if left_ns > 0:
            await asyncio.sleep(left_ns / NS_PER_SECOND)
        return due_at_ns

    async def _publish(self, due: Due) -> None:
        happening = due.happening
        if isinstance(happening, Reading):
            self.tally.readings += 1
            topic, key, value = Topic.ENVIRONMENT, happening.reading.place_id, happening.reading
            event = Event(f"{key}@{due.at}", due.at, key, value)
        elif isinstance(happening, Reaction):
            topic, key = Topic.FEEDBACK, happening.feedback.user_key
            event = Event(happening.event_id, due.at, key, happening.feedback)
        if self._publisher is None:
            return
        self._publisher.publish(topic, event)
        if isinstance(happening, Reading) and self._pace.reading_pause_s and not self._more_readings(due.at):
            await asyncio.to_thread(self._publisher.flush, FLUSH_S)
            await asyncio.sleep(self._pace.reading_pause_s)

    def _more_readings(self, at: int) -> bool:
        following = self._agenda.first
        return following is not None and following.at == at and isinstance(following.happening, Reading)

    async def _serve(self, offering: Offering, due_at_ns: int) -> None:
        request = offering.request
        sent = self._clock.monotonic_ns()
        answer = Answer(request.request_id, "", (), None)
        error = ""
        try:
            answer = await self._bidder.bid(request)
        except Unavailable as reason:
            error = str(reason)
        latency_ms = elapsed_ms(sent, self._clock)
        in_time = latency_ms <= request.timeout_ms or not self._pace.strict_timeout
        bids = tuple([await self._settle(offering, bid, in_time) for bid in answer.bids])
        self.tally.requests.append(
            RequestRecord(
                request_id=request.request_id,
                event_time=request.event_time,
                place_id=request.place.place_id,
                reserve_micros=request.impressions[0].reserve_price.micros,
                market_price_micros=offering.market_price_micros,
                could_fit=self._inspector.could_fit(request.impressions),
                latency_ms=latency_ms,
                waited_ms=max(sent - due_at_ns, 0) / 1e6,
                in_time=latency_ms <= request.timeout_ms,
                decision_id=answer.decision_id,
                no_bid_reason=answer.no_bid_reason,
                bids=bids,
                error=error,
            )
        )

    async def _settle(self, offering: Offering, bid: OfferedBid, in_time: bool) -> BidRecord:
        fault = self._inspector.fault(bid, offering.request.impressions)
        settlement = self._fate(offering, bid, fault, in_time)
        clearing = Money(settlement.clearing_micros, bid.bid_price.currency)
        now = offering.request.event_time
        if settlement.won:
            await self._notify(Notice(NoticeKind.WIN, bid.bid_id, now, clearing))
            await self._notify(Notice(NoticeKind.BILLING, bid.bid_id, now, clearing))
            self.tally.billed_micros += clearing.per_impression.micros
            self._watch(offering, bid)
        else:
            # The winner's price is told where somebody else won, as ${AUCTION_PRICE} in a loss notice.
            price = clearing if settlement.clearing_micros else None
            await self._notify(Notice(NoticeKind.LOSS, bid.bid_id, now, price, settlement.loss_reason))
        return BidRecord(
            bid.bid_id,
            bid.item_id,
            bid.creative_id,
            bid.campaign_id,
            self._inspector.theme(bid.creative_id),
            bid.bid_price.micros,
            settlement.won,
            settlement.clearing_micros,
            settlement.loss_reason,
            fault,
        )

    def _fate(self, offering: Offering, bid: OfferedBid, fault: str, in_time: bool) -> Settlement:
        if not in_time:
            return Settlement(won=False, clearing_micros=0, loss_reason=LOSS_EXPIRED)
        if fault and fault != "under floor":
            return Settlement(won=False, clearing_micros=0, loss_reason=LOSS_INVALID)
        return self._rule.settle(offering, bid.bid_price.micros, _slot(offering, bid).reserve_price.micros)

    async def _notify(self, notice: Notice) -> None:
        try:
            await self._bidder.notify(notice)
            self.tally.notices += 1
        except Unavailable:
            self.tally.failed_notices += 1  # counted, not fatal: an exchange does not stop for a bidder's endpoint

    def _watch(self, offering: Offering, bid: OfferedBid) -> None:
        """Afterwards what the viewer will do is on the agenda."""
        shown_at = offering.request.event_time
        self._note(FeedbackKind.IMPRESSION, shown_at, offering, bid)
        for act in self._audience.acts(offering, bid):
            at = shown_at + act.delay_ns
            feedback = Feedback(
                act.kind,
                self._pseudonymiser.user_key(offering.user_id),
                bid.item_id,
                bid.creative_id,
                bid.campaign_id,
                bid.bid_id,
                offering.request.place.place_id,
            )
            self._agenda.add(at, Reaction(f"{bid.bid_id}:{act.kind}", feedback))
            self._note(act.kind, at, offering, bid)

    def _note(self, kind: FeedbackKind, at: int, offering: Offering, bid: OfferedBid) -> None:
        owed = self._inspector.owed_micros(bid.campaign_id, kind)
        place_id = offering.request.place.place_id
        self.tally.reactions.append(ReactionRecord(kind, at, place_id, bid.bid_id, bid.creative_id, owed))


def _slot(offering: Offering, bid: OfferedBid) -> Impression:
    slots = offering.request.impressions
    return next((slot for slot in slots if slot.impression_id == bid.impression_id), slots[0])
