"""People whose interests shift at one moment."""

import numpy as np

from adgram.core.marketplace import Marketplace
from adgram.simulator.market.drift import make_shift, shifted
from adgram.simulator.market.generator import TRUTH
from adgram.simulator.market.truth import Truth


def test_after_the_shift_no_old_interest_is_left(small_world: Marketplace) -> None:
    """From that day on a shifted user shares no kind with their former self; before it, and for others, all is kept."""
    truth = Truth.load(small_world.folder / TRUTH)
    users, day = np.arange(40), truth.user_kinds.shape[1] - 1
    after = shifted(truth, users, day, np.random.default_rng(1))
    for user in users.tolist():
        assert not set(after.user_kinds[user, day].tolist()) & set(truth.user_kinds[user, day].tolist())
    assert np.array_equal(after.user_kinds[:, :day], truth.user_kinds[:, :day])
    assert np.array_equal(after.user_kinds[40:], truth.user_kinds[40:])


def test_people_take_what_they_newly_care_for(small_world: Marketplace) -> None:
    """The items taken after the shift are of the former interests' kinds about as seldom as any other item."""
    truth = Truth.load(small_world.folder / TRUTH)
    users, day = np.arange(200), truth.user_kinds.shape[1] - 1
    shift = make_shift(truth, users, 15, 15, np.random.default_rng(2))
    old = truth.user_kinds[users, day][:, None, :]  # [U, 1, 3]
    before = (truth.item_kind[shift.before][:, :, None] == old).any(axis=2).mean()
    after = (truth.item_kind[shift.after][:, :, None] == old).any(axis=2).mean()
    assert before > 0.6
    assert after < 0.2


def test_the_same_seed_makes_the_same_shift(small_world: Marketplace) -> None:
    """Journeys before and after depend on the generator alone."""
    truth = Truth.load(small_world.folder / TRUTH)
    one, two = (make_shift(truth, np.arange(5), 6, 7, np.random.default_rng(3)) for _ in range(2))
    assert one.before.shape == (5, 6)
    assert one.after.shape == (5, 7)
    assert np.array_equal(one.before, two.before)
    assert np.array_equal(one.after, two.after)
