"""The ranker: it orders what fusion put first, by words and all sources together, and never more than that."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adgram.core.catalogue import EncodedItem, Item
from adgram.core.clock import Deadline, SystemClock
from adgram.core.commit import Commit, Table
from adgram.core.errors import ArtifactError
from adgram.core.feedback import FeedbackKind, Interaction
from adgram.core.marketplace import Marketplace
from adgram.core.ports import ProposalContext
from adgram.core.rows import row
from adgram.generative.companions import CompanionTable
from adgram.generative.config import GenerativeConfig
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.proposer import GenerativeProposer, load_proposer
from adgram.generative.ranker import (
    RANKED,
    Described,
    Network,
    Ranker,
    Voices,
    best_places,
    evidence,
    load_ranker,
    save_ranker,
)
from adgram.generative.tokenizer import load_encoder
from adgram.generative.training.comparison import WITHOUT, compare
from adgram.generative.training.evaluation import TOP
from adgram.generative.training.fit import fit, fit_stage
from adgram.generative.training.options import TrainingOptions, TrainingStage
from adgram.generative.training.ranking import _HIDDEN, _MEMBERS, Lists, RankerReport, _spread, _taught
from adgram.generative.training.sequences import HeldOut, as_rows, user_sequences
from adgram.generative.training.workshop import Workshop
from adgram.generative.weights import load_decoder
from adgram.generative.wording import Wording
from adgram.memory.snapshot import MemorySnapshot
from adgram.programs.proposals import folded, proposed

from .conftest import write_marketplace

# How many numbers; memory's, the decoder's of words, the one of words shared with the newest choice.
EVIDENCE, REMEMBERED, WORDED, SHARED = 17, 0, 5, 13
SHAPE = DecoderShape(levels=2, codes=8, vector_width=8, width=8, heads=2, layers=1, history_length=5)
QUICK = TrainingOptions(
    minutes=1, content_width=8, vector_width=8, width=8, interest_epochs=3, code_epochs=3, dropout=0.1
)


def item(name: str, said: list[str]) -> Item:
    return Item(name, " ".join(said), tuple(said[:1]), said[-1] if said else "", "")


def reading(number: int) -> Network:
    """A network that goes by one number alone."""
    up, down = np.zeros((EVIDENCE, 2)), np.array([1.0, -1.0])
    up[number] = [1.0, -1.0]
    return Network(np.zeros(EVIDENCE), np.full(EVIDENCE, 10.0), up, np.zeros(2), down)


def voices(fused: np.ndarray) -> Voices:
    silent = np.full(len(fused), -np.inf)
    return Voices(fused, fused, fused, silent, np.zeros(len(fused)), 0.0, np.empty(0, np.float32))


@settings(deadline=None)
@example(324, 70)  # the lowest of the best and the highest of the others are equal but for rounding
@given(st.integers(0, 10_000), st.integers(1, 2 * RANKED))
def test_only_the_best_change_places_and_their_share_stays(seed: int, count: int):
    """The best by fusion keep their probability among them; the others keep their order, behind them."""
    rng = np.random.default_rng(seed)
    fused = np.log(rng.dirichlet(np.ones(count)))
    network = Network(*(rng.standard_normal(shape) for shape in (EVIDENCE,)), np.ones(EVIDENCE),
                      rng.standard_normal((EVIDENCE, 4)), rng.standard_normal(4), rng.standard_normal(4))  # fmt: skip
    ranker, wording = Ranker(network, None), Wording.of([item("a", ["box"])])
    them = [wording.words_of(item(f"i{place}", ["box"])) for place in range(count)]
    vectors = rng.standard_normal((count, 4)).astype(np.float32)
    best = best_places(fused)
    described = Described(vectors[best], [them[place] for place in best])
    scores = ranker.reordered(voices(fused), best, described, Described(vectors[:1], them[:1]), network)
    others = np.setdiff1d(np.arange(count), best)
    assert np.exp(scores[best]).sum() == pytest.approx(np.exp(fused[best]).sum())
    assert (np.diff(scores[others][np.argsort(-fused[others], kind="stable")]) <= 0).all()
    assert not len(others) or scores[others].max() <= scores[best].min()


def proposer(network: Network | None, items: list[Item]) -> GenerativeProposer:
    torch.manual_seed(0)
    decoder = SemanticDecoder(SHAPE, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width))
    ranker, wording = Ranker(network, network), Wording.of(items)
    return GenerativeProposer(
        decoder, CompanionTable.empty(), "random", GenerativeConfig(), ranker=ranker, wording=wording
    )


def context(items: list[Item], history: tuple[str, ...], spoilt: str = "") -> ProposalContext:
    rng = np.random.default_rng(3)
    entries = []
    for one in items:
        vector = rng.standard_normal(SHAPE.vector_width).astype(np.float32)
        vector = vector / np.linalg.norm(vector) if one.item_id != spoilt else np.full_like(vector, np.nan)
        sid = tuple(rng.integers(0, SHAPE.codes, SHAPE.levels).tolist())
        entries.append(row(Table.ITEM, one.item_id, EncodedItem(one, sid, vector.tobytes(), "random")))
    snapshot = MemorySnapshot.empty(1).fold(Commit(0, 1, 1, 0, 0, {}, tuple(entries)))
    admitted = np.array([item_id not in history for item_id in snapshot.items.item_ids])
    past = tuple(Interaction(item_id, FeedbackKind.CLICK, place) for place, item_id in enumerate(history))
    return ProposalContext(snapshot, admitted, past, 20, Deadline.after_ms(60_000, SystemClock()))


ITEMS = [item("new", ["lego", "fire"])] + [
    item(f"{brand}{place}", [brand, f"{brand}{place}"]) for brand in ("lego", "duplo", "box") for place in range(4)
]


def test_what_shares_words_with_the_newest_choice_comes_first():
    """A network that goes by shared words alone puts the viewer's brand in front, also an item nobody chose yet."""
    asked = context(ITEMS, ("box0", "lego0"))
    found = proposer(reading(SHARED), ITEMS).propose(asked).candidates
    assert {candidate.item_id for candidate in found[:4]} == {"new", "lego1", "lego2", "lego3"}
    assert [candidate.score for candidate in found] == sorted((candidate.score for candidate in found), reverse=True)


