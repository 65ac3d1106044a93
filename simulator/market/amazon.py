"""Imports Amazon reviews 2014 (5-core): a folder with `items.jsonl` and `sequences.txt`.

items.jsonl    {"item": 1, "title": "…", "attributes": [brand?, category path…], "keywords": […]}
sequences.txt  one user a line: user id, then item ids in time order
"""

import html
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...core.catalogue import Item
from ...core.clock import NS_PER_HOUR, NS_PER_SECOND
from ...core.errors import MarketplaceError
from ...core.marketplace import Manifest, User, write_entities, write_log, write_manifest
from .measures import popularity_tail
from .supply import IMPRESSIONS_RULE, Contacts, Ids, impression_columns, make_supply
from .tables import rows

CURRENCY = "CNY"  # so that bids meet iPinYou's prices
IMPRESSIONS = 150_000
# Beauty's attributes begin with a category root, or with a brand and then a root.
ROOTS = frozenset({"Skin Care", "Hair Care", "Makeup", "Tools & Accessories", "Bath & Body", "Fragrance"})
LAST_DAY_NS = 1_406_073_600 * NS_PER_SECOND  # 2014-07-23, when the reviews were collected
DAY_NS = 24 * NS_PER_HOUR
TESTED = 2  # each user's last two contacts are for validation and test
TIMES_RULE = (
    "the source orders contacts but dates none: each user's last is on a day of the 60 before 2014-07-23 "
    "and gaps are geometric, "
    "20 days on average, at a random hour; order is kept"
)


def import_amazon(folder: Path, out: Path, seed: int) -> Manifest:
    """Afterwards `out` is a marketplace of these reviews; what they lack is made by the rules in its manifest."""
    rng = np.random.default_rng(seed)
    items = _read_items(folder / "items.jsonl")
    order = {item.item_id: index for index, item in enumerate(items)}
    sequences = _read_sequences(folder / "sequences.txt", order)
    users = list(sequences)
    lengths = np.array([len(sequence) for sequence in sequences.values()])
    item = np.concatenate([np.array(sequence) for sequence in sequences.values()])
    user = np.repeat(np.arange(len(users)), lengths)
    place_from_end = np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(item.size)
    times = _times(user, lengths, rng)
    trained = place_from_end >= TESTED
    popularity = np.bincount(item[trained], minlength=len(items)).astype(np.float64)
    items = [
        Item(entry.item_id, entry.title, entry.category, entry.brand, entry.text, float(count))
        for entry, count in zip(items, popularity, strict=True)
    ]
    supply = make_supply(items, CURRENCY, rng)
    contacts = Contacts(times[trained], user[trained], item[trained])
    ids = Ids(users, [entry.item_id for entry in items])
    impressions = impression_columns(contacts, popularity + 1.0, supply.creatives, ids, IMPRESSIONS, rng)

    write_entities(out, "items", items)
    write_entities(out, "advertisers", supply.advertisers)
    write_entities(out, "campaigns", supply.campaigns)
    write_entities(out, "offers", supply.offers)
    write_entities(out, "creatives", supply.creatives)
    write_entities(out, "places", [])
    write_entities(out, "users", [User(user_id) for user_id in users])
    interactions = {
        "event_time": times,
        "user_id": np.array(users)[user],
        "item_id": np.array(ids.items)[item],
        "kind": ["click"] * item.size,
    }
    write_log(out, "interactions", interactions)
    write_log(out, "impressions", impressions)
    tail = popularity_tail(np.bincount(item, minlength=len(items)))
    manifest = Manifest(
        name=folder.name,
        currency=CURRENCY,
        source="Amazon reviews 2014, 5-core",
        seed=seed,
        rules=(
            "each review is one contact of kind click; item.popularity counts contacts without each user's last two",
            TIMES_RULE,
            *supply.rules,
            IMPRESSIONS_RULE,
        ),
        figures={
            "users": float(len(users)),
            "items": float(len(items)),
            "interactions": float(item.size),
            "creatives": float(len(supply.creatives)),
            "campaigns": float(len(supply.campaigns)),
            "top_1_percent_share": tail.top_1_percent,
            "top_10_percent_share": tail.top_10_percent,
            "gini": tail.gini,
        },
    )
    write_manifest(out, manifest)
    return manifest


def _read_items(path: Path) -> list[Item]:
    items = []
    for _, row in rows(path, ("item", "title", "attributes", "keywords")):
        attributes = [html.unescape(part) for part in row["attributes"].split("|") if part]
        has_brand = bool(attributes) and attributes[0] not in ROOTS
        keywords = row["keywords"].replace("|", " ")
        title = html.unescape(row["title"]).strip() or keywords or f"item {row['item']}"
        category = tuple(attributes[1:] if has_brand else attributes)
        items.append(Item(row["item"], title, category, attributes[0] if has_brand else "", keywords))
    return items


def _read_sequences(path: Path, order: dict[str, int]) -> dict[str, list[int]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MarketplaceError(f"cannot read {path}: {error.strerror}") from error
    sequences = {}
    for number, line in enumerate(lines, start=1):
        user, *bought = line.split() or [""]
        strange = next((item for item in bought if item not in order), None)
        if not bought or strange is not None:
            problem = f"item {strange} is not in items.jsonl" if strange else "a user without items"
            raise MarketplaceError(f"{path}:{number}: {problem}")
        sequences[user] = [order[item] for item in bought]
    if not sequences:
        raise MarketplaceError(f"{path} is empty; it needs a line for each user")
    return sequences


def _times(
    user: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """[E] increasing within each user, see TIMES_RULE."""
    gaps = rng.geometric(1.0 / 20.0, user.size)  # days to the contact after; at least one, so that order is kept
    last = np.cumsum(lengths) - 1
    gaps[last] = rng.integers(0, 60, lengths.size)
    back = np.cumsum(gaps[::-1])[::-1]  # days from here to the end of all users
    after = np.concatenate([back[last[:-1] + 1], [0]])  # of which so many belong to later users
    days = back - after[user]
    times: npt.NDArray[np.int64] = LAST_DAY_NS - days * DAY_NS + rng.integers(0, DAY_NS, user.size)
    return times
