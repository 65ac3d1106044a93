"""`adgram demo`: the whole system on one machine, from an empty folder to a report."""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from ..core.marketplace import Marketplace
from .deployment import Deployment
from .inspect import explained, tree_of
from .interrupts import stop_event

_CONFIG = """\
# Written by `adgram demo`. The simulator's requests and events carry its virtual time, so both ends trust it here.
[engine]
trust_event_time = true

[streaming]
simulated_time = true
shards = 2
"""
_CANDIDATES = 3  # shown of the decision that is explained


@dataclass(frozen=True, slots=True)
class _Decision:
    """What the demo reads of a record in the trail."""

    decision_id: str
    bids: list[msgspec.Raw]


def demo(
    folder: Annotated[Path, typer.Argument(help="Where everything goes; a second run reuses what it finds.")] = Path(
        "runs/demo"
    ),
    bootstrap: Annotated[
        str, typer.Option(help="Your Kafka as host:port; without it a local Kafka-protocol broker is started.")
    ] = "",
    milvus: Annotated[str, typer.Option(help="Your Milvus URI; without it Milvus Lite is started.")] = "",
    requests: Annotated[int, typer.Option(help="Requests of the peak to replay.")] = 3000,
    items: Annotated[int, typer.Option(help="Items of the world.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the world and its models.")] = 7,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running afterwards, until Ctrl-C.")] = False,
) -> None:
    """Make a marketplace, train, start broker, memory, worker and engine, replay a peak of traffic, write a report."""
    from .market import world
    from .simulate import simulate
    from .train import train

    console = Console()
    marketplace, models, config = folder / "world", folder / "models", folder / "adgram.toml"
    console.rule("[bold]1/4  a marketplace, with a truth only the simulator knows", align="left")
    if (marketplace / "marketplace.json").is_file():
        console.print(f"reusing {marketplace}")
    else:
        world(marketplace, seed=seed, items=items)
    config.write_text(_CONFIG, encoding="utf-8")
    console.rule("[bold]2/4  models", align="left")
    train(marketplace, models=models, minutes=1.0, seed=seed, all_events=True)
    with ExitStack() as stack:
        console.rule("[bold]3/4  broker, memory, worker, engine", align="left")
        deployment = Deployment(folder, models, stack, config)
        _start(deployment, marketplace, bootstrap, milvus, console)
        console.rule("[bold]4/4  a peak of traffic", align="left")
        simulate(
            marketplace,
            address=deployment.address,
            bootstrap=deployment.bootstrap,
            requests=requests,
            seed=seed,
            report=folder / "report.html",
            config=config,
        )
        decision_id = _newest_bid(folder / "engine" / "trail")
        if decision_id:
            console.rule("[bold]its newest bid, explained", align="left")
            console.print(tree_of(explained(decision_id, deployment.address), _CANDIDATES), highlight=False)
        if keep:
            _wait(deployment, marketplace, decision_id or "ID", console)
    console.print(f"[bold green]done[/]: open {folder / 'report.html'}; the next run reuses what this one made")


def _newest_bid(trail: Path) -> str:
    """The id of the newest decision on disk that bids, "" where none does."""
    for segment in sorted(trail.glob("decisions-*.jsonl"), reverse=True):
        for line in reversed(segment.read_bytes().split(b"\n")[:-1]):  # the last one may still be being written
            record = msgspec.json.decode(line, type=_Decision)
            if record.bids:
                return record.decision_id
    return ""


def _wait(deployment: Deployment, marketplace: Path, decision_id: str, console: Console) -> None:
    """Says what can be tried, and returns at Ctrl-C."""
    stopping, broker = stop_event(), f"--bootstrap {deployment.bootstrap}"
    console.rule("[bold]all of it keeps running until Ctrl-C; in another shell", align="left")
    for command in (
        f"adgram explain {decision_id} --address {deployment.address} --all",
        f"adgram stats --address {deployment.address}",
        f"adgram simulate {marketplace} --address {deployment.address} {broker} --config {deployment.config}",
        f"adgram stop advertiser a7 --reason fraud {broker} --config {deployment.config}",
    ):
        console.print(f"  {command}", highlight=False, soft_wrap=True)
    stopping.wait()


def _start(deployment: Deployment, marketplace: Path, bootstrap: str, milvus: str, console: Console) -> None:
    # Each replay is the same virtual day again, so it starts with that day's budgets whole.
    shutil.rmtree(deployment.folder / "engine", ignore_errors=True)
    steps = (
        ("broker and topics", lambda: deployment.start_broker(bootstrap)),
        ("Milvus", lambda: deployment.start_milvus(milvus)),
        ("catalogue and histories through Kafka", lambda: deployment.load(marketplace, "--history")),
        ("worker (faust) and sink", deployment.start_worker),
        ("engine", deployment.start_engine),
        ("catalogue in the engine's memory", lambda: deployment.wait_for_items(len(Marketplace(marketplace).items()))),
    )
    for name, step in steps:
        with console.status(name):
            step()
        console.print(f"  [green]✓[/] {name}")
