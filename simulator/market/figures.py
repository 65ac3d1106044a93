"""Figures of real data that a made marketplace is held to, each with its source: facts about data, not data."""

from dataclasses import dataclass

FEN_MICROS = 10_000  # iPinYou's prices are fen (hundredths of a yuan) per mille; one fen is 10,000 micros of CNY

# Avazu's sample of one hour of mobile impressions: 1,563 clicks in 8,999 rows.
AVAZU_CLICK_RATE = 1563 / 8999


@dataclass(frozen=True, slots=True)
class Tail:
    """How unequally interactions fall on items."""

    top_1_percent: float
    top_10_percent: float
    gini: float


# Amazon reviews 2014, Beauty, 5-core: 198,502 events on 12,101 items, measured by `measures.popularity_tail`.
BEAUTY_TAIL = Tail(top_1_percent=0.105, top_10_percent=0.428, gini=0.499)
# The same data: (share of items, an item's events ÷ the mean), lowest to highest. One item has at least 5 events.
BEAUTY_POPULARITY_QUANTILES = (
    (0.0, 0.305),
    (0.1, 0.305),
    (0.25, 0.366),
    (0.5, 0.549),
    (0.75, 0.975),
    (0.9, 2.073),
    (0.95, 3.536),
    (0.99, 6.767),
    (0.999, 16.09),
    (1.0, 26.27),
)
# The same data: (share of users, events of a user), 5 at least, 8.88 on average.
BEAUTY_LENGTH_QUANTILES = ((0.0, 5), (0.25, 5), (0.5, 6), (0.75, 9), (0.9, 14), (0.95, 21), (0.99, 43), (1.0, 98))

# iPinYou campaign 2997, histogram of 312,437 winning prices in fen per mille: (share, price); mean 63.0.
PRICE_QUANTILES_2997 = (
    (0.0, 4),
    (0.01, 5),
    (0.05, 6),
    (0.1, 6),
    (0.2, 13),
    (0.25, 18),
    (0.3, 23),
    (0.4, 30),
    (0.5, 41),
    (0.6, 55),
    (0.7, 74),
    (0.75, 88),
    (0.8, 106),
    (0.9, 153),
    (0.95, 199),
    (0.99, 257),
    (1.0, 277),
)
# iPinYou campaign 2259, prices paid for 8,355 won impressions of its training rows; mean 93.3.
PRICE_QUANTILES_2259 = (
    (0.0, 1),
    (0.05, 8),
    (0.1, 15),
    (0.25, 28),
    (0.5, 70),
    (0.75, 151),
    (0.9, 201),
    (0.95, 244),
    (0.99, 281),
    (1.0, 294),
)
# The same rows: share of floors that are zero.
FREE_FLOOR_SHARE = 0.36
# The same campaign, 12,526 rows of both files: slot sizes by number of impressions. Rarer ones than 5 are left out.
SIZES_2259 = (
    (300, 250, 4627),
    (728, 90, 1725),
    (1000, 90, 1717),
    (250, 250, 1118),
    (336, 280, 792),
    (950, 90, 558),
    (200, 200, 526),
    (468, 60, 391),
    (120, 240, 284),
    (960, 90, 260),
    (160, 600, 259),
    (300, 100, 117),
    (760, 90, 56),
    (120, 600, 41),
    (234, 60, 14),
    (960, 60, 11),
    (180, 150, 10),
    (300, 600, 9),
    (125, 125, 6),
    (910, 90, 5),
)

# Seattle, daily weather of 2012–2015 and hourly temperatures of 2010.
SEATTLE_WET_AFTER_WET = 0.673  # a wet day follows a wet day
SEATTLE_WET_AFTER_DRY = 0.244  # a wet day follows a dry day
SEATTLE_WET_SHARE = 0.426  # wet days among all
SEATTLE_SWING_WET_C = 5.7  # day's maximum minus minimum, wet days
SEATTLE_SWING_DRY_C = 10.1  # the same, dry days
# Mean temperature by hour of day, scaled so that the coldest hour is 0 and the warmest 1.
SEATTLE_HOUR_SHAPE = (
    0.21, 0.15, 0.10, 0.07, 0.02, 0.0, 0.02, 0.08, 0.20, 0.33, 0.49, 0.64,
    0.79, 0.89, 0.97, 1.0, 0.97, 0.89, 0.77, 0.64, 0.51, 0.41, 0.34, 0.28,
)  # fmt: skip
