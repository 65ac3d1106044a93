import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core.clock import Deadline, ManualClock
from adgram.generative.beam import search
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.training.codes import CodeModel
from adgram.kernels.reference import masked_log_softmax
from adgram.memory.trie import SortedTrie

SHAPE = DecoderShape(levels=3, codes=5, vector_width=6, width=8, heads=2, layers=2, history_length=4)
NEVER = Deadline.after_ms(1_000_000, ManualClock())


def random_decoder(seed: int, scale: float = 1.0) -> SemanticDecoder:
    torch.manual_seed(seed)
    decoder = SemanticDecoder(SHAPE, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width)).eval()
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.mul_(scale)
    return decoder


def trie_of(sids: np.ndarray, base: int = SHAPE.codes) -> SortedTrie:
    return SortedTrie.empty(base).inserted(sids.astype(np.int32), np.arange(len(sids), dtype=np.int32))


@pytest.mark.parametrize("length", [0, 1, 4])
def test_a_code_path_scores_the_same_step_by_step_and_all_at_once(length):
    """What training teaches (teacher_logits) is what serving runs (read, then step for step)."""
    decoder = random_decoder(3)
    vectors, codes = torch.randn(1, length, 6), torch.randint(5, (1, length + 1, 3))
    with torch.inference_mode():
        at_once = decoder.teacher_logits(decoder.states(vectors), codes)[0, -1]
        context, suffix = decoder.read(vectors[0]), None
        for level in range(3):
            before = codes[0, -1:, level - 1] if level else torch.zeros(1, dtype=torch.int64)
            step = decoder.step(context, level, before, suffix)
            suffix = step.suffix
            assert torch.allclose(step.logits[0], at_once[level], atol=1e-4)


def test_what_comes_later_does_not_change_an_earlier_state():
    """States are causal, so that training on every position is honest."""
    decoder, vectors = random_decoder(4), torch.randn(1, 4, 6)
    changed = vectors.clone()
    changed[0, 3] += 1
    with torch.inference_mode():
        assert torch.allclose(decoder.states(vectors)[0, :4], decoder.states(changed)[0, :4], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12), st.floats(0, 1), st.sampled_from([0.1, 1.0, 6.0])
)
def test_only_admitted_ids_come_out_and_none_is_lost_below_the_width(seed, items, width, share, scale):
    """Whatever the weights: every ID has an admitted item, and up to `width` admitted IDs all come out, finite."""
    rng = np.random.default_rng(seed)
    sids, admitted = rng.integers(0, 5, (items, 3)), rng.random(items) < share
    decoder, trie = random_decoder(seed, scale), trie_of(sids)
    with torch.inference_mode():
        context = decoder.read(torch.from_numpy(rng.standard_normal((seed % 5, 6)).astype(np.float32)))
        beams = search(decoder, context, trie, admitted, width, NEVER)
    expected = {tuple(row) for row in sids[admitted].tolist()}
    found = beams.semantic_ids
    assert len(set(found)) == len(found)
    assert set(found) <= expected
    assert len(found) == min(width, len(expected)) or len(expected) > width
    if len(expected) <= width:
        assert set(found) == expected
        assert np.exp(beams.log_probs).sum() == pytest.approx(1.0 if expected else 0.0, abs=1e-4)
    assert np.isfinite(beams.log_probs).all()
    assert np.all(np.diff(beams.log_probs) <= 0)


@pytest.mark.parametrize("base", [5, 16, 256])
def test_the_trie_may_count_in_another_base_than_the_decoder(base):
    """How many codes the trie packs per level changes nothing in the answer."""
    rng, decoder = np.random.default_rng(1), random_decoder(1)
    sids = rng.integers(0, 5, (30, 3))
    with torch.inference_mode():
        context = decoder.read(torch.randn(2, 6))
        wide = search(decoder, context, trie_of(sids, base), np.ones(30, dtype=bool), 8, NEVER)
        narrow = search(decoder, context, trie_of(sids), np.ones(30, dtype=bool), 8, NEVER)
    assert wide.semantic_ids == narrow.semantic_ids
    assert np.array_equal(wide.log_probs, narrow.log_probs)


def test_a_wide_beam_finds_the_exact_distribution():
    """With room for all IDs, each gets the product of its levels' live probabilities, as computed in training."""
    rng, decoder = np.random.default_rng(2), random_decoder(2)
    sids = np.unique(rng.integers(0, 5, (40, 3)), axis=0)
    vectors = rng.standard_normal((len(sids), 6)).astype(np.float32)
    model = CodeModel(decoder, vectors, sids.astype(np.int32))
    with torch.inference_mode():
        context = decoder.read(torch.from_numpy(vectors[:2]))
        beams = search(decoder, context, trie_of(sids), np.ones(len(sids), dtype=bool), 1000, NEVER)
        found = dict(zip(beams.semantic_ids, beams.log_probs.tolist(), strict=True))
        for row, sid in enumerate(sids.tolist()):
            taught = model.log_likelihood(torch.from_numpy(vectors[:2]), row)
            assert found[tuple(sid)] == pytest.approx(taught, abs=1e-4)


def test_a_passed_deadline_stops_the_search():
    """No level is begun after the deadline."""
    clock = ManualClock()
    deadline = Deadline.after_ms(1, clock)
    clock.advance(2_000_000)
    decoder = random_decoder(5)
    with torch.inference_mode():
        beams = search(
            decoder, decoder.read(torch.randn(1, 6)), trie_of(np.zeros((1, 3))), np.ones(1, bool), 4, deadline
        )
    assert beams.late
    assert beams.semantic_ids == []


def test_masked_training_ignores_codes_that_no_item_carries():
    """Pushing up a dead code's logit leaves the loss's probabilities alone."""
    logits, live = torch.tensor([1.0, 2.0, 9.0]), torch.tensor([True, True, False])
    raised = torch.tensor([1.0, 2.0, 99.0])
    assert torch.equal(masked_log_softmax(logits, live)[:2], masked_log_softmax(raised, live)[:2])
