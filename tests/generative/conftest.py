"""A tiny marketplace with two tastes, models trained on it for a moment, and models of random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from adgram.core.catalogue import Item
from adgram.core.clock import SystemClock
from adgram.core.marketplace import Manifest, Marketplace, write_entities, write_log, write_manifest
from adgram.generative.training.fit import fit
from adgram.generative.training.options import TrainingOptions

GARDEN = ["spade", "rake", "hose", "seed", "pot", "soil", "fern", "moss", "tulip", "hedge"]
KITCHEN = ["pan", "wok", "knife", "ladle", "bowl", "whisk", "grill", "spoon", "plate", "oven"]
TINY = TrainingOptions(
    minutes=1, seed=7, content_width=16, vector_width=16, width=16, interest_epochs=40, code_epochs=40, dropout=0.1
)


def write_marketplace(folder: Path, users: int = 120, seed: int = 0) -> Marketplace:
    """Users of two tastes, who keep to the words they like."""
    rng = np.random.default_rng(seed)
    items = [
        Item(f"{word}{number}", f"{word} number {number}", (kind, word), "", f"{kind} {word}")
        for kind, words in (("garden", GARDEN), ("厨房", KITCHEN))
        for word in words
        for number in range(3)
    ]
    write_entities(folder, "items", items)
    times, user_ids, item_ids = [], [], []
    for user in range(users):
        base = 30 * (user % 2)
        for place, row in enumerate(rng.choice(30, size=8, replace=False)):
            times.append(place)
            user_ids.append(f"u{user}")
            item_ids.append(items[base + int(row)].item_id)
    columns = {"event_time": times, "user_id": user_ids, "item_id": item_ids, "kind": ["click"] * len(times)}
    write_log(folder, "interactions", columns)
    write_manifest(folder, Manifest("tiny", "USD", "test", seed))
    return Marketplace(folder)


@pytest.fixture(scope="session")
def marketplace(tmp_path_factory: pytest.TempPathFactory) -> Marketplace:
    return write_marketplace(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def models(marketplace: Marketplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    fit(marketplace, folder, TINY, {"test": True}, SystemClock(), lambda stage, done, words: None)
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
