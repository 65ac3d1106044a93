"""Bad input, as an operator meets it: one clear line, an exit code, and everything else lives on."""

import json
from pathlib import Path

import grpc
import pytest

from adgram.core.event import Topic
from adgram.core.request import Size
from adgram.proto import bidding_pb2_grpc
from adgram.proto.openrtb import encode_request
from adgram.streaming.local_broker import free_port

pytestmark = pytest.mark.e2e


def one_line_error(result, *words: str) -> None:
    assert result.returncode != 0
    assert "Traceback" not in result.stderr + result.stdout
    lines = [line for line in result.stderr.strip().splitlines() if line.startswith("error:")]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


def test_a_missing_model_is_one_line(run_adgram, scene, tmp_path: Path) -> None:
    """Serving from an empty folder says which model is missing and how to make one."""
    result = run_adgram("serve", "--models", str(tmp_path), "--bootstrap", scene.deployment.bootstrap)
    one_line_error(result, "no tokenizer model", "adgram train")


def test_a_port_in_use_is_one_line(run_adgram, scene, trained: Path, tmp_path: Path) -> None:
    """Serving on a port that is taken says so and what to do."""
    port = scene.deployment.address.split(":")[1]
    models = ("--models", str(trained / "models"), "--state", str(tmp_path), "--config", str(trained / "adgram.toml"))
    result = run_adgram("serve", *models, "--port", port, "--bootstrap", scene.deployment.bootstrap)
    one_line_error(result, f"127.0.0.1:{port}", "--port")


def test_a_broker_that_is_away_is_one_line(run_adgram, trained: Path, tmp_path: Path) -> None:
    """Serving and ingesting without a broker name the address that does not answer."""
    nowhere = f"127.0.0.1:{free_port()}"
    models = ("--models", str(trained / "models"), "--bootstrap", nowhere)
    one_line_error(run_adgram("serve", *models, "--state", str(tmp_path)), nowhere)
    one_line_error(run_adgram("ingest", *models), nowhere)
    one_line_error(run_adgram("topics", "--bootstrap", nowhere), nowhere)


def test_a_milvus_that_is_away_is_one_line(run_adgram, scene, trained: Path) -> None:
    """Ingesting into a Milvus that does not answer names it."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    models = ("--models", str(trained / "models"), "--config", str(trained / "adgram.toml"))
    result = run_adgram("ingest", *models, "--bootstrap", scene.deployment.bootstrap, "--milvus", nowhere)
    one_line_error(result, nowhere)


def test_an_unknown_configuration_key_is_one_line(run_adgram, trained: Path, tmp_path: Path) -> None:
    """A misspelt key is named with the nearest valid one."""
    path = tmp_path / "wrong.toml"
    path.write_text("[engine]\ncurency = 'CNY'\n")
    result = run_adgram("serve", "--models", str(trained / "models"), "--config", str(path))
    one_line_error(result, "engine.curency", "engine.currency")


def test_a_wrong_file_or_column_is_one_line(run_adgram, tmp_path: Path) -> None:
    """Importing what is not there, or lacks a column, names the file or the column."""
    one_line_error(run_adgram("import", "ipinyou", str(tmp_path / "gone.tsv"), str(tmp_path / "out")), "gone.tsv")
    (tmp_path / "odd.tsv").write_text("click\tweekday\n0\t1\n")
    one_line_error(
        run_adgram("import", "ipinyou", str(tmp_path / "odd.tsv"), str(tmp_path / "out")), "odd.tsv", "column"
    )
    one_line_error(run_adgram("train", str(tmp_path)), "no marketplace")


def test_an_engine_that_is_away_is_one_line(run_adgram, trained: Path) -> None:
    """Explaining and simulating against nobody name the address."""
    nowhere = f"127.0.0.1:{free_port()}"
    one_line_error(run_adgram("explain", "x", "--address", nowhere), nowhere)
    one_line_error(run_adgram("simulate", str(trained / "world"), "--address", nowhere), nowhere)


def test_a_malformed_request_is_refused_and_the_next_is_answered(scene) -> None:
    """INVALID_ARGUMENT names the field's path; the server lives on."""
    good = encode_request(scene.request(Size(300, 250)))
    bad = encode_request(scene.request(Size(300, 250)))
    bad.imp[0].banner.h = -1
    with grpc.insecure_channel(scene.deployment.address) as channel:
        stub = bidding_pb2_grpc.BiddingServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Bid(bad, timeout=5)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details().startswith("imp[0].banner.h")
        assert stub.Bid(good, timeout=5).id == good.id


def test_a_bad_event_goes_to_the_dead_letters_and_the_worker_lives_on(scene, eventually) -> None:
    """Events that cannot be folded are kept with their reason; a good one after them is folded as ever."""
    from kafka import KafkaConsumer, KafkaProducer

    from adgram.core.catalogue import Item

    producer = KafkaProducer(bootstrap_servers=scene.deployment.bootstrap)
    wrong = json.dumps({"event_id": "e", "event_time": scene.now_ns, "key": "x", "value": {"item_id": 3}}).encode()
    for payload in (b"\x00 no json", wrong):
        producer.send(f"adgram.{Topic.ITEMS}", payload, key=b"x").get(10)
    scene.advertise(Item("after-bad", "Desk Lamp", ("Home", "Lamps")), Size(114, 114), "after")
    scene.flush()
    eventually(lambda: scene.bid(scene.request(Size(114, 114))).seatbid, 10)
    letters = KafkaConsumer(
        f"adgram.{Topic.DEAD_LETTERS}", bootstrap_servers=scene.deployment.bootstrap, auto_offset_reset="earliest",
        consumer_timeout_ms=4_000,
    )  # fmt: skip
    reasons = [value.decode() for letter in letters for name, value in letter.headers if name.endswith("reason")]
    assert {"not-json", "wrong-schema"} <= set(reasons)
