"""Preference alignment: the right path over the decoder's own wrong ones, kept where it is seen to help."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adgram.core.artifact import verified
from adgram.core.clock import SystemClock
from adgram.core.marketplace import Marketplace
from adgram.generative.decoder import DecoderShape, SemanticDecoder
from adgram.generative.training.aligning import PreferenceReport
from adgram.generative.training.batched import read_all, search_all
from adgram.generative.training.fit import fit, fit_stage
from adgram.generative.training.options import TrainingOptions, TrainingStage
from adgram.generative.training.preference import Choice, PreferenceModel, drawn_choices, packed, path_log_probs
from adgram.generative.training.workshop import Workshop
from adgram.generative.weights import FORMAT, load_decoder

SHAPE = DecoderShape(
    levels=3, codes=6, vector_width=8, width=8, heads=2, layers=1, history_length=5, dropout=0.0, word_width=3
)
QUICK = TrainingOptions(
    minutes=1,
    content_width=8,
    vector_width=8,
    width=8,
    interest_epochs=2,
    code_epochs=2,
    preference_epochs=2,
    dropout=0.1,
)


class Interrupted(Exception):
    """A person pressed Ctrl-C."""


def silent(stage: str, done: float, words: str) -> None:
    """Reports to nobody."""


@pytest.fixture
def model() -> PreferenceModel:
    torch.manual_seed(5)
    rng = np.random.default_rng(5)
    decoder = SemanticDecoder(SHAPE, torch.randn(SHAPE.levels, SHAPE.codes, SHAPE.vector_width)).eval()
    sids = rng.integers(0, SHAPE.codes, (50, SHAPE.levels)).astype(np.int32)
    return PreferenceModel(decoder, rng.standard_normal((50, SHAPE.reading_width)).astype(np.float32), sids)


def test_paths_are_as_likely_as_the_search_says(model: PreferenceModel):
    """Scored all at once, code paths have the log-probabilities that the search gave them step by step, whatever the
    length of the history, where no item is masked below them."""
    vectors = model._vectors[0]
    histories = [np.array([3]), np.array([7, 1, 4, 9, 2, 8]), np.array([5, 6])]
    # The search masks the history, so its items are moved to a tree where they are alone in no one's way.
    free = [np.empty(0, dtype=np.int64)] * len(histories)
    with torch.inference_mode():
        found = search_all(model.decoder, read_all(model.decoder, vectors, histories), model.tree, free, 6)
        codes = found.prefixes * SHAPE.codes + found.codes
        paths = torch.stack([codes // SHAPE.codes**power % SHAPE.codes for power in (2, 1, 0)], dim=2)
        scored = path_log_probs(model.decoder, vectors, histories, paths, model.tree)
    assert torch.allclose(scored, found.log_probs, atol=1e-5)
    assert torch.equal(packed(paths, SHAPE.codes), codes)


def test_an_unchanged_decoder_prefers_nothing(model: PreferenceModel):
    """At the start every path has risen by nothing, so the loss is the log of how many paths compete, beside its part
    of likelihood."""
    choices = [Choice(np.array([1, 2]), 3, np.array([3, 4])), Choice(np.array([7]), 9, np.array([9]))]
    paths, real = model._candidates(choices)
    with torch.no_grad():
        likelihood = path_log_probs(
            model.decoder, model._vectors[0], [one.history for one in choices], paths, model.tree
        )
        expected = torch.log(real.sum(dim=1).float()).mean() - 0.2 * likelihood[:, 0].mean()
        assert float(model.loss(choices)) == pytest.approx(float(expected), abs=1e-5)


def test_what_is_chosen_later_is_never_a_wrong_beam(model: PreferenceModel):
    """Neither the choice nor anything the person chose afterwards counts against it, nor does an item of the
    history."""
    later = np.array([9, 20, 21, 22])
    paths, real = model._candidates([Choice(np.array([1, 2]), 9, later)])
    sids = model.tree.sids
    wrong = {tuple(path) for path, counts in zip(paths[0, 1:].tolist(), real[0, 1:].tolist(), strict=True) if counts}
    assert paths[0, 0].tolist() == sids[9].tolist()
    assert len(wrong) > 10
    assert not wrong & {tuple(sids[row].tolist()) for row in later.tolist()}


def test_steps_down_the_loss_lift_the_chosen_path_over_the_wrong_ones(model: PreferenceModel):
    """After a few steps the chosen path has risen against every beam that stood before it."""
    choice = Choice(np.array([1, 2]), 9, np.array([9]))
    vectors = model._vectors[0]
    paths, real = model._candidates([choice])
    with torch.no_grad():
        before = path_log_probs(model.decoder, vectors, [choice.history], paths, model.tree)[0]
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(20):
        optimiser.zero_grad()
        model.loss([choice]).backward()
        optimiser.step()
    with torch.no_grad():
        risen = path_log_probs(model.decoder, vectors, [choice.history], paths, model.tree)[0] - before
    assert (risen[0] > risen[1:][real[0, 1:]]).all()


def test_every_person_gives_one_moment_a_round():
    """Moments are drawn anew at each call, histories are cut to length, and nothing chosen before is asked for."""
    sequences = [np.arange(start, start + 9) for start in range(0, 300, 10)] + [np.array([1]), np.array([2, 3, 2])]
    first, again = (
        [choice for batch in drawn_choices(sequences, 7, 4, np.random.default_rng(seed)) for choice in batch]
        for seed in (0, 1)
    )
    assert 30 <= len(first) <= 31
    assert {choice.chosen for choice in first} != {choice.chosen for choice in again}
    for choice in first:
        assert 1 <= len(choice.history) <= 4
        assert choice.later[0] == choice.chosen
        assert choice.chosen not in choice.history


@pytest.mark.parametrize("helps", [True, False])
def test_the_aligned_decoder_is_kept_only_where_validation_rose(
    marketplace: Marketplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, helps: bool
):
    """Some people choose the round, others decide. Kept, it is served and the one before stays beside it; not kept,
    the decoder is untouched and says so. Either way the stage is then up to date."""
    figures = iter((0.5, 0.6, 0.55, 0.58) if helps else (0.5, 0.6, 0.7, 0.5))  # before, two rounds, after
    monkeypatch.setattr(PreferenceModel, "ndcg", lambda self, histories, targets: next(figures))
    place = Workshop(marketplace, tmp_path, QUICK, {"data": 1}, SystemClock(), silent)
    for stage in (TrainingStage.CONTENT, TrainingStage.TOKENIZER, TrainingStage.DECODER):
        fit_stage(place, stage)
    before = verified(tmp_path / "decoder", "decoder", FORMAT).checksum
    report = fit_stage(place, TrainingStage.PREFERENCE)
    assert isinstance(report, PreferenceReport)
    after = verified(tmp_path / "decoder", "decoder", FORMAT)
    assert report.built_on == before
    assert report.decoder == after.checksum
    assert (after.checksum != before) == helps == report.outcome.startswith("kept")
    assert (tmp_path / "unaligned").exists() == helps
    assert after.notes["preference"]["kept"] == helps
    served, first = (load_decoder(tmp_path / name, tmp_path / "tokenizer") for name in ("decoder", "interest"))
    assert torch.equal(served.profiler.query.weight, first.decoder.query.weight)
    assert not torch.equal(served.profiler.query.weight, served.decoder.query.weight)
    assert fit_stage(place, TrainingStage.PREFERENCE) is None
    assert fit_stage(place, TrainingStage.DECODER) is None
    figures = iter((0.5, 0.6, 0.7, 0.2))
    again = fit_stage(place, TrainingStage.PREFERENCE, force=True)
    assert isinstance(again, PreferenceReport)
    assert again.built_on == before
    assert verified(tmp_path / "decoder", "decoder", FORMAT).checksum == before
    assert not (tmp_path / "unaligned").exists()


def test_a_stopped_alignment_resumes_to_the_same_decoder(marketplace: Marketplace, tmp_path: Path):
    """Stopped in its second epoch and started again, it gives the decoder of an undisturbed run."""
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    fit(marketplace, whole, QUICK, {}, SystemClock(), silent)
    seen = []

    def stopping(stage: str, done: float, words: str) -> None:
        seen.append(stage)
        if seen.count("preference") == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        fit(marketplace, resumed, QUICK, {}, SystemClock(), stopping)
    assert (resumed / ".checkpoints" / "preference" / "preference.pt").is_file()
    fit(marketplace, resumed, QUICK, {}, SystemClock(), silent)
    for folder in (whole, resumed):
        assert not (folder / ".checkpoints").exists()
    checksums = {verified(folder / "decoder", "decoder", FORMAT).checksum for folder in (whole, resumed)}
    assert len(checksums) == 1


def test_who_learned_from_everything_is_not_aligned(marketplace: Marketplace, tmp_path: Path):
    """With every event learned nothing is left to see whether it helps, so the decoder stays and the report says
    why."""
    report = fit(marketplace, tmp_path, replace(QUICK, all_events=True), {}, SystemClock(), silent)
    aligned = report[TrainingStage.PREFERENCE]
    assert isinstance(aligned, PreferenceReport)
    assert "held out" in aligned.outcome
    assert aligned.decoder == verified(tmp_path / "decoder", "decoder", FORMAT).checksum
