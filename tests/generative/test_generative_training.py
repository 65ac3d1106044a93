import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adgram.core.artifact import verified
from adgram.core.clock import SystemClock
from adgram.core.errors import MarketplaceError
from adgram.core.marketplace import Marketplace, write_entities, write_log, write_manifest
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.tokenizer import FORMAT
from adgram.generative.training.baselines import PLAIN_KNN, TUNED_KNN, ItemKnn, Popularity, best
from adgram.generative.training.catalogue_tree import CatalogueTree
from adgram.generative.training.codebook import codes_for, distinct_last_codes, fit_codebooks, quantise
from adgram.generative.training.content import cooccurrence
from adgram.generative.training.evaluation import chosen_users, ranking_score
from adgram.generative.training.fit import fit
from adgram.generative.training.options import TrainingOptions
from adgram.generative.training.schedule import padded, shuffled_batches
from adgram.generative.training.sequences import UserSequence, user_sequences, windows
from adgram.generative.training.teaching import ProfileTeacher
from adgram.generative.weights import FORMAT as DECODER_FORMAT
from adgram.memory.trie import SortedTrie

SHORT = TrainingOptions(
    minutes=60, seed=3, content_width=8, vector_width=8, width=8, interest_epochs=3, code_epochs=3, dropout=0.1
)


class Interrupted(Exception):
    """A person pressed Ctrl-C."""


def silent(stage: str, done: float, words: str) -> None:
    """Reports to nobody."""


def interrupting(at_stage: str, at_report: int) -> Callable[[str, float, str], None]:
    seen = []

    def report(stage: str, done: float, words: str) -> None:
        seen.append(stage)
        if seen.count(at_stage) == at_report:
            raise Interrupted

    return report


def test_a_stopped_training_resumes_to_the_same_models(marketplace: Marketplace, tmp_path: Path):
    """Stopped in either stage and started again, training gives the weights of an undisturbed run."""
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    fit(marketplace, whole, SHORT, {"run": 1}, SystemClock(), silent)
    for stage, report in (("interest", 2), ("words", 3), ("codes", 3)):
        with pytest.raises(Interrupted):
            fit(marketplace, resumed, SHORT, {"run": 1}, SystemClock(), interrupting(stage, report))
    fit(marketplace, resumed, SHORT, {"run": 1}, SystemClock(), silent)
    for part, format in (("tokenizer", FORMAT), ("decoder", DECODER_FORMAT)):
        assert verified(whole / part, part, format).checksum == verified(resumed / part, part, format).checksum
    assert not (resumed / ".checkpoints").exists()


def test_checkpoints_of_other_options_are_not_resumed(marketplace: Marketplace, tmp_path: Path):
    """A changed option starts afresh instead of going on with the wrong weights."""
    with pytest.raises(Interrupted):
        fit(marketplace, tmp_path / "a", SHORT, {"run": 1}, SystemClock(), interrupting("interest", 3))
    other = replace(SHORT, seed=4)
    fit(marketplace, tmp_path / "a", other, {"run": 2}, SystemClock(), silent)
    fit(marketplace, tmp_path / "b", other, {"run": 2}, SystemClock(), silent)
    assert (
        verified(tmp_path / "a/decoder", "decoder", DECODER_FORMAT).checksum
        == verified(tmp_path / "b/decoder", "decoder", DECODER_FORMAT).checksum
    )


