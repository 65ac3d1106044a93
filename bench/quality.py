"""Recommendation quality of the trained artefacts under runs/quality (see `make study-quality`), as one report.

Each artefact is evaluated by `adgram eval` over all users; what is not trained has no row. Papers follow their own
protocols, so their figures stand beside ours in docs/LOG.md and not here.

    python bench/quality.py --folder runs/quality
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from report import Report

from adgram.programs.children import adgram

WANTED: dict[str, dict[str, dict[str, float]]] = {
    "amazon_beauty": {
        "generative alone": {"recall_at_10": 0.0830, "ndcg_at_10": 0.0470},
        "fused": {"recall_at_10": 0.1000, "ndcg_at_10": 0.0600},
    },
    "amazon_toys": {
        "generative alone": {"recall_at_10": 0.0880, "ndcg_at_10": 0.0510},
        "fused": {"recall_at_10": 0.1150, "ndcg_at_10": 0.0680},
    },
}
FIGURES = {"recall_at_5": "R@5", "ndcg_at_5": "N@5", "recall_at_10": "R@10", "ndcg_at_10": "N@10"}


def add_rows(report: Report, name: str, evaluated: dict[str, Any]) -> None:
    """Every row of the quality table with mean and standard deviation over seeds, then the paired test over all."""
    seeds: list[dict[str, Any]] = evaluated["seeds"]
    how = "; ".join(f"{seed['models']} {seed['decoder']}" for seed in seeds)
    for row in seeds[0]["rows"]:
        for figure, short in FIGURES.items():
            values = [seed["rows"][row][figure] for seed in seeds]
            spread = f"sd {np.std(values, ddof=1):.4f} of {len(values)} seeds" if len(values) > 1 else "one seed"
            to_reach = WANTED[name].get(row, {}).get(figure)
            words = f"{spread}: {how}" if to_reach is not None else spread
            report.add(f"{name}, {row}, {short}", float(np.mean(values)), "", words, better="higher", to_reach=to_reach)
    test, title = evaluated["fused_against_without"], f"{name}, fused against fused without generative"
    interval = (
        f"interval [{test['low']:+.4f}, {test['high']:+.4f}] by paired bootstrap over users, these trainings given"
    )
    each = ", ".join(f"{seed['fused_against_without']['ndcg_gain']:+.4f}" for seed in seeds)
    report.add(f"{title}: gain of N@10", test["ndcg_gain"], "", f"{interval}; each training {each}", better="higher")
    report.add(f"{title}: p of N@10", test["p_ndcg"], "", "two-sided Wilcoxon, each user once", to_reach=0.05)
    report.add(f"{title}: p of R@10", test["p_recall"], "", "sign test, each user once", to_reach=0.05)
    for seed in seeds:
        report.add(f"{name}, a proposal, {seed['decoder']}", seed["served_ms"], "ms", "median, one thread, served path")


def main(
    folder: Annotated[Path, typer.Option(help="Where `make study-quality` left the models.")] = Path("runs/quality"),
) -> None:
    """Evaluate whatever is trained and write runs/bench/quality.json."""
    report = Report("quality")
    for name in WANTED:
        models = sorted(path.parent.parent for path in folder.glob(f"{name}-*/decoder/manifest.json"))
        if not models:
            continue
        out = folder / f"{name}.json"
        options = [word for model in models for word in ("--models", str(model))]
        code = subprocess.run(adgram("eval", str(folder / name), *options, "--out", str(out)), check=False).returncode
        if code:
            sys.exit(code)
        add_rows(report, name, msgspec.json.decode(out.read_bytes()))
    if not report.rows:
        sys.exit(f"error: {folder} holds no trained models; run `make study-quality` first")
    report.write()


if __name__ == "__main__":
    typer.run(main)
