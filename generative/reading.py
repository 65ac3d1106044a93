"""A history read once, and searched: by PyTorch on any device, or by the compiled decode on a CPU."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from ..core.clock import Deadline
from ..core.snapshot import Trie
from ..kernels.native.decoder import CompiledContext, CompiledDecoder, CompiledSearch, Step
from ..kernels.native.trie import Admitted, CompiledTrie
from ..kernels.ops import ops_for
from .beam import Beams, Branches, Search, Worth, searched, steps
from .compiled import compiled_decoder
from .config import GenerativeConfig
from .decoder import Context, SemanticDecoder
from .leaves import DeviceLeaves, has_leaves

Number = TypeVar("Number", np.bool_, np.float32)


class Reading(Protocol):
    """One request's history, read."""

    @property
    def profile(self) -> npt.NDArray[np.float32]:
        """[R] what items, as they are read, are matched with."""
        ...

    def steps(
        self, trie: Branches, admitted: npt.NDArray[np.bool_], deadline: Deadline, worth: Worth | None = None
    ) -> Search:
        """See beam.steps. `admitted` [N] has dead slots False."""
        ...

    def search(
        self,
        trie: Branches,
        admitted: npt.NDArray[np.bool_],
        width: int,
        deadline: Deadline,
        worth: Worth | None = None,
    ) -> Beams:
        """What `steps` find with `width` beams all the way; see beam.search."""
        return searched(self.steps(trie, admitted, deadline, worth), width)


class Reader(Protocol):
    """Reads histories; one at a time."""

    def read(self, vectors: npt.NDArray[np.float32]) -> Reading:
        """[T, R] items, oldest first, T ≤ history_length (0 is allowed)."""
        ...


def reader_of(decoder: SemanticDecoder, config: GenerativeConfig) -> Reader:
    """The quickest reader that `config.compiled` allows; ConfigError if it asks for what this machine has not."""
    compiled = compiled_decoder(decoder, config)
    return TensorReader(decoder) if compiled is None else CompiledReader(compiled)


class TensorReader:
    """Reads with PyTorch, wherever the decoder lies, and searches with that device's operations."""

    def __init__(self, decoder: SemanticDecoder) -> None:
        self.decoder = decoder
        self.device = next(decoder.parameters()).device
        decoder.ops = ops_for(self.device)
        self._leaves: DeviceLeaves | None = None  # of the newest trie that was searched

    def read(self, vectors: npt.NDArray[np.float32]) -> "TensorReading":
        return TensorReading(self, self.decoder.read(torch.from_numpy(vectors).to(self.device)))

    def leaves_of(self, trie: Branches) -> DeviceLeaves | None:
        """The trie's leaves on the decoder's device, where its operations read them there."""
        if not self.decoder.ops.reads_leaves or not has_leaves(trie):
            return None
        leaves = self._leaves
        if leaves is None or leaves.trie is not trie:
            leaves = self._leaves = DeviceLeaves.of(trie, self.device)
        return leaves


@dataclass(frozen=True, slots=True)
class TensorReading(Reading):
    reader: TensorReader
    context: Context

    @property
    def profile(self) -> npt.NDArray[np.float32]:
        profile: npt.NDArray[np.float32] = self.context.query.cpu().numpy()
        return profile

    def steps(
        self, trie: Branches, admitted: npt.NDArray[np.bool_], deadline: Deadline, worth: Worth | None = None
    ) -> Search:
        leaves = None if worth is not None else self.reader.leaves_of(trie)
        under = None if leaves is None else leaves.under(admitted)
        return steps(self.reader.decoder, self.context, trie, admitted, deadline, worth, under)


class CompiledReader:
    """Reads with the compiled decode."""

    def __init__(self, decoder: CompiledDecoder) -> None:
        self.decoder = decoder
        self._trie: tuple[Trie, CompiledTrie] | None = None  # the newest that was searched

    def read(self, vectors: npt.NDArray[np.float32]) -> "CompiledReading":
        return CompiledReading(self, self.decoder.read_vectors(vectors))

    def walked(self, trie: Trie) -> CompiledTrie:
        """The trie as the compiled decode walks it; the newest is kept, and with it that version's leaves."""
        newest = self._trie
        if newest is None or newest[0] is not trie:
            newest = self._trie = trie, CompiledTrie(trie.arrays)
        return newest[1]


@dataclass(frozen=True, slots=True)
class CompiledReading(Reading):
    reader: CompiledReader
    context: CompiledContext

    @property
    def profile(self) -> npt.NDArray[np.float32]:
        return self.context.profile

    def steps(
        self, trie: Branches, admitted: npt.NDArray[np.bool_], deadline: Deadline, worth: Worth | None = None
    ) -> Search:
        """As beam.steps, one compiled call a level; the same beams, calls closer than rounding aside.

        Memory's trie is walked within these calls; training's, and any by worth, is asked before each.
        """
        if trie.levels == 0 or not admitted.any():
            return Beams(np.empty((0, trie.levels), dtype=np.int64), np.empty(0))
        decoder = self.reader.decoder
        if worth is None and has_leaves(trie):
            run = decoder.search(self.context, Admitted(self.reader.walked(trie), admitted))
            return (yield from _beams(trie.levels, deadline, lambda width: run.step(None, width)))
        asked = _Asked(decoder.search(self.context), decoder.codes, trie, admitted, worth)
        return (yield from _beams(trie.levels, deadline, asked.step))


def _beams(levels: int, deadline: Deadline, step: Callable[[int], Step]) -> Search:
    """What the steps of a search find, level by level."""
    codes = np.empty((1, 0), dtype=np.int64)  # [W, level]
    log_probs = np.zeros(1, dtype=np.float32)  # [W]
    nothing = np.empty((0, levels), dtype=np.int64)
    for _ in range(levels):
        width = yield
        if deadline.remaining_ms <= 0:
            return Beams(nothing, np.empty(0), late=True)
        best = step(width)
        if len(best.codes) == 0:
            return Beams(nothing, np.empty(0))
        codes, log_probs = np.column_stack((codes[best.parents], best.codes)), best.log_probs
    return Beams(codes, log_probs.astype(np.float64))


@dataclass(slots=True)
class _Asked:
    """Steps of a search that is told which children live, by a trie that is asked before each."""

    run: CompiledSearch
    codes: int  # K of the decoder
    trie: Branches
    admitted: npt.NDArray[np.bool_]  # [N]
    worth: Worth | None
    prefixes: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, dtype=np.int64))  # [W]
    level: int = 0

    def step(self, width: int) -> Step:
        if self.worth is None:
            lift, live = None, self.trie.live_children(self.prefixes, self.level, self.admitted)
        else:
            lift = self.worth(self.prefixes, self.level)
            live = np.isfinite(lift)
            lift = _fitted(lift, self.codes)
        best = self.run.step(_fitted(live, self.codes), width, lift)
        # The trie packs prefixes in its own K.
        self.prefixes, self.level = self.prefixes[best.parents] * live.shape[1] + best.codes, self.level + 1
        return best


def _fitted(children: npt.NDArray[Number], codes: int) -> npt.NDArray[Number]:
    """[W, K] as the decoder counts codes: a trie of few items may know fewer of them, which then are False or 0."""
    beams, base = children.shape
    if base == codes:
        return children
    fitted = np.zeros((beams, codes), dtype=children.dtype)
    fitted[:, : min(base, codes)] = children[:, :codes]
    return fitted