def test_the_last_two_events_are_not_learned_from(marketplace: Marketplace, tmp_path: Path):
    """Whatever the held-out events are, the models come out the same; with all events they do not."""
    changed = tmp_path / "changed"
    shutil.copytree(marketplace.folder, changed)
    columns = marketplace.log("interactions").to_pydict()
    others = {"u0": ("pan0", "wok0"), "u1": ("rake0", "hose0")}
    for row, (time, user_id) in enumerate(zip(columns["event_time"], columns["user_id"], strict=True)):
        if time >= 6 and user_id in others:
            columns["item_id"][row] = others[user_id][time - 6]
    write_log(changed, "interactions", columns)
    # Validation chooses among epochs, so one epoch leaves it nothing to choose.
    once = replace(SHORT, interest_epochs=1, word_epochs=1, code_epochs=1)
    learned = {}
    for name, options in (("held", once), ("all", replace(once, all_events=True))):
        for folder in (marketplace.folder, changed):
            models = tmp_path / name / folder.name
            fit(Marketplace(folder), models, options, {}, SystemClock(), silent)
            parts = ("tokenizer/weights.npz", "decoder/weights.pt", "decoder/wording.npz")
            learned[name, folder.name] = [(models / part).read_bytes() for part in parts]
    assert learned["held", marketplace.folder.name] == learned["held", "changed"]
    for one, other in zip(learned["all", marketplace.folder.name], learned["all", "changed"], strict=True):
        assert one != other


def test_too_few_interactions_are_refused_in_words(marketplace: Marketplace, tmp_path: Path):
    """A marketplace with nothing to learn from is an error that says how much is needed."""
    write_entities(tmp_path, "items", marketplace.items())
    write_log(tmp_path, "interactions", {"event_time": [1], "user_id": ["u"], "item_id": ["pan0"], "kind": ["click"]})
    write_manifest(tmp_path, marketplace.manifest)
    with pytest.raises(MarketplaceError, match="at least 100"):
        fit(Marketplace(tmp_path), tmp_path / "models", SHORT, {}, SystemClock(), silent)


def test_sequences_keep_what_users_chose_in_order(marketplace: Marketplace, tmp_path: Path):
    """By time, ties as stored; impressions and unknown items are out; a click and its conversion are one choice."""
    write_entities(tmp_path, "items", marketplace.items())
    events = [
        (2, "b", "pan0", "click"),
        (1, "a", "pot0", "click"),
        (1, "a", "hose0", "visit"),
        (3, "a", "rake0", "impression"),
        (4, "a", "gone", "click"),
        (5, "a", "seed0", "click"),
        (5, "a", "seed0", "conversion"),
        (6, "a", "pot0", "click"),
    ]
    names = ("event_time", "user_id", "item_id", "kind")
    write_log(tmp_path, "interactions", {name: [event[row] for event in events] for row, name in enumerate(names)})
    write_manifest(tmp_path, marketplace.manifest)
    assert user_sequences(Marketplace(tmp_path)) == [
        UserSequence("a", ("pot0", "hose0", "seed0", "pot0")),
        UserSequence("b", ("pan0",)),
    ]


def test_users_whose_target_is_masked_or_too_short_are_not_asked():
    """A test item in the history can never be ranked, and two events leave nothing to learn."""
    again, short, good = (
        UserSequence("a", ("x", "y", "x")),
        UserSequence("b", ("x", "y")),
        UserSequence("c", ("x", "y", "z")),
    )
    assert chosen_users([again, short, good], None, 0) == [good]
    assert good.history == ("x", "y")
    assert good.training == ("x",)


def test_chosen_users_are_the_same_for_the_same_seed():
    """Two programs that ask for the same number get the same users, in the same order."""
    sequences = [UserSequence(f"u{number}", ("x", "y", f"z{number}")) for number in range(50)]
    assert chosen_users(sequences, 9, 5) == chosen_users(sequences, 9, 5)
    assert chosen_users(sequences, 9, 5) != chosen_users(sequences, 9, 6)
    assert len(chosen_users(sequences, 9, 5)) == 9


def test_windows_lose_no_event():
    """Cutting a long sequence keeps every event once, in order."""
    sequence = np.arange(47)
    assert np.array_equal(np.concatenate(windows([sequence], 21)), sequence)


def test_batches_hold_every_sequence_once():
    """Without augmentation an epoch is a permutation of the data."""
    sequences = [np.full(length, length) for length in range(1, 40)]
    seen = []
    for batch in shuffled_batches(sequences, 8, False, np.random.default_rng(0)):
        assert torch.equal(batch.real.sum(dim=1), batch.rows[:, 0])
        seen += batch.rows[:, 0].tolist()
    assert sorted(seen) == list(range(1, 40))


