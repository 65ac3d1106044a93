"""Needs in words: what is learned of them, how they lead the decode, and what comes of words that say nothing."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core import rows
from adgram.core.artifact import verified
from adgram.core.catalogue import Item
from adgram.core.clock import Deadline, SystemClock
from adgram.core.commit import Commit, Table
from adgram.core.decision import Proposal
from adgram.core.errors import ArtifactError
from adgram.core.feedback import FeedbackKind, Interaction
from adgram.core.marketplace import Marketplace, write_log
from adgram.core.ports import ProposalContext
from adgram.generative.config import GenerativeConfig
from adgram.generative.need_text import BUCKETS, LONGEST, buckets_of, cleaned
from adgram.generative.needs import KIND, load_encoder, load_needs
from adgram.generative.proposer import load_proposer
from adgram.generative.reading import TensorReader, TensorReading
from adgram.generative.tokenizer import load_encoder as load_tokenizer
from adgram.generative.training.needs import Bags, NeedOptions, fit_needs
from adgram.memory.snapshot import MemorySnapshot

QUICK = NeedOptions(minutes=1, seed=1, width=16, hidden=16, epochs=8, batch=64)
# What people call things, in words that no item uses.
SAID = {
    "spade": ("shovel", "铲子"),
    "fern": ("leafy plant", "绿植"),
    "pan": ("skillet", "平底锅"),
    "wok": ("stir fryer", "炒锅"),
}
PATTERNS = ("{}", "buy {}", "i need a {}", "想买{}")


@pytest.fixture(scope="module")
def searched(marketplace: Marketplace, tmp_path_factory: pytest.TempPathFactory) -> Marketplace:
    """The tiny marketplace with a log of searches."""
    folder = tmp_path_factory.mktemp("searched") / "market"
    shutil.copytree(marketplace.folder, folder)
    rng = np.random.default_rng(0)
    searches = [
        (pattern.format(said), f"{word}{rng.integers(3)}")
        for word, others in SAID.items()
        for said in others
        for pattern in PATTERNS
        for _ in range(6)
    ]
    columns = {
        "event_time": list(range(len(searches))),
        "user_id": ["u0"] * len(searches),
        "need": [need for need, _ in searches],
        "item_id": [item_id for _, item_id in searches],
        "kind": ["click"] * len(searches),
    }
    write_log(folder, "searches", columns)
    return Marketplace(folder)


@pytest.fixture(scope="module")
def trained(searched: Marketplace, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's tokenizer and decoder with a needs stage beside them."""
    folder = tmp_path_factory.mktemp("with-needs") / "models"
    shutil.copytree(models, folder)
    fit_needs(searched, folder, QUICK, {"test": True}, SystemClock(), lambda stage, done, words: None)
    return folder


@pytest.fixture(scope="module")
def snapshot(searched: Marketplace, trained: Path) -> MemorySnapshot:
    return folded(MemorySnapshot.empty(1), 1, trained, searched.items())


def folded(before: MemorySnapshot, number: int, models: Path, items: list[Item]) -> MemorySnapshot:
    encoded = load_tokenizer(models / "tokenizer").encode(items)
    entries = tuple(rows.row(Table.ITEM, entry.item.item_id, entry) for entry in encoded)
    return before.fold(Commit(0, number, 1, 0, 0, {}, entries))


def asked(
    models: Path,
    snapshot: MemorySnapshot,
    need: str,
    history: tuple[str, ...] = (),
    admitted: set[str] | None = None,
    limit: int = 3,
    **config: object,
) -> Proposal:
    mask = np.array([admitted is None or item_id in admitted for item_id in snapshot.items.item_ids], dtype=bool)
    events = tuple(Interaction(item_id, FeedbackKind.CLICK, place) for place, item_id in enumerate(history))
    deadline = Deadline.after_ms(60_000, SystemClock())
    context = ProposalContext(snapshot, mask, events, limit, deadline, need=need)
    return load_proposer(models / "decoder", GenerativeConfig(**config)).propose(context)  # type: ignore[arg-type]


def names(proposal: Proposal) -> set[str]:
    return {candidate.item_id for candidate in proposal.candidates}


