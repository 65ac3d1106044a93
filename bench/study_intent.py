"""An intent code decoded before the item's codes, on and off.

Off: the served codes. On: a first code says what kind of thing is wanted, then the served codes say which; the kind is

category      the item's category path as deep as fits one codebook (rarer paths share their parent's code)
taste         a cluster of the item vectors by k-means: what people who want such things want

Item vectors, network, losses and epochs are the same in every arm; the intent's codebook holds the mean vectors of its
items, so that the head can compare the profile with them. Beams are ranked by the log-probability of all codes
together. Figures are the decoder's alone, on test choices: R@10 and N@10 of the item's semantic ID, histories masked,
and how often the first code of the ID is right at the first guess.

    python bench/study_intent.py --data ../shared/data/amazon_beauty
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import typer
from matplotlib.figure import Figure
from report import Report
from rich.console import Console
from study_data import CODE_EPOCHS, INTEREST_EPOCHS, Cells, CpuClock, Studied, one_thread, people_of, said, studied

from adgram.generative.decoder import SemanticDecoder
from adgram.generative.training.batched import read_all, search_all, searched_ranks
from adgram.generative.training.catalogue_tree import CatalogueTree
from adgram.generative.training.codebook import fit_codebooks, quantise
from adgram.generative.training.evaluation import TOP, gains
from adgram.generative.training.options import TrainingOptions
from adgram.generative.training.stages import learn_codes

OFF, ARMS = "off", ("off", "category", "taste")
BEAMS, TASTES = 32, 32


def main(
    data: Annotated[Path, typer.Option(help="Folder of an Amazon data set.")] = Path("../shared/data/amazon_beauty"),
    out: Annotated[Path, typer.Option(help="Folder of what a stopped study has done.")] = Path("runs/studies/intent"),
    minutes: Annotated[float, typer.Option(help="CPU minutes, at most about; trainings get shares.")] = 10.0,
    users: Annotated[int, typer.Option(help="People drawn.")] = 4_000,
    items: Annotated[int, typer.Option(help="Most chosen items kept.")] = 2_000,
    seeds: Annotated[int, typer.Option(help="Trainings of every arm; people are the same.")] = 2,
) -> None:
    """Run the study; write runs/bench/study-intent.json and .png."""
    one_thread()
    console, marketplace = Console(), people_of(data, out, users, items, 0)
    cells = Cells(out, {"minutes": minutes, "users": users, "items": items, "data": data.name})
    part = minutes / seeds / (1 + len(ARMS))
    figures: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for seed in range(seeds):
        options = TrainingOptions(
            minutes=part / 0.55, seed=seed, interest_epochs=INTEREST_EPOCHS, code_epochs=CODE_EPOCHS
        )
        study = studied(marketplace, out, options, console)
        for arm in ARMS:
            made = cells.cell(f"{arm}-{seed}", lambda arm=arm, study=study: one_arm(arm, study, part, out, console))
            figures[arm].append(made)
            console.print(f"seed {seed}, intent {arm}: {made}", highlight=False)
    tell(figures, said(marketplace), data.name, console)


def one_arm(arm: str, study: Studied, minutes: float, out: Path, console: Console) -> dict[str, float]:
    """What a decoder reaches on the test choices with this intent before the item's codes."""
    kinds = intents(arm, study)
    books, sids, interest = study.codebooks, study.sids, study.interest
    if kinds is not None:
        first = np.zeros_like(books[:1])
        for kind in np.unique(kinds).tolist():
            first[0, kind] = study.vectors[kinds == kind].mean(axis=0)
        books, sids = np.concatenate((first, books)), np.column_stack((kinds, sids)).astype(np.int32)
        interest = deeper(study.interest)
    with console.status(arm) as status:
        decoder = learn_codes(
            interest, books, study.vectors, sids, study.data, study.options, minutes,
            out / f"checkpoints-{arm}-{study.options.seed}", CpuClock(),
            lambda _, done, words: status.update(f"intent {arm} {done:.0%}: {words}"),
            study.settings,
        ).decoder  # fmt: skip
    tree, vectors, test = CatalogueTree.of(sids, decoder.shape.codes), torch.from_numpy(study.vectors), study.test
    with torch.inference_mode():
        ranks = searched_ranks(decoder, vectors, tree, test.histories, test.targets, BEAMS)
        right = 0
        for start in range(0, len(test.targets), 256):
            chunk = test.histories[start : start + 256]
            found = search_all(decoder, read_all(decoder, vectors, chunk), tree, chunk, BEAMS)
            best = found.prefixes[:, 0] // tree.codes ** (tree.levels - 2)
            right += int((best.numpy() == sids[test.targets[start : start + 256], 0]).sum())
    return {
        "recall_at_10": float((ranks < TOP).mean()),
        "ndcg_at_10": float(gains(ranks).mean()),
        "first_code_right": right / len(test.targets),
        "intents": 0 if kinds is None else len(np.unique(kinds)),
    }


