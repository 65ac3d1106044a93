"""`adgram world` and `adgram import`: marketplaces out of nothing or out of somebody's files."""

from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..core.errors import MarketplaceError
from ..core.marketplace import Manifest

SOURCES = ("amazon", "ipinyou", "files")
# What a made world is held to, beside what it measures: (figure, wanted, where that comes from).
_WANTED = (
    ("click_rate", 0.174, "Avazu's sample"),
    ("top_1_percent_share", 0.105, "Amazon Beauty"),
    ("top_10_percent_share", 0.428, "Amazon Beauty"),
    ("gini", 0.499, "Amazon Beauty"),
    ("market_price_fen_q25", 18.0, "iPinYou 2997"),
    ("market_price_fen_q50", 41.0, "iPinYou 2997"),
    ("market_price_fen_q75", 88.0, "iPinYou 2997"),
)


def world(
    out: Path,
    seed: int = 1,
    items: int = 2000,
    users: int = 2000,
    days: int = 7,
    impressions: int = 150_000,
    requests: int = 30_000,
    console: Console | None = None,
) -> Manifest:
    """Afterwards `out` is a made marketplace with its truth; its figures are printed beside the real data's."""
    from ..simulator.market.generator import WorldSettings, make_world

    console = console or Console()
    for name, value, least in (
        ("items", items, 100),
        ("users", users, 50),
        ("days", days, 1),
        ("requests", requests, 1),
    ):
        if value < least:
            raise MarketplaceError(f"a world needs at least {least} {name}, got {value}")
    settings = WorldSettings(seed, items, users, days, impressions, requests)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("making the world")
        manifest = make_world(settings, out, lambda part: progress.update(task, description=f"making {part}"))
    console.print(_figures(f"{out}: a world of {items:,} items and {users:,} users, seed {seed}", manifest))
    return manifest


def import_(
    source: str, path: Path, out: Path, mapping: Path | None = None, seed: int = 1, console: Console | None = None
) -> Manifest:
    """Afterwards `out` is a marketplace of somebody's data: `amazon`, `ipinyou`, or `files` with a mapping of columns."""
    console = console or Console()
    with console.status(f"importing {path}"):
        manifest = _import(source, path, out, mapping, seed)
    console.print(_figures(f"{out}: {manifest.source}", manifest))
    for rule in manifest.rules:
        console.print(f"  made by rule: {rule}", style="dim", highlight=False)
    return manifest


def _import(source: str, path: Path, out: Path, mapping: Path | None, seed: int) -> Manifest:
    if not path.exists():
        raise MarketplaceError(f"nothing at {path}; name the file or folder to import")
    if source == "amazon":
        from ..simulator.market.amazon import import_amazon

        return import_amazon(path, out, seed)
    if source == "ipinyou":
        from ..simulator.market.ipinyou import import_ipinyou

        return import_ipinyou(path, out, seed)
    if source == "files":
        from ..simulator.market.mapping import import_files

        if mapping is None:
            raise MarketplaceError("importing files needs --mapping, a TOML file that names your columns")
        return import_files(path, out, mapping, seed)
    raise MarketplaceError(f"no source {source!r}; there are {', '.join(SOURCES)}")


def _figures(title: str, manifest: Manifest) -> Table:
    wanted = {name: (value, source) for name, value, source in _WANTED} if manifest.name == "world" else {}
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("figure", style="bold")
    table.add_column("here", justify="right")
    if wanted:
        table.add_column("real", justify="right")
        table.add_column("source", style="dim")
    for name, value in manifest.figures.items():
        real = wanted.get(name)
        row = [name.replace("_", " "), f"{value:,.3f}".rstrip("0").rstrip(".")]
        if wanted:
            row += ["" if real is None else f"{real[0]:g}", "" if real is None else real[1]]
        table.add_row(*row)
    return table