def test_without_a_past_or_a_network_fusion_has_the_last_word():
    """The same lists as of a proposer without a ranker."""
    for network, history in ((None, ("box0", "lego0")), (reading(SHARED), ())):
        asked, bare = context(ITEMS, history), proposer(None, ITEMS)
        bare._ranker = None
        assert proposer(network, ITEMS).propose(asked).candidates == bare.propose(asked).candidates


def test_words_that_change_count_at_the_next_proposal():
    """Words are kept under the stamp of what an item says, so another version's words are not this one's."""
    asked, served = context(ITEMS, ("box0", "lego0")), proposer(reading(SHARED), ITEMS)
    before = served.propose(asked).candidates
    assert "duplo0" not in {candidate.item_id for candidate in before[:5]}
    stored = asked.snapshot.item("duplo0")
    assert stored is not None
    renamed = replace(stored, item=replace(ITEMS[0], item_id="duplo0"))
    commit = Commit(0, 2, 1, 0, 0, {}, (row(Table.ITEM, "duplo0", renamed),))
    assert isinstance(asked.snapshot, MemorySnapshot)
    after = served.propose(replace(asked, snapshot=asked.snapshot.fold(commit))).candidates
    assert "duplo0" in {candidate.item_id for candidate in after[:5]}
    assert served.propose(asked).candidates == before


