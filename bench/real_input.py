"""Real input, end to end: Amazon Beauty imported, trained and served; histories and real auctions sent through the
front door.

Two measurements in one deployment (broker, Milvus, worker, engine as processes):

(b) serving equals evaluation: histories of some users enter as Kafka feedback, their proposals are asked for through
    gRPC, and Recall@10 and NDCG@10 are compared with `adgram eval` on the same users;
(a) wire and price: every row of an iPinYou log goes over gRPC as OpenRTB and is settled at the price really paid.

    python bench/real_input.py --data ../shared/data --out runs/real-input
"""

import asyncio
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import grpc
import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from adgram.core.errors import AdgramError
from adgram.core.event import Event, Topic
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.core.marketplace import Marketplace
from adgram.core.money import Money
from adgram.core.pseudonym import Pseudonymiser
from adgram.core.request import AdFormat, BidRequest, Device, Impression, Page, Place, Size, Viewer
from adgram.generative.training.evaluation import RankingScore, ranking_score
from adgram.generative.training.sequences import UserSequence
from adgram.programs.children import adgram
from adgram.programs.deployment import Deployment
from adgram.programs.proposals import select_users
from adgram.programs.settings import load
from adgram.proto import bidding_pb2 as wire
from adgram.proto import bidding_pb2_grpc
from adgram.proto.openrtb import encode_request
from adgram.streaming.folds.feedback import HISTORY as HISTORY_KEPT
from adgram.streaming.log import KafkaPublisher

CONFIG = """\
[engine]
trust_event_time = true
candidates = 48

[streaming]
simulated_time = true
shards = 2
"""
HISTORIES_S = 120
PATIENCE_MS = 2_000  # quality is compared here, lateness is measured by (a)
EXACT = 1e-6
ASKED_NS = time.time_ns()  # of the same days as the catalogue's events: what users did is forgotten in time
FIRST_EVENT_NS = ASKED_NS - 86_400_000_000_000  # any time shortly before


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure as evaluation and serving see it."""

    name: str
    evaluated: float
    served: float

    @property
    def equal(self) -> bool:
        return abs(self.evaluated - self.served) <= EXACT


def run(*arguments: str) -> None:
    """Runs an adgram command in the foreground; ends the program with its code when it fails."""
    code = subprocess.run(adgram(*arguments), check=False).returncode
    if code:
        raise typer.Exit(code)


def publish_histories(users: list[UserSequence], publisher: KafkaPublisher, secret: bytes, console: Console) -> None:
    """Afterwards the users' histories, without the choice that is asked for, are in the feedback topic."""
    pseudonymiser = Pseudonymiser(secret)
    with Progress(console=console) as progress:
        for user in progress.track(users, description="histories to Kafka"):
            key = pseudonymiser.user_key(user.user_id)
            for position, item_id in enumerate(user.history):
                at = FIRST_EVENT_NS + position * 1_000_000_000
                feedback = Feedback(FeedbackKind.CONVERSION, user_key=key, item_id=item_id)
                publisher.publish(Topic.FEEDBACK, Event(f"real/{user.user_id}/{position}", at, key, feedback))
    publisher.flush(120.0)


def restock(marketplace: Marketplace, publisher: KafkaPublisher) -> None:
    """Afterwards every item is in stock: evaluation ranks the whole catalogue, so admission must let the whole of
    it through.
    """
    for offer in marketplace.offers():
        if offer.stock == 0:
            at = time.time_ns()
            event = Event(f"restock/{offer.item_id}", at, offer.item_id, replace(offer, stock=1))
            publisher.publish(Topic.OFFERS, event)
    publisher.flush(60.0)


def native_request(user_id: str) -> BidRequest:
    """A test request (no money) for a native slot, for which every item of the catalogue has a creative."""
    slot = Impression("1", AdFormat.NATIVE, (Size(0, 0),), Money(0, "CNY"))
    place, page = Place("CN"), Page("shop.example")
    return BidRequest(
        f"q{user_id}", (slot,), Viewer(user_id), Device(2), page, place, ASKED_NS, PATIENCE_MS, 2, "CNY", test=True
    )


async def served_rankings(users: list[UserSequence], address: str, console: Console) -> list[list[str]]:
    """The first ten items proposed to each user, read from the explained decision of a real request.

    One request at a time: while others wait, an engine searches with fewer beams, and evaluation never does.
    """
    rankings = []
    async with grpc.aio.insecure_channel(address) as channel:
        stub = bidding_pb2_grpc.BiddingServiceStub(channel)
        with Progress(console=console) as progress:
            for user in progress.track(users, description="proposals over gRPC"):
                response = await stub.Bid(encode_request(native_request(user.user_id)), timeout=10)
                record = await stub.Explain(wire.ExplainRequest(decision_id=response.bidid), timeout=10)
                rankings.append([found.item_id for found in record.tiers[0].proposal.candidates[:10]])
    return rankings


