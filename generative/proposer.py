"""The served proposer: beam search and memory over one pinned snapshot, fused into one list and ordered anew."""

import hashlib
import itertools
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ..core.clock import elapsed_ms
from ..core.decision import Candidate, CandidateSource, Proposal
from ..core.ports import ProposalContext, StepShape
from ..core.snapshot import Snapshot
from ..kernels.reference import bucket_log_probs
from .beam import Beams
from .companions import CompanionMemory, CompanionTable
from .config import GenerativeConfig
from .decoder import SemanticDecoder
from .fusion import NOTHING, Fusion, Weighed, mixed
from .history import chosen_items
from .needs import Needs, Wanted, load_needs
from .ranker import FOLDER as RANKER
from .ranker import NEWEST, NO_QUERY, Described, Network, Ranker, Voices, best_places, load_ranker
from .reading import reader_of
from .recall import recalled
from .weights import load_decoder
from .wording import KeptWords, Wording, vectors_of
from .worth import below, worths_of

UNSCORED = "no item has a score that is a number"
WIDTH_SHARES = (1.0, 0.75, 0.5, 0.375, 0.25, 0.125)  # of the beams of a request alone, as others wait
FEWEST_BEAMS = 8  # however many wait: fewer find less than a list of ten shows
_Matched = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]  # slots [M] to how they match
# Stands before a level of the search at each `yield`, and ends with the candidates or the reason why there are none.
_Course = Generator[None, int, tuple[Candidate, ...] | str]


class _ProposalInSteps:
    """Implements core.ports.ProposalInSteps."""

    def __init__(self, course: _Course, context: ProposalContext, model: str) -> None:
        self._course, self._clock, self._model = course, context.deadline.clock, model
        self._started: int | None = None

    def advance(self, width: int) -> Proposal | None:
        try:
            with torch.inference_mode():
                if self._started is None:
                    self._started = self._clock.monotonic_ns()
                    next(self._course)
                else:
                    self._course.send(width)
        except StopIteration as end:
            answer: tuple[Candidate, ...] | str = end.value
            took_ms = elapsed_ms(self._started or 0, self._clock)
            if isinstance(answer, str):
                return Proposal((), answer, took_ms, self._model)
            return Proposal(answer, "", took_ms, self._model)
        return None


