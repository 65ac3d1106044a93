import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core import rows
from adgram.core.artifact import seal, verified
from adgram.core.catalogue import EncodedItem, Item
from adgram.core.clock import Deadline, ManualClock, SystemClock
from adgram.core.commit import Commit, Table
from adgram.core.decision import CandidateSource
from adgram.core.errors import ArtifactError, ConfigError
from adgram.core.feedback import FeedbackKind, Interaction
from adgram.core.marketplace import Marketplace
from adgram.core.ports import ProposalContext
from adgram.generative.companions import CompanionTable
from adgram.generative.config import GenerativeConfig
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.fusion import Fusion
from adgram.generative.proposer import GenerativeProposer, load_proposer
from adgram.generative.tokenizer import load_encoder
from adgram.generative.weights import FORMAT
from adgram.generative.wording import Wording
from adgram.memory.snapshot import MemorySnapshot

SHAPE = DecoderShape(levels=3, codes=6, vector_width=8, width=8, heads=2, layers=1, history_length=5)


class LateClock(ManualClock):
    """A clock on which every look at the time costs a second."""

    def monotonic_ns(self) -> int:
        self.advance(1_000_000_000)
        return super().monotonic_ns()


def random_proposer(seed: int, **settings: object) -> GenerativeProposer:
    torch.manual_seed(seed)
    decoder = SemanticDecoder(SHAPE, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width))
    return GenerativeProposer(decoder, CompanionTable.empty(), "random", GenerativeConfig(**settings))  # type: ignore[arg-type]


def random_items(seed: int, count: int) -> list[EncodedItem]:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, SHAPE.vector_width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sids = rng.integers(0, SHAPE.codes, (count, SHAPE.levels)).tolist()
    return [
        EncodedItem(Item(f"i{row}", ""), tuple(sids[row]), vectors[row].tobytes(), "random") for row in range(count)
    ]


def snapshot_of(items: list[EncodedItem]) -> MemorySnapshot:
    entries = tuple(rows.row(Table.ITEM, entry.item.item_id, entry) for entry in items)
    return MemorySnapshot.empty(1).fold(Commit(0, 1, 1, 0, 0, {}, entries))


def context_of(
    snapshot: MemorySnapshot, history: tuple[str, ...] = (), admitted: set[str] | None = None, limit: int = 20
) -> ProposalContext:
    ids = snapshot.items.item_ids
    mask = np.array([admitted is None or item_id in admitted for item_id in ids], dtype=bool)
    events = tuple(Interaction(item_id, FeedbackKind.CLICK, place) for place, item_id in enumerate(history))
    return ProposalContext(snapshot, mask, events, limit, Deadline.after_ms(60_000, SystemClock()))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(0, 20), st.booleans())
def test_twenty_of_twenty_admitted_items_are_generated_whatever_the_weights(seed, count, wanted, memory):
    """When admission leaves at most W items, exactly these come out, GENERATIVE, with finite log-probabilities."""
    rng, items = np.random.default_rng(seed), random_items(seed, count)
    admitted = {items[row].item.item_id for row in rng.choice(count, size=min(wanted, count), replace=False).tolist()}
    proposal = random_proposer(seed, memory=memory).propose(context_of(snapshot_of(items), ("i0", "i1"), admitted))
    assert {candidate.item_id for candidate in proposal.candidates} == admitted
    assert len(proposal.candidates) == len(admitted)
    assert all(candidate.source is CandidateSource.GENERATIVE for candidate in proposal.candidates)
    total = sum(np.exp([candidate.log_prob for candidate in proposal.candidates]))
    assert total == pytest.approx(1 if admitted else 0, abs=1e-4)
    assert (proposal.reason == "") == bool(admitted)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 120), st.integers(1, 30), st.floats(0, 1))
