"""Tells people how a simulation went: a table for the terminal, a self-contained HTML page with pictures."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2
from rich.table import Table

from ..core.money import MICROS
from .market.climate import Climate
from .statistics import EngineStats
from .summary import Summary, summarise
from .tally import Tally

__all__ = ["EngineStats", "Report"]


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: what, how much, and a remark."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A finished simulation, ready to be told. `stats` are the engine's counts of it, where the bidder gives any;
    `climate` is the true weather of a made world; `notes` are what a reader must know, `lines` more figures."""

    title: str
    tally: Tally
    stats: EngineStats | None = None
    climate: Climate | None = None
    notes: tuple[str, ...] = ()
    more: tuple[Line, ...] = ()

    @property
    def summary(self) -> Summary:
        """The figures."""
        return summarise(self.tally)

    def lines(self) -> tuple[Line, ...]:
        """Everything worth a line, in reading order."""
        figures = self.summary
        money = figures.currency
        lines = [
            Line("requests", f"{figures.requests:,}", f"{_number(figures.requests_per_second)} a second of real time"),
            Line("errors", f"{figures.errors:,}", _counts(figures.error_kinds)),
            Line("bid rate", _share(figures.bid_rate), f"{figures.bid_requests:,} requests got a bid"),
            Line("win rate", _share(figures.win_rate), f"{figures.wins:,} of {figures.bids:,} bids"),
            Line("spend", f"{figures.spend_micros / MICROS:,.4f} {money}", "clearing prices of won impressions"),
            Line("revenue", f"{figures.revenue_micros / MICROS:,.4f} {money}", "what campaigns owe for what they got"),
            Line("clicks", f"{figures.clicks:,}", f"{_share(figures.click_rate)} of won impressions"),
            Line("conversions, visits", f"{figures.conversions:,}, {figures.visits:,}"),
            Line("latency p50 / p95 / p99", _latency(figures), f"worst {figures.latency.max_ms:.1f} ms"),
            Line("late answers", f"{figures.late:,}", "after the request's tmax"),
            Line("notices", f"{self.tally.notices:,}", f"{self.tally.failed_notices:,} failed"),
            Line("no-bids by reason", _counts(self.no_bids()) or "none"),
            Line("faulty bids", f"{sum(figures.faults.values()):,}", _counts(figures.faults)),
        ]
        if self.stats is not None:
            lines += [
                Line("candidates by source", _counts(self.stats.candidates_by_source) or "none"),
                Line("bids by source", _counts(self.stats.bids_by_source) or "none"),
                Line("answered by tier", _counts(self.stats.tiers) or "none"),
                Line("fallbacks", f"{self.stats.tiers.get('fallback', 0):,}", _counts(self.stats.lateness)),
                Line("rejections by reason", _counts(self.stats.rejections_by_reason) or "none"),
                Line("memory version", self.stats.version or "none"),
            ]
        return (*lines, *self.more)

    def no_bids(self) -> dict[str, int]:
        """No-bids by name where the engine names them, by code otherwise."""
        return dict(self.stats.no_bid_reasons) if self.stats else self.summary.no_bid_reasons

    def table(self) -> Table:
        """The lines as a table for a terminal."""
        table = Table(title=self.title, title_justify="left", show_header=False, box=None, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_column(style="dim", overflow="fold")
        for line in self.lines():
            table.add_row(line.name, line.value, line.remark)
        return table

    def write_html(self, path: Path) -> None:
        """Afterwards `path` is a page that needs nothing but itself."""
        from .charts import charts  # matplotlib takes a second to import, which a table alone need not wait for

        counts = {"No-bids by reason": self.no_bids()}
        if self.stats is not None:
            counts |= {
                "Candidates by source": self.stats.candidates_by_source,
                "Rejections by reason": self.stats.rejections_by_reason,
                "Answered by tier": self.stats.tiers,
            }
        text = resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8")
        template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        page = template.render(
            title=self.title, notes=self.notes, lines=self.lines(), charts=charts(self.tally, self.climate, counts)
        )
        path.write_text(page, encoding="utf-8")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _latency(figures: Summary) -> str:
    latency = figures.latency
    return f"{latency.p50_ms:.1f} / {latency.p95_ms:.1f} / {latency.p99_ms:.1f} ms"


def _counts(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ordered)
