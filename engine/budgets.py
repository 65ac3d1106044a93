"""Which campaigns have no money left today, kept up to date by the ledger's own changes instead of by recounting."""

from collections.abc import Sequence

from ..core.catalogue import Campaign
from .ledger import Ledger
from .pacing import day_of


class Budgets:
    """The exhausted campaigns of one ledger, for the newest campaigns and day asked about."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._campaigns: Sequence[Campaign] = ()
        self._by_id: dict[str, Campaign] = {}
        self._day = -1
        self._exhausted: set[str] = set()
        self._answer: frozenset[str] = frozenset()

    def exhausted(self, campaigns: Sequence[Campaign], event_time: int) -> frozenset[str]:
        """Ids of the campaigns whose spent and reserved money reaches their daily budget."""
        changed = self._ledger.take_touched()
        if campaigns is not self._campaigns or day_of(event_time) != self._day:
            self._campaigns, self._day = campaigns, day_of(event_time)
            self._by_id = {campaign.campaign_id: campaign for campaign in campaigns}
            self._exhausted, changed = set(), set(self._by_id)
        elif not changed:
            return self._answer
        for campaign_id in changed & self._by_id.keys():
            budget = self._by_id[campaign_id].daily_budget.micros
            if self._ledger.committed_micros(campaign_id, event_time) >= budget:
                self._exhausted.add(campaign_id)
            else:
                self._exhausted.discard(campaign_id)
        self._answer = frozenset(self._exhausted)
        return self._answer
