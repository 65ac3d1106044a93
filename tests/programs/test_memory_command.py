import json
import uuid

import pytest
from typer.testing import CliRunner

from adgram.core import rows
from adgram.core.catalogue import Creative, EncodedItem, Item, Offer
from adgram.core.commit import Commit, Table
from adgram.core.errors import ConfigError, NotFound, Unavailable
from adgram.core.event import Topic
from adgram.core.money import Money
from adgram.core.offers import packed
from adgram.core.request import AdFormat, Size
from adgram.memory.config import MemoryConfig
from adgram.memory.store import MilvusStore
from adgram.programs.memory import app
from adgram.streaming.config import StreamingConfig
from adgram.streaming.log import consumer
from adgram.streaming.topics import ensure_topics

HOUR = 3600 * 10**9


@pytest.fixture
def ask(milvus_uri, tmp_path):
    """Runs `adgram memory …` against a store of three versions, an hour apart, of one item; answers its JSON."""
    collection = f"c{uuid.uuid4().hex[:12]}"
    config = tmp_path / "adgram.toml"
    config.write_text(
        f'[memory]\nmilvus_uri = "{milvus_uri}"\ncollection = "{collection}"\n'
        '[streaming]\nshards = 1\nbootstrap = "127.0.0.1:9"\n'
    )
    store = MilvusStore(MemoryConfig(milvus_uri=milvus_uri, collection=collection))
    creative = Creative("c", "a", "k", AdFormat.NATIVE, Size(0, 0), "Shoes", "Light.", "https://a", "a.example")
    told = [
        [rows.row(Table.ITEM, "a", EncodedItem(Item("a", "Shoe"), (1, 2, 3), b"\0" * 16, "m")), _priced(10)],
        [rows.row(Table.CREATIVE, "c", creative), _priced(20)],
        [_packed(30)],
    ]
    for number, entries in enumerate(told, start=1):
        at = number * HOUR
        store.write([Commit(0, number, 1, at, at, {}, tuple(entries)).sealed()])

    def asked(*arguments):
        done = CliRunner().invoke(app, [*arguments, "--config", str(config), "--json"])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return asked


def _priced(price):
    return rows.row(Table.OFFER, "a", Offer("a", Money(price, "EUR"), 1))


def _packed(price):
    return rows.row(Table.OFFERS, "b1", packed([Offer("a", Money(price, "EUR"), 1)], [3]))


def test_an_item_is_shown_as_it_was_at_a_time(ask):
    """Its price is that of the time asked for, from a row of its own or packed with others; creatives come with it."""
    assert [ask("show", "a", "--at", str(hour * HOUR))["offer"]["price"]["micros"] for hour in (1, 2, 3)] == [
        10,
        20,
        30,
    ]
    assert ask("show", "a", "--at", "1970-01-01T01:30:00")["creatives"] == []
    newest = ask("show", "a")
    assert (newest["item"]["item"]["title"], newest["creatives"][0]["creative_id"]) == ("Shoe", "c")
    with pytest.raises(NotFound, match="knows no item 'b'"):
        ask("show", "b")


def test_versions_are_listed_verified_leased_and_evicted(ask):
    """What a lease needs stays, what nobody needs goes, and the store proves sound before and after."""
    assert ask("verify")[0]["problems"] == []
    (before,) = ask("versions")["shards"]
    assert (before["newest"], before["oldest"], before["batches"], before["lag"]) == (3, 1, 3, None)
    held = ask("lease", "--since", str(2 * HOUR), "--for", "1h", "--holder", "backup")["lease_id"]
    assert ask("evict", "--older-than", "0s")[0] == {
        "shard": 0, "horizon": 2, "batches": 2, "deleted_runs": 2, "held_by": held,
    }  # fmt: skip
    ask("lease", "--renew", held, "--for", "2h")
    ask("lease", "--release", held)
    assert ask("evict", "--older-than", "0s")[0]["horizon"] == 3
    assert ask("versions") == {"shards": [ask("versions")["shards"][0]], "leases": []}
    assert ask("show", "a")["offer"]["price"]["micros"] == 30
    assert ask("verify")[0]["problems"] == []


def test_what_cannot_be_done_is_one_line(ask):
    """A duration, a time or a lease that is none is told as such."""
    with pytest.raises(ConfigError, match="is no duration"):
        ask("evict", "--older-than", "soon")
    with pytest.raises(ConfigError, match="is no time"):
        ask("show", "a", "--at", "yesterday")
    with pytest.raises(NotFound, match="no lease x"):
        ask("lease", "--release", "x")
    with pytest.raises(Unavailable, match="no Milvus at"):
        ask("versions", "--milvus", "http://127.0.0.1:9")


def test_a_person_is_erased_through_the_log(local_broker, topic_prefix):
    """The erasure is published under the person's keyed hash; the raw id is nowhere."""
    streaming = StreamingConfig(bootstrap=local_broker, topic_prefix=topic_prefix)
    ensure_topics(streaming)
    done = CliRunner().invoke(
        app, ["forget", "alice@example.com", "--bootstrap", local_broker, "--prefix", topic_prefix, "--json"]
    )
    assert done.exit_code == 0, done.output
    reader = consumer(streaming)
    reader.subscribe([streaming.topic(Topic.FEEDBACK)])
    found = []
    while not found:
        found = [record for batch in reader.poll(timeout_ms=500).values() for record in batch]
    reader.close()
    assert found[0].key.decode() == json.loads(done.stdout)["user_key"]
    assert json.loads(found[0].value)["value"] is None
    assert b"alice" not in found[0].value + found[0].key
