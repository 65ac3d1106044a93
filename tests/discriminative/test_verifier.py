"""Scorer, lifts and verifier on the marketplace of conftest, served from real memory."""

from dataclasses import replace

import numpy as np
import pytest

from adgram.core import rows
from adgram.core.catalogue import Creative, EncodedItem, Offer
from adgram.core.commit import Commit, Table
from adgram.core.decision import Ad, Candidate, CandidateSource, Outcome
from adgram.core.environment import Environment, Weather
from adgram.core.errors import ArtifactError
from adgram.core.feedback import FeedbackKind, Interaction, UserState
from adgram.core.money import Money, from_units
from adgram.core.ports import Verifier
from adgram.core.request import AdFormat, BidRequest, Device, Impression, Page, Place, Size, Viewer
from adgram.discriminative.features import NAMES, RATES, matrix
from adgram.discriminative.rates import Column, as_of_period, learned
from adgram.discriminative.sight import Sight
from adgram.discriminative.training import log as logs
from adgram.discriminative.verifier import LearnedVerifier, load_verifier
from adgram.memory.snapshot import MemorySnapshot

from .conftest import CATEGORIES, RAIN_LIFT, START, THEME_LIFT, Trained


@pytest.fixture(scope="module")
def memory(trained: Trained) -> MemorySnapshot:
    """The marketplace, its users' histories included, folded into memory."""
    market = trained.marketplace
    table = market.log("interactions").to_pylist()
    states: dict[str, list[Interaction]] = {}
    for row in table:
        contact = Interaction(row["item_id"], FeedbackKind(row["kind"]), row["event_time"])
        states.setdefault(row["user_id"], []).append(contact)
    vector = np.array([1, 0, 0, 0], np.float32).tobytes()
    entries = [
        rows.row(Table.ITEM, item.item_id, EncodedItem(item, (0, 0, n % 4), vector, "t"))
        for n, item in enumerate(market.items())
    ]
    entries += [rows.row(Table.OFFER, offer.item_id, offer) for offer in market.offers()]
    entries += [rows.row(Table.CREATIVE, made.creative_id, made) for made in market.creatives()]
    entries += [rows.row(Table.CAMPAIGN, made.campaign_id, made) for made in market.campaigns()]
    entries += [rows.row(Table.USER, user, UserState(user, tuple(history))) for user, history in states.items()]
    return fold(MemorySnapshot.empty(1), *entries)


def fold(snapshot: MemorySnapshot, *entries) -> MemorySnapshot:
    """The snapshot after one more commit."""
    number = snapshot.version.numbers[0] + 1
    return snapshot.fold(Commit(0, number, 1, number, number, {}, tuple(entries)))


@pytest.fixture(scope="module")
def verifier(trained: Trained) -> LearnedVerifier:
    """The verifier as it is served."""
    return load_verifier(trained.folder)


def request(**changes) -> BidRequest:
    """A request of user u7 from a wet place at the log's end."""
    values = {
        "request_id": "r",
        "impressions": (),
        "viewer": Viewer("u7"),
        "device": Device(4),
        "page": Page("site1.example"),
        "place": Place("CN", "x", "wet"),
        "event_time": START + 7 * 24 * 3600 * 10**9,
        "timeout_ms": 100,
        "currency": "CNY",
    }
    return BidRequest(**{**values, **changes})


def ad(snapshot: MemorySnapshot, creative_id: str, position: int = 1) -> Ad:
    """The ad that shows this creative."""
    made = snapshot.creative(creative_id)
    impression = Impression("1", AdFormat.BANNER, (made.size,), Money(0, "CNY"), position=position)
    candidate = Candidate(made.item_id, (0, 0, 0), None, CandidateSource.GENERATIVE, 1.0)
    return Ad(candidate, made, snapshot.campaign(made.campaign_id), impression)


def many(snapshot: MemorySnapshot, count: int) -> list[Ad]:
    """Ads of different items."""
    return [ad(snapshot, made.creative_id) for made in snapshot.creatives.creatives[:count]]


RAIN = Environment("CN/x/wet", Weather.RAIN, temperature_c=12.0, crowd=1.0)
CLOUDS = replace(RAIN, weather=Weather.CLOUDS)


