"""Spreads each campaign's daily budget over the hours it runs."""

from dataclasses import dataclass

from ..core.catalogue import Campaign, Schedule
from ..core.clock import NS_PER_HOUR, NS_PER_SECOND

NS_PER_DAY = 24 * NS_PER_HOUR
SLOWEST = 0.05  # a campaign that is ahead still learns prices at a twentieth of its bid
_STEP_NS = NS_PER_SECOND  # a multiplier moves at most once a second of event time
_BACK_OFF, _RECOVER = 0.9, 1.05  # multiplicative both ways; slower up than down, so that spend does not oscillate
_HEAD_START = 0.02  # of the day's budget may be spent ahead of plan: the first minutes need not wait


def day_of(event_time: int) -> int:
    """The UTC day number of a time in ns."""
    return event_time // NS_PER_DAY


def planned_share(schedule: Schedule, event_time: int) -> float:
    """The share of a day's budget that should be spent by `event_time`, evenly over the scheduled hours; in [0, 1]."""
    hours = schedule.hours or tuple(range(24))
    hour, within = divmod(event_time % NS_PER_DAY, NS_PER_HOUR)
    done = float(sum(scheduled < hour for scheduled in hours))
    if hour in hours:
        done += within / NS_PER_HOUR
    return done / len(hours)


@dataclass(slots=True)
class _Pace:
    multiplier: float
    moved_at: int


class Pacer:
    """Holds a multiplier in [SLOWEST, 1] for every campaign: lowered while spend is ahead of plan, raised while
    behind.
    """

    def __init__(self) -> None:
        self._paces: dict[str, _Pace] = {}

    def current(self, campaign_id: str) -> float:
        """The campaign's multiplier as it stands; asking changes nothing."""
        pace = self._paces.get(campaign_id)
        return pace.multiplier if pace else 1.0

    def multiplier(self, campaign: Campaign, spent_micros: int, event_time: int) -> float:
        """The campaign's multiplier at `event_time`, given what it has spent and reserved today."""
        pace = self._paces.setdefault(campaign.campaign_id, _Pace(1.0, event_time))
        if event_time - pace.moved_at >= _STEP_NS:
            budget = campaign.daily_budget.micros
            plan = min(planned_share(campaign.schedule, event_time) + _HEAD_START, 1.0) * budget
            factor = _BACK_OFF if spent_micros > plan else _RECOVER
            pace.multiplier = min(max(pace.multiplier * factor, SLOWEST), 1.0)
            pace.moved_at = event_time
        return pace.multiplier
