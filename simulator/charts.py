"""Pictures of a simulation as inline SVG."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ..core.clock import NS_PER_SECOND
from ..core.feedback import FeedbackKind
from ..core.money import MICROS
from .market.climate import RAIN, Climate
from .summary import cost_micros
from .tally import RequestRecord, Tally

BINS = 40  # across the simulated span: enough to see a peak, few enough to hold dozens of requests each
INK, ACCENT, SOFT, WARN = "#1f3a5f", "#d1602f", "#8fa8c4", "#b3312c"
Floats = npt.NDArray[np.float64]


def charts(tally: Tally, climate: Climate | None, counts: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """Title → SVG. `counts` are bar charts by title; empty ones are left out, as is the weather where none is known."""
    if not tally.requests:
        return {}
    pictures = {
        "Traffic and latency": _draw(lambda axes: _traffic(axes, tally)),
        "Spend and revenue": _draw(lambda axes: _money(axes, tally)),
        "Bid rate and win rate": _draw(lambda axes: _rates(axes, tally)),
        "Prices": _draw(lambda axes: _prices(axes, tally)),
    }
    for title, numbers in counts.items():
        if numbers:
            pictures[title] = _draw(lambda axes, numbers=numbers: _bars(axes, numbers))  # type: ignore[misc]
    if climate is not None:
        pictures["Rain-scene creatives and bids, by weather"] = _draw(lambda axes: _weather(axes, tally, climate))
    return pictures


def _draw(paint: Callable[[Axes], None]) -> str:
    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    paint(axes)
    buffer = io.StringIO()
    # Without date and with text as text the file is small and the same every time.
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _minutes(tally: Tally) -> Floats:
    """[R] minutes since the first request."""
    times = np.array([request.event_time for request in tally.requests], dtype=np.int64)
    minutes: Floats = (times - times.min()) / (60.0 * NS_PER_SECOND)
    return minutes


def _edges(minutes: Floats) -> Floats:
    return np.linspace(0.0, max(float(minutes.max()), 1e-6), BINS + 1)


def _mean_by_bin(minutes: Floats, values: Floats, edges: Floats) -> Floats:
    """[BINS] means, NaN where a bin is empty."""
    which = np.clip(np.digitize(minutes, edges) - 1, 0, BINS - 1)
    sums = np.bincount(which, weights=values, minlength=BINS)
    counts = np.bincount(which, minlength=BINS).astype(np.float64)
    result: Floats = np.divide(sums, counts, out=np.full(BINS, np.nan), where=counts > 0)
    return result


def _traffic(axes: Axes, tally: Tally) -> None:
    minutes = _minutes(tally)
    edges = _edges(minutes)
    counts, _ = np.histogram(minutes, edges)
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=SOFT, label="requests")
    axes.set_xlabel("minutes of virtual time", fontsize=8)
    axes.set_ylabel("requests", fontsize=8)
    latency = np.array([request.latency_ms for request in tally.requests])
    which = np.clip(np.digitize(minutes, edges) - 1, 0, BINS - 1)
    right = axes.twinx()
    right.tick_params(labelsize=8)
    right.set_ylabel("ms", fontsize=8)
    for share, colour in ((0.5, INK), (0.99, ACCENT)):
        line = [np.quantile(latency[which == b], share) if (which == b).any() else np.nan for b in range(BINS)]
        right.plot(edges[:-1] + np.diff(edges) / 2, line, color=colour, linewidth=1.2, label=f"p{share * 100:g}")
    right.set_ylim(bottom=0)
    _legend(right, *right.get_legend_handles_labels())


def _money(axes: Axes, tally: Tally) -> None:
    start = min(request.event_time for request in tally.requests)
    end = max(request.event_time for request in tally.requests)
    spends = sorted((r.event_time, sum(cost_micros(bid) for bid in r.bids)) for r in tally.requests)
    earned = sorted((reaction.event_time, reaction.owed_micros) for reaction in tally.reactions)
    for label, points, colour in (("spend", spends, ACCENT), ("revenue", earned, INK)):
        inside = [(at, micros) for at, micros in points if at <= end]
        times = [(at - start) / (60.0 * NS_PER_SECOND) for at, _ in inside]
        axes.plot(times, np.cumsum([micros for _, micros in inside]) / MICROS, color=colour, label=label)
    axes.set_xlabel("minutes of virtual time", fontsize=8)
    axes.set_ylabel(tally.currency, fontsize=8)
    axes.legend(fontsize=7, frameon=False)


def _rates(axes: Axes, tally: Tally) -> None:
    minutes = _minutes(tally)
    edges = _edges(minutes)
    middle = edges[:-1] + np.diff(edges) / 2
    bid = np.array([bool(request.bids) for request in tally.requests], dtype=np.float64)
    won = np.array([any(b.won for b in request.bids) for request in tally.requests], dtype=np.float64)
    axes.plot(middle, _mean_by_bin(minutes, bid, edges), color=INK, label="bid rate")
    axes.plot(middle, _mean_by_bin(minutes[bid > 0], won[bid > 0], edges), color=ACCENT, label="win rate of bids")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("minutes of virtual time", fontsize=8)
    axes.legend(fontsize=7, frameon=False)


def _prices(axes: Axes, tally: Tally) -> None:
    bids = [bid.price_micros / MICROS for request in tally.requests for bid in request.bids]
    paid = [bid.clearing_micros / MICROS for request in tally.requests for bid in request.bids if bid.won]
    market = [r.market_price_micros / MICROS for r in tally.requests if r.market_price_micros is not None]
    top = float(np.quantile(bids + market, 0.99)) if bids or market else 1.0
    edges = np.linspace(0.0, top, BINS + 1)
    for label, values, colour in (("market", market, SOFT), ("our bids", bids, INK), ("paid", paid, ACCENT)):
        axes.hist(values, edges.tolist(), histtype="step", color=colour, label=label)
    axes.set_xlabel(f"{tally.currency} per mille", fontsize=8)
    axes.legend(fontsize=7, frameon=False)


def _bars(axes: Axes, numbers: Mapping[str, int]) -> None:
    top = sorted(numbers.items(), key=lambda pair: (pair[1], pair[0]))[-12:]
    axes.barh([name for name, _ in top], [count for _, count in top], color=INK)
    axes.tick_params(labelsize=7)


def _weather(axes: Axes, tally: Tally, climate: Climate) -> None:
    names = ("dry", "rain")
    groups: dict[str, list[RequestRecord]] = {name: [] for name in names}
    for request in tally.requests:
        place = climate.place_index(request.place_id)
        if place is not None and request.bids:
            raining = climate.weather[place, climate.hour_of(request.event_time)] == RAIN
            groups["rain" if raining else "dry"].append(request)
    share = [100.0 * _mean([r.bids[0].theme == "rain" for r in groups[name]]) for name in names]
    price = [_mean([r.bids[0].price_micros / MICROS for r in groups[name]]) for name in names]
    clicked = {act.bid_id for act in tally.reactions if act.kind is FeedbackKind.CLICK}
    clicks = [
        100.0 * _mean([bid.bid_id in clicked for r in groups[name] for bid in r.bids if bid.won]) for name in names
    ]
    spots = np.arange(len(names))
    axes.bar(spots - 0.25, share, width=0.25, color=INK, label="rain-scene creatives, %")
    axes.bar(spots, clicks, width=0.25, color=SOFT, label="clicks per won impression, %")
    axes.set_xticks(spots, [f"{name} ({len(groups[name])} bids)" for name in names])
    right = axes.twinx()
    right.tick_params(labelsize=8)
    right.bar(spots + 0.25, price, width=0.25, color=ACCENT, label=f"mean bid, {tally.currency} per mille (right)")
    handles = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    _legend(axes, handles, [str(handle.get_label()) for handle in handles])


def _legend(axes: Axes, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Afterwards the names stand above the picture, where no bar hides them."""
    axes.legend(
        handles, labels, fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(labels)
    )


def _mean(values: list[bool] | list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
