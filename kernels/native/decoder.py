"""The compiled decode as Python sees it: a model, contexts read once, and searches that advance level by level."""

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .handles import Handle, Stock, checked
from .library import ModelParts, load
from .trie import Admitted
from .weights import Affine, Array, Block, HistoryDecoder, TokenDecoder, centred_rows


@dataclass(frozen=True, slots=True)
class Step:
    """The survivors of one level, best first; ties in the order of the trie."""

    parents: npt.NDArray[np.int64]  # [W] beams of the level before
    codes: npt.NDArray[np.int64]  # [W]
    log_probs: npt.NDArray[np.float32]  # [W]


@dataclass(frozen=True, slots=True)
class CompiledContext:
    """A prompt read once; any number of searches may run over it, also at the same time."""

    handle: Handle
    tokens: int
    profile: npt.NDArray[np.float32]  # [reading width], empty for token models


class CompiledDecoder:
    """A decoder's weights, packed, and the scratch space of one thread of decoding.

    With `int8`, blocks run on bytes: weights with one scale an output, activations with one a row, found as they come;
    the head, attention and the first layer's tables stay float32. One call at a time: two threads need two decoders.
    """

    def __init__(self, weights: TokenDecoder | HistoryDecoder, int8: bool = False, threads: int = 1) -> None:
        """RuntimeError where library.load() finds no library."""
        library = load()
        if library is None:
            raise RuntimeError("the compiled decode is not available here; use the torch path")
        self._library: Any = library
        self._int8 = int8
        self.levels, self.codes = len(weights.levels), len(weights.levels[0].bias)
        self._maps: list[Handle] = []
        self._arrays: list[npt.NDArray[np.float32]] = []
        token_model = isinstance(weights, TokenDecoder)
        self.longest = len(weights.position) - (self.levels if token_model else 0)
        parts = self._token_parts(weights) if isinstance(weights, TokenDecoder) else self._history_parts(weights)
        parts.heads, parts.epsilon = weights.heads, weights.epsilon
        parts.width, parts.levels = weights.position.shape[1], self.levels
        parts.codes = 0 if isinstance(weights, TokenDecoder) and weights.full_head else self.codes
        parts.longest, parts.shared = self.longest, token_model
        self._reading_width = 0 if isinstance(weights, TokenDecoder) else len(weights.query.bias)
        self._model = Handle(library.adgram_model_new(ctypes.byref(parts)), library.adgram_model_delete)
        self._space = Handle(library.adgram_workspace_new(threads), library.adgram_workspace_delete)
        self._contexts = Stock(library.adgram_context_new, library.adgram_context_delete)
        model = self._model.address
        self._searches = Stock(lambda: library.adgram_search_new(model), library.adgram_search_delete)
        self._turn = threading.Lock()

    def read_tokens(self, tokens: npt.NDArray[np.int64]) -> CompiledContext:
        """The context of a prompt of 1 … longest tokens. [T]"""
        tokens = np.ascontiguousarray(tokens, dtype=np.int64)
        if not 0 < len(tokens) <= self.longest:
            raise ValueError(f"a prompt has 1 to {self.longest} tokens, not {len(tokens)}")
        handle = self._contexts.take()
        with self._turn:
            done = self._library.adgram_prefill_tokens(
                self._model.address, self._space.address, handle.address, tokens.ctypes.data, len(tokens)
            )
        checked(done == 1)
        return CompiledContext(handle, len(tokens), np.empty(0, dtype=np.float32))

    def read_vectors(self, vectors: npt.NDArray[np.float32]) -> CompiledContext:
        """The context of a history of 0 … longest - 1 item vectors, oldest first. [T, reading width]"""
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if len(vectors) >= self.longest:
            raise ValueError(f"a history has at most {self.longest - 1} items, not {len(vectors)}")
        if vectors.ndim != 2 or vectors.shape[1] != self._reading_width:
            raise ValueError(f"an item is read as {self._reading_width} numbers; there are {vectors.shape}")
        handle, profile = self._contexts.take(), np.empty(self._reading_width, dtype=np.float32)
        with self._turn:
            done = self._library.adgram_prefill_vectors(
                self._model.address, self._space.address, handle.address, vectors.ctypes.data, len(vectors),
                profile.ctypes.data,
            )  # fmt: skip
        checked(done == 1)
        return CompiledContext(handle, len(vectors) + 1, profile)

    def search(self, context: CompiledContext, admitted: Admitted | None = None) -> "CompiledSearch":
        """A search over the context, before its first level; see CompiledSearch."""
        return CompiledSearch(self, context, admitted)

    def begin_search(self, admitted: Admitted | None) -> Handle:
        """A search of the library's, at its beginning; it keeps the addresses of what is admitted."""
        search = self._searches.take()
        if admitted is None:
            begun = self._library.adgram_search_begin(search.address, None, None, 0)
        else:
            if admitted.trie.levels != self.levels:
                raise ValueError(f"the trie has {admitted.trie.levels} levels, the decoder {self.levels}")
            items = admitted.items
            begun = self._library.adgram_search_begin(
                search.address, admitted.trie.reference, items.ctypes.data, len(items)
            )
        checked(begun == 1)
        return search

    def advance(
        self,
        search: Handle,
        context: CompiledContext,
        live: npt.NDArray[np.bool_] | None,
        lift: npt.NDArray[np.float32] | None,
        width: int,
        effort: int,
    ) -> Step:
        """The search one level further; `effort` counts 1, 2, 4 for the means of native.h's Effort."""
        live = None if live is None else np.ascontiguousarray(live)
        lift = None if lift is None else np.ascontiguousarray(lift, dtype=np.float32)
        parents, codes = np.empty(width, dtype=np.int64), np.empty(width, dtype=np.int64)
        log_probs = np.empty(width, dtype=np.float32)
        with self._turn:
            found = self._library.adgram_step(
                self._model.address, self._space.address, context.handle.address, search.address,
                None if live is None else live.ctypes.data, None if lift is None else lift.ctypes.data, width, effort,
                parents.ctypes.data, codes.ctypes.data, log_probs.ctypes.data,
            )  # fmt: skip
        checked(found >= 0)
        return Step(parents[:found], codes[:found], log_probs[:found])

    def computed(self, search: Handle) -> int:
        """Beams of a search that ran through the network."""
        return int(self._library.adgram_search_computed(search.address))

    def live_children(self, search: Handle, prefixes: npt.NDArray[np.int64], level: int) -> npt.NDArray[np.bool_]:
        """[W, K] of a search that reads a trie."""
        live = np.empty((len(prefixes), self.codes), np.bool_)
        self._library.adgram_search_live(
            search.address, prefixes.ctypes.data, len(prefixes), level, self.codes, live.ctypes.data
        )
        return live

    def masks_ns(self, search: Handle) -> int:
        """What reading the trie took of a search."""
        return int(self._library.adgram_search_masks_ns(search.address))

    def _token_parts(self, weights: TokenDecoder) -> ModelParts:
        return ModelParts(
            prompt=self._blocks(weights.blocks), prompt_layers=len(weights.blocks),
            head=self._addresses([self._map(each.behind(weights.norm), head=True) for each in weights.levels]),
            token=self._floats(centred_rows(weights.token)), tokens=len(weights.token), first_code=weights.first_code,
            position=self._floats(centred_rows(weights.position)),
        )  # fmt: skip

    def _history_parts(self, weights: HistoryDecoder) -> ModelParts:
        # The token that starts a history stands in row 0 of the positions; levels lie behind, where no history reaches.
        position = weights.position.copy()
        position[0] += weights.start
        position = np.concatenate((position, np.zeros((self.levels, position.shape[1]))))
        return ModelParts(
            prompt=self._blocks(weights.blocks), prompt_layers=len(weights.blocks),
            code=self._blocks(weights.code_blocks), code_layers=len(weights.code_blocks),
            head=self._addresses([self._map(each.behind(weights.head_norm), head=True) for each in weights.levels]),
            input=self._map(weights.input.centred()), query=self._map(weights.query),
            token=self._floats(centred_rows(weights.code)), tokens=len(weights.code), first_code=0,
            position=self._floats(centred_rows(position)), level=self._floats(centred_rows(weights.level)),
            norm_scale=self._floats(weights.norm.scale), norm_shift=self._floats(weights.norm.shift),
        )  # fmt: skip

    def _blocks(self, blocks: Sequence[Block]) -> Any:
        return self._addresses([self._map(each, block=True) for block in blocks for each in block.folded()])

    def _map(self, affine: Affine, head: bool = False, block: bool = False) -> int:
        weight = np.ascontiguousarray(affine.weight, dtype=np.float32)
        bias = np.ascontiguousarray(affine.bias, dtype=np.float32)
        outputs, inputs = weight.shape
        address = self._library.adgram_linear_new(
            weight.ctypes.data, bias.ctypes.data, outputs, inputs, self._int8 and block, head
        )
        self._maps.append(Handle(address, self._library.adgram_linear_delete))
        return self._maps[-1].address

    def _addresses(self, maps: list[int]) -> Any:
        return (ctypes.c_void_p * len(maps))(*maps)

    def _floats(self, values: Array) -> Any:
        """A pointer to the values as float32; the array lives until the model was made from it."""
        self._arrays.append(np.ascontiguousarray(values, dtype=np.float32))
        return self._arrays[-1].ctypes.data_as(ctypes.POINTER(ctypes.c_float))


