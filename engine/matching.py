"""From proposed items to ads: every admitted creative of each item that fits the impression."""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from ..core.catalogue import Creative
from ..core.decision import Ad, Candidate
from ..core.request import AdFormat, Impression, NativeAsset, NativeAssetKind
from ..core.snapshot import Snapshot


def match(
    candidates: Sequence[Candidate],
    impression: Impression,
    admitted_creatives: npt.NDArray[np.bool_],
    snapshot: Snapshot,
    limit: int,
) -> tuple[Ad, ...]:
    """At most `limit` ads in the candidates' order; a candidate without a fitting creative yields none.

    Args:
        admitted_creatives: [C] by creative slot; admission has settled size, format, campaign and stops there.
    """
    return tuple(islice(_fitting(candidates, impression, admitted_creatives, snapshot), limit))


def _fitting(
    candidates: Sequence[Candidate],
    impression: Impression,
    admitted_creatives: npt.NDArray[np.bool_],
    snapshot: Snapshot,
) -> Iterator[Ad]:
    columns, campaigns = snapshot.creatives, snapshot.campaigns
    for candidate in candidates:
        for slot in snapshot.creative_slots(candidate.item_id):
            if not admitted_creatives[slot]:
                continue
            creative = columns.creatives[slot]
            if creative.format is AdFormat.NATIVE and not _fills(creative, impression.native_assets):
                continue
            yield Ad(candidate, creative, campaigns[columns.campaign_slot[slot]], impression)


def _fills(creative: Creative, assets: Sequence[NativeAsset]) -> bool:
    texts = {NativeAssetKind.TITLE: creative.title, NativeAssetKind.DESCRIPTION: creative.text}
    for asset in assets:
        text = texts.get(asset.kind)
        if text is None:
            if asset.required:
                return False
        elif asset.limit and len(text) > asset.limit:
            return False
    return True
