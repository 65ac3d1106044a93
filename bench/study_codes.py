"""Codes from content, from behaviour, from both as served, and re-learned from what was retrieved.

Item vectors, network, losses and epochs are the same in every arm; only what the codebooks are fitted to differs:

content       the content vectors (hashed words and attributes), as if nobody had chosen anything
behaviour     the positive PMI of what is chosen near what, factorised; an item nobody learned from lies at zero
served        the post-training's vectors: content moved to where behaviour puts it
re-learned    what the served arm's decoder retrieves together: items of the same lists of ten, over the histories
              learned from, factorised like behaviour; the decoder is then trained on these codes

The last code tells apart what the others left together in every arm. Figures are the decoder's alone, on test choices:
R@10 and N@10 of the item's semantic ID, histories masked.

    python bench/study_codes.py --data ../shared/data/amazon_beauty
"""

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
from adgram.generative.training.codebook import distinct_last_codes, fit_codebooks, quantise
from adgram.generative.training.content import behaviour_vectors
from adgram.generative.training.evaluation import TOP, gains
from adgram.generative.training.options import TrainingOptions
from adgram.generative.training.stages import learn_codes

ARMS = ("content", "behaviour", "served", "re-learned")
BEAMS = 32


def main(
    data: Annotated[Path, typer.Option(help="Folder of an Amazon data set.")] = Path("../shared/data/amazon_beauty"),
    out: Annotated[Path, typer.Option(help="Folder of what a stopped study has done.")] = Path("runs/studies/codes"),
    minutes: Annotated[float, typer.Option(help="CPU minutes, at most about; trainings get shares.")] = 10.0,
    users: Annotated[int, typer.Option(help="People drawn.")] = 4_000,
    items: Annotated[int, typer.Option(help="Most chosen items kept.")] = 2_000,
    seeds: Annotated[int, typer.Option(help="Trainings of every arm; people are the same.")] = 2,
) -> None:
    """Run the study; write runs/bench/study-codes.json and .png."""
    one_thread()
    console, marketplace = Console(), people_of(data, out, users, items, 0)
    cells = Cells(out, {"minutes": minutes, "users": users, "items": items, "data": data.name})
    part = minutes / seeds / (1 + len(ARMS))  # one training of the first stage, one of each arm
    figures: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for seed in range(seeds):
        options = TrainingOptions(
            minutes=part / 0.55, seed=seed, content_width=64, interest_epochs=INTEREST_EPOCHS, code_epochs=CODE_EPOCHS
        )
        study = studied(marketplace, out, options, console)
        for arm in ARMS:
            made = cells.cell(f"{arm}-{seed}", lambda arm=arm, study=study: one_arm(arm, study, part, out, console))
            figures[arm].append(made)
            console.print(f"seed {seed}, {arm}: {made}", highlight=False)
    tell(figures, said(marketplace), data.name, console)


def one_arm(arm: str, study: Studied, minutes: float, out: Path, console: Console) -> dict[str, float]:
    """What a decoder over these codes reaches on the test choices."""
    decoder, sids = trained(arm, fitted_to(arm, study, out), study, minutes, out, console)
    tree, vectors = CatalogueTree.of(sids, decoder.shape.codes), torch.from_numpy(study.vectors)
    with torch.inference_mode():
        ranks = searched_ranks(decoder, vectors, tree, study.test.histories, study.test.targets, BEAMS)
    _, sharing = np.unique(sids, axis=0, return_counts=True)
    torch.save({"decoder": decoder.state_dict(), "sids": sids}, out / f"{arm}-{study.options.seed}.pt")
    return {
        "recall_at_10": float((ranks < TOP).mean()),
        "ndcg_at_10": float(gains(ranks).mean()),
        "colliding": int(sharing[sharing > 1].sum()),
    }


