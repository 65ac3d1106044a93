"""What a simulation puts a bidder through: which traffic, which weather, at what pace."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.clock import NS_PER_HOUR
from ..core.environment import EnvironmentReading
from ..core.errors import ConfigError
from .agenda import Agenda, Arrival, Reading
from .market.climate import CLOUDS, SUN, Climate
from .market_maker import Offering

READING_LIFE_NS = 3 * NS_PER_HOUR  # readings come hourly; after two are missed nothing is known any more


@dataclass(frozen=True, slots=True)
class RainShock:
    """Rain in one place, from a share of the traffic's span on, for so many hours."""

    place_id: str
    at_share: float
    hours: int


@dataclass(frozen=True, slots=True)
class CrowdShock:
    """A crowd in one place, `crowd` times the usual."""

    place_id: str
    at_share: float
    hours: int
    crowd: float


Shock = RainShock | CrowdShock


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named course of things. `peak` takes the busiest stretch of traffic instead of all."""

    name: str
    in_words: str
    peak: bool
    shocks: tuple[Shock, ...] = ()


NAMES = ("peak", "day", "rain", "crowd")


def scenario_named(name: str, climate: Climate | None, offerings: Sequence[Offering]) -> Scenario:
    """One of NAMES, its shocks laid into the place with most traffic that fits; ConfigError for another name."""
    if name in ("peak", "day"):
        words = {"peak": "the busiest stretch of the traffic", "day": "all traffic in order"}
        return Scenario(name, words[name], peak=name == "peak")
    if name not in NAMES:
        raise ConfigError(f"no scenario {name!r}; there are {', '.join(NAMES)}")
    if climate is None:
        raise ConfigError(f"scenario {name!r} needs a world's weather; make one with `adgram world`")
    place_id = _busiest_dry_place(climate, offerings)
    shock: Shock = RainShock(place_id, 0.5, 6) if name == "rain" else CrowdShock(place_id, 0.5, 6, crowd=2.5)
    what = "it rains" if name == "rain" else "a crowd gathers"
    return Scenario(name, f"the busiest stretch; half-way through {what} in {place_id}", peak=True, shocks=(shock,))


def _busiest_dry_place(climate: Climate, offerings: Sequence[Offering]) -> str:
    seen: dict[str, int] = {}
    for offering in offerings:
        place_id = offering.request.place.place_id
        place = climate.place_index(place_id)
        if place is None:
            continue
        if climate.weather[place, climate.hour_of(offering.request.event_time)] in (SUN, CLOUDS):
            seen[place_id] = seen.get(place_id, 0) + 1
    if not seen:
        raise ConfigError("it rains everywhere in this stretch of traffic; take another seed")
    return max(sorted(seen), key=lambda place_id: seen[place_id])


def shocked(climate: Climate, scenario: Scenario, offerings: Sequence[Offering]) -> Climate:
    """The climate with the scenario's shocks in it. Weather is hourly: a shock begins with the first full hour at or
    after its time, or, where the traffic ends before that, with the hour it falls into."""
    first, last = offerings[0].request.event_time, offerings[-1].request.event_time
    for shock in scenario.shocks:
        wanted = first + int((last - first) * shock.at_share)
        full_hour = -(-wanted // NS_PER_HOUR) * NS_PER_HOUR
        at = full_hour if full_hour < last else wanted
        if isinstance(shock, RainShock):
            climate = climate.with_rain(shock.place_id, at, shock.hours)
        else:
            climate = climate.with_crowd(shock.place_id, at, shock.hours, shock.crowd)
    return climate


def make_agenda(offerings: Iterable[Offering], climate: Climate | None) -> Agenda:
    """Requests at their times and, where there is weather, a reading of every place at the start and at every full
    hour."""
    agenda = Agenda()
    times = []
    for offering in offerings:
        times.append(offering.request.event_time)
        agenda.add(offering.request.event_time, Arrival(offering))
    if climate is not None and times:
        first, last = min(times), max(times)
        for at in (first, *range(-(-first // NS_PER_HOUR) * NS_PER_HOUR, last + 1, NS_PER_HOUR)):
            for place_id in climate.place_ids:
                agenda.add(at, Reading(_reading(climate, place_id, at)))
    return agenda


def _reading(climate: Climate, place_id: str, at: int) -> EnvironmentReading:
    now = climate.at(place_id, at)
    return EnvironmentReading(place_id, now.weather, now.temperature_c, now.crowd, expires=at + READING_LIFE_NS)
