"""What words mean: learned by naming next choices, good for items nobody has chosen, served as learned."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from adgram.core.artifact import seal
from adgram.core.catalogue import Item
from adgram.core.clock import SystemClock
from adgram.core.errors import ArtifactError
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.training.batched import searched_ndcg
from adgram.generative.training.codes import CodeModel
from adgram.generative.training.interest import ndcg_over
from adgram.generative.training.options import TrainingOptions
from adgram.generative.training.schedule import padded
from adgram.generative.training.sequences import HeldOut
from adgram.generative.training.stages import _continued
from adgram.generative.training.wording import Meanings, learn_words
from adgram.generative.weights import FORMAT, KIND, load_decoder
from adgram.generative.wording import Wording, vectors_of

KINDS, EACH = ("spade", "wok", "fern", "lego"), 5
ITEMS = [
    Item(f"{kind}{place}", f"{kind} of kind {place}", (kind,), "", "") for kind in KINDS for place in range(EACH)
] + [Item("silent", "")]
OPTIONS = TrainingOptions(word_width=8, history_length=6)


def test_what_is_learned_is_what_is_served():
    """Every item's vector as trained is the one its words give; an item without a word has none."""
    torch.manual_seed(0)
    meanings = Meanings(ITEMS, 6)
    wording = meanings.wording()
    served = vectors_of([wording.words_of(item) for item in ITEMS], 6)
    assert meanings.vectors().detach().numpy() == pytest.approx(served, abs=1e-6)
    assert not served[-1].any()
    assert np.linalg.norm(served[:-1], axis=1) == pytest.approx(1.0, abs=1e-6)


def test_the_gradient_is_that_of_the_dense_product():
    """Of any loss over the vectors, to each feature's embedding."""
    torch.manual_seed(1)
    meanings = Meanings(ITEMS, 4)
    wanted = torch.randn(len(ITEMS), 4)
    found = torch.autograd.grad((meanings.vectors() * wanted).sum(), meanings.embedding)[0]
    dense = torch.from_numpy(meanings._said.toarray())
    embedding = meanings.embedding.detach().clone().requires_grad_()
    vectors = functional.normalize(dense @ embedding, dim=1, eps=1e-6)
    assert torch.allclose(found, torch.autograd.grad((vectors * wanted).sum(), embedding)[0], atol=1e-5)


def sequences(rng: np.random.Generator, users: int, unseen: int = 0) -> list[np.ndarray]:
    """People who keep to two kinds that go together and share no word, in turns; of each kind the `unseen` last items
    are chosen by nobody."""
    pairs = ((0, 1), (2, 3))
    found = []
    for _ in range(users):
        one, other = pairs[int(rng.integers(2))]
        chosen = [EACH * kind + rng.permutation(EACH - unseen)[:3] for kind in (one, other)]
        found.append(np.stack(chosen, axis=1).ravel())
    return found