@pytest.mark.parametrize("config", [{}, {"memory": False}, {"decoder": False}])
@pytest.mark.parametrize(
    ("need", "word"),
    [
        ("my old shovel broke, what now?", "spade"),
        ("有没有好用的铲子啊", "spade"),
        ("any skillet on offer this week", "pan"),
        ("帮我挑平底锅", "pan"),
        ("a whisk, please", "whisk"),
    ],
)
def test_a_need_in_a_pattern_never_seen_gets_what_was_asked_for(
    trained: Path, snapshot: MemorySnapshot, need: str, word: str, config: dict[str, object]
) -> None:
    """Synonyms in two languages are known from clicks, own words from the catalogue; decoded, near, and both."""
    assert names(asked(trained, snapshot, need, **config)) == {f"{word}{number}" for number in range(3)}


def test_a_need_is_heard_whatever_the_history(trained: Path, snapshot: MemorySnapshot) -> None:
    """A cook who asks for a shovel gets one, and what is not admitted never comes."""
    history = ("wok0", "pan1", "oven2") * 10
    assert names(asked(trained, snapshot, "buy shovel", history)) == {"spade0", "spade1", "spade2"}
    admitted = {"spade1", "oven0", "plate1"}
    few = asked(trained, snapshot, "buy shovel", history, admitted)
    assert names(few) == admitted
    assert few.candidates[0].item_id == "spade1"


