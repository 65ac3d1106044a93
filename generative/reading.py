"""A history read once, and searched: by PyTorch on any device, or by the compiled decode on a CPU."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from ..core.clock import Deadline
from ..kernels.native.decoder import CompiledContext, CompiledDecoder
from ..kernels.native.trie import CompiledTrie
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
        """See beam.steps."""
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
        self._trie: tuple[Branches, CompiledTrie] | None = None  # the newest that was searched

    def read(self, vectors: npt.NDArray[np.float32]) -> "CompiledReading":
        return CompiledReading(self, self.decoder.read_vectors(vectors))

    def walked(self, trie: Branches) -> CompiledTrie | None:
        """The trie as the compiled decode walks it; None where it is one of training, which must be asked."""
        if not has_leaves(trie):
            return None
        newest = self._trie
        if newest is None or newest[0] is not trie:
            newest = self._trie = trie, CompiledTrie(trie.buckets)
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
        levels = trie.levels
        nothing = np.empty((0, levels), dtype=np.int64)
        if levels == 0 or not admitted.any():
            return Beams(nothing, np.empty(0))
        decoder = self.reader.decoder
        walked = self.reader.walked(trie) if worth is None else None
        run = decoder.search(self.context, walked, admitted)
        codes = np.empty((1, 0), dtype=np.int64)  # [W, level]
        prefixes, log_probs = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32)  # [W]
        for level in range(levels):
            width = yield
            if deadline.remaining_ms <= 0:
                return Beams(nothing, np.empty(0), late=True)
            live = lift = None
            if walked is None:
                lift = None if worth is None else worth(prefixes, level)
                live = trie.live_children(prefixes, level, admitted) if lift is None else np.isfinite(lift)
            base = 0 if live is None else live.shape[1]  # the trie's own K, in which it packs prefixes
            step = run.step(_fitted(live, decoder.codes), width, _fitted(lift, decoder.codes))
            if len(step.codes) == 0:
                return Beams(nothing, np.empty(0))
            codes = np.column_stack((codes[step.parents], step.codes))
            prefixes, log_probs = prefixes[step.parents] * base + step.codes, step.log_probs
        return Beams(codes, log_probs.astype(np.float64))


def _fitted(children: npt.NDArray[Number] | None, codes: int) -> npt.NDArray[Number] | None:
    """[W, K] as the decoder counts codes: a trie of few items may know fewer of them, which then are False or 0."""
    if children is None:
        return None
    beams, base = children.shape
    if base == codes:
        return children
    fitted = np.zeros((beams, codes), dtype=children.dtype)
    fitted[:, : min(base, codes)] = children[:, :codes]
    return fitted
