"""What every benchmark leaves behind: a table on the terminal and one JSON file with the commit and the machine."""

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Row:
    """One number. `to_reach` None: printed to compare with, nothing was asked of it."""

    name: str
    value: float
    unit: str
    better: Literal["higher", "lower"]
    to_reach: float | None
    how: str

    @property
    def reached(self) -> bool | None:
        if self.to_reach is None:
            return None
        return self.value >= self.to_reach if self.better == "higher" else self.value <= self.to_reach


@dataclass(slots=True)
class Report:
    """The rows of one benchmark, in the order they were measured. What was not measured has no row."""

    name: str
    rows: list[Row] = field(default_factory=list)

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        how: str,
        *,
        better: Literal["higher", "lower"] = "lower",
        to_reach: float | None = None,
    ) -> None:
        self.rows.append(Row(name, float(value), unit, better, to_reach, how))

    def value(self, name: str) -> float:
        """What the row of this name says."""
        return next(row.value for row in self.rows if row.name == name)

    def write(self, folder: Path = ROOT / "runs" / "bench") -> Path:
        """Prints the table and writes `folder`/<name>.json."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        content = {"commit": commit(), "machine": machine(), "rows": [asdict(row) for row in self.rows]}
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        Console(width=160).print(self._table())
        return path

    def _table(self) -> Table:
        table = Table("what", "value", "unit", "to reach", "how", title=f"{self.name}, commit {commit()}, {machine()}")
        for row in self.rows:
            sign = "≥" if row.better == "higher" else "≤"
            wanted = "" if row.to_reach is None else f"{sign} {row.to_reach:g}"
            colour = {None: "", True: "[green]", False: "[red]"}[row.reached]
            table.add_row(row.name, f"{colour}{row.value:.4g}", row.unit, wanted, row.how)
        return table


def commit() -> str:
    """The commit of the work tree, with a mark if files differ from it."""
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"


def machine() -> str:
    """The processor and how many of it this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {len(os.sched_getaffinity(0))} CPUs, Python {platform.python_version()}"