def trained(
    arm: str, basis: npt.NDArray[np.float32], study: Studied, minutes: float, out: Path, console: Console
) -> tuple[SemanticDecoder, npt.NDArray[np.int32]]:
    """A decoder trained on codes fitted to `basis` [N, D], and those codes [N, L]."""
    levels, codes, _ = study.codebooks.shape
    if arm == "served":
        books, sids = study.codebooks, study.sids
    else:
        books = fit_codebooks(basis, levels, codes, np.random.default_rng(study.options.seed))
        sids = quantise(basis, books)
        sids[:, -1] = distinct_last_codes(basis, sids, books)
    with console.status(arm) as status:
        learned = learn_codes(
            study.interest, books, study.vectors, sids, study.data, study.options, minutes,
            out / f"checkpoints-{arm}-{study.options.seed}", CpuClock(),
            lambda _, done, words: status.update(f"{arm} {done:.0%}: {words}"),
            study.settings,
        )  # fmt: skip
    return learned.decoder, sids


def fitted_to(arm: str, study: Studied, out: Path) -> npt.NDArray[np.float32]:
    """What the arm's codebooks are fitted to. [N, D]"""
    rng = np.random.default_rng(study.options.seed)
    width = study.vectors.shape[1]
    if arm == "content":
        return study.content
    if arm == "behaviour":
        return behaviour_vectors(study.data.training, len(study.vectors), width, rng)
    if arm == "served":
        return study.vectors
    kept = torch.load(out / f"served-{study.options.seed}.pt", weights_only=False)
    decoder = SemanticDecoder(study.interest.shape, torch.from_numpy(study.codebooks))
    decoder.load_state_dict(kept["decoder"])
    lists = retrieved(decoder.eval(), study)
    together = behaviour_vectors(lists, len(study.vectors), width, rng, window=TOP)
    # What is in no list keeps its served place: there is nothing to learn of it.
    return np.where(np.linalg.norm(together, axis=1, keepdims=True) > 0, together, study.vectors)


def retrieved(decoder: SemanticDecoder, study: Studied) -> list[npt.NDArray[np.int64]]:
    """The ten items that the decoder finds first for each history learned from, best first."""
    tree, vectors, lists = CatalogueTree.of(study.sids, decoder.shape.codes), torch.from_numpy(study.vectors), []
    histories = [sequence[-decoder.shape.history_length :] for sequence in study.data.training]
    with torch.inference_mode():
        for start in range(0, len(histories), 256):
            chunk = histories[start : start + 256]
            found = search_all(decoder, read_all(decoder, vectors, chunk), tree, chunk, TOP)
            places = torch.searchsorted(tree.prefixes[-1], found.prefixes).clamp(max=len(tree.prefixes[-1]) - 1)
            first = tree.order[tree.bounds[-1][places, found.codes].clamp(max=len(tree.order) - 1)]  # [U, TOP]
            for row, real in zip(first, torch.isfinite(found.log_probs), strict=True):
                lists.append(row[real].numpy())
    return lists


def tell(figures: dict[str, list[dict[str, float]]], people: str, data: str, console: Console) -> None:
    """Writes the rows and the picture."""
    report = Report("study-codes")
    drawing = Figure(figsize=(7, 4), layout="constrained")
    axes = drawing.subplots()
    for place, (arm, seeds) in enumerate(figures.items()):
        for name, short in (("ndcg_at_10", "N@10"), ("recall_at_10", "R@10"), ("colliding", "items sharing an ID")):
            values = [one[name] for one in seeds]
            spread = f"sd {np.std(values, ddof=1):.4f}" if len(values) > 1 else "one seed"
            how = f"{spread} over {len(values)} trainings; {people} of {data}, decoder alone"
            report.add(f"codes from {arm}: {short}", float(np.mean(values)), "", how, better="higher")
        for offset, name in ((-0.17, "recall_at_10"), (0.17, "ndcg_at_10")):
            values = [one[name] for one in seeds]
            colour = "tab:blue" if name == "recall_at_10" else "tab:orange"
            axes.bar(place + offset, np.mean(values), 0.32, color=colour, label=None if place else name)
            axes.scatter([place + offset] * len(values), values, s=12, color="black", zorder=3)
    axes.set_xticks(range(len(figures)), list(figures))
    axes.set_title("What the codebooks are fitted to; dots are single trainings")
    axes.legend(frameon=False)
    written = report.write()
    drawing.savefig(written.with_suffix(".png"), dpi=120)
    console.print(f"written: {written} and {written.with_suffix('.png')}", highlight=False)


if __name__ == "__main__":
    typer.run(main)
