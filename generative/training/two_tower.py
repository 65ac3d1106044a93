"""What new items have to be compared with: a two-tower model, which knows people and items by content alone.

One tower reads a history's content, the other an item's; both end on the unit sphere, and their product ranks. Trained
with a softmax over the batch, corrected for how often an item is in one (Yi et al. 2019, "Sampling-bias-corrected
neural modeling"). Nothing in it is tied to an item's id, so an item that nobody has met is scored like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

HISTORY = 20  # newest items read, as the served decoder does
_TEMPERATURE = 0.07  # the usual one for unit vectors; .05 and .1 ranked alike


@dataclass(frozen=True, slots=True)
class TowerSettings:
    """How the model is shaped and trained."""

    width: int = 64
    epochs: int = 12
    batch: int = 512
    learning_rate: float = 2e-3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Choices:
    """E choices: the content of what was chosen before, and the item chosen then."""

    people: npt.NDArray[np.float32]  # [E, 2 C] see `people_of`
    items: npt.NDArray[np.int64]  # [E]


class TwoTower(nn.Module):
    """People and items as unit vectors of one space."""

    def __init__(self, content_width: int, width: int) -> None:
        super().__init__()
        self.person = nn.Sequential(nn.Linear(2 * content_width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.item = nn.Sequential(nn.Linear(content_width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def people(self, read: Tensor) -> Tensor:
        """[B, 2 C] → [B, width]"""
        return functional.normalize(self.person(read), dim=1)

    def items(self, content: Tensor) -> Tensor:
        """[B, C] → [B, width]"""
        return functional.normalize(self.item(content), dim=1)


def person_of(history: npt.NDArray[np.int64], content: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What the person's tower reads: the mean content of the newest HISTORY items, and that of the last one. [2 C]"""
    if not len(history):
        return np.zeros(2 * content.shape[1], dtype=np.float32)
    return np.concatenate((content[history[-HISTORY:]].mean(axis=0), content[history[-1]]))


def choices_of(histories: Sequence[npt.NDArray[np.int64]], content: npt.NDArray[np.float32]) -> Choices:
    """Every choice but each person's first, with what came before it."""
    people, items = [], []
    for history in histories:
        for place in range(1, len(history)):
            people.append(person_of(history[:place], content))
            items.append(history[place])
    return Choices(np.array(people, dtype=np.float32), np.array(items, dtype=np.int64))


def fit_two_tower(choices: Choices, content: npt.NDArray[np.float32], settings: TowerSettings) -> TwoTower:
    """A model trained on the choices; `content` is [N, C] of unit rows. Deterministic in its arguments."""
    torch.manual_seed(settings.seed)
    model = TwoTower(content.shape[1], settings.width)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=1e-3)
    counts = np.bincount(choices.items, minlength=len(content))
    log_share = torch.from_numpy(np.log(np.maximum(counts, 1) / max(counts.sum(), 1)).astype(np.float32))
    people, items, catalogue = map(torch.from_numpy, (choices.people, choices.items, content))
    for _ in range(settings.epochs):
        order = torch.randperm(len(items))
        for start in range(0, len(order), settings.batch):
            batch = order[start : start + settings.batch]
            chosen = items[batch]
            scores = model.people(people[batch]) @ model.items(catalogue[chosen]).T / _TEMPERATURE - log_share[chosen]
            # The same item twice in a batch is no mistake to tell apart.
            twice = (chosen[:, None] == chosen[None, :]) & ~torch.eye(len(chosen), dtype=torch.bool)
            loss = functional.cross_entropy(scores.masked_fill(twice, -torch.inf), torch.arange(len(chosen)))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return model.eval()
