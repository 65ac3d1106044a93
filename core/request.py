"""A bid request in the engine's words (OpenRTB 2.6 names, spelled out)."""

from dataclasses import dataclass
from enum import StrEnum

from .money import Money


class AdFormat(StrEnum):
    """How a creative is rendered in the slot."""

    BANNER = "banner"
    NATIVE = "native"


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """Width and height in device-independent pixels; native ads have the size 0×0."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where the viewer is; every part may be empty."""

    country: str = ""
    region: str = ""
    city: str = ""
    latitude: float | None = None
    longitude: float | None = None

    @property
    def place_id(self) -> str:
        """The key of this place's environment: the named parts, joined by a slash."""
        return "/".join(part for part in (self.country, self.region, self.city) if part)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who sees the ad, by pseudonym only."""

    user_key: str = ""
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """On what the ad is seen; `device_type` is AdCOM's list, 0 when unknown."""

    device_type: int = 0
    os: str = ""
    user_agent: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """The site or app around the slot."""

    domain: str = ""
    bundle: str = ""
    publisher_id: str = ""
    categories: tuple[str, ...] = ()
    search: str = ""
    keywords: tuple[str, ...] = ()


class NativeAssetKind(StrEnum):
    """The native assets we can fill; OTHER (images, video) we cannot."""

    TITLE = "title"
    DESCRIPTION = "description"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class NativeAsset:
    """One asset a native slot asks for; `limit` is its greatest length in characters, 0 for none."""

    asset_id: int
    kind: NativeAssetKind
    limit: int = 0
    required: bool = False


@dataclass(frozen=True, slots=True)
class Impression:
    """One slot for sale; `reserve_price` is the floor per mille. A native slot has no sizes but may ask for assets."""

    impression_id: str
    format: AdFormat
    sizes: tuple[Size, ...]
    reserve_price: Money
    placement: str = ""
    position: int = 0
    native_assets: tuple[NativeAsset, ...] = ()


@dataclass(frozen=True, slots=True)
class BidRequest:
    """What is asked of the engine. `event_time` is ns UTC; `timeout_ms` is the exchange's tmax; `auction_type` 1 =
    first price, 2 = second.
    """

    request_id: str
    impressions: tuple[Impression, ...]
    viewer: Viewer
    device: Device
    page: Page
    place: Place
    event_time: int
    timeout_ms: int
    auction_type: int = 2
    currency: str = "USD"
    blocked_categories: frozenset[str] = frozenset()
    blocked_advertisers: frozenset[str] = frozenset()
    child_directed: bool = False
    test: bool = False

    @property
    def need(self) -> str:
        """What is asked for in words: the search that led to the page, else the page's keywords, else the viewer's
        (never a child's); "" where the exchange says none of them.
        """
        personal = () if self.child_directed else self.viewer.keywords
        return self.page.search or " ".join(self.page.keywords or personal)
