"""Trains the scorer: rates, lifts and trees, first without the last days to see how good they are, then on all days."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from ...core.artifact import seal
from ...core.errors import MarketplaceError
from ...core.marketplace import Marketplace
from ..environment import CONDITIONS, Lift
from ..features import CATEGORICAL, NAMES, RATES, Floats, log_odds, matrix
from ..rates import Column, Rates, as_of_period, learned
from ..scorer import CLICK_FILE, CONVERT_FILE, FORMAT, KIND, Model, Tables, save
from . import log as logs
from .lifting import Evidence, find, part, row_factors
from .report import ScorerReport, TaskReport, assessed, log_loss

# The shape of the trees: small, because fifty ads are scored in a millisecond on one thread, and because clicks are
# noisy.
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.08,
    "num_leaves": 24,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_cat_threshold": 16,
    "cat_smooth": 50.0,
    "force_row_wise": True,
    "deterministic": True,
    "verbosity": -1,
}
MAX_TREES = 150
PATIENCE = 15  # rounds without a better held-out loss
CROSS_TREES = 60  # the models that only say how many clicks to expect
PERIODS_NEEDED = 4  # one to test on, one to choose trees, and at least two to learn from
MIN_POSITIVES = 50  # below this a constant rate predicts better than trees

Mask = npt.NDArray[np.bool_]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Fitted:
    rates: dict[str, Rates]
    lifts: tuple[Lift, ...]
    click: Model
    convert: Model


@dataclass(frozen=True, slots=True)
class _Trees:
    click: int
    convert: int


def fit(
    marketplace: Marketplace,
    folder: Path,
    seed: int,
    progress: Progress | None = None,
    threads: int = 1,
) -> ScorerReport:
    """Afterwards `folder` holds a scorer trained on the marketplace's impressions; says how well it does on held-out
    days.

    MarketplaceError when there is no log of impressions, or an empty one.
    """
    say = progress or _silent
    say("reading the impressions")
    log = logs.read(marketplace)
    if not log.rows:
        raise MarketplaceError(
            f"{marketplace.folder} has no impressions of listed items; the scorer needs some to learn"
        )
    trainer = _Trainer(log, seed, threads)
    trees, click, convert = _Trees(MAX_TREES // 2, MAX_TREES // 4), None, None
    last = len(log.days_of_period) - 1
    held_out = last >= PERIODS_NEEDED - 1
    if held_out:
        test, valid = log.period == last, log.period == last - 1
        say("choosing the number of trees on the days before the last")
        trees = trainer.trees(~test & ~valid, valid)
        say("assessing on the last days")
        click, convert = trainer.assessed(trainer.fitted(~test, trees), ~test, test)
    say("training on all days")
    served = trainer.fitted(np.ones(log.rows, np.bool_), trees)
    tables = Tables(
        log.vocabularies,
        served.rates,
        served.lifts,
        CONDITIONS,
        served.click.base_rate,
        served.convert.base_rate,
    )
    save(folder, tables, {CLICK_FILE: served.click, CONVERT_FILE: served.convert})
    report = ScorerReport(
        log.rows, sum(log.days_of_period), log.days_of_period[-1] if held_out else 0, click, convert, served.lifts
    )
    seal(folder, KIND, FORMAT, {"seed": seed, "marketplace": marketplace.manifest.name, "report": asdict(report)})
    return report


class _Trainer:
    """One log with its features at hand."""

    def __init__(self, log: logs.Log, seed: int, threads: int) -> None:
        self._log = log
        self._threads = threads
        self._parameters = {**PARAMETERS, "seed": seed, "num_threads": threads}
        nothing = replace(log.viewings, rates=np.zeros((log.rows, len(RATES))))
        self._features = matrix(log.items, nothing)  # [R, F]; the columns of rates are filled anew for each set of days
        self._evidence = Evidence(
            log.category,
            log.theme,
            np.array([at.mask(log.weather, log.temperature_c, log.crowd) for at in CONDITIONS]),
            log.clicked,
            np.zeros(log.rows),
        )

    def trees(self, train: Mask, valid: Mask) -> _Trees:
        """How many trees do best on `valid` when the rest learns from `train`."""
        both = train | valid
        features, offset = self._with_rates(both, np.ones(self._log.rows)), np.zeros(self._log.rows)
        click = self._grow(features, self._log.clicked, offset, train, MAX_TREES, valid)
        clicked = self._log.clicked > 0
        convert = self._grow(features, self._log.converted, offset, train & clicked, MAX_TREES, valid & clicked)
        return _Trees(
            self._rounds(click, features[valid], self._log.clicked[valid]),
            self._rounds(convert, features[valid & clicked], self._log.converted[valid & clicked]),
        )

    def _rounds(self, model: Model, features: npt.NDArray[np.float32], outcome: Floats) -> int:
        """How many trees are worth having: none where they predict unseen rows no better than the base rate does."""
        if model.trees is None or not len(outcome):
            return 0
        constant = log_loss(outcome, np.full(len(outcome), model.base_rate))
        better = log_loss(outcome, model.predict(features, self._threads)) < constant
        return int(model.trees.best_iteration) if better else 0

    def fitted(self, rows: Mask, trees: _Trees) -> _Fitted:
        """Rates, lifts and models learned from `rows`."""
        log = self._log
        lifts = find(part(self._expecting(rows), rows))
        factor = row_factors(lifts, self._evidence)
        features = self._with_rates(rows, factor)
        nothing = np.zeros(log.rows)
        click = self._grow(features, log.clicked, nothing, rows, trees.click)
        if lifts:
            # once more with the lifts' part of each row's odds given, so that the trees learn what is left without them
            offset = _offset(click.predict(features, self._threads), factor)
            click = self._grow(features, log.clicked, offset, rows, trees.click)
        convert = self._grow(features, log.converted, nothing, rows & (log.clicked > 0), trees.convert)
        rates = {name: learned(_taken(log.columns[name], rows), factor[rows], log.clicked[rows]) for name in RATES}
        return _Fitted(rates, lifts, click, convert)

    def assessed(self, fitted: _Fitted, train: Mask, test: Mask) -> tuple[TaskReport | None, TaskReport | None]:
        """The served arithmetic (trees, then lift) on rows that were not learned from."""
        log = self._log
        rates = [np.array(fitted.rates[name].of(log.columns[name].names))[log.columns[name].codes] for name in RATES]
        features = self._features.copy()
        features[:, -len(RATES) :] = np.stack(rates, axis=1)
        factor = row_factors(fitted.lifts, self._evidence)[test]
        p_click = np.minimum(fitted.click.predict(features[test], self._threads) * factor, 1 - 1e-6)
        clicked = test & (log.clicked > 0)
        p_convert = fitted.convert.predict(features[clicked], self._threads)
        return (
            assessed(log.clicked[test], p_click, float(log.clicked[train].mean())),
            assessed(log.converted[clicked], p_convert, fitted.convert.base_rate),
        )

    def _expecting(self, rows: Mask) -> Evidence:
        """Each row's expected clicks, by a model that has not seen its period (odd predict even, and back)."""
        log = self._log
        features = self._with_rates(rows, np.ones(log.rows))
        expected = np.full(log.rows, log.clicked[rows].mean())
        offset = np.zeros(log.rows)
        for parity in (0, 1):
            others, own = rows & (log.period % 2 != parity), rows & (log.period % 2 == parity)
            if others.any() and own.any():
                model = self._grow(features, log.clicked, offset, others, CROSS_TREES)
                expected[own] = model.predict(features[own], self._threads)
        return replace(self._evidence, expected=expected)

    def _with_rates(self, rows: Mask, exposure: Floats) -> npt.NDArray[np.float32]:
        log = self._log
        features = self._features.copy()
        at = np.flatnonzero(rows)
        for position, name in enumerate(RATES, start=len(NAMES) - len(RATES)):
            column = _taken(log.columns[name], rows)
            features[at, position] = as_of_period(column, log.period[rows], exposure[rows], log.clicked[rows])
        return features

    def _grow(
        self,
        features: npt.NDArray[np.float32],
        outcome: Floats,
        offset: Floats,
        rows: Mask,
        trees: int,
        valid: Mask | None = None,
    ) -> Model:
        positives, count = float(outcome[rows].sum()), float(rows.sum())
        base_rate = (positives + 0.5) / (count + 1.0)
        if not trees or not MIN_POSITIVES <= positives <= count - MIN_POSITIVES:
            return Model(base_rate)
        start = offset + log_odds(np.array(base_rate))
        data = self._dataset(features, outcome, start, rows, None)
        callbacks: list[Callable[..., Any]] = []
        sets: list[lgb.Dataset] = []
        if valid is not None:
            sets = [self._dataset(features, outcome, start, valid, data)]
            callbacks = [lgb.early_stopping(PATIENCE, verbose=False)]
        return Model(base_rate, lgb.train(self._parameters, data, trees, valid_sets=sets, callbacks=callbacks))

    def _dataset(
        self,
        features: npt.NDArray[np.float32],
        outcome: Floats,
        start: Floats,
        rows: Mask,
        reference: lgb.Dataset | None,
    ) -> lgb.Dataset:
        return lgb.Dataset(
            features[rows],
            outcome[rows],
            init_score=start[rows],
            feature_name=list(NAMES),
            categorical_feature=list(CATEGORICAL),
            reference=reference,
            free_raw_data=True,
        )


def _offset(p_click: Floats, factor: Floats) -> Floats:
    """[R] what multiplying a probability by `factor` adds to its log-odds."""
    lifted = np.clip(p_click * factor, 1e-6, 1 - 1e-6)
    return log_odds(lifted) - log_odds(np.clip(p_click, 1e-6, 1 - 1e-6))


def _taken(column: Column, rows: Mask) -> Column:
    return Column(column.names, column.codes[rows])


def _silent(_: str) -> None:
    return