async def known_users(users: list[UserSequence], address: str) -> int:
    """How many of some users have their whole history (as long as it is kept) in the engine's admission."""
    known = 0
    async with grpc.aio.insecure_channel(address) as channel:
        stub = bidding_pb2_grpc.BiddingServiceStub(channel)
        for user in users:
            response = await stub.Bid(encode_request(native_request(user.user_id)), timeout=10)
            record = await stub.Explain(wire.ExplainRequest(decision_id=response.bidid), timeout=10)
            converted = [r.count for r in record.tiers[0].rejections if r.reason == "already-converted"]
            known += converted == [len(set(user.history[-HISTORY_KEPT:]))]
    return known


def compare(evaluated: dict[str, Any], rankings: list[list[str]], users: list[UserSequence]) -> list[Comparison]:
    """Recall@10, NDCG@10 and the rankings themselves, as `adgram eval` has them and as they were served."""
    served: RankingScore = ranking_score(rankings, [user.target for user in users])
    fused = evaluated["rows"]["fused"]
    same = sum(evaluated["fused"][user.user_id][:10] == ranking for user, ranking in zip(users, rankings, strict=True))
    return [
        Comparison("Recall@10", fused["recall_at_10"], served.recall_at_10),
        Comparison("NDCG@10", fused["ndcg_at_10"], served.ndcg_at_10),
        Comparison("identical top-10 lists", float(len(users)), float(same)),
    ]


def main(
    data: Annotated[Path, typer.Option(help="Folder with amazon_beauty/ and ipinyou/.")] = Path("../shared/data"),
    out: Annotated[Path, typer.Option(help="Where everything goes; a second run reuses the models.")] = Path(
        "runs/real-input"
    ),
    users: Annotated[int, typer.Option(help="Users whose proposals are compared.")] = 2000,
    minutes: Annotated[float, typer.Option(help="Training time of the proposer.")] = 13.0,
    bootstrap: Annotated[str, typer.Option(help="Kafka as host:port; a local broker without it.")] = "",
) -> None:
    """Import, train, serve and measure; exit code 1 when a hard check fails."""
    console, beauty, models, evaluation = Console(), out / "beauty", out / "models", out / "eval.json"
    if not (beauty / "marketplace.json").is_file():
        run("import", "amazon", str(data / "amazon_beauty"), str(beauty))
    run("import", "ipinyou", str(data / "ipinyou" / "2259_test.tsv"), str(out / "ipinyou"), "--overwrite")
    run("train", str(beauty), "--models", str(models), "--minutes", str(minutes))
    run("eval", str(beauty), "--models", str(models), "--users", str(users), "--out", str(evaluation))
    config = out / "adgram.toml"
    config.write_text(CONFIG, encoding="utf-8")
    asked = select_users(Marketplace(beauty), users, seed=0)
    with ExitStack() as stack:
        deployment = Deployment(out, models, stack, config)
        deployment.start_broker(bootstrap)
        deployment.start_milvus()
        deployment.load(beauty)
        deployment.start_worker("--batch")
        settings = load(config)
        publisher = KafkaPublisher(replace(settings.streaming, bootstrap=deployment.bootstrap))
        stack.callback(publisher.close)
        restock(Marketplace(beauty), publisher)
        publish_histories(asked, publisher, settings.secret, console)
        address = deployment.start_engine(f"engine-{time.time_ns()}")
        deployment.wait_for_items(len(Marketplace(beauty).items()), 600)
        until = time.monotonic() + HISTORIES_S
        while asyncio.run(known_users(asked[-20:], address)) < 20:
            if time.monotonic() > until:
                sys.exit(f"error: the histories did not arrive within {HISTORIES_S} s; see {out / 'logs'}")
            time.sleep(1)
        rankings = asyncio.run(served_rankings(asked, address, console))
        compared = compare(msgspec.json.decode(evaluation.read_bytes()), rankings, asked)
        table = Table("(b) serving equals evaluation", "eval", "served", "equal to 1e-6")
        for row in compared:
            table.add_row(row.name, f"{row.evaluated:.6f}", f"{row.served:.6f}", "yes" if row.equal else "NO")
        console.print(table)
        options = ("--address", address, "--report", str(out / "settled.html"), "--config", str(config))
        code = subprocess.run(adgram("settle", str(beauty), str(out / "ipinyou"), *options), check=False).returncode
    equal = all(row.equal for row in compared[:2])
    (out / "serving-equals-eval.json").write_bytes(msgspec.json.encode([asdict(row) for row in compared]))
    sys.exit(code or not equal)


if __name__ == "__main__":
    try:
        typer.run(main)
    except AdgramError as error:
        sys.exit(f"error: {error}")
