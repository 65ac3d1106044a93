"""Counted companions as a teacher: cross-fitted, by direction, and how a loss is made of them."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.training.baselines import ItemKnn, KnnSettings
from adgram.generative.training.counted import CountedCompanions
from adgram.generative.training.likelihood import full_cross_entropy
from adgram.generative.training.schedule import padded, shuffled_batches
from adgram.generative.training.teaching import MixedTeacher, ProfileTeacher

NEXT_ONLY = KnnSettings(window=1, gamma=0.0, backward=0.0, a=0.0, b=0.0, pi=0.0, pj=0.0, decay=0.5, last=2)
ITEMS = 12


def companions(sequences: list[np.ndarray], settings: KnnSettings = NEXT_ONLY) -> CountedCompanions:
    return CountedCompanions(sequences, ITEMS, settings, np.random.default_rng(0))


def test_nobody_is_taught_by_what_they_did_themselves():
    """A pair that one person alone has is likely to others, whose counts include it, and never to that person."""
    own, others = np.array([7, 8, 9]), [np.array([1, 2, 3]) for _ in range(40)]
    taught = companions([own, *others])
    assert not taught.likely(padded([own], [0])).weights.any()
    asked = taught.likely(padded([np.array([7, 8])] * 40, list(range(1, 41))))
    told = asked.rows[1::2][asked.weights[1::2, 0] > 0][:, 0]  # whoever is in another fifth than the person
    assert len(told) > 20 and set(told.tolist()) == {8}


def test_what_is_likely_is_what_item_knn_says():
    """Rows and shares are those of item-kNN over the other folds' sequences, its best first when there are many."""
    rng = np.random.default_rng(1)
    sequences = [rng.choice(ITEMS, 5, replace=False) for _ in range(60)]
    settings = KnnSettings(window=5, gamma=0.5, backward=0.2, a=1.0, b=1.0, pi=0.25, pj=0.15, decay=0.6, last=8)
    taught = companions(sequences, settings)
    folds = np.random.default_rng(0).integers(0, 5, len(sequences))
    likely = taught.likely(padded([sequences[3]], [3]))
    knn = ItemKnn([one for one, fold in zip(sequences, folds, strict=True) if fold != folds[3]], ITEMS, settings)
    for place in range(5):
        history = sequences[3][:place]
        expected = knn.scores(history)
        expected[history] = 0.0
        found = np.zeros(ITEMS)
        np.add.at(found, likely.rows[place].numpy(), likely.weights[place].numpy())
        assert found == pytest.approx(expected / max(expected.sum(), 1e-12), abs=1e-5)


def test_a_reversed_history_is_taught_what_came_before():
    """Read newest first, the likely next item is the one that was chosen before."""
    taught = companions([np.array([1, 2, 3]) for _ in range(50)])
    forward = taught.likely(padded([np.array([2, 3])], [0]))
    backward = taught.likely(padded([np.array([2, 1])], [0], [True]))
    assert forward.rows[1, 0] == 3 and backward.rows[1, 0] == 1
    assert forward.known.flatten().tolist() == [0.0, 1.0]


def test_batches_say_which_sequences_they_are_made_from():
    """Whatever was dropped or turned around, a row's items are among those of the sequence it names."""
    rng = np.random.default_rng(2)
    sequences = [np.arange(5) + 10 * number for number in range(50)]
    seen = []
    for batch in shuffled_batches(sequences, 8, True, rng):
        for row, real, source, back in zip(
            batch.rows.numpy(), batch.real.numpy(), batch.sources.tolist(), batch.reversed.tolist(), strict=True
        ):
            items = row[real]
            assert set(items.tolist()) <= set(sequences[source].tolist())
            assert (np.diff(items) < 0).all() if back else (np.diff(items) > 0).all()
            seen.append(source)
    assert sorted(seen) == list(range(50))


def test_the_cross_entropy_over_weighed_targets_is_the_composed_one():
    """Value and both gradients are those of a whole distribution of targets, doubled targets added up."""
    torch.manual_seed(1)
    profiles, vectors = torch.randn(140, 5, requires_grad=True), torch.randn(ITEMS, 5, requires_grad=True)
    targets, weights = torch.randint(ITEMS, (140, 3)), torch.rand(140, 3)
    weights = weights / weights.sum(dim=1, keepdim=True)
    dense = torch.zeros(140, ITEMS).scatter_add_(1, targets, weights)
    expected = functional.cross_entropy(profiles @ vectors.T, dense)
    loss = full_cross_entropy(profiles, vectors, targets, weights)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    wanted = torch.autograd.grad(expected, (profiles, vectors))
    for found, right in zip(torch.autograd.grad(loss, (profiles, vectors)), wanted, strict=True):
        assert torch.allclose(found, right, atol=1e-6)


def test_mixed_teachers_weigh_both_and_still_never_recommend_the_past():
    """The mixture is a distribution, with the companions' share where they know anything and the profile's alone where
    they do not."""
    torch.manual_seed(0)
    shape = DecoderShape(levels=2, codes=3, vector_width=4, width=4, heads=2, layers=1, history_length=5)
    profile = ProfileTeacher(SemanticDecoder(shape, torch.zeros(2, 3, 4)), torch.randn(ITEMS, 4))
    batch = padded([np.array([1, 2, 3]), np.array([9, 10])], [0, 1])
    counted = companions([np.array([1, 2, 3]) for _ in range(50)])
    alone = torch.cat([piece.clone() for piece in profile.distributions(batch)])
    mixed = torch.cat(list(MixedTeacher(profile, counted, 0.5).distributions(batch)))
    assert mixed.sum(dim=1).tolist() == pytest.approx([1.0] * 5)
    assert float(mixed[1, 2]) == pytest.approx(0.5 + 0.5 * float(alone[1, 2]))
    assert torch.allclose(mixed[[0, 3, 4]], alone[[0, 3, 4]])
    assert float(mixed[2, 1]) == float(mixed[2, 2]) == 0.0