def test_candidates_are_admitted_distinct_ordered_and_within_the_limit(seed, count, limit, share):
    """The Proposer's contract holds for random weights, catalogues, admissions and limits."""
    rng, items = np.random.default_rng(seed), random_items(seed, count)
    admitted = {entry.item.item_id for entry in items if rng.random() < share}
    proposer = random_proposer(seed, beam_width=int(rng.integers(1, 9)), neighbours=int(rng.integers(1, 9)))
    proposal = proposer.propose(context_of(snapshot_of(items), ("i0", "gone"), admitted, limit))
    ids = [candidate.item_id for candidate in proposal.candidates]
    assert len(set(ids)) == len(ids) <= limit
    assert set(ids) <= admitted
    scores = [candidate.score for candidate in proposal.candidates]
    assert scores == sorted(scores, reverse=True)
    assert np.isfinite(scores).all()
    assert bool(ids) == bool(admitted)
    by_id = {entry.item.item_id: entry for entry in items}
    for candidate in proposal.candidates:
        assert candidate.semantic_id == by_id[candidate.item_id].semantic_id
        assert (candidate.log_prob is None) == (candidate.source is CandidateSource.MEMORY)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 100))
def test_the_answer_does_not_depend_on_where_items_lie_in_memory(seed, count):
    """Folding the same items in another order gives the same proposal, to the last place that counts."""
    items, proposer = random_items(seed, count), random_proposer(seed)
    shuffled = [items[row] for row in np.random.default_rng(seed + 1).permutation(count).tolist()]
    history = ("i1", "i0")
    one = proposer.propose(context_of(snapshot_of(items), history)).candidates
    other = proposer.propose(context_of(snapshot_of(shuffled), history)).candidates
    assert [candidate.item_id for candidate in one] == [candidate.item_id for candidate in other]
    assert [candidate.score for candidate in one] == pytest.approx([candidate.score for candidate in other], abs=1e-6)


@pytest.mark.parametrize("compiled", ["off", "auto"])
def test_memory_says_the_same_with_the_decoder_on_and_off(compiled: str):
    """The profiler's profile searches it; the decoder's own weights change nothing but what is generated."""
    networks = []
    for seed in (5, 6, 7):
        torch.manual_seed(seed)
        networks.append(SemanticDecoder(SHAPE, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width)))
    asked = context_of(snapshot_of(random_items(9, 90)), ("i3", "i1", "i4"))

    def found(own: int, other: int | None, codes: float = 0.1, **on: bool) -> list[tuple[str, float]]:
        config, profiler = GenerativeConfig(compiled=compiled, **on), None if other is None else networks[other]
        fusion, companions = Fusion(codes=codes), CompanionTable.empty()
        proposer = GenerativeProposer(networks[own], companions, "random", config, fusion, profiler=profiler)
        return [(candidate.item_id, candidate.score) for candidate in proposer.propose(asked).candidates]

    assert found(0, 1, decoder=False) == found(2, 1, decoder=False) == found(1, None, decoder=False)
    assert found(0, 1, decoder=False) != found(0, None, decoder=False)
    assert found(0, 1) != found(2, 1)
    nearest = dict(found(0, 1, decoder=False))
    beside = {item_id: score for item_id, score in found(0, 1, codes=0.0) if item_id in nearest}
    assert len(beside) > 5
    assert beside == pytest.approx({item_id: nearest[item_id] for item_id in beside}, abs=1e-6)
    assert found(0, 1, memory=False) == found(0, 2, memory=False)


WORDED = replace(SHAPE, word_width=4)


def worded_proposer(**on: bool | str) -> GenerativeProposer:
    """One whose decoder reads words, of which every bucket means something by chance."""
    torch.manual_seed(5)
    decoder = SemanticDecoder(WORDED, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width))
    meanings = np.random.default_rng(5).standard_normal((1 << 15, 4)).astype(np.float32)
    wording = Wording(np.ones(1 << 15, dtype=np.float32), meanings)
    profiler = SemanticDecoder(SHAPE, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width))
    config = GenerativeConfig(**on)  # type: ignore[arg-type]
    return GenerativeProposer(decoder, CompanionTable.empty(), "random", config, profiler=profiler, wording=wording)


def titled(items: list[EncodedItem], said: dict[str, str]) -> list[EncodedItem]:
    """The same items; some say something."""
    return [
        replace(entry, item=replace(entry.item, title=said.get(entry.item.item_id, entry.item.title)))
        for entry in items
    ]