def test_padding_lies_at_the_right():
    """Real events come first, so that causal attention never sees padding."""
    batch = padded([np.array([4, 5, 6]), np.array([7])])
    assert batch.rows.tolist() == [[4, 5, 6], [7, 0, 0]]
    assert batch.real.tolist() == [[True, True, True], [True, False, False]]


def test_codebooks_tell_items_apart():
    """Two levels bring distinct vectors close to their reconstruction; with the third, most get an ID of their own."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((300, 8)).astype(np.float32)
    books = fit_codebooks(vectors, 3, 32, rng)
    sids = quantise(vectors, books)
    rebuilt = sum(books[level][sids[:, level]] for level in range(2))
    assert np.square(vectors - rebuilt).sum() < 0.4 * np.square(vectors).sum()
    assert len(np.unique(sids, axis=0)) > 290


def test_items_on_top_of_each_other_are_told_apart_by_the_last_code():
    """Near-identical items get IDs of their own; who has one already keeps it; a full node is shared, not refused."""
    rng = np.random.default_rng(0)
    tight = np.repeat(rng.standard_normal((4, 8)), 5, axis=0) + 1e-6 * rng.standard_normal((20, 8))
    vectors = np.concatenate((rng.standard_normal((200, 8)), tight, np.repeat(tight[:1], 40, axis=0))).astype(
        np.float32
    )
    books = fit_codebooks(vectors, 3, 32, rng)
    sids = quantise(vectors, books)
    settled = sids.copy()
    settled[:, -1] = distinct_last_codes(vectors, sids, books)
    assert len(np.unique(settled[:220], axis=0)) == 220
    assert len(np.unique(settled[220:], axis=0)) <= 32
    _, first = np.unique(sids, axis=0, return_index=True)
    kept = (settled[first] == sids[first]).all(axis=1)
    assert kept.mean() > 0.9


def test_codebooks_are_fitted_even_to_fewer_items_than_codes():
    """A catalogue smaller than its codebook is quantised without loss and without error."""
    vectors = np.eye(3, dtype=np.float32)
    books = fit_codebooks(vectors, 3, 8, np.random.default_rng(0))
    assert len(np.unique(quantise(vectors, books), axis=0)) == 3


@pytest.mark.parametrize(("items", "codes"), [(1, 4), (100, 32), (2000, 128), (12_101, 256), (10**6, 256)])
def test_the_number_of_codes_grows_with_the_catalogue(items, codes):
    """Small catalogues get small codebooks."""
    assert codes_for(items) == codes


def test_live_codes_are_those_of_the_catalogue():
    """Along a true path, exactly the codes that continue to some item live."""
    sids = np.array([[0, 1], [0, 2], [3, 1]], dtype=np.int32)
    tree = CatalogueTree.of(sids, 4)
    masks = tree.masks(tree.places(torch.tensor([[0, 2], [3, 1]])))
    assert masks.int().tolist() == [[[1, 0, 0, 1], [0, 1, 1, 0]], [[1, 0, 0, 1], [0, 1, 0, 0]]]


def test_a_distribution_over_items_divides_among_codes():
    """What the items below each child sum to, given the true path, is the child's share."""
    rng = np.random.default_rng(0)
    sids = rng.integers(0, 4, (30, 3)).astype(np.int32)
    tree = CatalogueTree.of(sids, 4)
    weights = torch.from_numpy(rng.random((2, 30)).astype(np.float32))
    weights /= weights.sum(dim=1, keepdim=True)
    paths = sids[[5, 9]]
    shares = tree.shares(weights[:, tree.order], tree.places(torch.from_numpy(paths.astype(np.int64))))
    for row, path in enumerate(paths):
        for level in range(3):
            below = (sids[:, :level] == path[:level]).all(axis=1)
            total = float(weights[row][torch.from_numpy(below)].sum())
            for code in range(4):
                part = float(weights[row][torch.from_numpy(below & (sids[:, level] == code))].sum())
                assert float(shares[row, level, code]) == pytest.approx(part / total, abs=1e-5)


