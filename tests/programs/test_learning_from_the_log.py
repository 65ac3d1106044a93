"""A running system's own log becomes a marketplace to train on."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adgram.core.catalogue import Creative, Item
from adgram.core.decision import (
    CandidateSource,
    ChosenAd,
    ConsideredAd,
    DecisionRecord,
    Outcome,
    Value,
    Verdict,
)
from adgram.core.environment import Environment, Weather
from adgram.core.errors import ConfigError, MarketplaceError
from adgram.core.event import Event, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.core.marketplace import Manifest, Marketplace, write_manifest
from adgram.core.money import Money
from adgram.core.request import AdFormat, BidRequest, Device, Impression, Page, Place, Size, Viewer
from adgram.generative.training.sequences import user_sequences
from adgram.programs.learning_log import LogReport, read_into
from adgram.proto import events
from adgram.streaming.config import StreamingConfig
from adgram.streaming.log import KafkaPublisher
from adgram.streaming.topics import ensure_topics

CREATIVE = Creative("c1", "i1", "k1", AdFormat.BANNER, Size(300, 250), "t", "x", "https://a.example", "a.example")
ITEMS = [Event(f"i{row}@1", 1, f"i{row}", Item(f"i{row}", f"thing {row}")) for row in range(3)]


def decision(bid_id: str, search: str = "", test: bool = False, propensity: float = 0.25) -> DecisionRecord:
    """A decision for one slot, won by the creative c1 of the item i1."""
    money = Money(100, "CNY")
    slot = Impression("1", AdFormat.BANNER, (Size(320, 50),), money, position=2)
    request = BidRequest(
        request_id=f"r-{bid_id}",
        impressions=(slot,),
        viewer=Viewer("u1"),
        device=Device(4, "Android"),
        page=Page("news.example", search=search),
        place=Place("CN", city="Beijing"),
        event_time=5,
        timeout_ms=50,
        test=test,
    )
    ad = ConsideredAd("i1", "c1", "k1", CandidateSource.GENERATIVE, Verdict(Outcome.ALLOW), Value(0.1, 0.01), 100, ())
    return DecisionRecord(
        decision_id=f"d-{bid_id}",
        decided_at=10,
        request=request,
        version=(1,),
        watermark=1,
        environment=Environment("CN/Beijing", Weather.RAIN, 12.0),
        models={},
        rules=(),
        stops=(),
        pacing={},
        tiers=(),
        bids=(ChosenAd(bid_id, "1", ad),),
        no_bid_reason=None,
        propensity={"1": propensity},
        step_ms={},
        took_ms=1.0,
    )


def feedback(kind: FeedbackKind, at: int, user: str = "", item: str = "", bid: str = "", price: int = 0) -> Event:
    value = Feedback(kind, user, item, bid_id=bid, price_micros=price)
    return Event(f"{kind}-{at}-{bid}", at, user or item or "nobody", value)


def records(*told: tuple[Topic, Event | DecisionRecord | bytes]) -> list[tuple[Topic, bytes]]:
    """As the log holds them."""
    return [
        (
            topic,
            one
            if isinstance(one, bytes)
            else events.encode(one)
            if isinstance(one, Event)
            else msgspec.json.encode(one),
        )
        for topic, one in told
    ]


def read(folder: Path, told: Iterable[tuple[Topic, bytes]], trails: tuple[Path, ...] = ()) -> LogReport:
    return read_into(folder, told, trails, 100_000, lambda count: None)


CATALOGUE = [*((Topic.ITEMS, one) for one in ITEMS), (Topic.CREATIVES, Event("c1@1", 1, "c1", CREATIVE))]


def test_bids_and_what_followed_become_impressions(tmp_path: Path):
    """A bid that was billed is an impression at its price, with its click; what was never shown is none; a test request
    leaves nothing; the propensity is kept with every bid."""
    report = read(
        tmp_path,
        records(
            *CATALOGUE,
            (Topic.FEEDBACK, feedback(FeedbackKind.WIN, 11, bid="b1", price=70)),
            (Topic.FEEDBACK, feedback(FeedbackKind.BILLING, 12, bid="b1", price=70)),
            (Topic.FEEDBACK, feedback(FeedbackKind.CLICK, 13, "u1", "i1", "b1")),
            (Topic.FEEDBACK, feedback(FeedbackKind.LOSS, 11, bid="b2")),
            (Topic.DECISIONS, decision("b1")),
            (Topic.DECISIONS, decision("b2")),
            (Topic.DECISIONS, decision("b3", test=True)),
        ),
    )
    opened = Marketplace(tmp_path)
    (shown,) = opened.log("impressions").to_pylist()
    assert (shown["clearing_price_micros"], shown["clicked"], shown["converted"]) == (70, True, False)
    assert (shown["width"], shown["position"], shown["weather"], shown["domain"]) == (300, 2, "rain", "news.example")
    bids = {row["bid_id"]: row["propensity"] for row in opened.log("bids").to_pylist()}
    assert bids == {"b1": 0.25, "b2": 0.25}
    assert [item.item_id for item in opened.items()] == ["i0", "i1", "i2"]
    assert report == LogReport(items=3, feedback=4, bids=2, interactions=1, impressions=1, passed_over=0)


def test_a_click_that_names_only_its_bid_is_whose_and_what_the_bid_says(tmp_path: Path):
    """User and item come from the bid; a click of nobody on nothing is no interaction; after a search it is one of its
    needs, too."""
    told = records(
        *CATALOGUE,
        (Topic.FEEDBACK, feedback(FeedbackKind.CLICK, 13, bid="b1")),
        (Topic.FEEDBACK, feedback(FeedbackKind.CLICK, 14, bid="unheard of")),
        (Topic.DECISIONS, decision("b1", search="light shoes")),
    )
    read(tmp_path, told)
    (interaction,) = Marketplace(tmp_path).log("interactions").to_pylist()
    assert (interaction["user_id"], interaction["item_id"], interaction["kind"]) == ("u1", "i1", "click")
    (search,) = Marketplace(tmp_path).log("searches").to_pylist()
    assert (search["need"], search["item_id"]) == ("light shoes", "i1")
    assert not Marketplace(tmp_path).has("impressions")


def test_the_newest_of_each_row_is_the_catalogue(tmp_path: Path):
    """A later event replaces, a deletion removes, one that comes late says nothing."""
    read(
        tmp_path,
        records(
            *CATALOGUE,
            (Topic.ITEMS, Event("i0@9", 9, "i0", Item("i0", "better"))),
            (Topic.ITEMS, Event("i0@5", 5, "i0", Item("i0", "older"))),
            (Topic.ITEMS, Event("i2@9", 9, "i2", None)),
        ),
    )
    assert [(item.item_id, item.title) for item in Marketplace(tmp_path).items()] == [
        ("i0", "better"),
        ("i1", "thing 1"),
    ]


def test_reading_again_adds_and_repeats_nothing(tmp_path: Path):
    """What the log no longer keeps stays in the folder, what it says again changes nothing, and what it says in
    another order gives the same files."""
    first = [
        *CATALOGUE,
        (Topic.FEEDBACK, feedback(FeedbackKind.CLICK, 13, "u1", "i1", "b1")),
        (Topic.DECISIONS, decision("b1")),
    ]
    later = [
        (Topic.FEEDBACK, feedback(FeedbackKind.BILLING, 20, bid="b1", price=5)),
        (Topic.FEEDBACK, feedback(FeedbackKind.CLICK, 13, "u1", "i1", "b1")),
        (Topic.FEEDBACK, feedback(FeedbackKind.VISIT, 21, "u2", "i2")),
    ]
    read(tmp_path / "twice", records(*first))
    report = read(tmp_path / "twice", records(*later))
    assert (report.interactions, report.impressions, report.feedback) == (2, 1, 3)
    read(tmp_path / "once", records(*CATALOGUE, *reversed(later), *reversed(first[len(CATALOGUE) :])))
    for path in (tmp_path / "once").iterdir():
        if path.suffix in (".jsonl", ".parquet"):
            assert path.read_bytes() == (tmp_path / "twice" / path.name).read_bytes(), path.name


def test_records_that_say_nothing_sound_are_counted(tmp_path: Path):
    """Nonsense on any topic stops nobody."""
    nonsense = [(topic, b"\xff{") for topic in (Topic.ITEMS, Topic.FEEDBACK, Topic.DECISIONS)]
    report = read(tmp_path, records(*CATALOGUE, *nonsense))
    assert (report.items, report.passed_over) == (3, 3)


def test_decisions_on_an_engines_disk_are_read_too(tmp_path: Path):
    """The trail's whole lines count, the one that a kill cut short does not, and a folder without any is named."""
    trail = tmp_path / "trail"
    trail.mkdir()
    whole, cut = (msgspec.json.encode(decision(bid)) for bid in ("b1", "b2"))
    (trail / "decisions-00000001.jsonl").write_bytes(whole + b"\n" + cut[:50])
    told = records(*CATALOGUE, (Topic.FEEDBACK, feedback(FeedbackKind.BILLING, 12, bid="b1")))
    report = read(tmp_path / "market", told, (trail,))
    assert (report.bids, report.impressions, report.passed_over) == (1, 1, 0)
    with pytest.raises(MarketplaceError, match="no decision records"):
        read(tmp_path / "market", told, (tmp_path,))


