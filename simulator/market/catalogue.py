"""The catalogue of a made world: bilingual items, their advertisers, campaigns, offers and creatives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.catalogue import Advertiser, Campaign, Creative, Item, Offer
from ...core.request import AdFormat, Size
from .figures import AVAZU_CLICK_RATE
from .needs import Product, Wish
from .orders import OrderRule, make_campaigns, make_offers
from .truth import CONVERSION_RATE, Truth
from .vocabulary import BRANDS_EN, BRANDS_ZH, KINDS, Kind
from .wording import forbidden_text, plain_title, world_text

CURRENCY = "CNY"
CHINESE_SHARE = 0.45  # ours: both languages often enough for a model of either
FORBIDDEN_SHARE = 0.03  # ours: so that the verifier has work in every thousand of creatives
NATIVE = Size(0, 0)
# Slot sizes of the world's traffic and the share of items that have a banner for each; every item has a native ad.
BANNERS = ((Size(300, 250), 1.0), (Size(320, 50), 0.8), (Size(728, 90), 0.5))
MEDIAN_ECPM_MICROS = (
    900_000.0  # ours: about the upper quartile of campaign 2997's prices (88 fen), so that most auctions can be won
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All there is to advertise. `forbidden` names the creatives whose words break the law; `products` says what each
    item is."""

    items: list[Item]
    offers: list[Offer]
    advertisers: list[Advertiser]
    campaigns: list[Campaign]
    creatives: list[Creative]
    forbidden: tuple[str, ...]
    products: tuple[Product, ...]


@dataclass(frozen=True, slots=True)
class _Named:
    """An item with the words it was made of."""

    item: Item
    kind: Kind
    product: Product
    words: dict[str, str]


def order_rule(requests: int, places: tuple[str, ...]) -> OrderRule:
    """How the world's campaigns are made; budgets follow the traffic there is, so that some of them bind."""
    spend_micros = (
        requests * 630
    )  # what all of it costs: campaign 2997's mean price of 63 fen per mille is 630 micros each
    return OrderRule(
        currency=CURRENCY,
        click_rate=AVAZU_CLICK_RATE,
        conversion_rate=CONVERSION_RATE,
        median_ecpm_micros=MEDIAN_ECPM_MICROS,
        ecpm_sigma=0.4,
        daily_budget_micros=spend_micros / 12,  # ours: twelve median campaigns could buy everything
        budget_sigma=0.8,
        objective_shares=(0.7, 0.15, 0.15),
        campaigns_per_advertiser=3,
        capped_share=0.3,
        targeted_share=0.1,
        places=places,
    )


def make_catalogue(truth: Truth, rule: OrderRule, rng: np.random.Generator) -> Catalogue:
    """A catalogue with one item for each of the truth's items, in its order."""
    named = _name_items(truth, rng)
    advertisers = {
        brand: Advertiser(f"a{number}", brand, f"brand{number}.example")
        for number, brand in enumerate(BRANDS_EN + BRANDS_ZH, start=1)
    }
    campaigns = {advertiser.advertiser_id: make_campaigns(advertiser, rule, rng) for advertiser in advertisers.values()}
    items = [entry.item for entry in named]
    offers = make_offers(items, [entry.kind.price for entry in named], rule.currency, rng)
    creatives: list[Creative] = []
    forbidden: list[str] = []
    for entry in named:
        advertiser = advertisers[entry.item.brand]
        own = campaigns[advertiser.advertiser_id]
        for size in _sizes(rng):
            campaign = own[int(rng.integers(len(own)))]
            for theme in _themes(entry.kind):
                breaks_law = rng.random() < FORBIDDEN_SHARE
                creative = _creative(entry, size, theme, campaign, advertiser, breaks_law, rng)
                creatives.append(creative)
                if breaks_law:
                    forbidden.append(creative.creative_id)
    products = tuple(entry.product for entry in named)
    everything = [campaign for own in campaigns.values() for campaign in own]
    return Catalogue(items, offers, list(advertisers.values()), everything, creatives, tuple(forbidden), products)


def _name_items(truth: Truth, rng: np.random.Generator) -> list[_Named]:
    named: list[_Named] = []
    taken: set[str] = set()
    for index, number in enumerate(truth.item_kind.tolist()):
        kind = KINDS[number]
        chinese = rng.random() < CHINESE_SHARE
        brands = BRANDS_ZH if chinese else BRANDS_EN
        # A brand sells in two or three neighbouring roots, never everything.
        brand = brands[(number * 5 + int(rng.integers(6))) % len(brands)]
        language = "zh" if chinese else "en"
        wish = Wish(number, int(rng.integers(len(kind.nouns_en))), int(rng.integers(len(kind.traits_en))))
        noun, trait = wish.words(language).noun, wish.words(language).trait
        spec = _pick(kind.specs, rng)
        model = f"{chr(65 + int(rng.integers(26)))}{int(rng.integers(10, 100))}"
        title = f"{brand}{trait}{noun} {model} {spec}" if chinese else f"{brand} {trait} {noun} {model}, {spec}"
        while title in taken:
            title += "+"
        taken.add(title)
        words = {"brand": brand, "noun": noun, "trait": trait, "spec": spec}
        text = f"{trait}，规格{spec}。" if chinese else f"{trait}. {spec}."
        item = Item(f"i{index:06d}", title, (kind.root, kind.leaf), brand, text)
        named.append(_Named(item, kind, Product(wish, language), words))
    return named


def _sizes(rng: np.random.Generator) -> tuple[Size, ...]:
    return (NATIVE, *(size for size, share in BANNERS if rng.random() < share))


def _themes(kind: Kind) -> tuple[str, ...]:
    return ("plain",) if kind.theme == "plain" else ("plain", kind.theme)


def _creative(
    entry: _Named,
    size: Size,
    theme: str,
    campaign: Campaign,
    advertiser: Advertiser,
    breaks_law: bool,
    rng: np.random.Generator,
) -> Creative:
    item = entry.item
    text = (
        forbidden_text(entry.product.language, entry.words, rng)
        if breaks_law
        else world_text(entry.product.language, theme, entry.words, rng)
    )
    slot = "native" if size == NATIVE else f"{size.width}x{size.height}"
    return Creative(
        creative_id=f"{item.item_id}-{slot}-{theme}",
        item_id=item.item_id,
        campaign_id=campaign.campaign_id,
        format=AdFormat.NATIVE if size == NATIVE else AdFormat.BANNER,
        size=size,
        title=plain_title(item.title, item.brand, item.category),
        text=text,
        landing_page=f"https://{advertiser.domain}/{item.item_id}",
        adomain=advertiser.domain,
        theme=theme,
    )


def _pick(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
