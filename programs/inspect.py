"""`adgram explain` and `adgram stats`: what an engine decided and why, for people."""

from datetime import UTC, datetime
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.message import Message
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from ..core.clock import NS_PER_SECOND
from ..core.decision import NoBidReason
from ..core.errors import NotFound, Unavailable
from ..proto import bidding_pb2 as wire
from ..proto import bidding_pb2_grpc

_TIMEOUT_S = 5.0
AddressOption = Annotated[str, typer.Option(help="The endpoint, host:port.")]
_SHOWN = 8  # candidates and ads shown of each list; --all shows the rest


def explain(
    decision_id: Annotated[str, typer.Argument(help="A decision id: `bidid` of the bid response.")],
    address: AddressOption = "127.0.0.1:50061",
    everything: Annotated[bool, typer.Option("--all", help="Show every candidate and ad, not only the first.")] = False,
) -> None:
    """Say why a request was answered the way it was: version, models, candidates, verdicts, rules, price steps."""
    Console().print(tree_of(explained(decision_id, address), None if everything else _SHOWN), highlight=False)


def stats(address: AddressOption = "127.0.0.1:50061") -> None:
    """Show what an engine has decided since it started."""
    counts: wire.EngineStats = _called(address, "Stats", wire.StatsRequest())
    table = Table("what", "count", title=f"engine at {address}", title_justify="left")
    for name in ("requests", "bids", "items"):
        table.add_row(name, f"{getattr(counts, name):,}")
    for name in ("bids_by_source", "candidates_by_source", "tiers", "lateness", "no_bids", "rejections"):
        for key, count in sorted(getattr(counts, name).items(), key=lambda pair: -pair[1]):
            table.add_row(f"{name.replace('_', ' ')}: {key}", f"{count:,}")
    table.add_row("version", ".".join(map(str, counts.version)))
    Console().print(table)


def explained(decision_id: str, address: str) -> wire.DecisionRecord:
    """The record of a decision, from the engine that made it; NotFound or Unavailable where there is none."""
    record: wire.DecisionRecord = _called(address, "Explain", wire.ExplainRequest(decision_id=decision_id))
    return record


def _called(address: str, method: str, request: Message) -> Any:
    with grpc.insecure_channel(address) as channel:
        stub: Any = bidding_pb2_grpc.BiddingServiceStub(channel)
        try:
            return getattr(stub, method)(request, timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotFound(error.details()) from error
            found = error.code().name
            raise Unavailable(f"no engine answers at {address} ({found}); start one with `adgram serve`") from error


def tree_of(record: wire.DecisionRecord, shown: int | None) -> Tree:
    """The record as a tree to read from top to bottom, in the order things happened."""
    at = datetime.fromtimestamp(record.decided_at_ns / NS_PER_SECOND, UTC).isoformat(timespec="milliseconds")
    outcome = "[green]bid[/]" if record.bids else f"[yellow]no bid: {NoBidReason(record.nbr).name.lower()}[/]"
    root = Tree(f"[bold]decision {record.decision_id}[/]  {outcome}  in {record.took_ms:.1f} ms at {at}")
    root.add(f"memory version {'.'.join(map(str, record.version))}")
    root.add("models: " + ", ".join(f"{part} {name}" for part, name in sorted(record.models.items())))
    root.add(f"rules in force: {', '.join(record.rules) or 'none'}; stops: {', '.join(record.stops) or 'none'}")
    weather = record.environment
    degrees = f", {weather.temperature_c:.0f} °C" if weather.HasField("temperature_c") else ""
    root.add(f"environment of {escape(weather.place_id) or 'nowhere'}: {weather.weather}{degrees}")
    root.add("steps: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in record.step_ms.items()))
    for tier in record.tiers:
        admitted = record.admitted[tier.impression_id]
        branch = root.add(f"[bold]{tier.tier} tier[/], impression {tier.impression_id}, {admitted:,} items admitted")
        _add_tier(branch, tier, shown)
    for bid in record.bids:
        propensity = record.propensity[bid.impression_id]
        branch = root.add(f"[bold green]bid {bid.bid_id}[/] chosen with propensity {propensity:.3f}")
        _add_ad(branch, bid.ad)
    return root


def _add_tier(branch: Tree, tier: wire.TierRecord, shown: int | None) -> None:
    proposal = tier.proposal
    reason = f" ({proposal.reason})" if proposal.reason else ""
    candidates = branch.add(f"{len(proposal.candidates)} candidates{reason} in {proposal.took_ms:.1f} ms")
    for candidate in proposal.candidates[:shown]:
        sid = "-".join(map(str, candidate.semantic_id))
        log_prob = f"log p {candidate.log_prob:.2f}" if candidate.HasField("log_prob") else "not generated"
        candidates.add(
            f"{escape(candidate.item_id)}  {candidate.source}  SID {sid}  {log_prob}  score {candidate.score:.4f}"
        )
    considered = branch.add(f"{tier.priced} ads priced, the best {len(tier.considered[:shown])} of them")
    for ad in tier.considered[:shown]:
        _add_ad(considered, ad)
    for rejection in tier.rejections:
        names = f": {escape(', '.join(rejection.ids))}" if rejection.ids else ""
        branch.add(f"[dim]{rejection.stage}: {rejection.count:,} × {rejection.reason}{names}[/]")


def _add_ad(branch: Tree, ad: wire.PricedAd) -> None:
    price = f"{ad.bid_price_micros / 1e6:.3f} per mille"
    what = escape(f"{ad.item_id} by creative {ad.creative_id}, campaign {ad.campaign_id}")
    node = branch.add(f"{what} ({ad.source}): {price}")
    lift = f", environment ×{ad.environment_lift:.2f}" if ad.environment_lift != 1 else ""
    node.add(f"verdict {ad.outcome}, p(click) {ad.p_click:.4f}, p(convert) {ad.p_convert:.4f}{lift}")
    for finding in ad.findings:
        node.add(f"[red]{finding.rule_id}[/]: “{escape(finding.evidence)}” in {finding.field} ({finding.legal_basis})")
    node.add(
        "price: " + " → ".join(f"{step.name} ×{step.factor:.4g} = {step.price_micros / 1e6:.3f}" for step in ad.steps)
    )