def test_a_marketplace_of_another_origin_is_not_written_over(tmp_path: Path):
    """Reading the log into a made or imported marketplace is refused, and leaves it as it was."""
    write_manifest(tmp_path, Manifest("world", "CNY", "made", 1))
    with pytest.raises(MarketplaceError, match="name another folder"):
        read(tmp_path, records(*CATALOGUE))
    assert Marketplace(tmp_path).manifest.name == "world"


def test_a_trail_without_the_log_is_a_mistake(adgram_here, tmp_path: Path):
    """A trail alone holds no feedback, so nothing could be learned from it."""
    failed = adgram_here("train", tmp_path, "--trail", tmp_path)
    assert isinstance(failed.exception, ConfigError)
    assert "--from-log" in str(failed.exception)


def test_a_running_system_trains_itself(local_broker: str, topic_prefix: str, adgram_here, tmp_path: Path):
    """Events published to a broker become a marketplace and trained artefacts of every stage; read again after more
    clicks, what they change is trained anew."""
    config = StreamingConfig(bootstrap=local_broker, topic_prefix=topic_prefix, shards=2)
    ensure_topics(config)
    publisher, rng = KafkaPublisher(config), np.random.default_rng(0)
    for row in range(40):
        item = Item(f"i{row}", f"thing number {row}", ("things",))
        publisher.publish(Topic.ITEMS, Event(f"i{row}", 1, item.item_id, item))
    publisher.publish(Topic.CREATIVES, Event("c1@1", 1, "c1", CREATIVE), "i1")

    def walks(users: range) -> None:
        for user in users:
            place = int(rng.integers(40))
            for step in range(8):
                click = Feedback(FeedbackKind.CLICK, f"key{user}", f"i{place}")
                publisher.publish(Topic.FEEDBACK, Event(f"e{user}-{step}", 100 + step, f"key{user}", click))
                place = (place + int(rng.integers(1, 3))) % 40
        publisher.flush(20.0)

    walks(range(60))
    publisher.publish_decision("d-b1", msgspec.json.encode(decision("b1")))
    publisher.publish(Topic.FEEDBACK, replace(feedback(FeedbackKind.BILLING, 12, item="i1", bid="b1"), key="i1"))
    publisher.flush(20.0)
    where = ("--from-log", "--bootstrap", local_broker, "--prefix", topic_prefix, "--shards", 2)
    models = ("--models", tmp_path / "models", "--minutes", 0.05)
    stages = [word for name in ("content", "tokenizer", "decoder", "preference") for word in ("--stage", name)]
    trained = adgram_here("train", tmp_path / "log", *where, *models, *stages)
    assert trained.exception is None, trained.exception
    assert "40 items, 480 interactions" in " ".join(trained.output.split())
    assert "neighbour recall" in trained.output
    market = Marketplace(tmp_path / "log")
    assert len(user_sequences(market)) == 60
    assert all(user.user_id.startswith("key") for user in user_sequences(market))
    assert market.log("bids").to_pylist()[0]["propensity"] == 0.25
    assert (tmp_path / "models" / "decoder" / "manifest.json").is_file()
    again = adgram_here("train", tmp_path / "log", *where, *models, *stages)
    assert again.output.count("up to date") == 4
    walks(range(60, 70))
    publisher.close()
    more = adgram_here("train", tmp_path / "log", *where, *models, *stages)
    assert "70" in more.output
    assert more.output.count("up to date") == 1  # the content: no item changed
