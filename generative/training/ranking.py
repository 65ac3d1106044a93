"""The stage of the ranker: learned from held-out choices, kept where it orders other people's better than fusion."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...core.clock import elapsed_ms
from ..fusion import Fusion
from ..ranker import Network, Ranker, Voices, best_places, evidence, save_ranker
from ..weights import load_decoder
from .encoded import EncodedCatalogue
from .evaluation import TOP, gains
from .options import TrainingStage
from .pools import Floats, Pool, Rows, Sources
from .pretraining import MS_PER_MINUTE
from .schedule import Report
from .sequences import HeldOut
from .workshop import Workshop

_USERS = 25_000  # asked; a fifth decides whether what the others teach helps, and then all of them teach
_DECIDING = 5
_LEAST_HITS = 200  # with fewer lists to learn from, seventeen numbers a candidate are learned by heart
_HIDDEN, _EPOCHS, _LISTS, _RATE = 32, 10, 128, 3e-3  # more of any changed nothing on Amazon Beauty and Toys
_DECAY = 1e-4
_REFUSED = "not kept: validation NDCG did not rise, or too few choices"
_MEMBERS = 10  # networks whose mean is served: N@10 of two seeds: .0007 apart at most with three, .0003 with ten


@dataclass(frozen=True, slots=True)
class RankerReport:
    """What came out of the ranker's stage. Figures are NDCG at 10 on the validation choices of those who decide, by
    networks that the others taught; the ones kept are taught by all."""

    ranker: str  # checksum
    decoder: str  # that of what it orders
    outcome: str
    validation_ndcg_fused: float | None  # by fusion,
    validation_ndcg_ranked: float | None  # and by the ranker behind it
    validation_ndcg_remembered: float | None  # the same two with the decoder off
    validation_ndcg_remembered_ranked: float | None
    minutes: float


@dataclass(frozen=True, slots=True)
class Lists:
    """The candidates of U users that are ordered anew, user after user."""

    evidence: npt.NDArray[np.float32]  # [P, F]
    targets: npt.NDArray[np.bool_]  # [P]
    bounds: Rows  # [U + 1]
    fused_ranks: Rows  # [U] of the target by fusion, TOP or more where it is none of its best


def rank(workshop: Workshop) -> RankerReport:
    """Afterwards `ranker`/ holds the ranker of the decoder as it is; one that orders nothing where it does not help."""
    started, options, stage = workshop.clock.monotonic_ns(), workshop.options, TrainingStage.RANKER
    torch.set_num_threads(options.threads)
    loaded = load_decoder(workshop.folder(TrainingStage.DECODER), workshop.folder(TrainingStage.TOKENIZER))
    items = workshop.marketplace.items()
    data = workshop.data(items)
    outcome = "not tried: no choices are held out to learn from"
    figures: dict[bool, tuple[float | None, float | None]] = {True: (None, None), False: (None, None)}
    ranker = Ranker(None, None)
    if not options.all_events and len(data.validation.targets):
        catalogue = EncodedCatalogue.of(workshop.tokenizer(), items, loaded.wording)
        sources = Sources(loaded.decoder, loaded.profiler, catalogue, loaded.companions)
        asked = data.validation.first(_USERS)
        networks: dict[bool, Network | None] = {}
        for decoder in (True, False):
            pools = _told(sources.pools(asked, codes=decoder), asked, workshop.report, decoder)
            lists = lists_of(pools, asked, loaded.fusion, catalogue)
            workshop.report("ranker", 1.0 if not decoder else 0.5, "teaching networks")
            networks[decoder], before, after = _taught(lists, options.seed)
            figures[decoder] = (before, after)
        ranker = Ranker(networks[True], networks[False])
        said = {mode: "kept" if network else _REFUSED for mode, network in networks.items()}
        outcome = said[True] if said[True] == said[False] else f"{said[True]}; with the decoder off {said[False]}"
    folder = workshop.folder(stage)
    shutil.rmtree(folder, ignore_errors=True)
    spent = elapsed_ms(started, workshop.clock) / MS_PER_MINUTE
    checksum = save_ranker(folder, ranker, loaded.model, workshop.sealed(stage, loaded.model, spent))
    return RankerReport(checksum, loaded.model, outcome, *figures[True], *figures[False], spent)


def _told(pools: Iterator[Pool], asked: HeldOut, report: Report, decoder: bool) -> Iterator[Pool]:
    done = 0
    for pool in pools:
        done += len(pool.targets)
        report("ranker", (done / len(asked.targets) + (not decoder)) / 2, "asking every source")
        yield pool


def lists_of(pools: Iterable[Pool], asked: HeldOut, fusion: Fusion, catalogue: EncodedCatalogue) -> Lists:
    """What the ranker reads for all users asked about, in their order."""
    read, targets, sizes, ranks = [], [], [], []
    for pool, histories in _beside(pools, asked):
        said = pool.voices(fusion)
        ranks.append(pool.ranks(said.fused))
        for user, one in enumerate(_users(pool, said)):
            best = best_places(one.fused)
            candidates = pool.rows[pool.bounds[user] + best]
            them, past = catalogue.described(candidates), catalogue.past(histories[user])
            read.append(evidence(one.of(best), them, past))
            targets.append(candidates == pool.targets[user])
            sizes.append(len(best))
    rows = np.concatenate(read).astype(np.float32)
    return Lists(rows, np.concatenate(targets), np.cumsum([0, *sizes]), np.concatenate(ranks))


def reordered(
    pool: Pool, histories: Sequence[Rows], fusion: Fusion, ranker: Ranker, catalogue: EncodedCatalogue
) -> Floats:
    """The score that the proposer gives each candidate of the pool with this ranker. [P]"""
    said, network = pool.voices(fusion), ranker.network(pool.codes)
    if network is None:
        return said.fused
    scores = []
    for user, one in enumerate(_users(pool, said)):
        best = best_places(one.fused)
        them, past = catalogue.described(pool.rows[pool.bounds[user] + best]), catalogue.past(histories[user])
        scores.append(ranker.reordered(one, best, them, past, network))
    return np.concatenate(scores)


def _beside(pools: Iterable[Pool], asked: HeldOut) -> Iterator[tuple[Pool, Sequence[Rows]]]:
    done = 0
    for pool in pools:
        yield pool, asked.histories[done : done + len(pool.targets)]
        done += len(pool.targets)


def _users(pool: Pool, said: Voices) -> Iterator[Voices]:
    """What is said of each user's candidates."""
    for (low, high), query in zip(pairwise(pool.bounds.tolist()), pool.queries, strict=True):
        one = said.of(np.arange(low, high))
        yield replace(one, companions_total=float(one.companions.sum()), query=query)


