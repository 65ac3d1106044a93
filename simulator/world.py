"""The simulator's door to the truth: how the people of a made world react to what they are shown."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from ..core.clock import NS_PER_SECOND
from ..core.errors import MarketplaceError
from ..core.exchange import OfferedBid
from ..core.feedback import FeedbackKind
from ..core.marketplace import Marketplace
from .market.climate import Climate
from .market.generator import TRUTH
from .market.truth import THEMES, Showing, Truth
from .market_maker import Offering
from .rivals import generator_of

PHONE = 4  # AdCOM's device type
# ours: median delays, log-normal with sigma 0.8: a click within seconds, a purchase within the hour, a visit within
# the day.
CLICK_DELAY_S, CONVERSION_DELAY_S, VISIT_DELAY_S, DELAY_SIGMA = 6.0, 900.0, 7200.0, 0.8


@dataclass(frozen=True, slots=True)
class Act:
    """Something a person does, so long after seeing the ad."""

    kind: FeedbackKind
    delay_ns: int


class Audience(Protocol):
    """The people who see won impressions."""

    def acts(self, offering: Offering, bid: OfferedBid) -> tuple[Act, ...]:
        """What the viewer does about a shown ad, the same at every call with the same arguments."""
        ...


class SilentAudience:
    """People of whom nothing is known: imported marketplaces have no truth to draw reactions from."""

    def acts(self, offering: Offering, bid: OfferedBid) -> tuple[Act, ...]:  # noqa: ARG002
        """Nothing."""
        return ()


class _Index(msgspec.Struct):
    users: list[str]
    items: list[str]


class World:
    """People with the interests, weather and places of a made world's truth."""

    def __init__(
        self, truth: Truth, users: Mapping[str, int], items: Mapping[str, int], themes: Mapping[str, str], seed: int
    ) -> None:
        self._truth = truth
        self._users = users
        self._items = items
        self._themes = themes
        self._seed = seed

    @classmethod
    def open(cls, marketplace: Marketplace, seed: int) -> "World":
        """The world behind a marketplace; MarketplaceError for one that has no truth."""
        folder = marketplace.folder / TRUTH
        truth = Truth.load(folder)
        try:
            index = msgspec.json.decode((folder / "index.json").read_bytes(), type=_Index)
        except (OSError, msgspec.DecodeError) as error:
            raise MarketplaceError(f"{folder / 'index.json'} cannot be read: {error}; make the world again") from error
        themes = {creative.creative_id: creative.theme for creative in marketplace.creatives()}
        users = {user: number for number, user in enumerate(index.users)}
        items = {item: number for number, item in enumerate(index.items)}
        return cls(truth, users, items, themes, seed)

    @property
    def climate(self) -> Climate:
        """The true weather and crowd."""
        return self._truth.climate

    def under(self, climate: Climate) -> "World":
        """The same people under another weather."""
        truth = replace(self._truth, climate=climate)
        return World(truth, self._users, self._items, self._themes, self._seed)

    def p_click(self, offering: Offering, item_id: str, creative_id: str) -> float:
        """The true probability that this viewer clicks on this creative here and now; 0 for somebody or something
        unknown."""
        shown = self._showing(offering, item_id, creative_id)
        return 0.0 if shown is None else float(self._truth.p_click(shown)[0])

    def acts(self, offering: Offering, bid: OfferedBid) -> tuple[Act, ...]:
        """A click or none, and after a click perhaps a conversion and a visit; drawn by request, impression and
        creative."""
        shown = self._showing(offering, bid.item_id, bid.creative_id)
        if shown is None:
            return ()
        names = (offering.request.request_id, bid.impression_id, bid.creative_id)
        rng = generator_of(self._seed, "acts", *names)
        draws = rng.random(3)
        delays = np.exp(rng.normal(0.0, DELAY_SIGMA, 3))
        if draws[0] >= self._truth.p_click(shown)[0]:
            return ()
        clicked = int(CLICK_DELAY_S * delays[0] * NS_PER_SECOND)
        acts = [Act(FeedbackKind.CLICK, clicked)]
        if draws[1] < self._truth.p_convert(shown)[0]:
            acts.append(Act(FeedbackKind.CONVERSION, clicked + int(CONVERSION_DELAY_S * delays[1] * NS_PER_SECOND)))
        if draws[2] < self._truth.p_visit(shown)[0]:
            acts.append(Act(FeedbackKind.VISIT, clicked + int(VISIT_DELAY_S * delays[2] * NS_PER_SECOND)))
        return tuple(acts)

    def _showing(self, offering: Offering, item_id: str, creative_id: str) -> Showing | None:
        request = offering.request
        user, item = self._users.get(offering.user_id), self._items.get(item_id)
        place = self.climate.place_index(request.place.place_id)
        theme = self._themes.get(creative_id)
        if user is None or item is None or place is None or theme is None:
            return None
        return Showing(
            user=np.array([user]),
            item=np.array([item]),
            theme=np.array([THEMES.index(theme)]),
            place=np.array([place]),
            hour=np.array([self.climate.hour_of(request.event_time)]),
            position=np.array([request.impressions[0].position]),
            phone=np.array([request.device.device_type == PHONE]),
        )


def audience_of(marketplace: Marketplace, seed: int) -> World | SilentAudience:
    """The people of a marketplace, as far as anything is known of them."""
    has_truth = Path(marketplace.folder / TRUTH).is_dir()
    return World.open(marketplace, seed) if has_truth else SilentAudience()