class GenerativeProposer:
    """Proposes what the decoder generates and what lies near the viewer's profile (core.ports.StepwiseProposer).

    Each candidate's `score` is log(w · p_decoder + (1 - w) · p_memory), with the shares and sharpness of the artefact's
    `Fusion`. p_decoder is the item's share of what the beams found: their log-probabilities, rescored by how the
    decoder's own profile matches each item and its words (0 for items the beams missed). p_memory itself mixes two
    memories: (1 - c) times the softmax, over all admitted items, of how the `profiler`'s profile matches their vectors,
    and c times the item's share among the admitted companions of the history, rescored likewise (c = 0 where it has
    none). The profiler is the post-training's network, which never learned codes or words: memory says the same with
    the decoder on and off. With either of them off, the score is the other's log-probability. A candidate's `log_prob`
    is the decoder's own.
    Where the artefact has a ranker and the viewer a past, it orders the best of these anew, and their scores share the
    same probability in its way (see `ranker`).
    With a need in words (see `needs`) p_decoder is that of a search which the need leads, and p_memory the item's
    probability by how it fits the need.
    With a `value_weight` λ above 0 and the items' values known, λ · log(value / greatest admitted value) is added to
    every score, and the search ranks its beams so too (see `worth`; a search which a need leads keeps to the need).
    Equal scores are ordered by a hash of the item's id.
    """

    def __init__(
        self,
        decoder: SemanticDecoder,
        companions: CompanionTable,
        model: str,
        config: GenerativeConfig,
        fusion: Fusion | None = None,
        needs: Needs | None = None,
        ranker: Ranker | None = None,
        profiler: SemanticDecoder | None = None,
        wording: Wording | None = None,
    ) -> None:
        """`fusion` is the artefact's; without one, equal-handed defaults. Without `needs`, words are not heard; without
        a `ranker`, fusion has the last word; without a `profiler`, which reads no words, memory is searched with the
        profile of the decoder, which must read none then. A decoder that reads words and a ranker need the `wording`
        they learned with."""
        self._decoder = decoder.eval()
        self._memory = CompanionMemory(companions)
        self._model = model
        self._config = config
        self._fusion = fusion or Fusion()
        profiler = decoder if profiler is None else profiler.eval()
        if profiler.shape.word_width:
            raise ValueError("memory holds no words, so it is searched by a network that reads none")
        self._reader = reader_of(decoder, config) if config.decoder else None
        same = profiler is decoder and config.decoder  # then the decoder's reading serves both
        self._profiler = reader_of(profiler, config) if config.memory and not same else None
        self._needs = needs
        self._ranker = ranker
        self._words = None if wording is None else KeptWords(wording)
        if self._words is None and (ranker is not None or decoder.shape.word_width):
            raise ValueError("a decoder that reads words, and a ranker, need the wording they learned with")

    @property
    def model(self) -> str:
        """The checksum of the decoder's artefact."""
        return self._model

    def warm(self, snapshot: Snapshot) -> None:
        """Makes ready for needs and for words over this snapshot, ahead of any request. Safe beside `propose` in
        another thread."""
        if self._needs is not None:
            self._needs.warm(snapshot)
        if self._words is not None and (self._reads_words or self._network is not None):
            self._words.warm(snapshot)

    @property
    def _reads_words(self) -> bool:
        return self._reader is not None and bool(self._decoder.shape.word_width)

    @property
    def _network(self) -> Network | None:
        """The ranker's, for proposals as this one makes them."""
        return None if self._ranker is None else self._ranker.network(self._config.decoder)

    @property
    def shape(self) -> StepShape:
        """The history is the prompt; a level may be searched with an eighth of the beams, but no fewer than eight."""
        shape, config = self._decoder.shape, self._config
        fewest = min(FEWEST_BEAMS, config.beam_width)
        return StepShape(
            levels=shape.levels if config.decoder else 0,
            prompt_rows=1 + min(config.history_length, shape.history_length),
            widths=tuple(dict.fromkeys(max(fewest, round(config.beam_width * share)) for share in WIDTH_SHARES)),
        )

    def begin(self, context: ProposalContext) -> _ProposalInSteps:
        """The proposal before its first step, which reads the history; nothing is computed yet."""
        return _ProposalInSteps(self._candidates(context), context, self._model)

    def propose(self, context: ProposalContext) -> Proposal:
        """At most `limit` admitted items, best first; empty, with its reason, when there are none or no time."""
        steps = self.begin(context)
        while (proposal := steps.advance(self._config.beam_width)) is None:
            pass
        return proposal

    def _candidates(self, context: ProposalContext) -> _Course:
        """The candidates, or the reason why there are none."""
        snapshot, config, fusion = context.snapshot, self._config, self._fusion
        columns = snapshot.items
        refusal = self._refusal(context)
        if refusal:
            return refusal
        admitted = context.admitted & columns.alive
        wanted = self._needs.wanted(context.need, snapshot, admitted) if self._needs and context.need else None
        if wanted is not None:
            return (yield from self._wanted(context, wanted, admitted))
        past = self._newest(context, min(config.history_length, self._decoder.shape.history_length))
        reading = None if self._reader is None else self._reader.read(self._as_read(snapshot, past))
        query = NO_QUERY if reading is None else reading.profile
        profile = query if self._profiler is None else self._profiler.read(columns.vectors[past]).profile
        worths = self._worths(context, admitted)
        generated = rescored = NOTHING
        if reading is not None:
            worth = None if worths is None else below(snapshot.trie, worths)
            beams = yield from reading.steps(snapshot.trie, admitted, context.deadline, worth)
            if beams.late:
                return "deadline"
            matched = partial(self._matched, snapshot, query)
            generated = _items_below(beams, snapshot, admitted, matched)
            found = fusion.of_generated(generated.log_probs, matched(generated.slots), config.memory)
            rescored = Weighed(generated.slots, found)
        if not config.memory:
            return self._ranked(context, generated, rescored.slots, rescored.log_probs, worths)
        told = recalled(self._memory, profile, context, admitted, fusion, config.neighbours, generated.slots)
        scores, slots = told.remembered, told.slots
        if config.decoder:
            scores = mixed(rescored.spread(slots), told.remembered, fusion.codes)
        said = Voices(
            scores, told.remembered, told.near, generated.spread(slots), told.companions, float(told.companions.sum()),
            query,
        )  # fmt: skip
        return self._ranked(context, generated, slots, self._reordered(context, slots, said), worths)

    def _wanted(self, context: ProposalContext, wanted: Wanted, admitted: npt.NDArray[np.bool_]) -> _Course:
        """The candidates for a need: the decoder reads it behind the history, and it leads the search."""
        snapshot, config = context.snapshot, self._config
        generated = led = NOTHING
        if self._reader is not None:
            length = min(config.history_length, self._decoder.shape.history_length)
            past = self._newest(context, max(0, length - 1))
            token = self._as_read(snapshot, wanted.slots)
            width = snapshot.items.vectors.shape[1]
            token = np.concatenate((wanted.token(token[:, :width]), wanted.token(token[:, width:])))
            reading = self._reader.read(np.concatenate((self._as_read(snapshot, past), token[None])))
            worth = wanted.worth(snapshot)
            beams = yield from reading.steps(snapshot.trie, admitted, context.deadline, worth)
            if beams.late:
                return "deadline"
            generated = _items_below(beams, snapshot, admitted, partial(self._matched, snapshot, reading.profile))
            led = Weighed(generated.slots, wanted.led(generated.slots, generated.log_probs))
        if not config.memory:
            return self._ranked(context, generated, led.slots, led.log_probs, self._worths(context, admitted))
        slots = np.union1d(generated.slots, wanted.nearest(config.neighbours))
        scores = wanted.log_probs(slots)
        if config.decoder:
            scores = mixed(led.spread(slots), scores, wanted.scales.codes)
        return self._ranked(context, generated, slots, scores, self._worths(context, admitted))

    def _reordered(
        self, context: ProposalContext, slots: npt.NDArray[np.int64], said: Voices
    ) -> npt.NDArray[np.float64]:
        """The scores of these items by the ranker; by fusion where there is no ranker or nothing to read of a past."""
        network, snapshot = self._network, context.snapshot
        if self._ranker is None or network is None:
            return said.fused
        past = self._described(snapshot, self._newest(context, NEWEST)[::-1])
        if not past.words:
            return said.fused
        best = best_places(said.fused)
        return self._ranker.reordered(said, best, self._described(snapshot, slots[best]), past, network)

    def _described(self, snapshot: Snapshot, slots: npt.NDArray[np.int64] | list[int]) -> Described:
        """These items as the ranker reads them."""
        assert self._words is not None, "a ranker comes with its wording"
        return Described(snapshot.items.vectors[slots], self._words.of(snapshot, slots))

    def _as_read(self, snapshot: Snapshot, slots: npt.NDArray[np.int64] | list[int]) -> npt.NDArray[np.float32]:
        """These items as the decoder reads them. [T, R]"""
        vectors = snapshot.items.vectors[slots]
        if self._words is None or not self._reads_words:
            return vectors
        words = self._words.of(snapshot, slots)
        return np.concatenate((vectors, vectors_of(words, self._decoder.shape.word_width)), axis=1)

    def _matched(
        self, snapshot: Snapshot, query: npt.NDArray[np.float32], slots: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """How the decoder's profile [R] matches these items. [M]"""
        return np.asarray((self._as_read(snapshot, slots) * query.astype(np.float64)).sum(axis=1))

    def _worths(self, context: ProposalContext, admitted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32] | None:
        """[N] what each admitted item's value adds to its score; None where values do not count."""
        if not self._config.value_weight or context.values is None:
            return None
        return worths_of(context.values, admitted, self._config.value_weight)

    def _refusal(self, context: ProposalContext) -> str:
        """Why nothing can be proposed whatever the model says; "" when something can."""
        columns, shape = context.snapshot.items, self._decoder.shape
        if columns.count == 0:
            return "empty catalogue"
        if not (context.admitted & columns.alive).any():
            return "nothing admitted"
        if columns.sids.shape[1] != shape.levels or columns.vectors.shape[1] != shape.vector_width:
            return "items encoded by another tokenizer"
        return "deadline" if context.deadline.remaining_ms <= 0 else ""

    def _newest(self, context: ProposalContext, length: int) -> list[int]:
        """Slots of the newest `length` known items of the history, oldest first."""
        slots = [slot for slot in map(context.snapshot.slot, chosen_items(context.history)) if slot is not None]
        return slots[max(0, len(slots) - length) :]

    def _ranked(
        self,
        context: ProposalContext,
        generated: Weighed,
        slots: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float64],
        worths: npt.NDArray[np.float32] | None,
    ) -> tuple[Candidate, ...] | str:
        """The best `limit` of what was generated and of the best `neighbours` among the rest; what has no number for a
        score is not among them, and if nothing is left the answer says so.
        """
        columns, numbers = context.snapshot.items, ~np.isnan(scores)
        slots, scores = slots[numbers], scores[numbers]
        if not len(slots):
            return UNSCORED
        if worths is not None:
            scores = scores + worths[slots]
        log_probs = dict(zip(generated.slots.tolist(), generated.log_probs.tolist(), strict=True))
        others = np.flatnonzero(~np.isin(slots, generated.slots))
        if len(others) > self._config.neighbours:  # the rest cannot be kept, so it is not worth its hash
            last = np.partition(scores[others], -self._config.neighbours)[-self._config.neighbours]
            worth = np.isin(slots, generated.slots) | (scores >= last)
            slots, scores = slots[worth], scores[worth]
        rows = sorted(
            zip(slots.tolist(), scores.tolist(), strict=True),
            key=lambda row: (-row[1], _tie(columns.item_ids[row[0]])),
        )
        memory = (slot for slot, _ in rows if slot not in log_probs)
        remembered = set(itertools.islice(memory, self._config.neighbours))
        kept = [(slot, score) for slot, score in rows if slot in log_probs or slot in remembered]
        return tuple(
            Candidate(
                columns.item_ids[slot],
                tuple(columns.sids[slot].tolist()),
                log_probs.get(slot),
                CandidateSource.GENERATIVE if slot in log_probs else CandidateSource.MEMORY,
                score,
            )
            for slot, score in kept[: context.limit]
        )


