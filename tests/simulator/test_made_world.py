"""A made world is the same for the same seed, is like the real data, and hides what it must."""

import filecmp
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from adgram.core.catalogue import Objective
from adgram.core.environment import Weather
from adgram.core.marketplace import SCHEMAS, Marketplace
from adgram.core.request import AdFormat
from adgram.simulator.market.figures import (
    AVAZU_CLICK_RATE,
    BEAUTY_TAIL,
    FEN_MICROS,
    PRICE_QUANTILES_2997,
    SEATTLE_WET_SHARE,
)
from adgram.simulator.market.generator import START, WorldSettings, make_world
from adgram.simulator.market.measures import popularity_tail
from adgram.simulator.market.truth import Truth
from adgram.simulator.market.vocabulary import KINDS

SIZES = WorldSettings(seed=3, items=600, users=500, days=4, impressions=12_000, requests=3_000)


@pytest.fixture(scope="module")
def full_world(tmp_path_factory: pytest.TempPathFactory) -> Marketplace:
    """A world of the default size, on which figures are measured."""
    folder = tmp_path_factory.mktemp("full")
    make_world(WorldSettings(seed=11), folder, lambda part: None)
    return Marketplace(folder)


def test_the_same_seed_makes_the_same_world_byte_for_byte(small_world: Marketplace, tmp_path: Path) -> None:
    """Every file is equal, the truth included; another seed differs."""
    make_world(SIZES, tmp_path / "again", lambda part: None)
    files = sorted(path.relative_to(small_world.folder) for path in small_world.folder.rglob("*") if path.is_file())
    assert len(files) == 15
    for file in files:
        assert filecmp.cmp(small_world.folder / file, tmp_path / "again" / file, shallow=False), file
    make_world(WorldSettings(4, 600, 500, 4, 12_000, 3_000), tmp_path / "other", lambda part: None)
    assert not filecmp.cmp(small_world.folder / "items.jsonl", tmp_path / "other" / "items.jsonl", shallow=False)


def test_its_click_rate_is_that_of_avazu(full_world: Marketplace) -> None:
    """Within half a percentage point: the standard error over 150,000 impressions is 0.1 points."""
    clicked = np.asarray(full_world.log("impressions").column("clicked"))
    assert clicked.mean() == pytest.approx(AVAZU_CLICK_RATE, abs=0.005)


def test_its_popularity_tail_is_that_of_beauty(full_world: Marketplace) -> None:
    """Shares of the top items within 4 points, Gini within 0.05: seeds differ by less than half of that."""
    ids = {item.item_id: n for n, item in enumerate(full_world.items())}
    shown = [ids[item] for item in full_world.log("interactions").column("item_id").to_pylist()]
    tail = popularity_tail(np.bincount(shown, minlength=len(ids)))
    assert tail.top_1_percent == pytest.approx(BEAUTY_TAIL.top_1_percent, abs=0.04)
    assert tail.top_10_percent == pytest.approx(BEAUTY_TAIL.top_10_percent, abs=0.04)
    assert tail.gini == pytest.approx(BEAUTY_TAIL.gini, abs=0.05)


def test_its_market_prices_are_those_of_campaign_2997(full_world: Marketplace) -> None:
    """Each quantile within 5 % or one fen."""
    fen = np.asarray(full_world.log("traffic").column("market_price_micros")) / FEN_MICROS
    for share, wanted in PRICE_QUANTILES_2997:
        if 0.05 <= share <= 0.95:
            assert np.quantile(fen, share) == pytest.approx(wanted, rel=0.05, abs=1.0)


def test_its_weather_is_as_wet_as_seattle(tmp_path: Path) -> None:
    """Over many days the share of days with rain or snow is Seattle's, within 4 points."""
    from adgram.simulator.market.climate import make_climate

    climate = make_climate(START, 400, np.ones(24), np.random.default_rng(2))
    wet = (climate.weather.reshape(len(climate.place_ids), -1, 24) >= 2).any(axis=2)
    # A wet day may stay dry in all its hours by chance; with rain in 45 % of hours hardly any does.
    assert wet.mean() == pytest.approx(SEATTLE_WET_SHARE, abs=0.04)


def test_every_slot_of_the_traffic_has_creatives_that_fit(small_world: Marketplace) -> None:
    """No size or format is asked for that nobody offers."""
    offered = {(c.format.value, c.size.width, c.size.height) for c in small_world.creatives()}
    traffic = small_world.log("traffic").select(["format", "width", "height"]).to_pylist()
    assert {(row["format"], row["width"], row["height"]) for row in traffic} <= offered


def test_its_parts_refer_to_each_other(small_world: Marketplace) -> None:
    """Creatives name items and campaigns that exist, campaigns advertisers, logs users, items and creatives."""
    items = {item.item_id for item in small_world.items()}
    campaigns = {campaign.campaign_id: campaign for campaign in small_world.campaigns()}
    advertisers = {advertiser.advertiser_id: advertiser for advertiser in small_world.advertisers()}
    creatives = {creative.creative_id: creative for creative in small_world.creatives()}
    users = {user.user_id for user in small_world.users()}
    assert len(creatives) == len(small_world.creatives())
    for creative in creatives.values():
        assert creative.item_id in items
        assert creative.adomain == advertisers[campaigns[creative.campaign_id].advertiser_id].domain
        assert creative.title
        assert creative.text
        assert creative.format is (AdFormat.BANNER if creative.size.width else AdFormat.NATIVE)
    assert {campaign.objective for campaign in campaigns.values()} == set(Objective)
    for row in small_world.log("impressions").to_pylist()[:500]:
        assert creatives[row["creative_id"]].item_id == row["item_id"]
        assert row["user_id"] in users
        assert not (row["converted"] and not row["clicked"])


