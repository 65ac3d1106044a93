"""The command line: `adgram`, one command for everything."""

import os
import sys
from importlib import import_module
from typing import Annotated

import click
import typer
from rich.console import Console

from .. import __version__
from ..core.errors import AdgramError

# Each command lives in the module named beside it and is loaded when first asked for, so that --help answers at once.
_COMMANDS = {
    "demo": ("demo", "demo"),
    "world": ("market", "world"),
    "import": ("market", "import_"),
    "train": ("train", "train"),
    "eval": ("train", "evaluate"),
    "serve": ("serve", "serve"),
    "ingest": ("ingest", "ingest"),
    "simulate": ("simulate", "simulate"),
    "settle": ("simulate", "settle"),
    "topics": ("ingest", "topics"),
    "publish": ("ingest", "publish"),
    "send": ("ingest", "send"),
    "stop": ("ingest", "stop"),
    "explain": ("inspect", "explain"),
    "stats": ("inspect", "stats"),
}


class _LazyCommands(typer.core.TyperGroup):
    """A command group that imports a command's module only when that command is named, or all of them for --help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, function = _COMMANDS[cmd_name]
        single = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
        single.command(name=cmd_name)(getattr(import_module(f"..{module}", __name__), function))
        return typer.main.get_command(single)


app = typer.Typer(
    cls=_LazyCommands,
    name="adgram",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="An open hybrid ad decision engine. Start with [bold]adgram demo runs/demo[/bold].",
)


def _show_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command line; anything the project itself reports is one line on stderr and exit code 1."""
    try:
        app()
    except AdgramError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output left (`adgram … | head`): nothing more to say, and nothing to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
