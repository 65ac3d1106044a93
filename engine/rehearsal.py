"""Requests nobody sent, answered before the first real one, so that no viewer pays for what is loaded lazily."""

from collections import Counter

from ..core.clock import Clock, Deadline
from ..core.money import Money
from ..core.request import AdFormat, BidRequest, Device, Impression, Page, Place, Size, Viewer
from ..core.snapshot import Snapshot
from .config import EngineConfig
from .pipeline import Pipeline

ROUNDS = 24  # a second or so; after twenty, times no longer fall
_SIZES = 4  # of the commonest slots


async def rehearse(pipeline: Pipeline, snapshot: Snapshot, config: EngineConfig, clock: Clock) -> None:
    """Afterwards every step has run for the commonest slots of the catalogue; no money was held, nothing was
    counted.
    """
    columns = snapshot.creatives
    seen = Counter(
        (creative.format, creative.size)
        for creative, alive in zip(columns.creatives, columns.alive.tolist(), strict=True)
        if alive
    )
    slots = [slot for slot, _ in seen.most_common(_SIZES)]
    for number in range(ROUNDS if slots else 0):
        request = _request(*slots[number % len(slots)], config, clock.now_ns())
        await pipeline.decide(request, Deadline.after_ms(config.default_timeout_ms, clock))


def _request(form: AdFormat, size: Size, config: EngineConfig, now_ns: int) -> BidRequest:
    impression = Impression("1", form, (size,), Money(0, config.currency))
    return BidRequest(
        request_id="rehearsal",
        impressions=(impression,),
        viewer=Viewer(),
        device=Device(),
        page=Page(),
        place=Place(),
        event_time=now_ns,
        timeout_ms=config.default_timeout_ms,
        currency=config.currency,
        test=True,
    )
