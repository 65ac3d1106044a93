import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adgram.core.catalogue import Item
from adgram.core.errors import ArtifactError
from adgram.core.marketplace import Marketplace
from adgram.generative.features import BUCKETS, hashed_counts
from adgram.generative.tokenizer import load_encoder


@given(st.text(max_size=60), st.text(max_size=60), st.lists(st.text(max_size=8), max_size=3))
def test_any_words_become_features(title, text, category):
    """No title, script or category breaks the hashing, and the same item always gives the same features."""
    item = Item("x", title, tuple(category), "", text)
    counts = hashed_counts(item)
    assert counts == hashed_counts(item)
    assert all(0 <= bucket < BUCKETS and weight > 0 for bucket, weight in counts.items())


def test_chinese_words_are_shared_by_what_contains_them():
    """Chinese has no spaces: 跑步鞋 and 轻便跑步鞋 still share features, 电饭锅 has none of them."""
    shoe, light_shoe, cooker = (set(hashed_counts(Item("x", title))) for title in ("跑步鞋", "轻便跑步鞋", "电饭锅"))
    assert shoe <= light_shoe
    assert not shoe & cooker


def test_an_item_is_encoded_alike_alone_and_in_company(models: Path, marketplace: Marketplace):
    """Codes and vector of each item are the same whoever is encoded with it, in whatever order."""
    encoder, items = load_encoder(models / "tokenizer"), marketplace.items()
    together = encoder.encode(items)
    assert together == tuple(encoder.encode([item])[0] for item in items)
    assert encoder.encode(items[::-1]) == together[::-1]


def test_vectors_have_unit_length_and_codes_fit_the_codebooks(models: Path, marketplace: Marketplace):
    """Every encoded item carries a float32 unit vector, L codes below K, and the encoder's checksum."""
    encoder = load_encoder(models / "tokenizer")
    levels, codes, width = encoder.weights.codebooks.shape
    for entry in encoder.encode(marketplace.items()):
        vector = np.frombuffer(entry.vector, dtype=np.float32)
        assert vector.shape == (width,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert len(entry.semantic_id) == levels
        assert all(0 <= code < codes for code in entry.semantic_id)
        assert entry.model == encoder.model


def test_a_new_item_lands_among_its_like(models: Path, marketplace: Marketplace):
    """An item never met in training is encoded from its words, nearer to its own kind than to the other."""
    encoder = load_encoder(models / "tokenizer")
    new = np.frombuffer(
        encoder.encode([Item("new", "rake tulip", ("garden",), "", "garden rake")])[0].vector, np.float32
    )
    likeness = {"garden": [], "厨房": []}
    for entry in encoder.encode(marketplace.items()):
        likeness[entry.item.category[0]].append(float(np.frombuffer(entry.vector, np.float32) @ new))
    assert np.mean(likeness["garden"]) > np.mean(likeness["厨房"]) + 0.2


def test_an_item_without_a_known_word_is_still_encoded(models: Path):
    """Nothing to go by gives a valid vector and ID, never NaN."""
    encoder = load_encoder(models / "tokenizer")
    entry = encoder.encode([Item("blank", "")])[0]
    assert np.linalg.norm(np.frombuffer(entry.vector, np.float32)) == pytest.approx(1, abs=1e-5)


def test_one_item_is_encoded_in_under_a_millisecond(models: Path, marketplace: Marketplace):
    """Encoding keeps up with ingest."""
    encoder = load_encoder(models / "tokenizer")
    items = [replace(item, text=item.text * 5) for item in marketplace.items()]
    encoder.encode(items)
    took_s = []
    for _ in range(5):
        started = time.perf_counter()
        encoder.encode(items)
        took_s.append(time.perf_counter() - started)
    assert min(took_s) / len(items) < 0.001


def test_a_changed_file_is_refused(models: Path, tmp_path: Path):
    """Weights that do not fit the manifest are an ArtifactError in one line."""
    for file in ("weights.npz", "content/content.npz"):
        changed = shutil.copytree(models / "tokenizer", tmp_path / file)
        (changed / file).write_bytes(b"other")
        with pytest.raises(ArtifactError, match=r"changed since training") as caught:
            load_encoder(changed)
        assert "\n" not in str(caught.value)
