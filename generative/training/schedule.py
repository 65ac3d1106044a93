"""One stage of training: its epochs, its share of the clock, its learning rate, and its checkpoint."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...core.clock import NS_PER_SECOND, Clock

Report = Callable[[str, float, str], None]
"""Told after each batch: the stage's name, how much of it is done in [0, 1], and its newest figures in words."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a stage is trained: for `epochs` or `minutes`, whichever ends first, at a rate that falls to that end."""

    name: str
    epochs: int
    minutes: float
    learning_rate: float
    seed: int
    batch_users: int = 128
    weight_decay: float = 0.01
    warm_up: float = 0.03  # share of the stage
    last_rate: float = 0.05  # share of the learning rate that is left at the end; the last, slow part gains most


@dataclass(slots=True)
class Stage:
    """A stage in progress; its epochs survive a stop through the checkpoint."""

    plan: Plan
    module: nn.Module
    clock: Clock
    checkpoint: Path
    epoch: int = 0
    spent_s: float = 0.0
    best: float = -math.inf
    best_epoch: int = 0

    def run(
        self,
        batches: Callable[[np.random.Generator], Sequence[Any]],
        loss_of: Callable[[Any, np.random.Generator], Tensor],
        validate: Callable[[], float],
        report: Report,
    ) -> None:
        """Afterwards the module holds the weights of the epoch with the best validation figure (higher is better).

        An epoch's randomness depends on the seed and its number alone, so a resumed run goes on as the stopped one
        would have.
        """
        optimiser = torch.optim.AdamW(
            self.module.parameters(), lr=self.plan.learning_rate, weight_decay=self.plan.weight_decay
        )
        best = self._resume(optimiser)
        while self.epoch < self.plan.epochs and self._progress(0.0) < 1:
            rng = np.random.default_rng((self.plan.seed, self.epoch))
            torch.manual_seed(int(rng.integers(2**62)))
            started, before_s = self.clock.monotonic_ns(), self.spent_s
            self.module.train()
            total, done = 0.0, list(batches(rng))
            for number, batch in enumerate(done):
                progress = self._progress(number / len(done))
                for group in optimiser.param_groups:
                    group["lr"] = self.plan.learning_rate * self._rate(progress)
                optimiser.zero_grad(set_to_none=True)
                loss = loss_of(batch, rng)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(self.module.parameters(), 5.0)
                optimiser.step()
                total += float(loss.detach())
                self.spent_s = before_s + (self.clock.monotonic_ns() - started) / NS_PER_SECOND
                report(
                    self.plan.name,
                    progress,
                    f"epoch {self.epoch + 1}, loss {total / (number + 1):.3f}, best {self.best:.4f}",
                )
                if progress >= 1:
                    break
            self.epoch += 1
            self.module.eval()
            started = self.clock.monotonic_ns()
            with torch.inference_mode():
                figure = validate()
            self.spent_s += (self.clock.monotonic_ns() - started) / NS_PER_SECOND
            if figure >= self.best:
                self.best, self.best_epoch = figure, self.epoch
                best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
            self._save(optimiser, best)
        self.module.load_state_dict(best)
        self.module.eval()
        report(self.plan.name, 1.0, f"{self.epoch} epochs, best {self.best:.4f} at {self.best_epoch}")

    def _progress(self, part_of_epoch: float) -> float:
        """How much of the stage is done, by epochs or by time."""
        by_epochs = (self.epoch + part_of_epoch) / max(self.plan.epochs, 1)
        return max(by_epochs, self.spent_s / max(self.plan.minutes * 60, 1e-9))

    def _rate(self, progress: float) -> float:
        """The learning rate's factor: linear warm-up, then a cosine down to `last_rate`."""
        rise = min(1.0, (progress + 1e-3) / self.plan.warm_up)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return rise * (self.plan.last_rate + (1 - self.plan.last_rate) * fall)

    def _resume(self, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
        """The best weights so far, with everything else put back where the checkpoint left it."""
        if not self.checkpoint.is_file():
            return {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        state = torch.load(self.checkpoint, weights_only=True)
        self.module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.spent_s = state["epoch"], state["spent_s"]
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        return dict(state["best_module"])

    def _save(self, optimiser: torch.optim.Optimizer, best: dict[str, Tensor]) -> None:
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        state = {
            "module": self.module.state_dict(),
            "optimiser": optimiser.state_dict(),
            "best_module": best,
            "epoch": self.epoch,
            "spent_s": self.spent_s,
            "best": self.best,
            "best_epoch": self.best_epoch,
        }
        torch.save(state, partial)
        partial.replace(self.checkpoint)  # a stop while writing leaves the earlier checkpoint whole


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded windows of item rows; padding lies at the right, where causal attention never looks."""

    rows: Tensor  # [B, T] int64
    real: Tensor  # [B, T] bool
    sources: npt.NDArray[np.int64]  # [B] which of the training sequences each is made from; -1: none of them
    reversed: npt.NDArray[np.bool_]  # [B] newest first


def padded(
    sequences: Sequence[npt.NDArray[np.int64]],
    sources: Sequence[int] | None = None,
    backwards: Sequence[bool] | None = None,
) -> Batch:
    """The sequences as one batch; made from no training sequence, and oldest first, unless it is said."""
    length = max(map(len, sequences))
    rows = np.zeros((len(sequences), length), dtype=np.int64)
    real = np.zeros((len(sequences), length), dtype=np.bool_)
    for row, sequence in enumerate(sequences):
        rows[row, : len(sequence)] = sequence
        real[row, : len(sequence)] = True
    return Batch(
        torch.from_numpy(rows),
        torch.from_numpy(real),
        np.array(sources or [-1] * len(sequences), dtype=np.int64),
        np.array(backwards or [False] * len(sequences), dtype=np.bool_),
    )


def shuffled_batches(
    sequences: Sequence[npt.NDArray[np.int64]], users: int, augment: bool, rng: np.random.Generator
) -> Iterator[Batch]:
    """All sequences once, in random batches of like length; augmented ones are reversed or lose events now and then."""
    order = rng.permutation(len(sequences))
    pool = 16 * users  # batches are cut from pools sorted by length: little padding, still random
    groups = []
    for start in range(0, len(order), pool):
        chunk = sorted(order[start : start + pool].tolist(), key=lambda row: len(sequences[row]))
        groups += [chunk[low : low + users] for low in range(0, len(chunk), users)]
    for group in rng.permutation(len(groups)).tolist():
        rows = groups[group]
        chosen = [sequences[row] for row in rows]
        if not augment:
            yield padded(chosen, rows)
            continue
        thinned = [_thinned(sequence, rng) for sequence in chosen]
        backwards = (rng.random(len(rows)) < _REVERSED).tolist()
        turned = [one[::-1].copy() if back else one for one, back in zip(thinned, backwards, strict=True)]
        yield padded(turned, rows, backwards)


# Shares of sequences and of events: neither order nor single events must be learned by heart.
_REVERSED, _DROPPED = 0.3, 0.1


def _thinned(sequence: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    if len(sequence) <= 2:
        return sequence
    kept = sequence[rng.random(len(sequence)) >= _DROPPED]
    return kept if len(kept) > 1 else sequence
