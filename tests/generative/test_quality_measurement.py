"""Measuring many users at once: the same answers as serving, and honest comparisons of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from adgram.core.clock import Deadline, ManualClock
from adgram.core.marketplace import Marketplace
from adgram.generative.beam import search
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.fusion import Fusion, mixed, normalised
from adgram.generative.tokenizer import load_encoder
from adgram.generative.training.baselines import TUNED_KNN, ItemKnn, KnnSettings
from adgram.generative.training.batched import read_all, search_all, searched_ranks
from adgram.generative.training.blending import fitted_fusion
from adgram.generative.training.catalogue_tree import CatalogueTree
from adgram.generative.training.companionship import best_settings
from adgram.generative.training.encoded import EncodedCatalogue
from adgram.generative.training.evaluation import TOP, gains
from adgram.generative.training.likelihood import full_cross_entropy
from adgram.generative.training.pools import Pool, Sources, joined
from adgram.generative.training.sequences import HeldOut, as_rows, user_sequences
from adgram.generative.training.significance import paired_test
from adgram.generative.weights import load_decoder

SHAPE = DecoderShape(levels=3, codes=6, vector_width=8, width=8, heads=2, layers=1, history_length=5)
ALWAYS = Deadline(1, ManualClock())


@pytest.fixture
def decoder() -> SemanticDecoder:
    torch.manual_seed(3)
    return SemanticDecoder(SHAPE, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width)).eval()


@pytest.fixture(scope="module")
def pools(marketplace: Marketplace, models: Path) -> tuple[Pool, Pool]:
    """What the trained models say of everybody's validation choice, with the decoder and without."""
    items = marketplace.items()
    loaded = load_decoder(models / "decoder", models / "tokenizer")
    catalogue = EncodedCatalogue.of(load_encoder(models / "tokenizer"), items, loaded.wording)
    row_of = {item.item_id: row for row, item in enumerate(items)}
    users = user_sequences(marketplace)
    asked = HeldOut(
        as_rows([user.training for user in users], row_of), np.array([row_of[user.item_ids[-2]] for user in users])
    )
    sources = Sources(loaded.decoder, loaded.profiler, catalogue, loaded.companions, 8, 8)
    return joined(list(sources.pools(asked))), joined(list(sources.pools(asked, codes=False)))


@pytest.fixture(scope="module")
def pool(pools: tuple[Pool, Pool]) -> Pool:
    """With the decoder."""
    return pools[0]


def test_the_cross_entropy_over_a_catalogue_is_the_composed_one():
    """Value and both gradients are those of logits followed by cross-entropy, across pieces and an uneven rest."""
    torch.manual_seed(0)
    profiles, vectors = torch.randn(300, 5, requires_grad=True), torch.randn(40, 5, requires_grad=True)
    targets = torch.randint(40, (300,))
    expected = functional.cross_entropy(profiles @ vectors.T, targets)
    wanted = torch.autograd.grad(3 * expected, (profiles, vectors))
    loss = full_cross_entropy(profiles, vectors, targets)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for found, right in zip(torch.autograd.grad(3 * loss, (profiles, vectors)), wanted, strict=True):
        assert torch.allclose(found, right, atol=1e-6)


@pytest.mark.parametrize("items", [3, 60])
def test_searching_for_many_finds_what_serving_finds_for_each(decoder: SemanticDecoder, items: int):
    """The same IDs with the same log-probabilities, with histories masked, long, short, repeating and empty."""
    rng = np.random.default_rng(items)
    sids = rng.integers(0, SHAPE.codes, (items, SHAPE.levels)).astype(np.int32)
    vectors = torch.from_numpy(rng.standard_normal((items, SHAPE.vector_width)).astype(np.float32))
    tree = CatalogueTree.of(sids, SHAPE.codes)
    histories = [rng.integers(0, items, length) for length in (0, 1, 2, 5, 9)]
    histories.append(np.array([1, 0, 1]))
    with torch.inference_mode():
        found = search_all(decoder, read_all(decoder, vectors, histories), tree, histories, 7)
        for user, history in enumerate(histories):
            admitted = np.ones(items, dtype=np.bool_)
            admitted[history] = False
            context = decoder.read(vectors[history[-SHAPE.history_length :]])
            beams = search(decoder, context, tree, admitted, 7, ALWAYS)
            live = int(torch.isfinite(found.log_probs[user]).sum())
            packed = beams.codes @ np.array([SHAPE.codes**2, SHAPE.codes, 1])
            both = found.prefixes[user] * SHAPE.codes + found.codes[user]
            assert both[:live].tolist() == packed.tolist()
            assert found.log_probs[user][:live].tolist() == pytest.approx(beams.log_probs.tolist(), abs=1e-5)


