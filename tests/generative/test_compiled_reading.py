"""The compiled decode answers as PyTorch does, for the network that is served."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core.clock import Deadline, ManualClock
from adgram.core.errors import ConfigError
from adgram.generative import compiled
from adgram.generative.config import GenerativeConfig
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.reading import CompiledReader, TensorReader, reader_of
from adgram.kernels.native import library
from adgram.memory.trie import SortedTrie

NEVER = Deadline.after_ms(1_000_000, ManualClock())
native = pytest.mark.skipif(library.load() is None, reason="the compiled decode was not built here")


def random_decoder(seed: int, shape: DecoderShape) -> SemanticDecoder:
    torch.manual_seed(seed)
    decoder = SemanticDecoder(shape, torch.randn(shape.levels, shape.codes, shape.vector_width)).eval()
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)  # norms and biases at their birth would hide what is left out
    return decoder


@native
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), levels=st.integers(1, 4), codes=st.sampled_from([3, 8, 33]),
    vector_width=st.sampled_from([5, 16]), word_width=st.sampled_from([0, 7]),
    heads=st.integers(1, 3), head_width=st.sampled_from([3, 8, 16]),
    layers=st.integers(0, 2), items=st.integers(1, 200), width=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.01, 0.5, 1.0]), worthy=st.booleans(), base=st.sampled_from([33, 64]),
)  # fmt: skip
def test_beams_and_profile_are_those_of_pytorch(
    seed, levels, codes, vector_width, word_width, heads, head_width, layers, items, width, share, worthy, base
):
    """Odd shapes, empty and thin admissions, one beam, with and without worth: the same IDs, scores to 1e-4."""
    rng = np.random.default_rng(seed)
    shape = DecoderShape(
        levels, codes, vector_width, heads * head_width, heads, layers, history_length=6, word_width=word_width
    )
    decoder = random_decoder(seed, shape)
    sids = rng.integers(0, codes, (items, levels)).astype(np.int32)
    trie = SortedTrie.empty(base).inserted(sids, np.arange(items, dtype=np.int32))
    admitted = rng.random(items) < share
    worths = np.where(admitted, rng.normal(0, 2, items), -np.inf).astype(np.float32)

    def worth(prefixes: np.ndarray, level: int) -> np.ndarray:
        return trie.best_children(prefixes, level, worths)

    vectors = rng.standard_normal((seed % 7, shape.reading_width)).astype(np.float32)
    with torch.inference_mode():
        readings = [reader_of(decoder, GenerativeConfig(compiled=way)).read(vectors) for way in ("off", "on")]
        plain, quick = (each.search(trie, admitted, width, NEVER, worth if worthy else None) for each in readings)
    assert readings[1].profile == pytest.approx(readings[0].profile, abs=1e-4)
    assert len(quick.codes) == len(plain.codes)
    if not worthy:  # then a call too close for float32 may change an ID, but never how good the beams are
        assert quick.log_probs == pytest.approx(plain.log_probs, abs=1e-4)
    scores = dict(zip(plain.semantic_ids, plain.log_probs.tolist(), strict=True))
    both = [place for place, semantic_id in enumerate(quick.semantic_ids) if semantic_id in scores]
    assert len(both) >= len(scores) - 1
    for place in both:
        assert quick.log_probs[place] == pytest.approx(scores[quick.semantic_ids[place]], abs=1e-4)


@native
def test_each_version_of_a_trie_is_searched_as_it_is():
    """A search finds the leaves of the version it is given, whichever was searched before."""
    sids = np.arange(12, dtype=np.int32).reshape(6, 2) % 4
    before = SortedTrie.empty(4).inserted(sids[:4], np.arange(4, dtype=np.int32))
    after = before.inserted(np.array([[3, 0]], np.int32), np.array([4], np.int32))
    decoder = random_decoder(3, DecoderShape(2, 4, 6, 8, 2, 1, history_length=3))
    reading = reader_of(decoder, GenerativeConfig(compiled="on")).read(np.zeros((1, 6), dtype=np.float32))
    for trie, items in ((before, 4), (after, 5), (before, 4), (after, 5)):
        found = reading.search(trie, np.ones(items, dtype=bool), 16, NEVER)
        assert sorted(trie.pack(found.codes.astype(np.int32))) == sorted(set(trie.keys.tolist()))


@native
def test_the_compiled_path_stops_at_the_deadline():
    """No level is begun after the deadline."""
    clock = ManualClock()
    deadline = Deadline.after_ms(1, clock)
    clock.advance(2_000_000)
    decoder = random_decoder(1, DecoderShape(2, 4, 6, 8, 2, 1, history_length=3))
    reading = reader_of(decoder, GenerativeConfig(compiled="on")).read(np.zeros((1, 6), dtype=np.float32))
    trie = SortedTrie.empty(4).inserted(np.zeros((1, 2), np.int32), np.zeros(1, np.int32))
    beams = reading.search(trie, np.ones(1, dtype=bool), 4, deadline)
    assert beams.late
    assert beams.semantic_ids == []


def test_without_the_compiled_decode_pytorch_answers(monkeypatch: pytest.MonkeyPatch):
    """ "auto" takes what there is, "off" always PyTorch, and "on" says in one line what is missing."""
    decoder = random_decoder(2, DecoderShape(2, 4, 6, 8, 2, 1, history_length=3))
    if library.load():
        assert isinstance(reader_of(decoder, GenerativeConfig()), CompiledReader)
    monkeypatch.setattr(compiled, "load", lambda: None)
    assert isinstance(reader_of(decoder, GenerativeConfig()), TensorReader)
    assert isinstance(reader_of(decoder, GenerativeConfig(compiled="off")), TensorReader)
    with pytest.raises(ConfigError, match="not built for this machine"):
        reader_of(decoder, GenerativeConfig(compiled="on"))
    with pytest.raises(ConfigError, match="compiled must be one of"):
        GenerativeConfig(compiled="fast")
