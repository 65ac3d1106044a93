"""What the studies of drift and cold start share: one made world, trained on, in memory as an engine holds it."""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adgram.core import rows
from adgram.core.catalogue import EncodedItem
from adgram.core.commit import Commit, Row, Table
from adgram.core.feedback import FeedbackKind, Interaction, UserState
from adgram.core.marketplace import Marketplace
from adgram.core.ports import Proposer
from adgram.generative.config import GenerativeConfig
from adgram.generative.proposer import load_proposer
from adgram.generative.tokenizer import load_encoder
from adgram.memory.snapshot import MemorySnapshot
from adgram.programs.children import adgram
from adgram.simulator.market.generator import TRUTH
from adgram.simulator.market.truth import Truth
from adgram.streaming.folds.feedback import Forgetting, appended

ITEMS, PEOPLE, NEW_ITEMS, IMPRESSIONS, REQUESTS = 2_000, 4_000, 300, 200_000, 24_000


@dataclass(frozen=True, slots=True)
class StudyWorld:
    """A marketplace with NEW_ITEMS items that nobody has met, models trained on its logs, and everything in memory."""

    marketplace: Marketplace
    models: Path
    truth: Truth
    encoded: tuple[EncodedItem, ...]  # in the truth's order
    snapshot: MemorySnapshot
    pasts: dict[str, tuple[Interaction, ...]]  # what each user did in the logs, oldest first
    proposer: Proposer

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """[N, D] by item slot, which here is the truth's number too."""
        return self.snapshot.items.vectors


def prepare(folder: Path, minutes: float, seed: int) -> StudyWorld:
    """The study's world in `folder`, made from `seed` and trained on for so many minutes where it was not before."""
    world, models = folder / "world", folder / "models"
    if not (world / "marketplace.json").is_file():
        sizes = {"items": ITEMS, "users": PEOPLE, "new-items": NEW_ITEMS, "impressions": IMPRESSIONS}
        sizes |= {"requests": REQUESTS, "seed": seed}
        _run("world", str(world), *(word for name, size in sizes.items() for word in (f"--{name}", str(size))))
    if not (models / "scorer" / "manifest.json").is_file():
        _run("train", str(world), "--models", str(models), "--minutes", str(minutes), "--all")
    marketplace = Marketplace(world)
    encoder = load_encoder(models / "tokenizer")
    encoded = encoder.encode(marketplace.items())
    pasts = _pasts(marketplace)
    return StudyWorld(
        marketplace=marketplace,
        models=models,
        truth=Truth.load(world / TRUTH),
        encoded=encoded,
        snapshot=_folded(marketplace, encoded, pasts, encoder.weights.codebooks.shape[1]),
        pasts=pasts,
        proposer=load_proposer(models / "decoder", GenerativeConfig()),
    )


def remembered(user_id: str, past: Iterable[Interaction]) -> UserState:
    """The state that the feedback's fold keeps of a user with this past."""
    state = UserState(user_id)
    for number, interaction in enumerate(past):
        state = appended(state, interaction, str(number), Forgetting())
    return state


def _pasts(marketplace: Marketplace) -> dict[str, tuple[Interaction, ...]]:
    log = marketplace.log("interactions")
    pasts: dict[str, list[Interaction]] = {}
    columns = (log.column(name).to_pylist() for name in ("user_id", "item_id", "kind", "event_time"))
    for user_id, item_id, kind, event_time in zip(*columns, strict=True):
        pasts.setdefault(user_id, []).append(Interaction(item_id, FeedbackKind(kind), event_time))
    return {user_id: tuple(past) for user_id, past in pasts.items()}


def _folded(
    marketplace: Marketplace,
    encoded: tuple[EncodedItem, ...],
    pasts: dict[str, tuple[Interaction, ...]],
    codes: int,
) -> MemorySnapshot:
    """Memory at the moment the traffic begins. Users are kept under their raw ids: nobody real is in a made world."""
    at = int(marketplace.log("traffic").column("event_time")[0].as_py()) - 1
    entries: list[Row] = [rows.row(Table.ITEM, entry.item.item_id, entry, at) for entry in encoded]
    entries += [rows.row(Table.OFFER, one.item_id, one, at) for one in marketplace.offers()]
    entries += [rows.row(Table.ADVERTISER, one.advertiser_id, one, at) for one in marketplace.advertisers()]
    entries += [rows.row(Table.CAMPAIGN, one.campaign_id, one, at) for one in marketplace.campaigns()]
    entries += [rows.row(Table.CREATIVE, one.creative_id, one, at) for one in marketplace.creatives()]
    entries += [rows.row(Table.USER, user_id, remembered(user_id, past), at) for user_id, past in pasts.items()]
    return MemorySnapshot.empty(1, codes).fold(Commit(0, 1, 1, at, at, {}, tuple(entries)))


def _run(*arguments: str) -> None:
    subprocess.run(adgram(*arguments), check=True)
