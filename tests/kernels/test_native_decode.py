"""The compiled decode against a definition that caches nothing, on every instruction set this machine has."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from adgram.kernels.native import library
from adgram.kernels.native.decoder import CompiledContext, CompiledDecoder
from adgram.kernels.native.trie import Admitted, CompiledTrie
from adgram.memory import trie as trie_module
from adgram.memory.trie import SortedTrie

from .naive_transformer import random_weights, search

NATIVE = library.load()
pytestmark = pytest.mark.skipif(NATIVE is None, reason="the compiled decode was not built here, or the CPU has no AVX2")
LEVELS = range(1, NATIVE.adgram_level() + 1) if NATIVE else ()


@pytest.fixture(params=LEVELS, ids=lambda level: library.INSTRUCTION_SETS[level])
def instruction_set(request: pytest.FixtureRequest) -> Iterator[None]:
    best = NATIVE.adgram_level()
    NATIVE.adgram_set_level(request.param)
    yield
    NATIVE.adgram_set_level(best)


def decode(
    decoder: CompiledDecoder,
    context: CompiledContext,
    sids: np.ndarray,
    width: int,
    admitted=None,
    skipping: bool = True,
) -> dict[tuple[int, ...], float]:
    """The IDs found with their log-probabilities, best first; `skipping` what exactness allows to skip, or nothing."""
    trie = SortedTrie.empty(decoder.codes).inserted(sids.astype(np.int32), np.arange(len(sids), dtype=np.int32))
    admitted = np.ones(len(sids), dtype=bool) if admitted is None else admitted
    run = decoder.search(context)
    run.skip_single = run.bound = run.live_only = skipping
    prefixes, codes, log_probs = np.zeros(1, dtype=np.int64), np.empty((1, 0), dtype=np.int64), np.zeros(1)
    for level in range(decoder.levels):
        step = run.step(trie.live_children(prefixes, level, admitted), width)
        prefixes = prefixes[step.parents] * decoder.codes + step.codes
        codes, log_probs = np.column_stack((codes[step.parents], step.codes)), step.log_probs
    return dict(zip(map(tuple, codes.tolist()), log_probs.tolist(), strict=True))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000), layers=st.integers(1, 3), heads=st.integers(1, 3),
    head_width=st.sampled_from([1, 4, 7, 16, 20, 40]), feed=st.sampled_from([3, 32, 70]), longest=st.integers(1, 40),
    levels=st.integers(1, 4), codes=st.sampled_from([2, 5, 17, 33]), width=st.integers(1, 70),
    items=st.integers(1, 120),
)  # fmt: skip
def test_the_best_beams_are_those_of_the_definition(
    instruction_set, seed, layers, heads, head_width, feed, longest, levels, codes, width, items
):
    """Odd shapes, full and single nodes: the same IDs (calls closer than 1e-5 aside) and the same scores to 1e-4."""
    rng = np.random.default_rng(seed)
    weights = random_weights(
        seed, layers=layers, heads=heads, head_width=head_width, feed=feed, longest=longest, levels=levels, codes=codes
    )
    sids = rng.integers(0, codes, (items, levels))
    prompt = rng.integers(0, len(weights.token), rng.integers(1, longest + 1)).tolist()
    decoder = CompiledDecoder(weights)
    found = decode(decoder, decoder.read_tokens(np.array(prompt)), sids, width)
    expected = search(weights, prompt, sids, width)
    assume(expected.margin > 1e-5)  # a closer call may fall either way
    assert {beam.codes for beam in expected.beams} == set(found)
    for beam in expected.beams:
        assert found[beam.codes] == pytest.approx(beam.log_prob, abs=1e-4)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(1, 100), st.integers(1, 400), st.sampled_from([0.0, 0.01, 0.3, 1.0]))
def test_what_is_skipped_never_changes_the_answer(instruction_set, seed, width, items, share):
    """Single children, bounds over sorted beams, admission of 1 % or of nothing: the answer is that of all the work."""
    rng = np.random.default_rng(seed)
    weights = random_weights(seed, layers=2, heads=2, head_width=8, feed=32, longest=9, levels=3, codes=20, scale=1.5)
    sids, admitted = rng.integers(0, 20, (items, 3)), rng.random(items) < share
    decoder = CompiledDecoder(weights)
    context = decoder.read_tokens(rng.integers(0, 62, 9))
    quick = decode(decoder, context, sids, width, admitted)
    slow = decode(decoder, context, sids, width, admitted, skipping=False)
    assert list(quick.values()) == pytest.approx(list(slow.values()), abs=1e-5)
    assert all(quick[sid] == pytest.approx(slow[sid], abs=1e-5) for sid in quick.keys() & slow.keys())
    left_out = slow.keys() ^ quick.keys()  # none but those that tie with the last
    assert all({**slow, **quick}[sid] == pytest.approx(min(slow.values()), abs=1e-5) for sid in left_out)
    expected = {tuple(sid) for sid in sids[admitted].tolist()}
    assert set(quick) <= expected
    assert len(quick) == min(width, len(expected)) or len(expected) > width
    if 0 < len(expected) <= width:
        assert np.exp(list(quick.values())).sum() == pytest.approx(1, abs=1e-4)


def versions(rng, base, sids, items):
    """Tries one after another, each with the items that live in it: built, then one item more a time, or some fewer."""
    trie = SortedTrie.empty(base).inserted(sids[:items], np.arange(items, dtype=np.int32))
    living = np.arange(len(sids)) < items
    yield trie, living.copy()
    for slot in range(items, len(sids)):
        trie = trie.inserted(sids[slot : slot + 1], np.array([slot], np.int32))
        living[slot] = True
        if rng.random() < 0.3:
            gone = np.flatnonzero(living & (rng.random(len(sids)) < 0.05)).astype(np.int32)
            trie = trie.removed(sids[gone], gone)
            living[gone] = False
        yield trie, living.copy()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000), items=st.integers(1, 1_500), levels=st.integers(1, 4),
    codes=st.sampled_from([3, 7, 16]), base=st.sampled_from([1, 7, 16, 40, 64]),
    share=st.sampled_from([0.0, 0.005, 0.02, 0.5, 0.97, 1.0]),
    clustered=st.booleans(), changes=st.integers(0, 30), told=st.booleans(), width=st.integers(1, 40),
    packed=st.sampled_from([0, 1 << 18]), thin=st.sampled_from([0, 4_096]), room=st.sampled_from([0, 4_000_000]),
)  # fmt: skip
def test_a_search_that_walks_the_trie_finds_what_one_told_of_it_finds(
    instruction_set, seed, items, levels, codes, base, share, clustered, changes, told, width, packed, thin, room
):
    """Every way to read an admission, other numbers of codes than the decoder's, and every version once newer ones are
    written behind it: one answer, to the bit."""
    rng = np.random.default_rng(seed)
    sids = rng.integers(0, base, (items + changes, levels)).astype(np.int32)
    liked = rng.random(len(sids)) < share
    if clustered:
        liked &= sids[:, 0] % 3 == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trie_module, "SLACK_BYTES", room)  # without room for pages they are made anew
        patch.setattr(trie_module, "SLACK_LEAVES", room)
        played = list(versions(rng, base, sids, items))
    weights = random_weights(
        seed, layers=1, heads=2, head_width=4, feed=8, longest=4, levels=levels, codes=codes, scale=2.0
    )
    decoder = CompiledDecoder(weights)
    context = decoder.read_tokens(rng.integers(0, len(weights.token), 4))
    for trie, living in (played[0], played[len(played) // 2], played[-1]):
        admitted = liked & living
        arrays = (trie.beside(sids) if told else trie).arrays
        walking = decoder.search(context, Admitted(CompiledTrie(arrays, packed, thin), admitted))
        asking, prefixes = decoder.search(context), np.zeros(1, np.int64)
        for level in range(levels):
            live = trie.live_children(prefixes, level, admitted)[:, :codes]
            live = np.pad(live, ((0, 0), (0, codes - live.shape[1])))
            assert np.array_equal(walking.live_children(prefixes, level), live)
            step, found = asking.step(live, width), walking.step(None, width)
            assert np.array_equal(step.parents, found.parents)
            assert np.array_equal(step.codes, found.codes)
            assert np.array_equal(step.log_probs, found.log_probs)
            prefixes = prefixes[step.parents] * base + step.codes
            assert len(np.unique(prefixes)) == len(prefixes)
            if not len(step.codes):
                break
        assert walking.computed == asking.computed


@pytest.mark.parametrize("share", [0.01, 0.3, 0.97, 1.0])
def test_masks_of_the_served_shape_are_the_tries_own(instruction_set, share):
    """256 codes, each with a page of 256 buckets: bits of buckets, roots by the items' own codes, thin groups."""
    rng = np.random.default_rng(2)
    sids = rng.integers(0, 256, (20_000, 3)).astype(np.int32)
    trie = SortedTrie.empty(256).inserted(sids, np.arange(len(sids), dtype=np.int32)).beside(sids)
    weights = random_weights(2, layers=1, heads=1, head_width=4, feed=8, longest=2, levels=3, codes=256)
    decoder = CompiledDecoder(weights)
    context = decoder.read_tokens(np.zeros(1, np.int64))
    for admitted in (rng.random(len(sids)) < share, (sids[:, 0] < 256 * share) & (sids[:, 0] != 7)):
        for packed in (0, 1 << 18):
            search = decoder.search(context, Admitted(CompiledTrie(trie.arrays, packed), admitted))
            for level in range(3):
                prefixes = np.unique(trie.pack(sids[:200, :level])) if level else np.zeros(1, np.int64)
                assert np.array_equal(
                    search.live_children(prefixes, level), trie.live_children(prefixes, level, admitted)
                )