def _taught(lists: Lists, seed: int) -> tuple[Network | None, float | None, float | None]:
    """A network taught by everybody, where one taught by most orders the lists of the rest, who decide, better than
    fusion; their NDCG at 10 before and after."""
    bounds, users = lists.bounds, len(lists.bounds) - 1
    hits = np.add.reduceat(lists.targets, bounds[:-1]) > 0
    deciding = np.arange(users) % _DECIDING == 0
    teaching = np.flatnonzero(hits & ~deciding)
    if len(teaching) < _LEAST_HITS:
        return None, None, None
    network = _learned(lists, teaching, seed)
    logits = network.logits(lists.evidence.astype(np.float64))
    sizes = np.diff(bounds)
    aims = np.maximum.reduceat(np.where(lists.targets, logits, -np.inf), bounds[:-1])
    before = np.add.reduceat((logits > np.repeat(aims, sizes)).astype(np.int64), bounds[:-1])
    ranks = np.where(hits, before, TOP)
    plain, ranked = float(gains(lists.fused_ranks[deciding]).mean()), float(gains(ranks[deciding]).mean())
    if ranked <= plain:
        return None, plain, ranked
    return _learned(lists, np.flatnonzero(hits), seed), plain, ranked


def _learned(lists: Lists, teaching: Rows, seed: int) -> Network:
    """Networks that make the choice likely among the candidates of each list, side by side in one: their mean."""
    sample = np.concatenate([np.arange(*lists.bounds[user : user + 2]) for user in teaching.tolist()])
    known = lists.evidence[sample].astype(np.float64)
    mean, scale = _spread(known)
    blank = Network(mean, scale, np.empty(0), np.empty(0), np.empty(0))
    read = torch.from_numpy(blank.standardised(lists.evidence.astype(np.float64)).astype(np.float32))
    learned = [_one_learned(read, lists, teaching, _MEMBERS * seed + member) for member in range(_MEMBERS)]
    up, bias, down = (np.concatenate(parts, axis=-1) for parts in zip(*learned, strict=True))
    return replace(blank, up=up, up_bias=bias, down=down / _MEMBERS)


def _spread(known: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column's numbers, 0 and nearly 0 for a column without any. [F], [F]"""
    numbers = np.isfinite(known)
    counts = np.maximum(numbers.sum(axis=0), 1)
    mean = np.where(numbers, known, 0.0).sum(axis=0) / counts
    squares = np.where(numbers, (known - mean) ** 2, 0.0).sum(axis=0) / counts
    return mean, np.sqrt(squares) + 1e-6


def _one_learned(read: Tensor, lists: Lists, teaching: Rows, seed: int) -> tuple[Floats, Floats, Floats]:
    """Weights [F, H], biases [H] and output weights [H], by cross-entropy over each list's candidates."""
    chosen = torch.from_numpy(lists.targets.astype(np.float32))
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    up, down = nn.Linear(read.shape[1], _HIDDEN), nn.Linear(_HIDDEN, 1, bias=False)
    optimiser = torch.optim.AdamW([*up.parameters(), *down.parameters()], lr=_RATE, weight_decay=_DECAY)
    for epoch in range(_EPOCHS):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * (1 - epoch / _EPOCHS)
        order = rng.permutation(teaching)
        for start in range(0, len(order), _LISTS):
            batch = order[start : start + _LISTS].tolist()
            rows = np.concatenate([np.arange(*lists.bounds[user : user + 2]) for user in batch])
            owner = torch.from_numpy(np.repeat(np.arange(len(batch)), np.diff(lists.bounds)[batch]))
            loss = _cross_entropy(down(torch.relu(up(read[rows])))[:, 0], chosen[rows], owner, len(batch))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    weights, bias, out = (one.detach().double().numpy() for one in (up.weight.T.contiguous(), up.bias, down.weight[0]))
    return weights, bias, out


def _cross_entropy(logits: Tensor, chosen: Tensor, owner: Tensor, lists: int) -> Tensor:
    highest = torch.full((lists,), -torch.inf).scatter_reduce(0, owner, logits.detach(), "amax")
    totals = torch.zeros(lists).index_add(0, owner, (logits - highest[owner]).exp()).log() + highest
    return (totals - torch.zeros(lists).index_add(0, owner, logits * chosen)).mean()