def test_the_held_out_day_is_predicted_better_than_by_the_base_rate(trained: Trained):
    """Log-loss below the base rate's, a real ranking, and honest on average."""
    click = trained.report.click
    assert click is not None and click.rows > 3000
    assert click.log_loss < click.base_log_loss - 0.01
    assert click.auc > 0.6
    assert 0.9 < click.calibration < 1.1
    convert = trained.report.convert
    assert convert is not None and convert.log_loss < convert.base_log_loss + 0.02


def test_rains_effect_is_found_where_it_is_and_nowhere_else(trained: Trained):
    """Only Umbrellas have lifts, only for rain (which is cooler too), of the size that was put in."""
    lifts = {(lift.category, lift.theme, lift.condition): lift.factor for lift in trained.report.lifts}
    umbrellas = "/".join(CATEGORIES[0])
    assert set(lifts) == {(umbrellas, theme, "rain") for theme in ("*", "plain", "rain")}
    plain = lifts[umbrellas, "*", "rain"] * lifts[umbrellas, "plain", "rain"]
    themed = lifts[umbrellas, "*", "rain"] * lifts[umbrellas, "rain", "rain"]
    assert plain == pytest.approx(RAIN_LIFT, rel=0.15)
    assert themed == pytest.approx(RAIN_LIFT * THEME_LIFT, rel=0.2)


def test_rain_changes_the_value_of_umbrellas_there_and_of_nothing_else(
    verifier: LearnedVerifier, memory: MemorySnapshot
):
    """The lift is exactly 1.0 for other categories, other weather, and the unknown; p_click never moves."""
    ads = [ad(memory, "k0-plain"), ad(memory, "k0-rain"), *(ad(memory, f"k{n}-plain") for n in range(1, 8))]
    wet, dry, unknown = (
        verifier.judge(ads, request(), environment, memory) for environment in (RAIN, CLOUDS, Environment("CN/x/wet"))
    )
    assert [judged.value.p_click for judged in wet] == [judged.value.p_click for judged in dry]
    assert [judged.value.environment_lift for judged in (*dry, *unknown)] == [1.0] * 18
    assert wet[0].value.environment_lift > 1.3
    assert wet[1].value.environment_lift > wet[0].value.environment_lift * 1.2
    assert [judged.value.environment_lift for judged in wet[2:]] == [1.0] * 7


def test_serving_sees_the_features_training_saw(trained: Trained, verifier: LearnedVerifier, memory: MemorySnapshot):
    """Row for row of the log, the live path makes the same numbers."""
    log = logs.read(trained.marketplace)
    table = trained.marketplace.log("impressions").to_pylist()
    rng = np.random.default_rng(3)
    picked = rng.choice(log.rows, 60, replace=False).tolist()
    viewings = replace(log.viewings, rates=np.zeros((log.rows, len(RATES))))
    offline = matrix(log.items, viewings)[picked]
    sight = Sight(verifier._scorer)
    for expected, number in zip(offline, picked, strict=True):
        row = table[number]
        country, region, city = row["place_id"].split("/")
        asked = request(
            viewer=Viewer(row["user_id"]),
            device=Device(row["device_type"]),
            page=Page(row["domain"]),
            place=Place(country, region, city),
            event_time=row["event_time"],
        )
        shown = ad(memory, row["creative_id"], row["position"])
        state = memory.user(row["user_id"])
        history = state.history if state else ()
        seen = sight.items([shown], history, memory)
        live = matrix(seen.facts, sight.viewings([shown], asked, history, seen))[0]
        kept = len(NAMES) - len(RATES)
        np.testing.assert_array_equal(live[:kept], expected[:kept])


def test_rates_of_a_period_know_only_the_periods_before():
    """The first period has the overall rate; a later one what went before; the whole log's rates have all of it."""
    column = Column(["a", "b"], np.array([0, 0, 0, 0, 1, 1]))
    day = np.array([0, 0, 1, 2, 0, 2])
    clicked = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    odds = as_of_period(column, day, np.ones(6), clicked)
    assert odds[0] == odds[1] == odds[4]
    assert odds[2] > odds[3] > odds[0]
    rates = learned(column, np.ones(6), clicked)
    assert rates.of(["nobody"]) == [rates.overall]