def test_the_decoder_reads_a_need_as_it_reads_an_item(
    trained: Path, snapshot: MemorySnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the newest of the history: a unit vector, and beside it a unit vector of words."""
    proposer, read = load_proposer(trained / "decoder", GenerativeConfig(compiled="off")), []
    reader = proposer._reader
    assert isinstance(reader, TensorReader)
    told = reader.read

    def recorded(vectors: np.ndarray) -> TensorReading:
        read.append(vectors)
        return told(vectors)

    monkeypatch.setattr(reader, "read", recorded)
    events = tuple(Interaction(f"wok{place % 3}", FeedbackKind.CLICK, place) for place in range(50))
    everything = np.ones(snapshot.items.count, dtype=bool)
    deadline = Deadline.after_ms(60_000, SystemClock())
    proposer.propose(ProposalContext(snapshot, everything, events, 3, deadline, need="buy shovel"))
    (vectors,) = read
    shape = proposer._decoder.shape
    assert vectors.shape == (shape.history_length, shape.reading_width)
    for half in (vectors[-1, : shape.vector_width], vectors[-1, shape.vector_width :]):
        assert np.linalg.norm(half) == pytest.approx(1.0, abs=1e-5)
    spade = snapshot.items.vectors[snapshot.slot("spade1")]
    assert vectors[-1, : shape.vector_width] @ spade > max(vectors[:-1, : shape.vector_width] @ spade)


@pytest.mark.parametrize("need", ["", "   ", "\x00\x07\x1b", "!?… — 🎈", "ѣѣѣѣ", "\ud800"])
def test_words_that_say_nothing_known_change_nothing(trained: Path, snapshot: MemorySnapshot, need: str) -> None:
    """Empty needs, control characters, pictures and unknown scripts are answered from the history alone."""
    history = ("rake0", "hose1")
    silent = asked(trained, snapshot, "", history)
    assert asked(trained, snapshot, need, history).candidates == silent.candidates
    assert silent.candidates


def test_a_very_long_need_is_read_up_to_its_bound(trained: Path, snapshot: MemorySnapshot) -> None:
    """A megabyte costs no more than the longest need that is read, and means the same."""
    long = "buy shovel " * 100_000
    assert cleaned(long) == ("buy shovel " * LONGEST)[:LONGEST]
    assert names(asked(trained, snapshot, long)) == {"spade0", "spade1", "spade2"}


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=400))
def test_any_text_has_bounded_features(text: str) -> None:
    """Whatever is typed: only printable text of bounded length is read, and buckets are distinct and in range."""
    plain = cleaned(text)
    assert len(plain) <= LONGEST
    assert all(character.isprintable() for character in plain)
    buckets = buckets_of(text)
    assert np.array_equal(buckets, np.unique(buckets))
    assert not len(buckets) or (buckets[0] >= 0 and buckets[-1] < BUCKETS)
    assert bool(len(buckets)) == any(character.isalnum() for character in plain)


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=30), st.integers(1, 40), st.integers(0, 10_000))
def test_candidates_for_any_need_are_admitted_distinct_and_ordered(
    trained: Path, snapshot: MemorySnapshot, need: str, limit: int, seed: int
) -> None:
    """The Proposer's contract holds for needs as for histories."""
    rng = np.random.default_rng(seed)
    admitted = {item_id for item_id in snapshot.items.item_ids if rng.random() < 0.3}
    proposal = asked(trained, snapshot, f"pan {need}", (), admitted, limit)
    ids = [candidate.item_id for candidate in proposal.candidates]
    assert len(set(ids)) == len(ids) <= limit
    assert set(ids) <= admitted
    assert bool(ids) == bool(admitted)
    scores = [candidate.score for candidate in proposal.candidates]
    assert scores == sorted(scores, reverse=True)
    assert np.isfinite(scores).all()


def test_items_that_are_new_or_reworded_are_found_from_the_next_version_on(
    trained: Path, snapshot: MemorySnapshot
) -> None:
    """The items' vectors follow the versions both ways: the older version still answers as before."""
    needs = load_needs(trained / "needs")
    assert needs is not None

    def best(version: MemorySnapshot, need: str) -> str:
        wanted = needs.wanted(need, version, version.items.alive)
        assert wanted is not None
        return version.items.item_ids[int(np.argmax(wanted.fit))]

    needs.warm(snapshot)
    before = best(snapshot, "garden hose wok ladle")
    later = folded(
        snapshot, 2, trained, [Item("new", "garden hose wok ladle", ("garden",), "", "garden hose wok ladle")]
    )
    needs.warm(later)
    assert best(later, "garden hose wok ladle") == "new"
    assert best(snapshot, "garden hose wok ladle") == before
    reworded = folded(later, 3, trained, [Item("new", "moss tulip hedge", ("garden",), "", "moss tulip hedge")])
    assert best(reworded, "moss tulip hedge") == "new"
    assert best(reworded, "garden hose wok ladle") != "new"


def test_the_same_seed_trains_the_same_stage(searched: Marketplace, tmp_path: Path) -> None:
    """Same data, options and seed: the same artefact, and nothing is left of the training."""
    checksums = []
    for name in ("one", "other"):
        short = replace(QUICK, epochs=1)
        fit_needs(searched, tmp_path / name, short, {}, SystemClock(), lambda stage, done, words: None)
        checksums.append(verified(tmp_path / name / "needs", KIND, 1).checksum)
        assert [path.name for path in (tmp_path / name).iterdir()] == ["needs"]
    assert checksums[0] == checksums[1]


def test_without_searches_items_are_still_found_by_their_own_words(
    marketplace: Marketplace, models: Path, tmp_path: Path
) -> None:
    """A marketplace that keeps no searches learns from what its items say."""
    shutil.copytree(models, tmp_path / "models")
    fit_needs(marketplace, tmp_path / "models", QUICK, {}, SystemClock(), lambda stage, done, words: None)
    version = folded(MemorySnapshot.empty(1), 1, models, marketplace.items())
    assert names(asked(tmp_path / "models", version, "looking for a ladle")) == {"ladle0", "ladle1", "ladle2"}


def test_models_without_the_stage_answer_and_damaged_ones_are_refused(
    models: Path, trained: Path, snapshot: MemorySnapshot, tmp_path: Path
) -> None:
    """No needs folder: the history alone is heard. A changed file is an error in words, never a wrong answer."""
    history = ("rake0", "hose1")
    plain = asked(models, snapshot, "buy shovel", history)
    assert plain.candidates == asked(trained, snapshot, "", history).candidates
    shutil.copytree(trained / "needs", tmp_path / "needs")
    (tmp_path / "needs" / "scales.json").write_text("{}")
    with pytest.raises(ArtifactError, match="was changed"):
        load_encoder(tmp_path / "needs")
    with pytest.raises(ArtifactError, match="no needs model"):
        load_encoder(tmp_path / "nowhere")


@given(st.lists(st.text(alphabet="ab 你好c", max_size=12), min_size=1, max_size=6), st.integers(0, 1000))
def test_bags_are_chosen_thinned_and_joined_row_by_row(texts: list[str], seed: int) -> None:
    """Rows keep their own features and nobody else's, however few are left."""
    rng, bags = np.random.default_rng(seed), Bags.of(texts)

    def row(of: Bags, place: int) -> list[int]:
        return of.buckets[of.bounds[place] : of.bounds[place + 1]].tolist()

    chosen = rng.permutation(len(texts))
    for place, original in enumerate(chosen.tolist()):
        assert row(bags.rows(chosen), place) == buckets_of(texts[original]).tolist()
    thin = bags.thinned(1.0, rng)
    joined = thin.beside(bags)
    for place in range(len(texts)):
        assert set(row(thin, place)) <= set(row(bags, place))
        assert row(joined, place) == row(thin, place) + row(bags, place)
