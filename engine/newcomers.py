"""Items that few have met: which they are, what has been seen of them, and how often they may be tried."""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.clock import NS_PER_HOUR
from ..core.feedback import Feedback, FeedbackKind
from ..core.snapshot import ItemColumns

_PROMISES_KEPT = 65_536  # bids whose notice may still come; beyond, the oldest count with the average probability
_HOURS_KEPT = 48  # of spending; nothing is spent in hours before those, so nothing is spent twice
_RECENT = 500  # offers that a new one is compared with: an hour or so of a small engine


@dataclass(frozen=True, slots=True)
class Seen:
    """[M] what became of some items' impressions."""

    expected: npt.NDArray[np.float64]  # clicks that the model expected of the impressions there were
    clicks: npt.NDArray[np.float64]


@dataclass(slots=True)
class _Tally:
    impressions: int = 0
    promised: int = 0  # impressions whose expected clicks are known
    expected: float = 0.0
    clicks: int = 0


class Evidence:
    """Impressions and clicks by item, from the feedback of every engine.

    One thread observes, others may read. An impression counts with the click probability this engine promised for its
    bid; where another engine bid, or this one before it was started, with the mean of those promised, and while there
    is none, with the click rate of all impressions.
    """

    def __init__(self) -> None:
        self._tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
        self._promises: OrderedDict[str, float] = OrderedDict()
        self._all = _Tally()

    def promise(self, bid_id: str, p_click: float) -> None:
        """Afterwards an impression won with this bid is known to have been expected to bring so many clicks."""
        self._promises[bid_id] = p_click
        if len(self._promises) > _PROMISES_KEPT:
            self._promises.popitem(last=False)

    def observe(self, feedbacks: Iterable[Feedback]) -> None:
        """Afterwards billed impressions and clicks are counted; other feedback says nothing here."""
        for feedback in feedbacks:
            if feedback.kind is FeedbackKind.CLICK:
                self._tallies[feedback.item_id].clicks += 1
                self._all.clicks += 1
            elif feedback.kind is FeedbackKind.BILLING:
                promised = self._promises.pop(feedback.bid_id, None)
                for tally in (self._tallies[feedback.item_id], self._all):
                    tally.impressions += 1
                    if promised is not None:
                        tally.promised += 1
                        tally.expected += promised

    def of(self, item_ids: Sequence[str]) -> Seen:
        """What was seen of these items, zero for those nobody was shown."""
        total = self._all
        mean = total.expected / total.promised if total.promised else total.clicks / max(total.impressions, 1)
        tallies = [self._tallies.get(item_id, _NOTHING) for item_id in item_ids]
        return Seen(
            np.array([one.expected + mean * (one.impressions - one.promised) for one in tallies]),
            np.array([one.clicks for one in tallies], dtype=np.float64),
        )


_NOTHING = _Tally()


class Newcomers:
    """The living items whose prior count of interactions is at most `popularity`, worked out once per version."""

    def __init__(self, popularity: float) -> None:
        self._popularity = popularity
        self._seen: ItemColumns | None = None
        self._mask: npt.NDArray[np.bool_] = np.empty(0, dtype=np.bool_)

    def among(self, items: ItemColumns) -> npt.NDArray[np.bool_]:
        """[N] by item slot."""
        if items is not self._seen:
            self._mask, self._seen = (items.popularity <= self._popularity) & items.alive, items
        return self._mask


class HourlyBudget:
    """At most so many a clock hour of event time, whatever order requests come in."""

    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._spent: defaultdict[int, int] = defaultdict(int)
        self._newest = 0

    def left(self, event_time: int) -> bool:
        """Whether the hour of `event_time` allows one more; hours long gone allow none."""
        hour = event_time // NS_PER_HOUR
        return hour > self._newest - _HOURS_KEPT and self._spent.get(hour, 0) < self._per_hour

    def take(self, event_time: int) -> bool:
        """Whether the hour of `event_time` had one left, which is now taken."""
        if not self.left(event_time):
            return False
        hour = event_time // NS_PER_HOUR
        self._spent[hour] += 1
        if hour > self._newest:
            self._newest = hour
            for old in [one for one in self._spent if one <= hour - _HOURS_KEPT]:
                del self._spent[old]
        return True


class Hurdle:
    """Lets pass the best share of what it is shown: a score not below the matching quantile of the newest ones."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def passes(self, score: float) -> bool:
        """Whether the score is among the best share of the newest _RECENT, itself included."""
        self._recent.append(score)
        return self._share >= 1 or score >= float(np.quantile(self._recent, 1 - self._share))
