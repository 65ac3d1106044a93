"""Makes an imported catalogue advertisable: whatever it lacks, by rules stated in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.catalogue import Advertiser, Campaign, Creative, Item, Offer
from ...core.money import CPM_STEP_MICROS
from ...core.request import AdFormat, Size
from .figures import FEN_MICROS, PRICE_QUANTILES_2259, SIZES_2259
from .measures import quantile_function
from .orders import OFFER_RULE, OrderRule, make_campaigns, make_offers
from .wording import plain_text, plain_title

BANNERS_PER_ITEM = 2
SHOPS = 40  # ours: for items with neither brand nor category
CLICK_RATE = 0.10  # ours: campaign 2259's own 0.03 % would leave nothing to learn from; Avazu's sample has 17.4 %
CONVERSION_RATE = 0.08  # ours, no source
SHOWN_AT_RANDOM = 0.3  # ours: share of the negatives drawn evenly, so that rare items are seen as well
MEDIAN_PRICE_UNITS = 80.0  # ours: the source names no prices
NATIVE = Size(0, 0)


@dataclass(frozen=True, slots=True)
class Supply:
    """What was made around the items. `rules` says how, in words."""

    advertisers: list[Advertiser]
    campaigns: list[Campaign]
    offers: list[Offer]
    creatives: list[Creative]
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contacts:
    """[E] interactions by index: who had to do with what, and when (ns UTC)."""

    event_time: npt.NDArray[np.int64]
    user: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ids:
    """The names behind the indices of contacts."""

    users: Sequence[str]
    items: Sequence[str]


def order_rule(currency: str) -> OrderRule:
    """Bids around the real prices of campaign 2259, whose logger bid 277 or 294 fen and paid 93 to 103 on average."""
    return OrderRule(
        currency=currency,
        click_rate=CLICK_RATE,
        conversion_rate=CONVERSION_RATE,
        median_ecpm_micros=300.0 * FEN_MICROS,
        ecpm_sigma=0.4,
        daily_budget_micros=1_000_000_000.0,  # generous: it buys a million impressions at one unit per mille
        budget_sigma=0.3,
        objective_shares=(0.8, 0.1, 0.1),
        campaigns_per_advertiser=2,
    )


def make_supply(items: Sequence[Item], currency: str, rng: np.random.Generator) -> Supply:
    """Advertisers by brand (by category root where there is none) and all they need to advertise these items."""
    rule = order_rule(currency)
    owners = [_owner(item, number) for number, item in enumerate(items)]
    names = list(dict.fromkeys(owners))
    advertisers = {
        name: Advertiser(f"a{number}", name, f"shop{number}.example") for number, name in enumerate(names, start=1)
    }
    campaigns = {name: make_campaigns(advertiser, rule, rng) for name, advertiser in advertisers.items()}
    offers = make_offers(items, [MEDIAN_PRICE_UNITS] * len(items), currency, rng)
    creatives: list[Creative] = []
    banners = _banner_sizes(len(items), rng)
    for number, (item, owner) in enumerate(zip(items, owners, strict=True)):
        for size in (NATIVE, *banners[number]):
            campaign = campaigns[owner][int(rng.integers(len(campaigns[owner])))]
            creatives.append(_creative(item, size, campaign, advertisers[owner], variant=number))
    rules = (
        f"an advertiser for each brand, for each category root where an item has no brand, one of {SHOPS} "
        f"shops where it has neither: {len(names)} in all; {rule.in_words}",
        OFFER_RULE.replace("the median of the kind", f"{MEDIAN_PRICE_UNITS:g} {currency}"),
        f"creatives: a native one and {BANNERS_PER_ITEM} banners an item, sizes drawn by their share in "
        "iPinYou campaign 2259; "
        "texts name brand and category only, titles are the item's, brand and kind where the title makes claims",
    )
    return Supply(
        list(advertisers.values()), [entry for own in campaigns.values() for entry in own], offers, creatives, rules
    )


def _owner(item: Item, number: int) -> str:
    """Who advertises an item: its brand, else a shop of its category root, else one of SHOPS in turn."""
    if item.brand:
        return item.brand
    return f"{item.category[0]} shop" if item.category else f"shop {number % SHOPS + 1}"


def _banner_sizes(count: int, rng: np.random.Generator) -> list[list[Size]]:
    """Different sizes for each item, drawn by their share of real traffic (Gumbel's trick: a weighted draw without
    repeats)."""
    sizes = [Size(width, height) for width, height, _ in SIZES_2259]
    weights = np.log(np.array([impressions for *_, impressions in SIZES_2259], dtype=np.float64))
    keys = weights + rng.gumbel(0.0, 1.0, (count, len(sizes)))
    best = np.argsort(-keys, axis=1)[:, :BANNERS_PER_ITEM]
    return [[sizes[index] for index in row] for row in best]


def _creative(item: Item, size: Size, campaign: Campaign, advertiser: Advertiser, variant: int) -> Creative:
    slot = "native" if size == NATIVE else f"{size.width}x{size.height}"
    return Creative(
        creative_id=f"{item.item_id}-{slot}",
        item_id=item.item_id,
        campaign_id=campaign.campaign_id,
        format=AdFormat.NATIVE if size == NATIVE else AdFormat.BANNER,
        size=size,
        title=plain_title(item.title, item.brand, item.category),
        text=plain_text(item.brand, item.category, variant),
        landing_page=f"https://{advertiser.domain}/{item.item_id}",
        adomain=advertiser.domain,
    )


IMPRESSIONS_RULE = (
    f"impressions are SYNTHETIC, made of the interactions so that a click model has something to learn: "
    "each sampled contact is a "
    f"clicked impression of its item at its time; beside it items it was not are shown unclicked, "
    f"{SHOWN_AT_RANDOM:.0%} of them at "
    f"random, the rest by popularity, so many that {CLICK_RATE:.0%} of all are clicked; "
    f"{CONVERSION_RATE:.0%} of clicks convert by "
    "chance; sites, devices and prices paid (as in iPinYou campaign 2259) by chance; each user's last "
    "two contacts are left out, as "
    "they are for testing"
)


def impression_columns(
    contacts: Contacts,
    popularity: npt.NDArray[np.float64],
    creatives: Sequence[Creative],
    ids: Ids,
    size: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The columns of a synthetic `impressions` log of about `size` rows, see IMPRESSIONS_RULE."""
    positives = min(int(size * CLICK_RATE), contacts.item.size)
    chosen = np.sort(rng.choice(contacts.item.size, positives, replace=False))
    per_click = round(1.0 / CLICK_RATE)
    origin = np.repeat(chosen, per_click)
    count = origin.size
    clicked = np.zeros(count, dtype=np.bool_)
    clicked[np.arange(positives) * per_click + rng.integers(0, per_click, positives)] = True
    weight = popularity / popularity.sum()
    popular = rng.choice(popularity.size, count, p=weight)
    shown = np.where(rng.random(count) < SHOWN_AT_RANDOM, rng.integers(0, popularity.size, count), popular)
    item = np.where(clicked, contacts.item[origin], shown)
    order = {item_id: index for index, item_id in enumerate(ids.items)}
    owner = np.array([order[creative.item_id] for creative in creatives])
    by_owner = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[by_owner], np.arange(popularity.size))
    many = np.bincount(owner, minlength=popularity.size)
    entries = [creatives[index] for index in by_owner[first[item] + rng.integers(0, many[item])].tolist()]
    fen = quantile_function(PRICE_QUANTILES_2259, rng.random(count))
    return {
        "event_time": contacts.event_time[origin],
        "user_id": np.array(ids.users)[contacts.user[origin]],
        "item_id": [entry.item_id for entry in entries],
        "creative_id": [entry.creative_id for entry in entries],
        "campaign_id": [entry.campaign_id for entry in entries],
        "place_id": [""] * count,
        "device_type": np.where(rng.random(count) < 0.9, 2, 1),
        "os": ["windows"] * count,
        "domain": [f"site{number}.example" for number in (20 * rng.random(count) ** 2).astype(int)],
        "width": [entry.size.width for entry in entries],
        "height": [entry.size.height for entry in entries],
        "position": rng.integers(0, 4, count),
        "weather": ["unknown"] * count,
        "temperature_c": [None] * count,
        "crowd": [None] * count,
        "clearing_price_micros": (fen * FEN_MICROS // CPM_STEP_MICROS).astype(np.int64) * CPM_STEP_MICROS,
        "clicked": clicked,
        "converted": clicked & (rng.random(count) < CONVERSION_RATE),
    }
