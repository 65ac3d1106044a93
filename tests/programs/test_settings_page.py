"""The page of settings: complete, and with the defaults the code has."""

import dataclasses
import re
import typing
from pathlib import Path

from adgram.programs.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "CONFIGURATION.md").read_text(encoding="utf-8")


def test_every_key_is_on_the_page_with_its_default() -> None:
    """Each section lists exactly the keys of its dataclass, each with what it does and the default in force."""
    hints = typing.get_type_hints(Settings)
    for section, kind in hints.items():
        if not dataclasses.is_dataclass(kind):
            continue
        part = PAGE.split(f"## `[{section}]`")[1].split("\n## ")[0]
        rows = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \| .+ \|$", part, re.MULTILINE))
        assert {name: eval(default, {}) for name, default in rows.items()} == dataclasses.asdict(kind())
