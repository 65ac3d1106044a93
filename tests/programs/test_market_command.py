"""`adgram world` and `adgram import` as a person meets them."""

import subprocess
import sys
from pathlib import Path

from adgram.core.marketplace import Marketplace


def _adgram(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "adgram", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_world_is_made_and_its_figures_shown_beside_real_ones(tmp_path: Path) -> None:
    """One command writes a marketplace and prints what it measures and what it should."""
    sizes = ("--items", "300", "--users", "200", "--days", "2", "--impressions", "4000", "--requests", "500")
    done = _adgram("world", str(tmp_path / "w"), "--seed", "5", *sizes)
    assert done.returncode == 0, done.stderr
    assert "click rate" in done.stdout
    assert "Avazu" in done.stdout
    market = Marketplace(tmp_path / "w")
    assert market.manifest.seed == 5
    assert len(market.items()) == 300
    before = (tmp_path / "w" / "marketplace.json").read_bytes()
    again = _adgram("world", str(tmp_path / "w"), "--seed", "6", *sizes)
    assert again.returncode == 1
    assert "is a marketplace already; name another folder" in again.stderr
    assert (tmp_path / "w" / "marketplace.json").read_bytes() == before
    assert _adgram("world", str(tmp_path / "w"), "--seed", "6", *sizes, "--overwrite").returncode == 0
    assert Marketplace(tmp_path / "w").manifest.seed == 6


def test_trouble_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    """Missing files, unknown sources, missing mappings and impossible sizes say what to do, without a traceback."""
    cases = [
        (("import", "amazon", str(tmp_path / "nowhere"), str(tmp_path / "o")), "nothing at"),
        (("import", "ebay", str(tmp_path), str(tmp_path / "o")), "no source 'ebay'; there are amazon, ipinyou, files"),
        (("import", "files", str(tmp_path), str(tmp_path / "o")), "needs --mapping"),
        (("world", str(tmp_path / "w"), "--items", "3"), "at least 100 items"),
        (("simulate", str(tmp_path / "none")), "no marketplace in"),
    ]
    for arguments, words in cases:
        done = _adgram(*arguments)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
