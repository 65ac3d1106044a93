"""The command line: `adgram`, one command for everything."""

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from .. import __version__
from ..core.errors import AdgramError
from .logs import log_to_stderr

# Each command lives in the module named beside it and is loaded when that command is named, so that each answers soon.
_COMMANDS = {
    "demo": ("demo", "demo"),
    "world": ("market", "world"),
    "import": ("market", "import_"),
    "train": ("train", "train"),
    "eval": ("evaluate", "evaluate"),
    "serve": ("serve", "serve"),
    "ingest": ("ingest", "app"),
    "dlq": ("dlq", "app"),
    "simulate": ("simulate", "simulate"),
    "settle": ("simulate", "settle"),
    "topics": ("ingest", "topics"),
    "publish": ("feed", "publish"),
    "send": ("feed", "send"),
    "stop": ("feed", "stop"),
    "memory": ("memory", "app"),
    "explain": ("inspect", "explain"),
    "stats": ("inspect", "stats"),
}


def _show_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def application(names: Iterable[str]) -> typer.Typer:
    """The command line with these commands."""
    app = typer.Typer(
        name="adgram",
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        help="An open hybrid ad decision engine. Start with [bold]adgram demo runs/demo[/bold].",
    )
    app.callback()(_root)
    for name in names:
        module, function = _COMMANDS[name]
        command = getattr(import_module(f"..{module}", __name__), function)
        if isinstance(command, typer.Typer):  # a group of commands, such as `adgram ingest`
            app.add_typer(command, name=name)
        else:
            app.command(name=name)(command)
    return app


def main() -> None:
    """Runs the command line; anything the project itself reports is one line on stderr and exit code 1."""
    log_to_stderr()
    try:
        asked = [name for name in sys.argv[1:2] if name in _COMMANDS]
        application(asked or _COMMANDS)()
    except AdgramError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output left (`adgram … | head`): nothing more to say, and nothing to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