@pytest.mark.parametrize("thin", [0, 4_096])
def test_items_without_a_semantic_id_admitted_by_mistake_do_no_harm(thin):
    """Items of another model have no codes, and the newest may not be known yet: they are passed by."""
    rng = np.random.default_rng(4)
    sids = rng.integers(0, 5, (200, 3)).astype(np.int32)
    trie = SortedTrie.empty(5).inserted(sids, np.arange(200, dtype=np.int32))
    beside = np.concatenate((sids, np.full((20, 3), -1, np.int32)))
    admitted = np.zeros(230, np.bool_)
    admitted[[3, 77, 205, 229]] = True  # two that live, one without an ID, one that nothing is known of
    decoder = CompiledDecoder(random_weights(4, layers=1, heads=1, head_width=4, feed=8, longest=2, levels=3, codes=5))
    arrays = trie.beside(beside).arrays
    search = decoder.search(
        decoder.read_tokens(np.zeros(1, np.int64)), Admitted(CompiledTrie(arrays, thin=thin), admitted)
    )
    prefixes = np.zeros(1, np.int64)
    for _ in range(3):
        step = search.step(None, 10)
        prefixes = prefixes[step.parents] * 5 + step.codes
    assert sorted(prefixes.tolist()) == sorted(trie.pack(sids[[3, 77]]).tolist())