def test_the_decoder_says_of_vectors_and_of_words_what_it_expects():
    """Each as log-shares among the candidates; where it was not asked, nothing."""
    rng = np.random.default_rng(2)
    wording = replace(Wording.of(ITEMS), meanings=rng.standard_normal((1 << 15, 3)).astype(np.float32))
    words_, vectors = [wording.words_of(one) for one in ITEMS], rng.standard_normal((len(ITEMS), 4)).astype(np.float32)
    them, past = Described(vectors, words_), Described(vectors[:1], words_[:1])
    query = rng.standard_normal(7).astype(np.float32)
    silent = evidence(voices(np.zeros(len(ITEMS))), them, past)
    assert np.isnan(silent[:, WORDED - 1 : WORDED + 1]).all()
    spoken = evidence(replace(voices(np.zeros(len(ITEMS))), query=query), them, past)
    for place, matches in ((WORDED - 1, vectors @ query[:4]), (WORDED, [one.vector @ query[4:] for one in words_])):
        assert spoken[:, place] == pytest.approx(matches - np.logaddexp.reduce(matches), abs=1e-5)
    others = [place for place in range(EVIDENCE) if place not in (WORDED - 1, WORDED)]
    np.testing.assert_array_equal(spoken[:, others], silent[:, others])


@pytest.mark.parametrize("spoilt", ["lego1", "lego0", "box0"])
def test_a_vector_that_is_no_number_silences_nobody(spoilt: str):
    """Neither among the candidates nor in the past: all others come, each with a number for a score."""
    network = replace(reading(SHARED), up=np.ones((EVIDENCE, 2)))
    found = proposer(network, ITEMS).propose(context(ITEMS, ("box0", "lego0"), spoilt)).candidates
    if not found:  # the profile itself is no number then: nothing can be scored, with or without a ranker
        assert not proposer(None, ITEMS).propose(context(ITEMS, ("box0", "lego0"), spoilt)).candidates
    assert all(math.isfinite(candidate.score) for candidate in found)


def lists(informative: bool, users: int = 1500, seed: int = 0) -> Lists:
    """Twelve candidates a user, in no telling order, the target marked by one number where that is informative."""
    rng = np.random.default_rng(seed)
    targets = np.zeros((users, 12), dtype=np.bool_)
    targets[np.arange(users), rng.integers(0, 12, users)] = True
    evidence = rng.standard_normal((users, 12, EVIDENCE)).astype(np.float32)
    evidence[..., SHARED] += 3.0 * targets * informative
    return Lists(evidence.reshape(-1, EVIDENCE), targets.ravel(), 12 * np.arange(users + 1), np.argmax(targets, axis=1))


def test_a_ranker_learns_what_tells_choices_apart_and_is_kept_for_it():
    """One telling number among seventeen: the network finds it, and the people who decide see it."""
    known = lists(informative=True)
    network, before, after = _taught(known, 0)
    assert network is not None
    # Once kept, everybody teaches, those who decided too; and several networks stand side by side.
    assert network.mean == pytest.approx(known.evidence.mean(axis=0), abs=1e-5)
    assert network.up.shape == (EVIDENCE, _MEMBERS * _HIDDEN)
    assert before is not None
    assert after is not None
    assert after > 0.85 > before


def test_what_a_source_does_not_know_takes_nothing_from_what_it_knows():
    """Silence on most candidates is the mean, and the little that the others differ in is learned all the same."""
    known = lists(informative=True)
    quiet = known.evidence.copy()
    quiet[:, SHARED] *= 1e-3
    deaf = np.random.default_rng(4).random(len(quiet)) < 0.5
    quiet[deaf & ~known.targets, SHARED] = np.nan
    _, before, after = _taught(replace(known, evidence=quiet), 0)
    assert before is not None
    assert after is not None
    assert after > 0.85 > before
    assert np.isfinite(
        Network(*_spread(quiet), np.eye(EVIDENCE), np.zeros(EVIDENCE), np.ones(EVIDENCE)).logits(quiet)
    ).all()