def test_the_teacher_never_recommends_what_was_chosen_before():
    """Each event's own history is struck from the teacher's distribution, and nothing else is."""
    torch.manual_seed(0)
    shape = DecoderShape(levels=2, codes=3, vector_width=4, width=4, heads=2, layers=1, history_length=5)
    teacher = ProfileTeacher(SemanticDecoder(shape, torch.zeros(2, 3, 4)), torch.randn(6, 4))
    taught = torch.cat(list(teacher.distributions(padded([np.array([4, 1, 0]), np.array([2, 5])]))))
    assert [set(np.flatnonzero(row == 0).tolist()) for row in taught.numpy()] == [set(), {4}, {4, 1}, set(), {2}]
    assert taught.sum(dim=1).tolist() == pytest.approx([1.0] * 5)


def test_the_catalogue_tree_is_the_trie_that_serves():
    """Validation searches the same nodes as serving, under any admission."""
    rng = np.random.default_rng(1)
    sids = rng.integers(0, 4, (25, 3)).astype(np.int32)
    tree, trie = CatalogueTree.of(sids, 4), SortedTrie.empty(4).inserted(sids, np.arange(25, dtype=np.int32))
    admitted = rng.random(25) < 0.6
    assert np.array_equal(tree.leaf_slots, trie.leaf_slots)
    prefixes = np.zeros(1, dtype=np.int64)
    for level in range(3):
        live = tree.live_children(prefixes, level, admitted)
        assert np.array_equal(live, trie.live_children(prefixes, level, admitted))
        parents, codes = np.nonzero(live)
        prefixes = prefixes[parents] * 4 + codes
    assert all(np.array_equal(tree.leaves(tuple(sid)), trie.leaves(tuple(sid))) for sid in sids.tolist())


def test_cooccurrence_counts_neighbours_by_distance():
    """Neighbours at distance d count 1/d^gamma forwards, times `backward` the other way."""
    counts = cooccurrence([np.array([0, 1, 2])], 3, window=2, gamma=1.0, backward=0.2).toarray()
    assert counts == pytest.approx(np.array([[0, 1, 0.5], [0.2, 0, 1], [0.1, 0.2, 0]]))


def test_baselines_rank_by_what_they_count():
    """Popularity counts events; item-kNN prefers what was chosen beside the history's items."""
    training = [np.array([0, 1]), np.array([0, 1]), np.array([2, 3]), np.array([3, 4]), np.array([3, 4, 5])]
    rng = np.random.default_rng(0)
    assert best(Popularity(training, 6).scores(np.array([0])), np.array([0]), 1, rng).tolist() == [3]
    for settings in (PLAIN_KNN, TUNED_KNN):
        assert best(ItemKnn(training, 6, settings).scores(np.array([0])), np.array([0]), 1, rng).tolist() == [1]


def test_the_plain_knn_is_the_cosine_of_the_items_users():
    """Against the textbook: users in common over the root of the product of both items' users."""
    training = [np.array([0, 1, 2]), np.array([2, 0]), np.array([1, 2])]
    users = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1]], dtype=float)
    norms = np.sqrt(users.sum(axis=0))
    cosine = (users.T @ users) / np.outer(norms, norms)
    assert ItemKnn(training, 3, PLAIN_KNN).scores(np.array([0]))[1:] == pytest.approx(cosine[0, 1:])


def test_masked_items_are_never_ranked_and_ties_are_random():
    """Equal scores come in random order, masked rows not at all."""
    firsts = {int(best(np.zeros(5), np.array([0]), 2, np.random.default_rng(seed))[0]) for seed in range(40)}
    assert firsts == {1, 2, 3, 4}


def test_ranking_scores_are_those_of_the_definition():
    """One hit at rank 1, one at 7, one missed."""
    ids = [str(number) for number in range(12)]
    score = ranking_score([ids, ids, ids], ["0", "6", "11"])
    assert score.recall_at_5 == pytest.approx(1 / 3)
    assert score.recall_at_10 == pytest.approx(2 / 3)
    assert score.ndcg_at_5 == pytest.approx(1 / 3)
    assert score.ndcg_at_10 == pytest.approx((1 + 1 / 3) / 3)
    assert score.users == 3