def test_the_logs_end_where_the_traffic_begins(small_world: Marketplace) -> None:
    """Nothing observable foretells the replayed day: not its weather, not its clicks."""
    begins = min(small_world.log("traffic").column("event_time").to_pylist())
    for log in ("interactions", "impressions", "environment"):
        assert max(small_world.log(log).column("event_time").to_pylist()) < begins
    of_a_running_system = {"bids", "feedback"}
    assert {log for log in SCHEMAS if not small_world.has(log)} == of_a_running_system
    for log in SCHEMAS.keys() - of_a_running_system:
        assert small_world.log(log).schema == SCHEMAS[log]


def test_rain_lifts_clicks_on_umbrellas_and_on_their_rain_scene(full_world: Marketplace) -> None:
    """The log shows the effect where it is true, and none for goods that rain does not touch."""
    table = full_world.log("impressions").to_pylist()
    leaf = {item.item_id: item.category[1] for item in full_world.items()}
    theme = {creative.creative_id: creative.theme for creative in full_world.creatives()}

    def rate(leaves: set[str], weather: bool, scene: str = "plain") -> float:
        hits = [
            row["clicked"]
            for row in table
            if leaf[row["item_id"]] in leaves
            and (row["weather"] == Weather.RAIN) is weather
            and theme[row["creative_id"]] == scene
        ]
        return float(np.mean(hits))

    wet = {"Umbrellas", "Rainwear"}
    unmoved = {kind.leaf for kind in KINDS if not (kind.rain or kind.heat or kind.cold or kind.crowd)}
    assert rate(wet, True) > 1.5 * rate(wet, False)
    assert rate(wet, True, "rain") > rate(wet, True)
    assert rate(wet, False, "rain") < rate(wet, False)
    assert rate(unmoved, True) == pytest.approx(rate(unmoved, False), abs=0.012)


def test_one_thing_leads_to_another(full_world: Marketplace) -> None:
    """What people do next is far likelier of the same kind than chance has it, so that sequences can be learned."""
    leaf = {item.item_id: item.category for item in full_world.items()}
    by_user: dict[str, list[tuple[str, ...]]] = {}
    for row in full_world.log("interactions").to_pylist():
        by_user.setdefault(row["user_id"], []).append(leaf[row["item_id"]])
    steps = [pair for kinds in by_user.values() for pair in pairwise(kinds)]
    same = np.mean([first == second for first, second in steps])
    firsts = [first for first, _ in steps]
    shuffled = np.random.default_rng(1).permutation(len(steps))
    chance = np.mean([firsts[n] == steps[m][1] for n, m in enumerate(shuffled)])
    assert same > 8 * chance


def test_forbidden_words_are_rare_and_listed(small_world: Marketplace) -> None:
    """A few percent of creatives break the law, and the truth knows which."""
    import msgspec

    index = msgspec.json.decode((small_world.folder / "truth" / "index.json").read_bytes())
    share = len(index["forbidden"]) / len(small_world.creatives())
    assert 0.015 < share < 0.05
    texts = {creative.creative_id: creative.text for creative in small_world.creatives()}
    marks = ("best", "No. 1", "cure", "第一", "最好", "根治")
    for creative_id, text in texts.items():
        assert any(mark in text for mark in marks) == (creative_id in index["forbidden"]), text


def test_the_truth_survives_the_disk(small_world: Marketplace, tmp_path: Path) -> None:
    """Saved and loaded, it is the same."""
    truth = Truth.load(small_world.folder / "truth")
    truth.save(tmp_path)
    assert filecmp.cmp(small_world.folder / "truth" / "truth.npz", tmp_path / "truth.npz", shallow=False)


def test_interests_drift(small_world: Marketplace) -> None:
    """From day to day users stay mostly the same, over the days they move."""
    vectors = Truth.load(small_world.folder / "truth").user_vectors
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    next_day = np.einsum("ud,ud->u", unit[:, 0], unit[:, 1]).mean()
    later = np.einsum("ud,ud->u", unit[:, 0], unit[:, -1]).mean()
    assert 0.85 < next_day < 0.999
    assert later < next_day


def test_new_items_are_in_the_catalogue_and_in_no_log(small_world: Marketplace, tmp_path: Path) -> None:
    """Thirty items launched with the traffic have creatives and no past; all the rest of the catalogue is as it was."""
    make_world(replace(SIZES, new_items=30), tmp_path / "w", lambda part: None)
    world = Marketplace(tmp_path / "w")
    met = {*world.log("interactions")["item_id"].to_pylist(), *world.log("impressions")["item_id"].to_pylist()}
    unmet = [item for item in world.items() if item.item_id not in met]
    assert len(unmet) == 30
    assert all(item.popularity == 0 for item in unmet)
    assert {item.item_id for item in unmet} <= {creative.item_id for creative in world.creatives()}
    before = {item.item_id: item for item in small_world.items()}
    assert all(item == before[item.item_id] for item in world.items() if item.item_id in met)
