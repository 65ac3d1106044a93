"""What cannot be right: a clear error when it is loaded, or a defined answer when it is asked."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from adgram.core import rows
from adgram.core.artifact import MANIFEST, seal, verified
from adgram.core.catalogue import EncodedItem, Item
from adgram.core.clock import Deadline, SystemClock
from adgram.core.commit import Commit, Table
from adgram.core.errors import ArtifactError
from adgram.core.feedback import FeedbackKind, Interaction
from adgram.core.ports import ProposalContext
from adgram.generative.companions import CompanionTable
from adgram.generative.config import GenerativeConfig
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.proposer import UNSCORED, GenerativeProposer, load_proposer
from adgram.generative.weights import FORMAT
from adgram.memory.snapshot import MemorySnapshot

SHAPE = DecoderShape(levels=3, codes=6, vector_width=8, width=8, heads=2, layers=1, history_length=5)
RNG = np.random.default_rng(0)


def proposer(**settings: object) -> GenerativeProposer:
    torch.manual_seed(0)
    decoder = SemanticDecoder(SHAPE, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width))
    return GenerativeProposer(decoder, CompanionTable.empty(), "random", GenerativeConfig(**settings))  # type: ignore[arg-type]


def catalogue(vectors: np.ndarray, sids: list[list[int]]) -> MemorySnapshot:
    """Items i0 … with these vectors [N, D] and semantic IDs."""
    entries = [
        EncodedItem(Item(f"i{row}", ""), tuple(sids[row]), vectors[row].astype(np.float32).tobytes(), "random")
        for row in range(len(vectors))
    ]
    changes = tuple(rows.row(Table.ITEM, entry.item.item_id, entry) for entry in entries)
    return MemorySnapshot.empty(1).fold(Commit(0, 1, 1, 0, 0, {}, changes))


def some_items(count: int) -> tuple[np.ndarray, list[list[int]]]:
    vectors = RNG.standard_normal((count, SHAPE.vector_width))
    sids = RNG.integers(0, SHAPE.codes, (count, SHAPE.levels)).tolist()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), sids


def asked(
    snapshot: MemorySnapshot, history: list[str], admitted: np.ndarray | None = None, limit: int = 20
) -> ProposalContext:
    events = tuple(Interaction(item_id, FeedbackKind.CLICK, place) for place, item_id in enumerate(history))
    mask = np.ones(snapshot.items.count, dtype=bool) if admitted is None else admitted
    return ProposalContext(snapshot, mask, events, limit, Deadline.after_ms(60_000, SystemClock()))


def resealed(models: Path, folder: Path, format: int = FORMAT, **shape: int) -> Path:
    """A copy of the decoder with another format or another shape, sealed as if it were meant so."""
    shutil.copytree(models, folder)
    decoder = folder / "decoder"
    notes = verified(decoder, "decoder", FORMAT).notes
    (decoder / MANIFEST).unlink()
    said = json.loads((decoder / "shape.json").read_text())
    (decoder / "shape.json").write_text(json.dumps({**said, **shape}))
    seal(decoder, "decoder", format, notes)
    return decoder


def test_a_model_file_of_another_version_is_refused(models: Path, tmp_path: Path):
    """The error names what was found, what is read, and what to do."""
    folder = resealed(models, tmp_path / "models", FORMAT + 1)
    with pytest.raises(ArtifactError, match=rf"format {FORMAT + 1}, this version reads .*format {FORMAT}; train it"):
        load_proposer(folder, GenerativeConfig())


@pytest.mark.parametrize("change", [{"codes": 7}, {"levels": 4}, {"vector_width": 5}])
def test_a_codebook_that_does_not_fit_the_model_is_refused(models: Path, tmp_path: Path, change: dict[str, int]):
    """Another number of codes, levels or widths than the weights have is an error in one line, and no traceback of
    tensors.
    """
    folder = resealed(models, tmp_path / "models", **change)
    with pytest.raises(ArtifactError, match="cannot be read by this version"):
        load_proposer(folder, GenerativeConfig())


def test_an_empty_catalogue_or_admission_is_an_empty_proposal_with_its_reason():
    """Asked over no items, or over items of which none is admitted."""
    empty, items = MemorySnapshot.empty(1), catalogue(*some_items(20))
    assert proposer().propose(asked(empty, [])).reason == "empty catalogue"
    nothing = proposer().propose(asked(items, ["i1"], np.zeros(20, dtype=bool)))
    assert (nothing.candidates, nothing.reason) == ((), "nothing admitted")


def test_of_a_history_too_long_the_newest_items_are_read():
    """A thousand events propose what the newest that the model can read propose, companions aside."""
    items = catalogue(*some_items(40))
    history = [f"i{number % 40}" for number in range(1_000)]
    long, short = (proposer().propose(asked(items, each)) for each in (history, history[-SHAPE.history_length :]))
    assert long.candidates == short.candidates != ()


@pytest.mark.parametrize("settings", [{}, {"memory": False}, {"decoder": False}])
@pytest.mark.parametrize("seen", [False, True])
def test_a_vector_that_is_no_number_spoils_no_list(settings: dict[str, bool], seen: bool):
    """Ingest refuses such an item; should one be there all the same, nothing is ordered by nonsense: the proposal is
    empty and says so, or leaves it out.
    """
    vectors, sids = some_items(30)
    vectors[7, 3] = np.nan
    found = proposer(**settings).propose(asked(catalogue(vectors, sids), ["i7", "i2"] if seen else ["i2"]))
    if found.candidates:
        assert all(np.isfinite(each.score) for each in found.candidates)
        assert "i7" not in {each.item_id for each in found.candidates}
    else:
        assert found.reason == UNSCORED


def test_an_item_that_is_no_number_and_not_admitted_harms_nobody():
    """The others are proposed as ever."""
    vectors, sids = some_items(30)
    vectors[7, 3] = np.nan
    admitted = np.ones(30, dtype=bool)
    admitted[7] = False
    found = proposer().propose(asked(catalogue(vectors, sids), ["i2"], admitted))
    assert len(found.candidates) == 20
    assert all(np.isfinite(each.score) for each in found.candidates)


def test_any_number_of_items_may_share_one_semantic_id():
    """No bucket is full: five thousand items on one ID are all there, share its probability and fill the limit."""
    vectors, _ = some_items(5_000)
    items = catalogue(vectors, [[1, 2, 3]] * 5_000)
    assert len(items.trie.leaves((1, 2, 3))) == 5_000
    found = proposer(memory=False).propose(asked(items, ["i1"], limit=5_000))
    assert len({each.item_id for each in found.candidates}) == 5_000
    assert sum(np.exp(each.log_prob) for each in found.candidates if each.log_prob is not None) == pytest.approx(1.0)