def test_a_ranker_that_does_not_help_is_not_kept():
    """Where fusion puts every target first and nothing else tells, no network comes out; nor from too few lists."""
    blind = replace(lists(informative=False), fused_ranks=np.zeros(1500, dtype=np.int64))
    network, before, after = _taught(blind, 0)
    assert network is None
    assert before == 1.0
    assert after is not None
    assert after < 1.0
    assert _taught(lists(informative=True, users=100), 0) == (None, None, None)


def test_a_trained_ranker_is_stored_served_and_tied_to_its_decoder(tmp_path: Path):
    """A training leaves a ranker that names its decoder; training the decoder again takes it away; another's is an
    error in one line."""
    market = write_marketplace(tmp_path / "market", users=60)
    models = tmp_path / "models"
    report = fit(market, models, QUICK, {"marketplace": "tiny"}, SystemClock(), lambda *_: None)[TrainingStage.RANKER]
    assert isinstance(report, RankerReport)
    assert report.outcome.startswith("not kept")  # of sixty people nothing can be learned
    assert report.ranker in load_proposer(models / "decoder", GenerativeConfig()).model
    kept = Ranker(reading(SHARED), None)
    save_ranker(models / "ranker", kept, report.decoder, {})
    found = load_ranker(models / "ranker", report.decoder)
    assert found is not None
    assert found.network(False) is None
    network = found.network(True)
    assert network is not None
    assert (network.up == reading(SHARED).up).all()
    with pytest.raises(ArtifactError, match=r"was trained with decoder .*--stage ranker") as caught:
        load_ranker(models / "ranker", "another")
    assert "\n" not in str(caught.value)
    workshop = Workshop(market, models, QUICK, {"marketplace": "tiny"}, SystemClock(), lambda *_: None)
    fit_stage(workshop, TrainingStage.DECODER, force=True)
    assert not (models / "ranker").exists()
    everything = replace(workshop, options=replace(QUICK, all_events=True))
    untaught = fit_stage(everything, TrainingStage.RANKER)
    assert isinstance(untaught, RankerReport)
    assert "no choices are held out" in untaught.outcome


def test_what_is_measured_is_what_is_served(models: Path, marketplace: Marketplace, tmp_path: Path):
    """With a ranker in the artefact, the evaluation's ten best are the served proposer's, for every user; and with the
    decoder off the target stands where the row without generative says."""
    shutil.copytree(models, tmp_path / "models")
    folder, rng = tmp_path / "models", np.random.default_rng(1)
    items = marketplace.items()
    network = Network(np.zeros(EVIDENCE), np.full(EVIDENCE, 5.0), rng.standard_normal((EVIDENCE, 8)),
                      rng.standard_normal(8), rng.standard_normal(8))  # fmt: skip
    loaded = load_decoder(folder / "decoder", folder / "tokenizer")
    decoder = loaded.model
    shutil.rmtree(folder / "ranker")
    users = [user for user in user_sequences(marketplace) if user.testable][:40]
    row_of = {one.item_id: place for place, one in enumerate(items)}
    asked = HeldOut(
        as_rows([user.history for user in users], row_of), np.array([row_of[user.target] for user in users])
    )
    training = as_rows([user.training for user in user_sequences(marketplace)], row_of)
    plain = compare(folder, items, training, asked, 0, lambda *_: None).fused
    save_ranker(folder / "ranker", Ranker(network, reading(REMEMBERED)), decoder, {})
    compared = compare(folder, items, training, asked, 0, lambda *_: None)
    ranked = compared.fused
    assert ranked != plain
    proposer = load_proposer(folder / "decoder", GenerativeConfig())
    snapshot = folded(load_encoder(folder / "tokenizer").encode(items))
    assert [proposed(proposer, snapshot, user, SystemClock()) for user in users] == ranked
    assert (compared.ranks[WITHOUT] < TOP).sum() > 5
    silent = load_proposer(folder / "decoder", GenerativeConfig(decoder=False))
    for user, rank in zip(users, compared.ranks[WITHOUT].tolist(), strict=True):
        found = proposed(silent, snapshot, user, SystemClock())
        assert (found.index(user.target) if user.target in found else TOP) == min(rank, TOP)
