"""What showing an item is expected to earn, before anything of the viewer is known: the proposer's values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.catalogue import Campaign, Objective
from ..core.ports import Priors
from ..core.snapshot import CreativeColumns, Snapshot


@dataclass(frozen=True, slots=True)
class _Worked:
    """What one version's creatives are worth, and what that was worked out from."""

    columns: CreativeColumns
    campaigns: Sequence[Campaign]
    by_creative: npt.NDArray[np.float32]  # [C] micros an impression


class ItemValues:
    """Values by item slot: the best bid among an item's admitted creatives, times its prior rates.

    A creative is worth its campaign's bid for an impression; times the item's prior click rate where clicks are paid,
    and times the prior conversion rate where conversions are. Creatives are worked out once a version, in one pass, so
    that a request reads the bids of the version it pinned.
    """

    def __init__(self, priors: Priors) -> None:
        self._priors = priors
        self._p_click = np.empty(0, np.float32)  # [N] of the items seen so far; a slot keeps its item for ever
        self._worked: _Worked | None = None

    def of(self, snapshot: Snapshot, admitted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """[N] micros an impression; 0 where no creative is admitted.

        Args:
            admitted: [C] by creative slot.
        """
        columns = snapshot.creatives
        shown = np.flatnonzero(admitted & (columns.item_slot >= 0))
        values = np.zeros(snapshot.items.count, np.float32)
        np.maximum.at(values, columns.item_slot[shown], self._by_creative(snapshot)[shown])
        return values

    def _by_creative(self, snapshot: Snapshot) -> npt.NDArray[np.float32]:
        columns, campaigns, worked = snapshot.creatives, snapshot.campaigns, self._worked
        if worked is None or worked.columns is not columns or worked.campaigns is not campaigns:
            worked = self._worked = _Worked(columns, campaigns, self._work_out(snapshot))
        return worked.by_creative

    def _work_out(self, snapshot: Snapshot) -> npt.NDArray[np.float32]:
        columns, count = snapshot.creatives, snapshot.items.count
        known = len(self._p_click)
        if count > known:
            new = np.asarray(self._priors.p_click(snapshot.items.item_ids[known:]), np.float32)
            self._p_click = np.concatenate((self._p_click, new))
        bids = np.array([_per_impression(campaign, self._priors.p_convert) for campaign in snapshot.campaigns] or [0.0])
        clicks = np.array(
            [campaign.objective is not Objective.IMPRESSION for campaign in snapshot.campaigns] or [False]
        )
        joined = (columns.item_slot >= 0) & (columns.campaign_slot >= 0)
        campaign_slot = np.where(joined, columns.campaign_slot, 0)
        p_click = np.ones(columns.count, np.float32)
        np.copyto(p_click, self._p_click[np.where(joined, columns.item_slot, 0)], where=joined & clicks[campaign_slot])
        return np.where(joined, bids[campaign_slot] * p_click, 0.0).astype(np.float32)


def _per_impression(campaign: Campaign, p_convert: float) -> float:
    """The bid in micros, times all of an impression's worth but the click rate; 0 for a paused campaign."""
    rate = p_convert if campaign.objective is Objective.CONVERSION else 1.0
    return campaign.bid.micros * rate if campaign.active else 0.0