def test_words_name_the_next_choice_even_of_items_nobody_has_chosen(tmp_path: Path):
    """A kind's words are learned from those that were chosen, and then stand for one that never was."""
    rng = np.random.default_rng(2)
    cut = sequences(rng, 600, unseen=1)
    unseen = {kind: EACH * kind + EACH - 1 for kind in range(len(KINDS))}
    # After a thing of one kind comes one of the other, here the one that nobody chose.
    asked = HeldOut([one[:5] for one in cut[:100]], np.array([unseen[int(one[5]) // EACH] for one in cut[:100]]))
    _, minutes = learn_words(
        ITEMS, cut, asked, replace(OPTIONS, word_epochs=40), 1.0, tmp_path, SystemClock(), lambda *_: None
    )
    assert minutes > 0
    kept = torch.load(tmp_path / "words.pt", weights_only=False)
    assert kept["best"] > 0.45  # a random order of the sixteen unmasked gives .28


def test_a_decoder_goes_on_where_the_first_stage_ended():
    """Before it has learned a word its profile of vectors is the first stage's, but for what words add to the input."""
    torch.manual_seed(3)
    shape = DecoderShape(levels=2, codes=4, vector_width=6, width=8, heads=2, layers=1, history_length=6)
    interest = SemanticDecoder(shape, torch.zeros(2, 4, 6)).eval()
    decoder = _continued(interest, np.zeros((2, 4, 6), dtype=np.float32), 5).eval()
    vectors = functional.normalize(torch.randn(3, 6), dim=1)
    silent = torch.cat((vectors, torch.zeros(3, 5)), dim=1)
    with torch.inference_mode():
        assert torch.allclose(decoder.read(silent).query[:6], interest.read(vectors).query, atol=1e-5)


def test_without_words_a_decoder_begins_as_the_first_stages_network():
    """Weight by weight, where both have it."""
    torch.manual_seed(3)
    shape = DecoderShape(levels=2, codes=4, vector_width=6, width=8, heads=2, layers=1, history_length=6)
    interest = SemanticDecoder(shape, torch.zeros(2, 4, 6))
    begun = _continued(interest, np.ones((2, 4, 6), dtype=np.float32), 0).state_dict()
    for name, value in interest.state_dict().items():
        if name != "codebooks" and not name.startswith("head_vector"):
            assert torch.equal(begun[name], value), name


def test_codes_words_and_vectors_are_learned_together():
    """The loss reaches the decoder and the words; nothing else of what is given changes."""
    torch.manual_seed(4)
    rng, width = np.random.default_rng(4), 6
    shape = DecoderShape(2, 4, width, width=8, heads=2, layers=1, history_length=6, dropout=0.0, word_width=5)
    first = SemanticDecoder(
        DecoderShape(2, 4, width, width=8, heads=2, layers=1, history_length=6), torch.zeros(2, 4, 6)
    )
    vectors = functional.normalize(torch.randn(len(ITEMS), width), dim=1).numpy()
    sids = rng.integers(0, 4, (len(ITEMS), 2)).astype(np.int32)
    decoder, meanings = SemanticDecoder(shape, torch.randn(2, 4, width)), Meanings(ITEMS, 5)
    model = CodeModel(decoder, vectors, sids, meanings=meanings, first=first)
    batch = padded(sequences(rng, 20), list(range(20)))
    taught = {name: value.clone() for name, value in first.state_dict().items()}
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    before, losses = meanings.embedding.detach().clone(), []
    for _ in range(30):
        optimiser.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1
    assert not torch.equal(meanings.embedding, before)
    assert all(torch.equal(value, taught[name]) for name, value in first.state_dict().items())
    assert torch.equal(model.item_vectors, torch.from_numpy(vectors))
    cut = sequences(rng, 20)
    histories, targets = [one[:5] for one in cut], np.array([one[5] for one in cut])
    with torch.inference_mode():
        both, read = model.eval().ndcg(histories, targets), model.as_read()
        spelled = searched_ndcg(decoder, read, model.tree, histories, targets, 32)
        worded = ndcg_over(decoder, read, histories, targets, width)
    assert both == pytest.approx((spelled + worded) / 2)
    assert spelled != worded


def test_an_artefact_whose_words_do_not_fit_its_decoder_is_refused(models: Path, tmp_path: Path):
    """In one line that says so."""
    folder = shutil.copytree(models, tmp_path / "models")
    loaded = load_decoder(folder / "decoder", folder / "tokenizer")
    assert loaded.wording.width == loaded.decoder.shape.word_width == TrainingOptions().word_width
    assert loaded.profiler.shape.word_width == 0
    narrow = Wording.of(ITEMS)
    np.savez(folder / "decoder" / "wording.npz", rarity=narrow.rarity, meanings=narrow.meanings)
    seal(folder / "decoder", KIND, FORMAT, loaded.notes)
    with pytest.raises(ArtifactError, match="0 numbers a word, the decoder reads 64") as caught:
        load_decoder(folder / "decoder", folder / "tokenizer")
    assert "\n" not in str(caught.value)
