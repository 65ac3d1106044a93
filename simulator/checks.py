"""What a settled log must show before anybody believes it."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from .summary import Summary
from .tally import Tally

FITTING_SHARE = 0.9  # of requests with a fitting creative must get a bid
DISTINCT_PRICES = 50  # fewer would mean prices that do not follow the request


@dataclass(frozen=True, slots=True)
class Check:
    """One claim; a hard one that does not hold fails the run."""

    name: str
    value: str
    wanted: str
    holds: bool
    hard: bool = True


def checks_of(tally: Tally, figures: Summary) -> tuple[Check, ...]:
    """The claims about a settled log of real impressions."""
    under_floor = figures.faults.get("under floor", 0)
    others = sum(figures.faults.values()) - under_floor
    share = figures.fitting_bid_rate
    return (
        _none("requests without an answer", figures.errors),
        Check(
            "requests with a fitting creative that got a bid",
            "no request has one" if share is None else f"{share:.1%} of {figures.fitting:,}",
            f"≥ {FITTING_SHARE:.0%}",
            share is not None and share >= FITTING_SHARE,
        ),
        Check(
            "distinct bid prices",
            f"{figures.distinct_prices:,}",
            f"≥ {DISTINCT_PRICES}",
            figures.distinct_prices >= DISTINCT_PRICES,
        ),
        _none("bids of an unknown item or creative, or of a wrong size", others),
        _none("bids under their floor", under_floor),
        _none("notices not taken", tally.failed_notices),
        Check(
            "spend is the sum of billed clearing prices",
            f"{figures.spend_micros:,} micros",
            f"{tally.billed_micros:,} micros",
            tally.billed_micros == figures.spend_micros,
        ),
        _none("answers after tmax", figures.late, hard=False),
    )


def failed(checks: Sequence[Check]) -> bool:
    """Whether a hard check does not hold."""
    return any(check.hard and not check.holds for check in checks)


def table_of(checks: Sequence[Check]) -> Table:
    """The checks as a table for a terminal."""
    table = Table(title="Checks", title_justify="left", box=None, pad_edge=False)
    for column in ("", "check", "value", "wanted"):
        table.add_column(column)
    for check in checks:
        mark = "[green]ok[/]" if check.holds else ("[red]FAILED[/]" if check.hard else "[yellow]missed[/]")
        table.add_row(mark, check.name, check.value, check.wanted)
    return table


def _none(name: str, count: int, hard: bool = True) -> Check:
    return Check(name, f"{count:,}", "0", count == 0, hard)
