"""The commands around ingest, as a person runs them: what they print, and how they fail."""

import subprocess
import sys

import msgspec
import pytest

from adgram.core.catalogue import Advertiser, Item, Offer
from adgram.core.event import Topic
from adgram.core.marketplace import Manifest, Marketplace, write_entities, write_log, write_manifest
from adgram.core.money import Money
from adgram.core.pseudonym import Pseudonymiser
from adgram.programs import publishing


def _adgram(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "adgram", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def marketplace(tmp_path):
    folder = tmp_path / "market"
    write_entities(folder, "advertisers", [Advertiser("a", "A", "a.example")])
    write_entities(folder, "items", [Item("i1", "one"), Item("i2", "two")])
    write_entities(folder, "offers", [Offer("i1", Money(5, "CNY"), 3)])
    write_entities(folder, "campaigns", [])
    write_entities(folder, "creatives", [])
    columns = {"event_time": [5, 6], "user_id": ["bob", "mallory"], "item_id": ["i1", "i2"], "kind": ["click", "visit"]}
    write_log(folder, "interactions", columns)
    write_manifest(folder, Manifest("tiny", "CNY", "made by hand", 1))
    return folder


def test_people_are_published_under_pseudonyms_only(marketplace):
    """No raw user id is in any event, and an event's key is its user's pseudonym."""
    told = list(publishing.history(Marketplace(marketplace), Pseudonymiser(b"secret")))
    assert [one.event.value.item_id for one in told] == ["i1", "i2"]
    assert all(one.event.key == one.event.value.user_key for one in told)
    assert not any(
        b"bob" in msgspec.json.encode(one.event) or b"mallory" in msgspec.json.encode(one.event) for one in told
    )


def test_a_catalogue_is_published_whole_with_advertisers_first(marketplace):
    """Each entity is one event on its own topic, and publishing again gives the same event ids."""
    first, again = (list(publishing.catalogue(Marketplace(marketplace), time)) for time in (7, 8))
    assert [(one.topic, one.event.key) for one in first] == [
        (Topic.ADVERTISERS, "a"),
        (Topic.ITEMS, "i1"),
        (Topic.ITEMS, "i2"),
        (Topic.OFFERS, "i1"),
    ]
    assert [one.event.event_id for one in first] == [one.event.event_id for one in again]


@pytest.mark.e2e
def test_topics_publish_send_and_stop_say_what_they_did(local_broker, topic_prefix, marketplace, tmp_path):
    """The commands succeed one after another on a fresh prefix, and a bad line sends nothing."""
    place = ("--bootstrap", local_broker, "--prefix", topic_prefix)
    listed = _adgram("topics", *place, "--shards", 2)
    assert listed.returncode == 0 and f"{topic_prefix}items" in listed.stdout
    published = _adgram("publish", marketplace, "--history", *place, "--shards", 2)
    assert (published.returncode, published.stdout.split()[:3]) == (0, ["published", "6", "events"]), published.stderr
    stopped = _adgram("stop", "advertiser", "a", *place)
    assert (stopped.returncode, stopped.stdout) == (0, "stopped advertiser a\n"), stopped.stderr
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"event_id": "e", "event_time": 1, "key": "i1", "value": null}\n{"event_id": 5}\n')
    refused = _adgram("send", "items", bad, *place, "--shards", 2)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: {bad}:2: wrong-schema") and "Traceback" not in refused.stderr


def test_a_missing_model_or_broker_is_one_line(tmp_path, tokenizer_models):
    """`adgram ingest` ends with an error a person can act on, and exit code 1."""
    for models, expected in ((tmp_path, "no tokenizer model in"), (tokenizer_models, "no Kafka broker at 127.0.0.1:9")):
        failed = _adgram("ingest", "--models", models, "--bootstrap", "127.0.0.1:9")
        assert failed.returncode == 1
        assert expected in failed.stderr and len(failed.stderr.strip().splitlines()) == 1, failed.stderr