def test_a_single_living_child_of_a_single_level_is_found_once(instruction_set):
    """The only child is certain without the network, and no second time by it."""
    decoder = CompiledDecoder(random_weights(1, layers=1, heads=1, head_width=4, feed=8, longest=4, levels=1, codes=5))
    live = np.array([[False, True, False, False, False]])
    step = decoder.search(decoder.read_tokens(np.zeros(1, np.int64))).step(live, 4)
    assert step.codes.tolist() == [1]
    assert step.log_probs.tolist() == [0.0]


def test_a_search_refuses_what_the_library_would_read_beyond_its_memory():
    """An admission of too few items, a trie of another depth, children told to one that finds them or to nobody, a step
    too many."""
    decoder = CompiledDecoder(random_weights(1, layers=1, heads=1, head_width=4, feed=8, longest=4, levels=2, codes=5))
    trie = SortedTrie.empty(5).inserted(np.zeros((3, 2), np.int32), np.arange(3, dtype=np.int32))
    deeper = SortedTrie.empty(5).inserted(np.zeros((3, 3), np.int32), np.arange(3, dtype=np.int32))
    context, everything = decoder.read_tokens(np.zeros(1, np.int64)), np.ones(3, np.bool_)
    with pytest.raises(ValueError, match="2 items, but the trie knows 3"):
        Admitted(CompiledTrie(trie.arrays), np.ones(2, np.bool_))
    for other in (deeper, SortedTrie.empty(5)):
        with pytest.raises(ValueError, match="levels, the decoder 2"):
            decoder.search(context, Admitted(CompiledTrie(other.arrays), everything))
    told, walking = decoder.search(context), decoder.search(context, Admitted(CompiledTrie(trie.arrays), everything))
    with pytest.raises(ValueError, match="is told"):
        told.step(None, 4)
    with pytest.raises(ValueError, match="is told"):
        walking.step(np.ones((1, 5), np.bool_), 4)
    with pytest.raises(ValueError, match="knows no children"):
        told.live_children(np.zeros(1, np.int64), 0)
    for _ in range(2):
        walking.step(None, 4)
    with pytest.raises(ValueError, match="ended"):
        walking.step(None, 4)
    with pytest.raises(ValueError, match="contiguous"):
        CompiledTrie(replace(trie.arrays, root=trie.arrays.root.astype(np.int64)))


