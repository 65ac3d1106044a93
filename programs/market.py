"""`adgram world` and `adgram import`: marketplaces out of nothing or out of somebody's files."""

from pathlib import Path
from typing import Annotated

import typer
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
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Make anew what the folder holds.")]


def world(
    out: Annotated[Path, typer.Argument(help="Folder to make; its truth goes to truth/ inside.")],
    seed: Annotated[int, typer.Option(help="The same seed and sizes give the same files, byte for byte.")] = 1,
    items: Annotated[int, typer.Option(help="Items to advertise.")] = 2000,
    users: Annotated[int, typer.Option(help="People.")] = 2000,
    days: Annotated[int, typer.Option(help="Days of logs; the traffic is the day after.")] = 7,
    impressions: Annotated[int, typer.Option(help="Rows of the impressions log.")] = 150_000,
    requests: Annotated[int, typer.Option(help="Rows of the traffic log.")] = 30_000,
    new_items: Annotated[
        int, typer.Option(help="How many of the items no log knows: they begin with the traffic.")
    ] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Make a seeded marketplace with hidden truth, and print its figures beside those of real data."""
    from ..simulator.market.generator import WorldSettings, make_world

    console = Console()
    least = {"items": (items, 100), "users": (users, 50), "days": (days, 1), "impressions": (impressions, 1000)}
    for name, (value, minimum) in {**least, "requests": (requests, 1)}.items():
        if value < minimum:
            raise MarketplaceError(f"a world needs at least {minimum} {name}, got {value}")
    if not 0 <= new_items <= items // 2:
        raise MarketplaceError(f"new items must lie between 0 and half of all ({items // 2}), not {new_items}")
    _refuse_to_lose(out, overwrite)
    settings = WorldSettings(seed, items, users, days, impressions, requests, new_items=new_items)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("making the world")
        manifest = make_world(settings, out, lambda part: progress.update(task, description=f"making {part}"))
    console.print(_figures(manifest))
    console.print(f"{out}: a world of {items:,} items and {users:,} people, seed {seed}", highlight=False)


def import_(
    source: Annotated[str, typer.Argument(help=f"What it is: {', '.join(SOURCES)}.")],
    path: Annotated[Path, typer.Argument(help="The folder or file to read.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    mapping: Annotated[
        Path | None, typer.Option(help="For `files`: a TOML file that says which of your columns is what.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides whatever the source lacks and a rule makes.")] = 1,
    overwrite: OverwriteOption = False,
) -> None:
    """Bring in somebody's own data; what it lacks is made by rules that are printed and kept in its manifest."""
    console = Console()
    _refuse_to_lose(out, overwrite)
    with console.status(f"importing {path}"):
        manifest = _import(source, path, out, mapping, seed)
    console.print(_figures(manifest))
    for rule in manifest.rules:
        console.print(f"by rule: {rule}", style="dim", highlight=False)
    console.print(f"{out}: {manifest.source}", highlight=False)


def _refuse_to_lose(out: Path, overwrite: bool) -> None:
    if (out / "marketplace.json").is_file() and not overwrite:
        raise MarketplaceError(f"{out} is a marketplace already; name another folder, or make it anew with --overwrite")


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


def _figures(manifest: Manifest) -> Table:
    wanted = {name: (value, source) for name, value, source in _WANTED} if manifest.name == "world" else {}
    table = Table(box=None, pad_edge=False)
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