def load_proposer(folder: Path, config: GenerativeConfig) -> GenerativeProposer:
    """The proposer whose decoder lies in `folder`, with `tokenizer` and perhaps `ranker` and `needs` beside it;
    ArtifactError if one does not fit.

    Sets torch's thread count for the whole process.
    """
    torch.set_num_threads(config.threads)
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_decoder(folder, folder.parent / "tokenizer")
    needs = load_needs(folder.parent / "needs")
    ranker = load_ranker(folder.parent / RANKER, loaded.model)
    model = "+".join(part.model for part in (loaded, ranker, needs) if part)
    decoder, profiler = loaded.decoder.to(device), loaded.profiler.to(device)
    return GenerativeProposer(
        decoder, loaded.companions, model, config, loaded.fusion, needs, ranker,
        profiler, loaded.wording,
    )  # fmt: skip


def _items_below(beams: Beams, snapshot: Snapshot, admitted: npt.NDArray[np.bool_], matched: _Matched) -> Weighed:
    """The admitted items of each beam; those of one semantic ID share its probability by softmax of their match."""
    slots: list[npt.NDArray[np.int64]] = []
    log_probs: list[npt.NDArray[np.float64]] = []
    for semantic_id, log_prob in zip(beams.semantic_ids, beams.log_probs.tolist(), strict=True):
        leaves = snapshot.trie.leaves(semantic_id)
        bucket = leaves[admitted[leaves]].astype(np.int64)
        slots.append(bucket)
        if len(bucket) == 1:
            log_probs.append(np.array([log_prob]))
        else:
            log_probs.append(log_prob + bucket_log_probs(matched(bucket)))
    if not slots:
        return NOTHING
    return Weighed(np.concatenate(slots), np.concatenate(log_probs))


def _tie(item_id: str) -> bytes:
    return hashlib.blake2b(item_id.encode(), digest_size=8).digest()
