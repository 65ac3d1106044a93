"""How good a scorer is on days it has not seen, in numbers."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from ..environment import Lift
from ..features import Floats


@dataclass(frozen=True, slots=True)
class TaskReport:
    """One task on the held-out rows. `calibration` is predicted over observed positives, 1.0 when honest on average;
    `ece` the mean distance between predicted and observed rate over ten equal bins."""

    rows: int
    positives: int
    log_loss: float
    base_log_loss: float  # of always saying the training days' rate
    auc: float
    calibration: float
    ece: float


@dataclass(frozen=True, slots=True)
class ScorerReport:
    """What training found. The served models are trained on all days with the number of trees found here."""

    rows: int
    days: int
    held_out_days: int
    click: TaskReport | None  # None when the log has no day to hold out or no such event
    convert: TaskReport | None
    lifts: tuple[Lift, ...]


def assessed(outcome: Floats, predicted: Floats, base_rate: float) -> TaskReport | None:
    """The report on held-out rows; None without both outcomes."""
    positives = float(outcome.sum())
    if not 0 < positives < len(outcome):
        return None
    return TaskReport(
        rows=len(outcome),
        positives=int(positives),
        log_loss=log_loss(outcome, predicted),
        base_log_loss=log_loss(outcome, np.full(len(outcome), base_rate)),
        auc=auc(outcome, predicted),
        calibration=float(predicted.sum() / positives),
        ece=_calibration_error(outcome, predicted),
    )


def log_loss(outcome: Floats, predicted: Floats) -> float:
    """Mean negative log-likelihood, in nats."""
    safe = np.clip(predicted, 1e-9, 1 - 1e-9)
    return float(-(outcome * np.log(safe) + (1 - outcome) * np.log1p(-safe)).mean())


def auc(outcome: Floats, predicted: Floats) -> float:
    """The chance that a positive is ranked above a negative, ties counting half."""
    positives = float(outcome.sum())
    ranks = rankdata(predicted)
    return float(
        (ranks[outcome > 0].sum() - positives * (positives + 1) / 2) / (positives * (len(outcome) - positives))
    )


def _calibration_error(outcome: Floats, predicted: Floats, bins: int = 10) -> float:
    parts = np.array_split(np.argsort(predicted, kind="stable"), bins)
    gaps = [abs(outcome[part].mean() - predicted[part].mean()) * len(part) for part in parts if len(part)]
    return float(sum(gaps) / len(outcome))
