import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core import rows
from adgram.core.catalogue import EncodedItem, Item
from adgram.core.clock import Deadline, ManualClock
from adgram.core.commit import Commit, Table
from adgram.core.errors import ConfigError
from adgram.core.ports import ProposalContext
from adgram.generative.beam import search
from adgram.generative.companions import CompanionTable
from adgram.generative.config import GenerativeConfig
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.proposer import GenerativeProposer
from adgram.generative.worth import FLOOR, below, worths_of
from adgram.memory.snapshot import MemorySnapshot
from adgram.memory.trie import SortedTrie

SHAPE = DecoderShape(levels=3, codes=5, vector_width=6, width=8, heads=2, layers=1, history_length=4)
NEVER = Deadline.after_ms(1_000_000, ManualClock())


def case(seed, items, share):
    """A decoder of random weights, a trie of random items, some admitted, and a value for each."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    decoder = SemanticDecoder(SHAPE, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width)).eval()
    sids = rng.integers(0, SHAPE.codes, (items, SHAPE.levels)).astype(np.int32)
    trie = SortedTrie.empty(SHAPE.codes).inserted(sids, np.arange(items, dtype=np.int32))
    values = np.where(rng.random(items) < 0.2, 0.0, rng.lognormal(0, 2, items)).astype(np.float32)
    return decoder, sids, trie, rng.random(items) < share, values


def found(decoder, trie, admitted, width, worths):
    with torch.inference_mode():
        context = decoder.read(torch.ones(2, SHAPE.vector_width))
        worth = None if worths is None else below(trie, worths)
        return search(decoder, context, trie, admitted, width, NEVER, worth)


SEEDS, ITEMS, SHARES = st.integers(0, 10_000), st.integers(1, 60), st.sampled_from([0.2, 1.0])


@settings(max_examples=40)
@given(SEEDS, ITEMS, SHARES, st.integers(1, 12))
def test_without_weight_the_search_is_the_plain_one(seed, items, share, width):
    """Worths of zero give the very beams and log-probabilities of a search without worth."""
    decoder, _, trie, admitted, _ = case(seed, items, share)
    worths = np.where(admitted, np.float32(0), np.float32(-np.inf))
    plain, weighed = found(decoder, trie, admitted, width, None), found(decoder, trie, admitted, width, worths)
    assert np.array_equal(plain.codes, weighed.codes)
    assert np.array_equal(plain.log_probs, weighed.log_probs)


@settings(max_examples=40)
@given(SEEDS, ITEMS, SHARES, st.floats(0.05, 5))
def test_a_beams_rank_is_never_below_that_of_an_item_under_it(seed, items, share, weight):
    """The bound is admissible: along every path log-probability + worth below never rises, down to the item's own."""
    decoder, sids, trie, admitted, values = case(seed, items, share)
    worths = worths_of(values, admitted, weight)
    if worths is None:
        return
    everything = found(decoder, trie, admitted, items, None)
    log_prob = dict(zip(everything.semantic_ids, everything.log_probs.tolist(), strict=True))
    for slot in np.flatnonzero(admitted).tolist():
        whole, prefix, bound = tuple(sids[slot].tolist()), 0, np.inf
        for level, code in enumerate(whole):
            above = bound
            bound = float(trie.best_children(np.array([prefix]), level, worths)[0, code])
            prefix = prefix * SHAPE.codes + code
            assert bound <= above
        assert bound >= worths[slot]
        assert log_prob[whole] <= 0


@settings(max_examples=40)
@given(SEEDS, ITEMS, SHARES, st.floats(0.05, 5))
def test_a_wide_search_ranks_by_probability_and_worth(seed, items, share, weight):
    """With room for all, beams come in the order of log-probability + the worth of the bucket's best item."""
    decoder, sids, trie, admitted, values = case(seed, items, share)
    worths = worths_of(values, admitted, weight)
    if worths is None:
        return
    beams = found(decoder, trie, admitted, items, worths)
    best = {}
    for slot in np.flatnonzero(admitted).tolist():
        sid = tuple(sids[slot].tolist())
        best[sid] = max(best.get(sid, -np.inf), float(worths[slot]))
    assert set(beams.semantic_ids) == set(best)
    ranks = [log_prob + best[sid] for sid, log_prob in zip(beams.semantic_ids, beams.log_probs.tolist(), strict=True)]
    assert np.all(np.diff(ranks) <= 1e-5)


def test_a_value_that_was_raised_leads_the_narrowest_search_to_its_item():
    """What the plain beam would never reach comes out first once it is worth enough, and not when it is paused."""
    decoder, sids, trie, admitted, values = case(3, 50, 1.0)
    values[:] = 1.0
    last = found(decoder, trie, admitted, 50, None).semantic_ids[-1]
    slot = int(np.flatnonzero((sids == last).all(axis=1))[0])
    values[slot] = 1e6
    assert found(decoder, trie, admitted, 1, worths_of(values, admitted, 4.0)).semantic_ids == [last]
    admitted[slot] = False
    assert last not in found(decoder, trie, admitted, 1, worths_of(values, admitted, 4.0)).semantic_ids


def test_an_item_without_value_is_last_by_worth_and_not_lost():
    """Worths lie between λ · log FLOOR and 0 among the admitted, and nothing of value means no worths at all."""
    values, admitted = np.array([0.0, 2.0, 8.0, 99.0], np.float32), np.array([True, True, True, False])
    worths = worths_of(values, admitted, 2.0)
    assert worths.tolist() == pytest.approx([2 * np.log(FLOOR), 2 * np.log(0.25), 0.0, -np.inf], rel=1e-5)
    assert worths_of(values * 0, admitted, 2.0) is None


def proposed(seed, values, **settings):
    """What a proposer of random weights proposes from forty items, of which half are admitted."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    decoder = SemanticDecoder(SHAPE, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width))
    vectors = rng.normal(size=(40, SHAPE.vector_width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    entries = [
        EncodedItem(Item(f"i{row}", ""), tuple(rng.integers(0, SHAPE.codes, 3).tolist()), vectors[row].tobytes(), "m")
        for row in range(40)
    ]
    commit = Commit(0, 1, 1, 0, 0, {}, tuple(rows.row(Table.ITEM, entry.item.item_id, entry) for entry in entries))
    snapshot = MemorySnapshot.empty(1, SHAPE.codes).fold(commit)
    proposer = GenerativeProposer(decoder, CompanionTable.empty(), "random", GenerativeConfig(**settings))
    context = ProposalContext(snapshot, np.arange(40) % 2 == 0, (), 40, NEVER, values=values)
    return proposer.propose(context).candidates


def test_values_change_no_proposal_while_their_weight_is_zero():
    """The default proposes the same with values and without; with a weight, what earns more moves up."""
    values = np.random.default_rng(0).lognormal(0, 2, 40).astype(np.float32)
    plain = proposed(5, None)
    assert proposed(5, values) == plain
    assert proposed(5, None, value_weight=1.0) == plain
    weighed = proposed(5, values, value_weight=50.0)
    earning = [float(values[int(candidate.item_id[1:])]) for candidate in weighed]
    assert {candidate.item_id for candidate in weighed} == {candidate.item_id for candidate in plain}
    assert earning[:3] == sorted(values[::2].tolist(), reverse=True)[:3]


def test_a_weight_below_zero_is_refused():
    """λ is at least 0 and finite."""
    for weight in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="value_weight"):
            GenerativeConfig(value_weight=weight)