def test_child_directed_requests_are_scored_without_the_viewers_history(
    verifier: LearnedVerifier, memory: MemorySnapshot
):
    """Whose child it is makes no difference."""
    ads = many(memory, 10)
    known = verifier.judge(ads, request(child_directed=True), CLOUDS, memory)
    nobody = verifier.judge(ads, request(child_directed=True, viewer=Viewer("")), CLOUDS, memory)
    assert [judged.value for judged in known] == [judged.value for judged in nobody]
    assert [judged.value for judged in known] != [j.value for j in verifier.judge(ads, request(), CLOUDS, memory)]


def claim(snapshot: MemorySnapshot, text: str) -> Creative:
    """The first creative with other words."""
    return replace(snapshot.creatives.creatives[0], text=text)


def test_warming_makes_verdicts_known_and_a_small_change_costs_little(trained: Trained, memory: MemorySnapshot):
    """What is new is judged, what was seen is not read again."""
    verifier: Verifier = load_verifier(trained.folder)
    first = ad(memory, "k0-plain")
    assert verifier.cached_verdict(first, memory) is None
    verifier.warm(memory)
    assert verifier.cached_verdict(first, memory).outcome is Outcome.ALLOW
    later = fold(memory, rows.row(Table.CREATIVE, "k0-plain", claim(memory, "The best in the world")))
    assert verifier.cached_verdict(ad(later, "k0-plain"), later) is None
    verifier.warm(later)
    assert verifier.cached_verdict(ad(later, "k0-plain"), later).outcome is Outcome.BLOCK
    assert verifier.cached_verdict(first, memory).outcome is Outcome.ALLOW


def test_a_changed_price_changes_the_verdict_of_a_price_in_words_at_once(trained: Trained, memory: MemorySnapshot):
    """The cache is keyed by the last change of the item's facts; a stale ALLOW is never served."""
    verifier = load_verifier(trained.folder)
    stated = fold(memory, rows.row(Table.CREATIVE, "k0-plain", claim(memory, "仅需5元")))
    verifier.warm(stated)
    assert verifier.cached_verdict(ad(stated, "k0-plain"), stated).outcome is Outcome.ALLOW
    dearer = fold(stated, rows.row(Table.OFFER, "i0", Offer("i0", from_units(8, "CNY"), 100)))
    assert verifier.cached_verdict(ad(dearer, "k0-plain"), dearer).outcome is Outcome.BLOCK
    assert verifier.judge([ad(dearer, "k0-plain")], request(), CLOUDS, dearer)[0].verdict.outcome is Outcome.BLOCK
    assert verifier.cached_verdict(ad(stated, "k0-plain"), stated).outcome is Outcome.ALLOW


def test_items_that_are_new_since_training_are_scored(verifier: LearnedVerifier, memory: MemorySnapshot):
    """Unseen item, creative, campaign, category, place and device: a probability all the same."""
    item = EncodedItem(replace(memory.item("i0").item, item_id="new", category=("Never", "Seen")), (0, 0, 0), b"", "t")
    made = replace(memory.creatives.creatives[0], creative_id="new", item_id="new", size=Size(1, 2), theme="odd")
    later = fold(memory, rows.row(Table.ITEM, "new", replace(item, vector=memory.item("i0").vector)))
    later = fold(later, rows.row(Table.CREATIVE, "new", made))
    asked = request(place=Place("MARS"), device=Device(99), page=Page(), viewer=Viewer("nobody"))
    value = verifier.judge([ad(later, "new")], asked, RAIN, later)[0].value
    assert 0 < value.p_click < 1 and 0 < value.p_convert < 1
    assert value.environment_lift == 1.0


def test_no_ads_are_judged_to_nothing(verifier: LearnedVerifier, memory: MemorySnapshot):
    """An empty batch is an answer."""
    assert verifier.judge([], request(), RAIN, memory) == ()


def test_a_missing_or_changed_scorer_is_refused_in_one_line(trained: Trained, tmp_path):
    """The message says what to do."""
    with pytest.raises(ArtifactError, match="train"):
        load_verifier(tmp_path)
    for name in ("manifest.json", "tables.json", "click.txt", "convert.txt"):
        (tmp_path / name).write_bytes((trained.folder / name).read_bytes())
    assert set(load_verifier(tmp_path).models) == {"scorer", "policy"}
    (tmp_path / "click.txt").write_text("tree")
    with pytest.raises(ArtifactError, match="changed"):
        load_verifier(tmp_path)
