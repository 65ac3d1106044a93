"""Beam search over the living, admitted part of a snapshot's trie, by probability or by probability and worth."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from ..core.catalogue import SemanticId
from ..core.clock import Deadline
from .decoder import Context, SemanticDecoder, Suffix
from .leaves import AdmittedLeaves

# [W] prefixes and the number of codes they hold → [W, K] the greatest worth of an admitted item under each child, -inf
# where there is none.
Worth = Callable[[npt.NDArray[np.int64], int], npt.NDArray[np.float32]]


class Branches(Protocol):
    """What the search reads of a trie: the part of core.snapshot.Trie that a training catalogue has too."""

    @property
    def levels(self) -> int: ...
    def live_children(
        self, prefixes: npt.NDArray[np.int64], level: int, admitted: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]: ...


@dataclass(frozen=True, slots=True)
class Beams:
    """Complete semantic IDs that carry at least one admitted item, best first; `late` if the deadline came first.

    Best first means by log-probability, plus the ID's worth where one was given.
    """

    codes: npt.NDArray[np.int64]  # [W, L]
    log_probs: npt.NDArray[np.float64]  # [W]
    late: bool = False

    @property
    def semantic_ids(self) -> list[SemanticId]:
        return [tuple(row) for row in self.codes.tolist()]


# A search that stands before a level at each `yield` and is sent the width to search it with.
Search = Generator[None, int, Beams]


def searched(search: Search, width: int) -> Beams:
    """What a search finds when every level is searched with `width` beams."""
    try:
        next(search)
        while True:
            search.send(width)
    except StopIteration as end:
        found: Beams = end.value
        return found


def search(
    decoder: SemanticDecoder,
    context: Context,
    trie: Branches,
    admitted: npt.NDArray[np.bool_],
    width: int,
    deadline: Deadline,
    worth: Worth | None = None,
    leaves: AdmittedLeaves | None = None,
) -> Beams:
    """The `width` best semantic IDs found level by level, or every admitted one if there are no more; see `steps`."""
    return searched(steps(decoder, context, trie, admitted, deadline, worth, leaves), width)


def steps(
    decoder: SemanticDecoder,
    context: Context,
    trie: Branches,
    admitted: npt.NDArray[np.bool_],
    deadline: Deadline,
    worth: Worth | None = None,
    leaves: AdmittedLeaves | None = None,
) -> Search:
    """The search one level a step, each as wide as it is told.

    A log-probability is the sum over levels of the log-softmax over live children, so it is that of the ID given the
    context *and* the admission. With `worth`, beams are ranked by log-probability + worth of the best item below: no
    item below can be ranked higher than that, since log-probabilities only fall on the way down (an admissible bound).

    Args:
        admitted: [N] by item slot, with dead slots False.
        worth: finite exactly where `admitted` leaves a child alive. A worth of zeros changes nothing.
        leaves: the trie's, under `admitted`, on the decoder's device: read instead of the trie where no worth is given.
    """
    levels, ops = trie.levels, decoder.ops
    if levels == 0 or not admitted.any():
        return Beams(np.empty((0, levels), dtype=np.int64), np.empty(0))
    device = context.state.device
    codes = torch.zeros((1, 0), dtype=torch.int64, device=device)  # [W, level]
    log_probs = torch.zeros(1, device=device)  # [W]
    prefixes = torch.zeros(1, dtype=torch.int64, device=device)  # [W]
    suffix: Suffix | None = None
    for level in range(levels):
        width = yield
        if deadline.remaining_ms <= 0:
            return Beams(np.empty((0, levels), dtype=np.int64), np.empty(0), late=True)
        lift = None
        if worth is not None:
            lift = torch.from_numpy(worth(prefixes.cpu().numpy(), level))
            live = torch.isfinite(lift)
        elif leaves is not None:
            live = leaves.live_children(prefixes, level, ops)
        else:
            live = torch.from_numpy(trie.live_children(prefixes.cpu().numpy(), level, admitted))
        base, known = live.shape[1], decoder.shape.codes
        live, lift = _fitted(live, known).to(device), None if lift is None else _fitted(lift, known).to(device)
        if level == 0 and not live.any():
            return Beams(np.empty((0, levels), dtype=np.int64), np.empty(0))
        last = codes[:, -1] if level else codes.new_zeros(1)
        step = decoder.step(context, level, last, suffix)
        best = ops.select(log_probs, step.logits, live, width, lift)
        suffix = step.suffix.of(best.parents)
        codes = torch.cat((codes[best.parents], best.codes[:, None]), dim=1)
        log_probs = best.log_probs
        prefixes = prefixes[best.parents] * base + best.codes
    return Beams(codes.cpu().numpy(), log_probs.double().cpu().numpy())


def _fitted(children: Tensor, codes: int) -> Tensor:
    """[W, K] as the decoder counts codes: a trie of few items may know fewer of them, which then are False or 0."""
    base = children.shape[1]
    return children[:, :codes] if base >= codes else functional.pad(children, (0, codes - base))