class CompiledSearch:
    """The beams of one request. Exact means may be switched off to measure what each brings; answers do not change.

    With what is admitted of a trie the search finds the living children itself: of all beams at the last level, of
    those that are computed before it. Without, it is told them at every level.
    """

    def __init__(self, decoder: CompiledDecoder, context: CompiledContext, admitted: Admitted | None = None) -> None:
        """ValueError where the trie is of another depth."""
        self._decoder, self._context = decoder, context
        self._admitted = admitted  # the library holds its addresses
        self._search = decoder.begin_search(admitted)
        self._level = 0
        self._beams = 1
        self.skip_single = True  # a beam with one live child at the last level
        self.bound = True  # beams that can have no child among the best
        self.live_only = True  # logits of dead children, where few live

    @property
    def computed(self) -> int:
        """Beams that ran through the network so far."""
        return self._decoder.computed(self._search)

    @property
    def masks_ns(self) -> int:
        """What reading the trie took so far, the look at the admission included."""
        return self._decoder.masks_ns(self._search)

    def live_children(self, prefixes: npt.NDArray[np.int64], level: int) -> npt.NDArray[np.bool_]:
        """[W, K] as core.snapshot.Trie.live_children, where the search reads a trie; codes it lacks are dead.

        For whoever checks or measures what a step finds.
        """
        if self._admitted is None:
            raise ValueError("a search without a trie knows no children")
        return self._decoder.live_children(self._search, np.ascontiguousarray(prefixes, dtype=np.int64), level)

    def step(self, live: npt.NDArray[np.bool_] | None, width: int, lift: npt.NDArray[np.float32] | None = None) -> Step:
        """The best `width` children of all beams, or all live ones where there are fewer.

        In the words of kernels.reference: beam_step over masked_log_softmax of the decoder's logits.

        Args:
            live: [W, K] whether each child of each beam may be taken; None where the search has a trie to read.
            lift: [W, K] added to the log-probability a live child is ranked by. Of a beam's children none may have more
                than the beam had at the level before; then nothing that could be ranked higher is left out.
        """
        if self._level == self._decoder.levels:
            raise ValueError("the search has ended")
        if (live is None) != (self._admitted is not None):
            raise ValueError("a search is told which children live, or finds them in what is admitted of a trie")
        if live is not None and live.shape != (self._beams, self._decoder.codes):
            raise ValueError(f"live is {live.shape}, expected {(self._beams, self._decoder.codes)}")
        if lift is not None and (live is None or lift.shape != live.shape):
            raise ValueError(f"lift is {lift.shape}, expected the shape of live")
        effort = self.skip_single | self.bound << 1 | self.live_only << 2
        step = self._decoder.advance(self._search, self._context, live, lift, width, effort)
        self._beams = len(step.codes)
        self._level += 1
        return step
