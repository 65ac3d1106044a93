"""What an exchange checks of a bid before it lets it compete, and what the advertiser owes for what it got."""

from collections.abc import Iterable

from ..core.catalogue import Campaign, Creative, Objective
from ..core.exchange import OfferedBid
from ..core.feedback import FeedbackKind
from ..core.marketplace import Marketplace
from ..core.request import AdFormat, Impression

OBJECTIVE_OF = {
    FeedbackKind.IMPRESSION: Objective.IMPRESSION,
    FeedbackKind.CLICK: Objective.CLICK,
    FeedbackKind.CONVERSION: Objective.CONVERSION,
}


class Inspector:
    """Knows the creatives and campaigns that may be advertised."""

    def __init__(self, creatives: Iterable[Creative], campaigns: Iterable[Campaign]) -> None:
        self._creatives = {creative.creative_id: creative for creative in creatives}
        self._campaigns = {campaign.campaign_id: campaign for campaign in campaigns}
        self._sizes = {(creative.format, creative.size) for creative in self._creatives.values()}

    @classmethod
    def of(cls, catalogue: Marketplace) -> "Inspector":
        """An inspector of a marketplace's catalogue."""
        return cls(catalogue.creatives(), catalogue.campaigns())

    def fault(self, bid: OfferedBid, impressions: tuple[Impression, ...]) -> str:  # noqa: PLR0911  one line a check
        """What is wrong with a bid, "" for nothing."""
        impression = next((slot for slot in impressions if slot.impression_id == bid.impression_id), None)
        creative = self._creatives.get(bid.creative_id)
        if impression is None:
            return "unknown impression"
        if creative is None:
            return "unknown creative"
        if creative.item_id != bid.item_id:
            return "creative of another item"
        if creative.campaign_id != bid.campaign_id or bid.campaign_id not in self._campaigns:
            return "creative of another campaign"
        if creative.format is not impression.format:
            return "wrong format"
        if impression.format is AdFormat.BANNER:
            answered = (bid.width, bid.height)
            if creative.size not in impression.sizes or answered != (creative.size.width, creative.size.height):
                return "wrong size"
        if bid.bid_price.currency != impression.reserve_price.currency:
            return "wrong currency"
        return "under floor" if bid.bid_price < impression.reserve_price else ""

    def could_fit(self, impressions: tuple[Impression, ...]) -> bool:
        """Whether the catalogue has any creative for one of the slots."""
        return any(
            (slot.format, size) in self._sizes if slot.format is AdFormat.BANNER else self._has_native
            for slot in impressions
            for size in (slot.sizes or (None,))
        )

    @property
    def _has_native(self) -> bool:
        return any(form is AdFormat.NATIVE for form, _ in self._sizes)

    def owed_micros(self, campaign_id: str, kind: FeedbackKind) -> int:
        """What the campaign owes us for one such event: its bid, when that is what it pays for."""
        campaign = self._campaigns.get(campaign_id)
        if campaign is None or OBJECTIVE_OF.get(kind) is not campaign.objective:
            return 0
        return campaign.bid.micros

    def theme(self, creative_id: str) -> str:
        """The scene of a creative, "" for an unknown one."""
        creative = self._creatives.get(creative_id)
        return "" if creative is None else creative.theme
