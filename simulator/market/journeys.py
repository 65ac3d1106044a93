"""The interactions of a made world: what people looked at and bought, one thing leading to the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.clock import NS_PER_HOUR
from .figures import BEAUTY_LENGTH_QUANTILES
from .measures import quantile_function
from .truth import Truth

FOLLOW = 0.4  # ours: share of steps that go to a neighbour of the item before
STAY = 0.5  # ours: share of the other steps that stay within the kind of the item before
POOL = 6  # ours: from so many popular items of a kind people take the one they like best
CONVERSION_SHARE = 0.1  # ours: one contact in ten is a purchase, the rest are clicks


@dataclass(frozen=True, slots=True)
class Journeys:
    """[E] interactions in no order."""

    event_time: npt.NDArray[np.int64]
    user: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    converted: npt.NDArray[np.bool_]

    def only(self, items: npt.NDArray[np.bool_]) -> "Journeys":
        """The interactions with the items marked in `items` [I]."""
        kept = items[self.item]
        return Journeys(self.event_time[kept], self.user[kept], self.item[kept], self.converted[kept])

    def columns(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> dict[str, Any]:
        """The columns of the log `interactions`."""
        return {
            "event_time": self.event_time,
            "user_id": np.array(user_ids)[self.user],
            "item_id": np.array(item_ids)[self.item],
            "kind": np.where(self.converted, "conversion", "click"),
        }


def make_journeys(truth: Truth, days: int, hour_profile: npt.NDArray[np.float64], rng: np.random.Generator) -> Journeys:
    """What every user did in the first `days` days; each has at least five interactions, in time order one by one."""
    users = len(truth.user_place)
    lengths = np.floor(quantile_function(BEAUTY_LENGTH_QUANTILES, rng.random(users))).astype(np.int64)
    owner = np.repeat(np.arange(users), lengths)
    times = _times(owner, truth, days, hour_profile, rng)
    first = np.cumsum(lengths) - lengths
    picks = np.empty(owner.size, dtype=np.int64)
    chooser = _Chooser(truth, rng)
    active = np.arange(users)
    before: npt.NDArray[np.int64] | None = None
    for step in range(int(lengths.max())):
        keep = lengths[active] > step
        active = active[keep]
        rows = first[active] + step
        hours = (times[rows] - truth.climate.start) // NS_PER_HOUR
        before = chooser.next(active, hours, None if before is None else before[keep])
        picks[rows] = before
    return Journeys(times, owner, picks, rng.random(owner.size) < CONVERSION_SHARE)


def walks(
    truth: Truth, users: npt.NDArray[np.int64], hour: int, steps: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """[U, steps] what each user does next, one thing leading to the next, all within one hour of the climate."""
    chooser, hours = _Chooser(truth, rng), np.full(users.size, hour)
    picks = np.empty((users.size, steps), dtype=np.int64)
    before: npt.NDArray[np.int64] | None = None
    for step in range(steps):
        before = chooser.next(users, hours, before)
        picks[:, step] = before
    return picks


def _times(
    owner: npt.NDArray[np.int64], truth: Truth, days: int, profile: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """[E] increasing within each owner: hours by the usual day and the crowd of the owner's place."""
    demand = np.tile(profile, days) * np.sqrt(truth.climate.crowd[:, : days * 24].astype(np.float64))  # [P, H]
    cumulative = np.cumsum(demand / demand.sum(axis=1, keepdims=True), axis=1)
    places = truth.user_place[owner].astype(np.int64)
    # Each row of `cumulative` is a distribution over hours; offset by the row's number, one sorted search serves all.
    flat = (cumulative + np.arange(len(cumulative))[:, None]).ravel()
    spots = np.searchsorted(flat, places + rng.random(owner.size), side="right")
    hours = np.minimum(spots - places * cumulative.shape[1], days * 24 - 1)
    times: npt.NDArray[np.int64] = truth.climate.start + hours * NS_PER_HOUR + rng.integers(0, NS_PER_HOUR, owner.size)
    return times[np.lexsort((times, owner))]


class _Chooser:
    """Picks the next item of many users at once."""

    def __init__(self, truth: Truth, rng: np.random.Generator) -> None:
        self._truth = truth
        self._rng = rng
        order = np.argsort(truth.item_kind, kind="stable")
        kinds = len(truth.sensitivity)
        weight = truth.item_weight[order].astype(np.float64)
        kind = truth.item_kind[order].astype(np.int64)
        totals = np.bincount(kind, weights=weight, minlength=kinds)
        starts = np.concatenate([[0.0], np.cumsum(totals)[:-1]])
        self._order = order
        self._ladder = (np.cumsum(weight) - starts[kind]) / totals[kind] + kind  # kind k covers (k, k + 1]
        self._sizes = np.bincount(kind, minlength=kinds)
        self._appetite = totals / totals.sum()

    def next(
        self, users: npt.NDArray[np.int64], hours: npt.NDArray[np.int64], before: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[np.int64]:
        """[A] an item for each user."""
        rng, truth = self._rng, self._truth
        kind = self._kind_of_interest(users, hours)
        if before is not None:
            kind = np.where(rng.random(users.size) < STAY, truth.item_kind[before], kind)
        draws = kind[:, None] + rng.random((users.size, POOL))
        spots = np.minimum(np.searchsorted(self._ladder, draws, side="left"), len(self._order) - 1)
        pool = self._order[spots]  # [A, POOL] by popularity within the kind
        day = np.minimum(hours // 24, truth.user_vectors.shape[1] - 1)
        liking = np.einsum("ad,apd->ap", truth.user_vectors[users, day], truth.item_vectors[pool])
        noise = rng.gumbel(0.0, 1.0, pool.shape)
        choice: npt.NDArray[np.int64] = pool[np.arange(users.size), np.argmax(liking + noise, axis=1)]
        if before is None:
            return choice
        neighbour = truth.item_next[before, rng.integers(0, truth.item_next.shape[1], users.size)]
        return np.where(rng.random(users.size) < FOLLOW, neighbour, choice)

    def _kind_of_interest(self, users: npt.NDArray[np.int64], hours: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """[A] one of each user's interests, likelier when the weather there calls for it."""
        truth = self._truth
        day = np.minimum(hours // 24, truth.user_vectors.shape[1] - 1)
        interests = truth.user_kinds[users, day].astype(np.int64)  # [A, 3]
        present = self._sizes[interests] > 0
        pull = truth.kind_pull(truth.user_place[users].astype(np.int64), hours)  # [A, C]
        scores = np.take_along_axis(pull, interests, axis=1) + self._rng.gumbel(0.0, 1.0, interests.shape)
        best = interests[np.arange(users.size), np.argmax(np.where(present, scores, -np.inf), axis=1)]
        anything = self._rng.choice(self._appetite.size, users.size, p=self._appetite)
        # One step in ten is curiosity, and so is every step of a user whose interests no item serves.
        curious = (self._rng.random(users.size) < 0.1) | ~present.any(axis=1)
        return np.where(curious, anything, best)