def test_a_target_that_a_narrow_search_misses_is_no_hit(decoder: SemanticDecoder):
    """With fewer beams than places that count, a missed target ranks behind all of them; a found one where it was
    found."""
    rng = np.random.default_rng(2)
    sids = np.unique(rng.integers(0, SHAPE.codes, (60, SHAPE.levels)), axis=0).astype(np.int32)
    vectors = torch.from_numpy(rng.standard_normal((len(sids), SHAPE.vector_width)).astype(np.float32))
    tree, histories = CatalogueTree.of(sids, SHAPE.codes), [np.array([1, 2])] * len(sids)
    with torch.inference_mode():
        ranks = searched_ranks(decoder, vectors, tree, histories, np.arange(len(sids)), 3)
    assert sorted(ranks[ranks < TOP].tolist()) == [0, 1, 2]
    assert (np.delete(ranks, np.flatnonzero(ranks < TOP)) == TOP).all()


def test_sources_of_a_pool_are_probabilities(pools: tuple[Pool, Pool]):
    """Each source's shares sum to at most one for every user, and so does their mixture."""
    fusion = Fusion(companion_sharpness=0.7, code_rescoring=0.5, code_rescoring_alone=0.2)
    both, without = pools
    for pool, memory in ((both, False), (both, True), (without, True)):
        totals = np.add.reduceat(np.exp(pool.scores(fusion, memory)), pool.bounds[:-1])
        assert (totals <= 1 + 1e-6).all()
        assert (totals > 0.05).all()


def test_a_fitted_fusion_is_no_worse_than_the_one_it_started_from(pools: tuple[Pool, Pool]):
    """On the users it was fitted to, every change was kept for a gain: with the decoder and without, each apart."""

    def figure(pool: Pool, fusion: Fusion) -> float:
        ranks = pool.ranks(pool.scores(fusion))
        return float(gains(ranks).mean() + 0.5 * (ranks < TOP).mean())

    both, without = pools
    fitted = fitted_fusion(both, without, lambda done, words: None)
    assert figure(both, fitted) >= figure(both, replace(fitted, codes=0.02))
    assert 0 < fitted.codes < 1
    assert figure(without, fitted) >= figure(without, Fusion(companions=0.6))
    # Memory is the same beside the decoder as without it.
    deaf = fitted_fusion(replace(both, log_probs=np.full_like(both.log_probs, -np.inf)), without, lambda *_: None)
    codes = {"codes": 0.0, "code_rescoring": 0.0, "code_sharpness": 0.0}
    alone = {"code_rescoring_alone": 0.0, "code_sharpness_alone": 0.0}
    assert replace(deaf, **codes, **alone) == replace(fitted, **codes, **alone)


def test_ranks_count_who_stands_before_the_target():
    """Ties fall at random; a target that is no candidate is never among the best."""
    pool = Pool(
        np.array([0, 3, 5]),
        np.array([4, 5, 6, 4, 5]),
        np.zeros(5),
        np.zeros(5),
        np.zeros(5),
        {},
        np.array([5, 9]),
        np.zeros(5),
        np.zeros((2, 1), dtype=np.float32),
    )
    scores = np.array([2.0, 1.0, 1.0, 0.0, 0.0])
    assert pool.ranks(scores).tolist() == [1, TOP]
    assert {int(pool.ranks(scores, np.random.default_rng(seed))[0]) for seed in range(20)} == {1, 2}
    assert [best.tolist() for best in pool.best(scores)] == [[4, 5, 6], [4, 5]]