def test_a_context_can_be_read_by_many_searches_and_longer_ones_leave_no_trace(instruction_set):
    """A cached context answers as it did at first, whatever the decoder read in between."""
    rng = np.random.default_rng(3)
    weights = random_weights(3, layers=2, heads=2, head_width=20, feed=40, longest=50, levels=3, codes=9)
    sids, decoder = rng.integers(0, 9, (200, 3)), CompiledDecoder(weights)
    short, long = rng.integers(0, 29, 7), rng.integers(0, 29, 50)
    kept = decoder.read_tokens(short)
    first = decode(decoder, kept, sids, 16)
    decode(decoder, decoder.read_tokens(long), sids, 64)
    assert decode(decoder, kept, sids, 16) == first
    assert decode(decoder, decoder.read_tokens(short), sids, 16) == first


def test_two_threads_answer_as_one(instruction_set):
    """The work is split by columns and heads, so that not even rounding differs."""
    rng = np.random.default_rng(4)
    weights = random_weights(4, layers=2, heads=4, head_width=16, feed=96, longest=30, levels=3, codes=40)
    sids, prompt = rng.integers(0, 40, (2_000, 3)), rng.integers(0, 100, 30)
    one, two = CompiledDecoder(weights), CompiledDecoder(weights, threads=2)
    assert decode(one, one.read_tokens(prompt), sids, 32) == decode(two, two.read_tokens(prompt), sids, 32)


def test_bytes_are_close_to_floats(instruction_set):
    """int8 keeps most of the beams even on random weights, and the scores of those it keeps to a tenth."""
    rng = np.random.default_rng(5)
    weights = random_weights(5, layers=3, heads=4, head_width=16, feed=256, longest=30, levels=3, codes=40, scale=0.5)
    sids, prompt = rng.integers(0, 40, (5_000, 3)), rng.integers(0, 100, 30)
    exact, bytes_ = CompiledDecoder(weights), CompiledDecoder(weights, int8=True)
    floats = decode(exact, exact.read_tokens(prompt), sids, 32)
    rough = decode(bytes_, bytes_.read_tokens(prompt), sids, 32)
    both = floats.keys() & rough.keys()
    assert len(both) >= 24
    assert max(abs(floats[sid] - rough[sid]) for sid in both) < 0.1


def test_instruction_sets_agree_on_bytes():
    """The AVX2 form of the byte product, which cannot saturate, gives the sums that VNNI gives."""
    rng = np.random.default_rng(6)
    weights = random_weights(6, layers=2, heads=2, head_width=16, feed=50, longest=12, levels=2, codes=30, scale=2.0)
    sids, prompt, best = rng.integers(0, 30, (300, 2)), rng.integers(0, 60, 12), NATIVE.adgram_level()
    answers = []
    for level in LEVELS:
        NATIVE.adgram_set_level(level)
        decoder = CompiledDecoder(weights, int8=True)
        answers.append(decode(decoder, decoder.read_tokens(prompt), sids, 20))
    NATIVE.adgram_set_level(best)
    for answer in answers[1:]:
        both = answer.keys() & answers[0].keys()
        assert len(both) >= 19
        assert max(abs(answer[sid] - answers[0][sid]) for sid in both) < 0.05  # one rounding of an activation apart


def test_weights_that_are_not_numbers_propose_nothing(instruction_set):
    """NaN reaches no beam: the search ends empty instead of ordering by nonsense."""
    weights = random_weights(7, layers=1, heads=1, head_width=8, feed=8, longest=3, levels=2, codes=4)
    weights.blocks[0].up.weight[0, 0] = np.nan
    decoder = CompiledDecoder(weights)
    assert decode(decoder, decoder.read_tokens(np.array([1, 2])), np.array([[0, 1], [2, 3], [0, 2]]), 4) == {}


def test_a_prompt_that_does_not_fit_is_refused():
    """Neither an empty prompt nor one beyond the positions the model knows."""
    decoder = CompiledDecoder(random_weights(8, layers=1, heads=1, head_width=8, feed=8, longest=3, levels=2, codes=4))
    for length in (0, 4):
        with pytest.raises(ValueError, match=f"1 to 3 tokens, not {length}"):
            decoder.read_tokens(np.zeros(length, dtype=np.int64))
    with pytest.raises(ValueError, match="live is"):
        decoder.search(decoder.read_tokens(np.array([1]))).step(np.ones((2, 4), dtype=bool), 3)
