"""A shift of interests: people who from one moment on care for other things than before."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .journeys import walks
from .truth import Truth


@dataclass(frozen=True, slots=True)
class Shift:
    """[U, B] items taken before and [U, A] items taken after the users' interests changed, oldest first."""

    users: npt.NDArray[np.int64]  # [U]
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]


def shifted(truth: Truth, users: npt.NDArray[np.int64], day: int, rng: np.random.Generator) -> Truth:
    """The same world in which each of `users` has, from `day` on, the interests of a stranger.

    The stranger is drawn among those who share none of the user's interests on that day, so that nothing known of the
    user speaks for what comes. A world where everybody shares an interest with a user leaves that user as they were.
    """
    kinds, vectors = truth.user_kinds.copy(), truth.user_vectors.copy()
    everybody = truth.user_kinds[:, day]  # [P, 3]
    for user in users.tolist():
        alike = np.isin(everybody, everybody[user]).any(axis=1)
        strangers = np.flatnonzero(~alike)
        if strangers.size:
            stranger = int(rng.choice(strangers))
            kinds[user, day:], vectors[user, day:] = (
                truth.user_kinds[stranger, day:],
                truth.user_vectors[stranger, day:],
            )
    return replace(truth, user_kinds=kinds, user_vectors=vectors)


def make_shift(truth: Truth, users: npt.NDArray[np.int64], before: int, after: int, rng: np.random.Generator) -> Shift:
    """What `users` do in the last evening of the world: `before` things, then the shift, then `after` things.

    Both stretches lie in the same hour, so that weather and crowd are the same; each begins afresh, with nothing that
    leads to it.
    """
    day = truth.user_vectors.shape[1] - 1
    hour = min(day * 24 + 20, truth.climate.hours - 1)
    own = walks(truth, users, hour, before, rng)
    return Shift(users, own, walks(shifted(truth, users, day, rng), users, hour, after, rng))