def intents(arm: str, study: Studied) -> npt.NDArray[np.int64] | None:
    """The intent of each item, below the codebooks' size. [N]; None where there is none."""
    codes = study.codebooks.shape[1]
    if arm == "category":
        paths = list(study.categories)
        while len(set(paths)) > codes:  # the rarest of the deepest paths becomes its parent, until all fit
            counts = Counter(paths)
            deepest = max(len(path) for path in counts)
            rare = min((path for path in counts if len(path) == deepest), key=lambda path: (counts[path], path))
            paths = [path[:-1] if path == rare else path for path in paths]
        numbers = {path: number for number, path in enumerate(sorted(set(paths)))}
        return np.array([numbers[path] for path in paths])
    if arm == "taste":
        book = fit_codebooks(study.vectors, 2, TASTES, np.random.default_rng(study.options.seed))[:1]
        return quantise(study.vectors, book)[:, 0].astype(np.int64)
    return None


def deeper(interest: SemanticDecoder) -> SemanticDecoder:
    """The first stage's network with room for one more level; what it has learned is kept."""
    shape = replace(interest.shape, levels=interest.shape.levels + 1)
    made = SemanticDecoder(shape, torch.zeros(shape.levels, shape.codes, shape.vector_width))
    fresh = made.state_dict()
    learned = {name: value for name, value in interest.state_dict().items() if value.shape == fresh[name].shape}
    made.load_state_dict(learned, strict=False)
    return made


def tell(figures: dict[str, list[dict[str, float]]], people: str, data: str, console: Console) -> None:
    """Writes the rows and the picture."""
    report = Report("study-intent")
    drawing = Figure(figsize=(7, 4), layout="constrained")
    axes = drawing.subplots()
    names = {
        "ndcg_at_10": "N@10",
        "recall_at_10": "R@10",
        "first_code_right": "first code right at once",
        "intents": "intents",
    }
    for place, (arm, seeds) in enumerate(figures.items()):
        for name, short in names.items():
            values = [one[name] for one in seeds]
            spread = f"sd {np.std(values, ddof=1):.4f}" if len(values) > 1 else "one seed"
            how = f"{spread} over {len(values)} trainings; {people} of {data}, decoder alone, {BEAMS} beams"
            report.add(f"intent {arm}: {short}", float(np.mean(values)), "", how, better="higher")
        for offset, name in ((-0.17, "recall_at_10"), (0.17, "ndcg_at_10")):
            values = [one[name] for one in seeds]
            colour = "tab:blue" if name == "recall_at_10" else "tab:orange"
            axes.bar(place + offset, np.mean(values), 0.32, color=colour, label=None if place else names[name])
            axes.scatter([place + offset] * len(values), values, s=12, color="black", zorder=3)
    axes.set_xticks(range(len(figures)), [f"intent: {arm}" for arm in figures])
    axes.set_title("An intent code before the item's codes; dots are single trainings")
    axes.legend(frameon=False)
    written = report.write()
    drawing.savefig(written.with_suffix(".png"), dpi=120)
    console.print(f"written: {written} and {written.with_suffix('.png')}", highlight=False)


if __name__ == "__main__":
    typer.run(main)