@pytest.mark.parametrize("compiled", ["off", "auto"])
def test_the_decoder_reads_what_items_say(compiled: str):
    """Other words in the history or of a candidate change the decoder's proposal, and nothing of what memory says."""
    items = random_items(9, 90)

    def found(said: dict[str, str], **on: bool) -> list[tuple[str, float]]:
        proposer, snapshot = worded_proposer(compiled=compiled, **on), snapshot_of(titled(items, said))
        proposer.warm(snapshot)
        candidates = proposer.propose(context_of(snapshot, ("i3", "i1", "i4"))).candidates
        return [(candidate.item_id, candidate.score) for candidate in candidates]

    plain = found({}, memory=False)
    for reworded in ("i4", plain[0][0]):
        said = {reworded: "lego fire engine"}
        assert found(said, memory=False) != plain
        assert found(said, decoder=False) == found({}, decoder=False)


def test_a_decoder_that_reads_words_is_not_made_without_them():
    """What it learned with is part of the artefact; nor without a network for memory, which holds no words."""
    worded, plain = (
        SemanticDecoder(shape, torch.zeros(SHAPE.levels, SHAPE.codes, SHAPE.vector_width)) for shape in (WORDED, SHAPE)
    )
    made = partial(GenerativeProposer, worded, CompanionTable.empty(), "random", GenerativeConfig())
    with pytest.raises(ValueError, match="need the wording they learned with"):
        made(profiler=plain)
    with pytest.raises(ValueError, match="searched by a network that reads none"):
        made(wording=Wording.of([]))


def test_companions_of_the_history_are_remembered_if_they_are_admitted():
    """An item far from the profile is proposed from memory because it goes with the history, if it is admitted."""
    items = random_items(4, 60)
    table = CompanionTable(
        item_ids=np.array(["i0", "i7", "i8"]),
        bounds=np.array([0, 2, 2, 2]),
        companions=np.array([1, 2], dtype=np.int32),
        weights=np.array([1.0, 1.0], dtype=np.float32),
        decay=0.5,
        last=8,
    )
    torch.manual_seed(4)
    decoder = SemanticDecoder(SHAPE, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width))
    settings_ = GenerativeConfig(decoder=False, neighbours=2)
    proposer = GenerativeProposer(decoder, table, "random", settings_)
    admitted = {entry.item.item_id for entry in items} - {"i0", "i8"}
    found = proposer.propose(context_of(snapshot_of(items), ("i0",), admitted)).candidates
    assert (found[0].item_id, found[0].source) == ("i7", CandidateSource.MEMORY)
    assert "i8" not in {candidate.item_id for candidate in found}
    assert len(found) == 2


def test_equal_items_are_ordered_by_their_ids_and_not_by_their_place():
    """Two items alike in everything but the id keep one order, whichever came first."""
    one = random_items(1, 1)[0]
    twins = [EncodedItem(Item(name, ""), one.semantic_id, one.vector, "random") for name in ("a", "b", "c", "d", "e")]
    orders = [
        [candidate.item_id for candidate in random_proposer(2).propose(context_of(snapshot_of(order))).candidates]
        for order in (twins, twins[::-1])
    ]
    assert orders[0] == orders[1]


def test_a_new_item_can_be_generated_on_the_next_request(models: Path, marketplace: Marketplace):
    """Encoded by frozen codebooks and folded, an unseen item is generated when only it is admitted."""
    encoder = load_encoder(models / "tokenizer")
    snapshot = snapshot_of(list(encoder.encode(marketplace.items())))
    new = encoder.encode([Item("new", "brand new hammock", ("garden",))])[0]
    later = snapshot.fold(Commit(0, 2, 1, 0, 0, {}, (rows.row(Table.ITEM, "new", new),)))
    proposer = load_proposer(models / "decoder", GenerativeConfig(memory=False))
    (candidate,) = proposer.propose(context_of(later, ("rake0",), {"new"})).candidates
    assert (candidate.item_id, candidate.source) == ("new", CandidateSource.GENERATIVE)
    assert candidate.log_prob == pytest.approx(0, abs=1e-5)


def test_taste_is_learned_from_behaviour(models: Path, marketplace: Marketplace):
    """Gardeners are offered the garden and cooks the kitchen, by the decoder alone, by memory alone and by both."""
    items = marketplace.items()
    snapshot = snapshot_of(list(load_encoder(models / "tokenizer").encode(items)))
    kind = {item.item_id: item.category[0] for item in items}
    for settings_ in ({"memory": False}, {"decoder": False}, {}):
        proposer = load_proposer(models / "decoder", GenerativeConfig(**settings_))
        for history, wanted in ((("rake0", "hose1", "fern2"), "garden"), (("wok0", "pan1", "oven2"), "厨房")):
            found = proposer.propose(context_of(snapshot, history, limit=10)).candidates
            assert sum(kind[candidate.item_id] == wanted for candidate in found) >= 8


