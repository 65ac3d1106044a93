import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from adgram.core.artifact import seal, verified
from adgram.core.catalogue import Item
from adgram.core.clock import SystemClock
from adgram.core.errors import ArtifactError, ConfigError, MarketplaceError
from adgram.core.marketplace import Manifest, Marketplace, write_entities, write_log, write_manifest
from adgram.generative.config import GenerativeConfig
from adgram.generative.proposer import load_proposer
from adgram.generative.tokenizer import load_encoder
from adgram.generative.training.comparison import Comparison
from adgram.generative.training.evaluation import ranking_score
from adgram.generative.weights import FORMAT
from adgram.programs import evaluate, proposals, train

APP = typer.Typer()
APP.command("train")(train.train)
APP.command("eval")(evaluate.evaluate)


def run(*arguments: object) -> str:
    """What a command prints; whatever it raises is raised."""
    return CliRunner().invoke(APP, [str(argument) for argument in arguments], catch_exceptions=False).output


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty users who walk round a circle of forty items, a step or two at a time; no impressions, so no scorer."""
    folder, rng = tmp_path_factory.mktemp("circle"), np.random.default_rng(0)
    write_entities(folder, "items", [Item(f"i{row}", f"thing number {row}", ("things",)) for row in range(40)])
    columns: dict[str, list[object]] = {"event_time": [], "user_id": [], "item_id": [], "kind": []}
    for user in range(60):
        place = int(rng.integers(40))
        for time in range(8):
            for name, value in zip(columns, (time, f"u{user}", f"i{place}", "conversion"), strict=True):
                columns[name].append(value)
            place = (place + int(rng.integers(1, 3))) % 40
    write_log(folder, "interactions", columns)
    write_manifest(folder, Manifest("circle", "USD", "test", 0))
    return folder


@pytest.fixture(scope="module")
def models(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    assert "colliding items" in run("train", market, "--models", folder, "--minutes", 0.05)
    return folder


def test_training_again_reuses_what_is_up_to_date(market: Path, models: Path):
    """The same data and options give back the same models untouched."""
    before = (models / "decoder/manifest.json").stat().st_mtime_ns
    assert "up to date" in run("train", market, "--models", models, "--minutes", 0.05)
    assert (models / "decoder/manifest.json").stat().st_mtime_ns == before


def test_a_marketplace_without_impressions_says_that_it_has_no_scorer(market: Path, models: Path):
    """The table names what was not trained and why."""
    assert "no impressions log" in run("train", market, "--models", models, "--minutes", 0.05)


def test_evaluation_names_its_rows_and_its_protocol(market: Path, models: Path):
    """Baselines and learned rows stand in one table over the protocol they share."""
    printed = run("eval", market, "--models", models, "--users", 20)
    for words in (
        "popularity",
        "item-kNN, plain",
        "item-kNN, tuned",
        "SASRec",
        "without generative",
        "generative alone",
        "memory alone",
        "fused",
        "Protocol",
        "masked",
    ):
        assert words in printed
    assert "forecast" not in printed


def test_papers_figures_stand_beside_ours_only_where_they_belong(market: Path, models: Path):
    """On a data set that papers report on, their rows are quoted as theirs, with the words that they follow their own
    protocols; elsewhere there are none."""
    ours = run("eval", market, "--models", models, "--users", 5)
    assert "paper" not in ours
    evaluation = evaluate.Evaluation(
        verified(models / "decoder", "decoder", FORMAT), Comparison({"fused": np.array([0, 12])}, []), *[None] * 5
    )
    printed = Console(width=120)
    with printed.capture() as captured:
        printed.print(evaluate._table("amazon_toys", [evaluation, evaluation]))
    assert "TIGER (2023), paper, its own protocol" in captured.get()
    assert "0.0712" in captured.get()
    assert "0.5000 ± 0.0000" in captured.get()


def test_the_written_report_is_what_the_served_proposer_answers(market: Path, models: Path, tmp_path: Path):
    """Asked again over a snapshot folded in another order, the lists and scores of `fused` are the same."""
    out = tmp_path / "eval.json"
    run("eval", market, "--models", models, "--users", 25, "--seed", 3, "--out", out)
    report = msgspec.json.decode(out.read_bytes())
    opened = Marketplace(market)
    snapshot = proposals.folded(load_encoder(models / "tokenizer").encode(opened.items()[::-1]))
    proposer = load_proposer(models / "decoder", GenerativeConfig())
    users = proposals.select_users(opened, 25, 3)
    served = {user.user_id: proposals.proposed(proposer, snapshot, user, SystemClock()) for user in users}
    assert served == report["fused"]
    score = ranking_score(list(served.values()), [user.target for user in users])
    assert score.recall_at_10 == pytest.approx(report["rows"]["fused"]["recall_at_10"], abs=1e-6)
    assert score.ndcg_at_10 == pytest.approx(report["rows"]["fused"]["ndcg_at_10"], abs=1e-6)


def test_several_trainings_are_tested_together(market: Path, models: Path, tmp_path: Path):
    """The same training twice says no more than once: users count once, in one line and in the report."""
    out = tmp_path / "eval.json"
    printed = run("eval", market, "--models", models, "--models", models, "--users", 25, "--out", out)
    assert "These 2 trainings together, each user once" in " ".join(printed.split())
    report = msgspec.json.decode(out.read_bytes())
    together, alone = report["fused_against_without"], report["seeds"][0]["fused_against_without"]
    assert together == pytest.approx(alone)


def test_no_answer_holds_an_item_of_the_history(market: Path, models: Path):
    """The history is masked for the learned rows as it is for the baselines."""
    opened = Marketplace(market)
    snapshot = proposals.folded(load_encoder(models / "tokenizer").encode(opened.items()))
    proposer = load_proposer(models / "decoder", GenerativeConfig())
    for user in proposals.select_users(opened, None, 0):
        assert not set(proposals.proposed(proposer, snapshot, user, SystemClock())) & set(user.history)


def test_models_of_another_marketplace_are_refused(models: Path, market: Path, tmp_path: Path):
    """Evaluating on data the models were not trained for is an error that says so."""
    for path in market.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_manifest(tmp_path, Manifest("square", "USD", "test", 0))
    with pytest.raises(ArtifactError, match="another marketplace"):
        run("eval", tmp_path, "--models", models)


def test_models_that_saw_the_answers_are_marked(models: Path, market: Path, tmp_path: Path):
    """Scores of models trained with --all carry a warning."""
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    notes = verified(tmp_path / "decoder", "decoder", FORMAT).notes
    seal(tmp_path / "decoder", "decoder", FORMAT, {**notes, "options": {**notes["options"], "all_events": True}})
    assert "have seen the answers" in run("eval", market, "--models", tmp_path, "--users", 5)


def test_mistakes_are_named_in_one_line(market: Path, tmp_path: Path):
    """No marketplace, no models, no time: each an error of ours that says what to do."""
    with pytest.raises(MarketplaceError, match="adgram world"):
        run("train", tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="adgram train"):
        run("eval", market, "--models", tmp_path)
    with pytest.raises(ConfigError, match="minutes"):
        run("train", market, "--minutes", 0)
