"""One small made world for all tests of the simulator."""

import os
from pathlib import Path

import pytest

from adgram.core.marketplace import Marketplace
from adgram.simulator.market.generator import WorldSettings, make_world

SMALL = WorldSettings(seed=3, items=600, users=500, days=4, impressions=12_000, requests=3_000)


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Marketplace:
    """A world of 600 items and 500 users."""
    folder = tmp_path_factory.mktemp("world")
    make_world(SMALL, folder, lambda part: None)
    return Marketplace(folder)


@pytest.fixture(scope="session")
def research_data() -> Path:
    """The folder of real data, or the test is skipped."""
    root = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("ADGRAM_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no research data at {folder}; set ADGRAM_DATA")
    return folder
