"""Scenarios, people's reactions, and the page that tells of them."""

import asyncio
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from adgram.core.errors import ConfigError, MarketplaceError
from adgram.core.exchange import Answer, Notice, OfferedBid
from adgram.core.marketplace import Marketplace
from adgram.core.money import Money
from adgram.core.request import BidRequest, Size
from adgram.programs.simulate import Course, play
from adgram.simulator.agenda import Reading
from adgram.simulator.checks import checks_of, failed
from adgram.simulator.loop import Pace
from adgram.simulator.market_maker import MarketMaker, Offering, Terms, busiest
from adgram.simulator.report import EngineStats, Report
from adgram.simulator.scenario import make_agenda, scenario_named, shocked
from adgram.simulator.summary import summarise
from adgram.simulator.tally import Tally
from adgram.simulator.world import World

TERMS = Terms("CNY", 50, 2)


class FirstFittingBidder:
    """Bids one yuan per mille (or the floor) on the first creative that fits."""

    def __init__(self, market: Marketplace) -> None:
        self._by_slot = {(c.format, c.size): c for c in reversed(market.creatives())}
        self.notices: list[Notice] = []

    async def bid(self, request: BidRequest) -> Answer:
        slot = request.impressions[0]
        ad = self._by_slot[slot.format, slot.sizes[0] if slot.sizes else Size(0, 0)]
        price = max(Money(1_000_000, "CNY"), slot.reserve_price)
        bid = OfferedBid(
            f"b-{request.request_id}", "1", price, ad.item_id, ad.creative_id, ad.campaign_id, ad.adomain,
            ad.size.width, ad.size.height, "",
        )  # fmt: skip
        return Answer(request.request_id, f"d-{request.request_id}", (bid,), None)

    async def notify(self, notice: Notice) -> None:
        self.notices.append(notice)


def _play(market: Marketplace, **changes: object) -> Report:
    course = replace(Course(requests=600, pace=Pace(in_flight=1, strict_timeout=False)), **changes)  # type: ignore[arg-type]
    return asyncio.run(play(market, FirstFittingBidder(market), course, b"secret", None))


def _comparable(tally: Tally) -> list[object]:
    return [(r.request_id, r.bids) for r in tally.requests] + list(tally.reactions)


def test_the_same_seed_plays_the_same_simulation(small_world: Marketplace) -> None:
    """Auctions and reactions repeat exactly; another seed's differ."""
    first, again, other = (_play(small_world, seed=seed).tally for seed in (1, 1, 2))
    assert _comparable(first) == _comparable(again)
    assert _comparable(first) != _comparable(other)


def test_how_many_are_in_flight_changes_no_outcome(small_world: Marketplace) -> None:
    """Rivals and reactions belong to the request, not to the order in which answers come."""
    one = _play(small_world)
    many = _play(small_world, pace=Pace(in_flight=16, strict_timeout=False))
    assert sorted(r.bids[0].clearing_micros for r in one.tally.requests) == sorted(
        r.bids[0].clearing_micros for r in many.tally.requests
    )
    assert summarise(one.tally).clicks == summarise(many.tally).clicks


def test_the_peak_is_the_busiest_stretch(small_world: Marketplace) -> None:
    """No other stretch of as many requests is shorter."""
    times = np.array([offering.request.event_time for offering in MarketMaker(small_world, TERMS).all()])
    peak = [offering.request.event_time for offering in MarketMaker(small_world, TERMS).peak(300)]
    assert len(peak) == 300
    assert peak[-1] - peak[0] == min(times[299:] - times[:-299])
    assert busiest(np.array([0, 10, 11, 12, 30]), 3) == 1


def test_requests_carry_the_slot_the_floor_and_the_place(small_world: Marketplace) -> None:
    """What the traffic says is what is asked."""
    offering = next(MarketMaker(small_world, TERMS).all())
    row = small_world.log("traffic").to_pylist()[0]
    request, slot = offering.request, offering.request.impressions[0]
    assert (request.request_id, request.event_time) == (row["request_id"], row["event_time"])
    assert request.place.place_id == "/".join((row["country"], row["region"], row["city"]))
    assert slot.reserve_price == Money(row["reserve_price_micros"], "CNY")
    assert [(size.width, size.height) for size in slot.sizes] == (
        [(row["width"], row["height"])] if row["width"] else []
    )
    assert request.viewer.user_key == offering.user_id == row["user_id"]


def _peak(market: Marketplace) -> list[Offering]:
    return list(MarketMaker(market, TERMS).peak(600))


def test_a_rain_shock_wets_one_place_and_no_other(small_world: Marketplace) -> None:
    """The shocked climate differs only there, only from the shock on, and its readings say so."""
    world = World.open(small_world, seed=1)
    offerings = _peak(small_world)
    scenario = scenario_named("rain", world.climate, offerings)
    after = shocked(world.climate, scenario, offerings)
    changed = np.argwhere(after.weather != world.climate.weather)
    place = after.place_index(scenario.shocks[0].place_id)
    assert len(changed)
    assert set(changed[:, 0]) == {place}
    assert changed[:, 1].max() - changed[:, 1].min() < 6
    assert np.array_equal(after.temperature_c, world.climate.temperature_c)
    agenda = make_agenda(offerings, after)
    told = [due for due in (agenda.pop() for _ in range(len(agenda))) if isinstance(due.happening, Reading)]
    assert len(told) >= len(after.place_ids)
    for due in told:
        assert isinstance(due.happening, Reading)
        reading = due.happening.reading
        assert reading.weather is after.at(reading.place_id, due.at).weather
        assert reading.expires > due.at


