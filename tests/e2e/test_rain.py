"""Rain: prices and creatives move where feedback showed that they should, and nowhere else."""

import pytest

from adgram.core.catalogue import Item
from adgram.core.environment import Weather
from adgram.core.request import Place, Size
from adgram.proto import bidding_pb2 as wire

pytestmark = pytest.mark.e2e
SIZE = Size(112, 112)
HERE, ELSEWHERE = Place("CN", "here", "wet"), Place("CN", "elsewhere", "dry")


def prices(record: wire.DecisionRecord) -> dict[str, int]:
    """What each creative considered would have bid."""
    return {ad.creative_id: ad.bid_price_micros for ad in record.tiers[0].considered}


def test_rain_changes_price_and_creative_only_here_and_only_of_what_it_moves(scene, eventually) -> None:
    """An umbrella's price rises and its rainy creative takes over in the rain's place; the same umbrella elsewhere,
    and toys
    that nobody buys for the rain, cost the same to the micro. The lift comes from the impressions log, through
    training."""
    scene.advertise(Item("rain-umbrella", "Folding Umbrella", ("Outdoor", "Umbrellas")), SIZE, "wet", ("plain", "rain"))
    scene.advertise(Item("rain-toy", "Wooden Blocks", ("Kids", "Building Toys")), SIZE, "dry")
    for place in (HERE, ELSEWHERE):
        scene.weather(place, Weather.SUN)
    scene.flush()

    def record(place: Place) -> wire.DecisionRecord:
        return scene.explained(scene.request(SIZE, place))

    eventually(lambda: record(HERE).environment.weather == "sun" and record(HERE).admitted["1"] == 2, 10)
    eventually(lambda: record(ELSEWHERE).environment.weather == "sun", 10)
    dry_here, dry_elsewhere = prices(record(HERE)), prices(record(ELSEWHERE))
    scene.weather(HERE, Weather.RAIN)
    scene.flush()
    eventually(lambda: record(HERE).environment.weather == "rain", 10)
    wet = record(HERE)
    wet_here = prices(wet)

    assert wet_here["rain-umbrella-rain"] > 1.2 * dry_here["rain-umbrella-rain"]
    umbrella = ("rain-umbrella-plain", "rain-umbrella-rain")
    assert max(umbrella, key=dry_here.__getitem__) == "rain-umbrella-plain"
    assert max(umbrella, key=wet_here.__getitem__) == "rain-umbrella-rain"
    assert wet_here["rain-toy-plain"] == dry_here["rain-toy-plain"]
    assert prices(record(ELSEWHERE)) == dry_elsewhere
    chosen = wet.bids[0].ad
    assert chosen.creative_id == "rain-umbrella-rain" and chosen.environment_lift > 1.2
    assert "environment" in [step.name for step in chosen.steps]
