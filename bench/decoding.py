"""One request, decoded by us and by plain PyTorch, over the same catalogue."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformer import PlainSearch, PlainTransformer, Shape

from adgram.kernels.native.decoder import CompiledContext, CompiledDecoder
from adgram.kernels.native.trie import Admitted, CompiledTrie
from adgram.memory.trie import SortedTrie


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Semantic IDs with their trie, and an admission of one percent."""

    shape: Shape
    sids: npt.NDArray[np.int32]  # [N, L]
    trie: SortedTrie
    walked: CompiledTrie
    everything: npt.NDArray[np.bool_]
    percent: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, shape: Shape, sids: npt.NDArray[np.int32]) -> "Catalogue":
        trie = SortedTrie.empty(shape.codes).inserted(sids, np.arange(len(sids), dtype=np.int32))
        percent = np.random.default_rng(1).random(len(sids)) < 0.01
        walked = CompiledTrie(trie.beside(sids).arrays)
        return cls(shape, sids, trie, walked, np.ones(len(sids), dtype=bool), percent)


@dataclass(frozen=True, slots=True)
class Outcome:
    keys: npt.NDArray[np.int64]  # [W] packed IDs, best first
    log_probs: npt.NDArray[np.floating]  # [W]
    computed: int = 0  # rows that ran through the network after the prompt
    masks_ms: float = 0.0  # wall: the look at the admission and all reading of the trie; 0 where the head is full


@dataclass(frozen=True, slots=True)
class Means:
    """What exactness allows to skip."""

    skip_single: bool = True
    bound: bool = True
    live_only: bool = True


ALL, NONE = Means(), Means(skip_single=False, bound=False, live_only=False)


def ours(
    decoder: CompiledDecoder,
    catalogue: Catalogue,
    context: CompiledContext,
    width: int,
    means: Means = ALL,
    admitted: npt.NDArray[np.bool_] | None = None,
    levels: int | None = None,
) -> Outcome:
    """Our search over a context; a full head is told masks widened to the codes of all levels."""
    base, full = catalogue.shape.codes, decoder.codes > catalogue.shape.codes
    admitted = catalogue.everything if admitted is None else admitted
    run = decoder.search(context, None if full else Admitted(catalogue.walked, admitted))
    run.skip_single, run.bound, run.live_only = means.skip_single, means.bound, means.live_only
    prefixes, log_probs = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32)
    for level in range(levels or decoder.levels):
        live = None
        if full:
            live = np.zeros((len(prefixes), decoder.codes), dtype=np.bool_)
            live[:, level * base : (level + 1) * base] = catalogue.trie.live_children(prefixes, level, admitted)
        step = run.step(live, width)
        prefixes, log_probs = prefixes[step.parents] * base + step.codes % base, step.log_probs
    return Outcome(prefixes, log_probs, run.computed, run.masks_ns / 1e6)


def plain(model: PlainTransformer, catalogue: Catalogue, prompt: npt.NDArray[np.int64], width: int) -> Outcome:
    """The same request, operator by operator in PyTorch."""
    with torch.inference_mode():
        search = PlainSearch.over(model, model.prefill(torch.from_numpy(prompt)))
        prefixes = np.zeros(1, dtype=np.int64)
        for level in range(catalogue.shape.levels):
            parents = search.step(catalogue.trie.live_children(prefixes, level, catalogue.everything), width)
            prefixes = prefixes[parents] * catalogue.shape.codes + search.codes[:, -1].numpy()
    return Outcome(prefixes, search.log_probs.numpy())