def test_a_crowd_shock_fills_one_place_and_no_other(small_world: Marketplace) -> None:
    """Only the crowd of that place changes, to what the shock says."""
    world = World.open(small_world, seed=1)
    offerings = _peak(small_world)
    scenario = scenario_named("crowd", world.climate, offerings)
    after = shocked(world.climate, scenario, offerings)
    changed = np.argwhere(after.crowd != world.climate.crowd)
    assert {int(place) for place in changed[:, 0]} == {after.place_index(scenario.shocks[0].place_id)}
    assert after.at(scenario.shocks[0].place_id, offerings[-1].request.event_time).crowd == 2.5
    assert np.array_equal(after.weather, world.climate.weather)


def test_rain_makes_umbrellas_clicked_where_it_falls(small_world: Marketplace) -> None:
    """The truth moves with the weather of the place, in the sensitive category only."""
    world = World.open(small_world, seed=1)
    offerings = _peak(small_world)
    scenario = scenario_named("rain", world.climate, offerings)
    wet = world.under(shocked(world.climate, scenario, offerings))
    creatives = {creative.item_id: creative for creative in small_world.creatives() if creative.theme == "plain"}
    by_leaf = {item.category[1]: creatives[item.item_id] for item in small_world.items()}
    late = offerings[-1]
    here = next(o for o in reversed(offerings) if o.request.place.place_id == scenario.shocks[0].place_id)
    elsewhere = next(o for o in reversed(offerings) if o.request.place != here.request.place)
    assert late.request.event_time >= here.request.event_time
    umbrella, keyboard = by_leaf["Umbrellas"], by_leaf["Keyboards"]

    def lift(offering: Offering, creative_id: str, item_id: str) -> float:
        return wet.p_click(offering, item_id, creative_id) / world.p_click(offering, item_id, creative_id)

    assert lift(here, umbrella.creative_id, umbrella.item_id) > 1.5
    assert lift(here, keyboard.creative_id, keyboard.item_id) == pytest.approx(1.0)
    assert lift(elsewhere, umbrella.creative_id, umbrella.item_id) == pytest.approx(1.0)


def test_strangers_and_unknown_ads_get_no_reaction(small_world: Marketplace) -> None:
    """What the truth does not know is never clicked."""
    world = World.open(small_world, seed=1)
    offering = replace(_peak(small_world)[0], user_id="nobody")
    assert world.p_click(offering, small_world.items()[0].item_id, small_world.creatives()[0].creative_id) == 0.0


def test_scenarios_say_what_they_need(small_world: Marketplace, tmp_path: Path) -> None:
    """An unknown name, weather without a world and a marketplace without truth are one clear line each."""
    with pytest.raises(ConfigError, match="no scenario 'storm'; there are peak, day, rain, crowd"):
        scenario_named("storm", None, _peak(small_world))
    with pytest.raises(ConfigError, match="needs a world's weather"):
        scenario_named("rain", None, _peak(small_world))
    (tmp_path / "marketplace.json").write_bytes((small_world.folder / "marketplace.json").read_bytes())
    with pytest.raises(MarketplaceError, match="no truth in"):
        World.open(Marketplace(tmp_path), seed=1)


def test_the_page_needs_nothing_but_itself(small_world: Marketplace, tmp_path: Path) -> None:
    """It is small, fetches nothing, escapes what it shows, and has a picture for every part that was counted."""
    told = _play(small_world, scenario="rain")
    stats = EngineStats({"generative": 40, "memory": 20}, {"match/<no size>": 3}, {"learned": 9}, {"BELOW_RESERVE": 2})
    page = tmp_path / "deep" / "report.html"
    replace(told, stats=stats).write_html(page)
    text = page.read_text()
    assert len(text) < 1_000_000
    assert not any(word in text for word in ("src=", "<script", "<link", "@import", 'href="http'))
    assert text.count("<svg") == 9
    assert "match/&lt;no size&gt;" in text
    assert "win rate" in text


def test_the_table_tells_the_figures(small_world: Marketplace) -> None:
    """Requests, rates, money, latency and the engine's counts are all there; an empty tally does not break it."""
    told = replace(_play(small_world), stats=EngineStats(tiers={"fallback": 7}, lateness={"proposer late": 7}))
    out = StringIO()
    Console(file=out, width=160).print(told.table())
    figures = told.summary
    assert f"{figures.win_rate:.1%}" in out.getvalue()
    assert "fallback 7" in out.getvalue()
    assert "proposer late 7" in out.getvalue()
    assert figures.wins > 0
    assert figures.spend_micros == told.tally.billed_micros
    Console(file=StringIO()).print(Report("nothing", Tally("CNY")).table())


def test_checks_fail_on_what_they_name(small_world: Marketplace) -> None:
    """One constant price is caught; a run with enough prices and no fault would pass the rest."""
    tally = _play(small_world).tally
    by_name = {check.name: check for check in checks_of(tally, summarise(tally))}
    assert not by_name["distinct bid prices"].holds
    assert by_name["requests without an answer"].holds
    assert by_name["bids under their floor"].holds
    assert by_name["spend is the sum of billed clearing prices"].holds
    assert failed(tuple(by_name.values()))