def test_nothing_to_go_by_is_an_answer_and_never_an_error():
    """Empty catalogue, empty admission, foreign vectors: an empty proposal that says why; an empty history proposes."""
    proposer = random_proposer(1)
    assert proposer.propose(context_of(MemorySnapshot.empty(1))).reason == "empty catalogue"
    snapshot = snapshot_of(random_items(1, 5))
    assert proposer.propose(context_of(snapshot, admitted=set())).reason == "nothing admitted"
    foreign = EncodedItem(Item("x", ""), (1, 2), np.ones(4, np.float32).tobytes(), "other")
    assert proposer.propose(context_of(snapshot_of([foreign]))).reason == "items encoded by another tokenizer"
    assert len(proposer.propose(context_of(snapshot)).candidates) == 5
    assert len(proposer.propose(context_of(snapshot, ("unknown",))).candidates) == 5


def test_proposals_made_side_by_side_are_those_made_alone():
    """Step by step, several open at once, each is what `propose` says, and has the steps it said."""
    proposer = random_proposer(3, beam_width=8)
    snapshot = snapshot_of(random_items(3, 60))
    contexts = [context_of(snapshot, tuple(f"i{3 * n + m}" for m in range(n))) for n in range(4)]
    alone = [proposer.propose(context) for context in contexts]
    open_, beside, rounds = [proposer.begin(context) for context in contexts], {}, 0
    while len(beside) < len(contexts):
        rounds += 1
        for place, steps in enumerate(open_):
            if place not in beside and (proposal := steps.advance(proposer.shape.widths[0])) is not None:
                beside[place] = proposal
    assert rounds == 1 + proposer.shape.levels
    assert [beside[place].candidates for place in range(4)] == [each.candidates for each in alone]
    assert all(each.candidates for each in alone)


def test_narrow_steps_find_admitted_items_too():
    """Whatever widths its levels get, a proposal keeps the Proposer's contract."""
    proposer = random_proposer(4, beam_width=32)
    snapshot = snapshot_of(random_items(4, 60))
    context = context_of(snapshot, ("i1",), {f"i{n}" for n in range(0, 60, 3)})
    steps, widths = proposer.begin(context), iter((8, 2, 4, 2))
    while (proposal := steps.advance(next(widths))) is None:
        pass
    assert proposal.candidates
    assert {each.item_id for each in proposal.candidates} <= {f"i{n}" for n in range(0, 60, 3)}
    assert proposer.shape.widths == (32, 24, 16, 12, 8)
    assert random_proposer(4, beam_width=3).shape.widths == (3,)


def test_a_late_proposer_says_so():
    """Once the deadline has passed nothing is proposed, with the reason."""
    context = context_of(snapshot_of(random_items(1, 50)))
    late = ProposalContext(context.snapshot, context.admitted, (), 20, Deadline.after_ms(2_500, LateClock()))
    proposal = random_proposer(1).propose(late)
    assert proposal.candidates == ()
    assert proposal.reason == "deadline"


def test_a_decoder_of_another_tokenizer_is_refused(models: Path, tmp_path: Path):
    """Codes of one tokenizer mean nothing to a decoder trained with another."""
    shutil.copytree(models, tmp_path / "models")
    folder = tmp_path / "models" / "decoder"
    notes = verified(folder, "decoder", FORMAT).notes
    (folder / "manifest.json").unlink()
    seal(folder, "decoder", FORMAT, {**notes, "tokenizer": "another"})
    with pytest.raises(ArtifactError, match=r"trained with tokenizer another"):
        load_proposer(folder, GenerativeConfig())


def test_impossible_settings_are_refused():
    """A configuration that could propose nothing is an error when it is made."""
    with pytest.raises(ConfigError, match="both off"):
        GenerativeConfig(decoder=False, memory=False)
    with pytest.raises(ConfigError, match="beam_width"):
        GenerativeConfig(beam_width=0)
