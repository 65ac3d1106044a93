"""A snapshot's campaigns as columns, so that one request's questions to all of them are a few array operations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.catalogue import Campaign
from ..core.snapshot import Snapshot
from .branches import Branches, domain_branches

OPEN_END = np.iinfo(np.int64).max
ALL_HOURS = (1 << 24) - 1


@dataclass(frozen=True, slots=True)
class CampaignColumns:
    """Campaigns by slot, 0 … M-1. Sets that many campaigns share (places, devices) are kept once and named by code."""

    objects: Sequence[Campaign]
    slots: dict[str, int]
    by_advertiser: dict[str, list[int]]
    active: npt.NDArray[np.bool_]  # [M]
    start: npt.NDArray[np.int64]  # [M] ns UTC
    end: npt.NDArray[np.int64]  # [M] ns UTC, exclusive
    hours: npt.NDArray[np.int64]  # [M] bit h = runs in hour h UTC
    place_set: npt.NDArray[np.int32]  # [M]
    device_set: npt.NDArray[np.int32]  # [M]
    currency: npt.NDArray[np.int32]  # [M]
    place_sets: tuple[tuple[str, ...], ...]
    device_sets: tuple[tuple[int, ...], ...]
    domains: Branches  # a domain → the slots whose advertiser's domain lies at or below it
    currencies: tuple[str, ...]

    @property
    def count(self) -> int:
        """M."""
        return len(self.objects)

    def slots_of(self, campaign_ids: Iterable[str]) -> list[int]:
        """The slots of those campaigns that exist."""
        return [self.slots[campaign] for campaign in campaign_ids if campaign in self.slots]

    @classmethod
    def build(cls, snapshot: Snapshot, previous: "CampaignColumns | None" = None) -> "CampaignColumns":
        """The columns of a snapshot; `previous` itself when neither a campaign nor an advertiser changed."""
        campaigns = snapshot.campaigns
        if previous is not None and campaigns is previous.objects:
            return previous
        advertisers = tuple(snapshot.advertiser(campaign.advertiser_id) for campaign in campaigns)
        place_sets, device_sets, currencies = _Codes(), _Codes(), _Codes()
        by_advertiser: dict[str, list[int]] = {}
        for slot, campaign in enumerate(campaigns):
            by_advertiser.setdefault(campaign.advertiser_id, []).append(slot)
        return cls(
            objects=campaigns,
            slots={campaign.campaign_id: slot for slot, campaign in enumerate(campaigns)},
            by_advertiser=by_advertiser,
            active=np.array([campaign.active for campaign in campaigns], np.bool_),
            start=np.array([campaign.schedule.start for campaign in campaigns], np.int64),
            end=np.array([campaign.schedule.end or OPEN_END for campaign in campaigns], np.int64),
            hours=np.array([_hour_bits(campaign.schedule.hours) for campaign in campaigns], np.int64),
            place_set=place_sets.encode([campaign.targeting.places for campaign in campaigns]),
            device_set=device_sets.encode([campaign.targeting.device_types for campaign in campaigns]),
            currency=currencies.encode([campaign.bid.currency for campaign in campaigns]),
            place_sets=tuple(place_sets),
            device_sets=tuple(device_sets),
            domains=domain_branches(advertiser.domain if advertiser else "" for advertiser in advertisers),
            currencies=tuple(currencies),
        )


class _Codes(dict):  # type: ignore[type-arg]
    """Numbers values by first appearance; iterating gives them in that order."""

    def encode(self, values: Sequence[object]) -> npt.NDArray[np.int32]:
        return np.array([self.setdefault(value, len(self)) for value in values], np.int32)


def _hour_bits(hours: tuple[int, ...]) -> int:
    return sum(1 << hour for hour in set(hours)) if hours else ALL_HOURS
