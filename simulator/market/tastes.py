"""Draws the latents of a world: kinds, items, users and how users' interests drift from day to day."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .climate import PLACES, Climate
from .figures import BEAUTY_POPULARITY_QUANTILES
from .measures import quantile_function
from .truth import Truth
from .vocabulary import KINDS

WIDTH = 16  # d: enough for 36 kinds to be told apart, few enough to be learned from a week
NEIGHBOURS = 6  # items often taken after an item
INTERESTS = 3  # kinds a user cares about at a time
SWITCH_PER_DAY = 0.08  # ours: so that about 43 % of users change an interest within a week
# ours: liking and following even popularity out; with weights to this power the log has Beauty's tail
# (.108/.402/.519 for .105/.428/.499).
WEIGHT_POWER = 1.3
# Where people and requests are: places of PLACES by number, roughly by size of their ad markets.
PLACE_SHARES = (0.05, 0.14, 0.07, 0.16, 0.10, 0.12, 0.10, 0.04, 0.06, 0.07, 0.05, 0.04)


@dataclass(frozen=True, slots=True)
class TasteSettings:
    """How much there is of each."""

    items: int
    users: int
    days: int


def make_truth(settings: TasteSettings, climate: Climate, rng: np.random.Generator) -> Truth:
    """Latents for so many items, users and days; intercepts are still to be calibrated."""
    kinds = len(KINDS)
    roots = sorted({kind.root for kind in KINDS})
    root_centres = rng.normal(0.0, 1.0, (len(roots), WIDTH))
    centres = _unit(
        0.6 * root_centres[[roots.index(kind.root) for kind in KINDS]] + rng.normal(0.0, 1.0, (kinds, WIDTH))
    )
    item_kind = np.sort(rng.integers(0, kinds, settings.items))
    item_vectors = centres[item_kind] + 0.45 * rng.normal(0.0, 1.0, (settings.items, WIDTH)) / np.sqrt(WIDTH) * 2.0
    shares = (rng.permutation(settings.items) + 0.5) / settings.items
    weights = quantile_function(BEAUTY_POPULARITY_QUANTILES, shares) ** WEIGHT_POWER
    user_kinds, user_vectors = _drifting_users(settings, centres, rng)
    return Truth(
        climate=climate,
        user_vectors=user_vectors,
        user_kinds=user_kinds,
        user_activity=rng.lognormal(0.0, 0.7, settings.users).astype(np.float32),
        user_place=rng.choice(len(PLACES), settings.users, p=PLACE_SHARES).astype(np.int16),
        item_vectors=item_vectors.astype(np.float32),
        item_quality=rng.normal(0.0, 1.0, settings.items).astype(np.float32),
        item_appeal=rng.normal(0.0, 1.0, settings.items).astype(np.float32),
        item_weight=(weights / weights.mean()).astype(np.float32),
        item_kind=item_kind.astype(np.int16),
        item_next=_neighbours(item_kind, item_vectors, rng),
        sensitivity=np.array([(k.rain, k.heat, k.cold, k.crowd) for k in KINDS], dtype=np.float32),
    )


def _drifting_users(
    settings: TasteSettings, centres: npt.NDArray[np.float64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]:
    """Interests [U, D, 3] and vectors [U, D, d]: interests wax and wane daily, and now and then one is swapped."""
    users, kinds = settings.users, len(centres)
    current = np.argsort(rng.random((users, kinds)), axis=1)[:, :INTERESTS]  # [U, 3], all different
    strength = rng.normal(0.0, 0.6, (users, INTERESTS))
    personal = 0.5 * rng.normal(0.0, 1.0, (users, WIDTH)) / np.sqrt(WIDTH)
    all_kinds = np.empty((users, settings.days, INTERESTS), dtype=np.int16)
    vectors = np.empty((users, settings.days, WIDTH), dtype=np.float32)
    for day in range(settings.days):
        all_kinds[:, day] = current
        weights = np.exp(strength) / np.exp(strength).sum(axis=1, keepdims=True)
        mixed = np.einsum("uk,ukd->ud", weights, centres[current]) + personal
        vectors[:, day] = 2.2 * _unit(mixed)  # ours: length 2.2 gives affinities a spread of about 0.6 on the logit
        strength = 0.8 * strength + rng.normal(0.0, 0.35, strength.shape)
        switching = np.flatnonzero(rng.random(users) < SWITCH_PER_DAY)
        current = current.copy()
        current[switching, rng.integers(0, INTERESTS, switching.size)] = rng.integers(0, kinds, switching.size)
    return all_kinds, vectors


def _neighbours(
    item_kind: npt.NDArray[np.int64], vectors: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """[I, 6] items taken after each: half the nearest of its kind by latent, half at random from its kind."""
    result = np.empty((len(item_kind), NEIGHBOURS), dtype=np.int32)
    for kind in np.unique(item_kind):
        members = np.flatnonzero(item_kind == kind)
        distance = ((vectors[members, None] - vectors[None, members]) ** 2).sum(axis=-1)
        nearest = members[np.argsort(distance, axis=1, kind="stable")[:, 1 : 1 + NEIGHBOURS // 2]]
        missing = NEIGHBOURS - nearest.shape[1]
        result[members] = np.hstack([nearest, rng.choice(members, (members.size, missing))])
    return result


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lengths: npt.NDArray[np.float64] = np.linalg.norm(vectors, axis=-1, keepdims=True)
    result: npt.NDArray[np.float64] = vectors / lengths
    return result