def test_companion_ranks_are_those_of_the_scores():
    """Counted in sparse form, as many items stand before each target as in the whole row of scores."""
    rng = np.random.default_rng(0)
    training = [rng.integers(0, 30, 6) for _ in range(80)]
    knn = ItemKnn(training, 30, TUNED_KNN)
    asked = HeldOut(training[:40], rng.integers(0, 30, 40))
    for rank, history, target in zip(knn.ranks(asked), asked.histories, asked.targets, strict=True):
        scores = knn.scores(history)
        scores[history] = 0
        before = (scores > scores[target]).sum() + ((scores == scores[target]).sum() - 1) / 2
        assert rank == pytest.approx(before if scores[target] > 0 else 30)


def test_companion_settings_are_searched_on_what_comes_next():
    """What the walk ends with serves these users at least as well as its start; without a grid the start stands."""
    rng = np.random.default_rng(1)
    starts = rng.integers(0, 50, 400)
    training = [np.concatenate((rng.integers(0, 50, 3), [start, (start + 1) % 50])) for start in starts.tolist()]
    asked = HeldOut([sequence[:-1] for sequence in training], (starts + 1) % 50)

    def figure(settings: KnnSettings) -> float:
        return float(gains(ItemKnn(training, 50, settings).ranks(asked)).mean())

    found = best_settings(training, 50, asked, lambda done, words: None, ({"backward": (1.0, 0.0)}, {"last": (1, 8)}))
    assert figure(found) > figure(TUNED_KNN)
    assert replace(found, backward=TUNED_KNN.backward, last=TUNED_KNN.last) == TUNED_KNN
    assert best_settings(training, 50, asked, lambda done, words: None, ()) == TUNED_KNN


def test_a_paired_test_sees_a_gain_and_no_gain():
    """Forty more hits and no loss are significant; the same ranks are not."""
    rng = np.random.default_rng(0)
    other = rng.integers(5, 30, 500)
    one = other.copy()
    one[rng.choice(np.flatnonzero(other >= TOP), 40, replace=False)] = 3
    better, same = paired_test(one, other, rng, 300), paired_test(other, other, rng, 300)
    assert better.low > 0
    assert better.p_recall < 1e-6
    assert (better.gained, better.lost) == (40, 0)
    assert (same.ndcg_gain, same.p_ndcg, same.p_recall) == (0.0, 1.0, 1.0)


def test_several_trainings_are_tested_over_users_who_count_once():
    """The gain is the mean over trainings; three trainings of the same ranks say no more than one."""
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 30, 400), rng.integers(0, 30, 400)
    alone = paired_test(one, other, np.random.default_rng(1), 300)
    thrice = paired_test(np.stack([one] * 3), np.stack([other] * 3), np.random.default_rng(1), 300)
    assert (thrice.low, thrice.high) == pytest.approx((alone.low, alone.high))
    assert (thrice.gained, thrice.lost, thrice.p_recall) == (alone.gained, alone.lost, alone.p_recall)
    assert thrice.p_ndcg == pytest.approx(alone.p_ndcg)
    mixed_up = paired_test(np.stack([one, other]), np.stack([other, other]), np.random.default_rng(1), 300)
    assert mixed_up.ndcg_gain == pytest.approx(alone.ndcg_gain / 2)
    opposed = paired_test(np.stack([one, other]), np.stack([other, one]), np.random.default_rng(1), 300)
    assert (opposed.ndcg_gain, opposed.gained, opposed.lost, opposed.p_ndcg) == (0, 0, 0, 1)


def test_mixing_keeps_to_the_share():
    """A share of 0 or 1 leaves one side alone; between, probabilities are averaged."""
    one, other = normalised(np.array([0.0, 1.0])), normalised(np.array([2.0, -np.inf]))
    assert mixed(one, other, 0.0) is other
    assert mixed(one, other, 1.0) is one
    assert np.exp(mixed(one, other, 0.25)).sum() == pytest.approx(1)
    assert np.exp(mixed(one, other, 0.25))[1] == pytest.approx(0.25 * np.exp(one[1]))
