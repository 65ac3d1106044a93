"""What fades and what ends: interests, sessions, users and places; and rows from before any of them."""

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adgram.core import rows
from adgram.core.clock import NS_PER_HOUR, NS_PER_SECOND
from adgram.core.commit import Row, Table
from adgram.core.environment import Environment, EnvironmentReading, HourlyReading, Weather
from adgram.core.errors import InvalidEvent
from adgram.core.event import Event, Outcome
from adgram.core.feedback import SESSION_GAP_NS, Feedback, FeedbackKind, Interaction, UserState
from adgram.streaming.folds import environment, expiry, feedback
from adgram.streaming.folds.expiry import Expiry
from adgram.streaming.folds.state import ShardState

DAY = feedback.DAY_NS
FORGETTING = feedback.Forgetting(half_life_ns=DAY, ttl_ns=10 * DAY)
HOUR = 490_000
NOW = HOUR * NS_PER_HOUR
KINDS = (FeedbackKind.CLICK, FeedbackKind.VISIT, FeedbackKind.CONVERSION)


def _contact(state, number, event_time, item="i", kind=FeedbackKind.CLICK, user="u"):
    value = Feedback(kind, user, item)
    feedback.fold(state, Event(f"e{number}", event_time, user, value), FORGETTING)
    return state.merged[Table.USER, user]


def _weights(user):
    return {one.item_id: one.weight for one in user.interests}


@given(
    st.permutations(range(8)),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.sampled_from(KINDS)), min_size=8, max_size=8),
)
def test_interests_are_the_same_whatever_the_arrival(order, contacts):
    """Each is the sum of its contacts' weights, halved for every half-life between them and the newest contact."""
    state = ShardState()
    for number in order:
        item, day, kind = contacts[number]
        user = _contact(state, number, NOW + day * DAY, item, kind)
    newest = max(day for _, day, _ in contacts)
    expected = {}
    for item, day, kind in contacts:
        expected[item] = expected.get(item, 0.0) + feedback.WEIGHTS[kind] * 0.5 ** (newest - day)
    assert _weights(user) == pytest.approx(expected)
    assert [one.weight for one in user.interests] == sorted(_weights(user).values(), reverse=True)
    assert user.expires == NOW + newest * DAY + FORGETTING.ttl_ns


def test_only_the_greatest_interests_are_kept():
    """A purchase outlives many single clicks, which push each other out."""
    state = ShardState()
    user = _contact(state, 0, NOW, "bought", FeedbackKind.CONVERSION)
    for number in range(1, 2 * feedback.INTERESTS):
        user = _contact(state, number, NOW, f"clicked{number:03}")
    assert len(user.interests) == feedback.INTERESTS and user.interests[0].item_id == "bought"


def test_a_session_ends_with_half_an_hour_of_silence():
    """It reaches back as long as each gap is short enough, and knows nothing of what comes later."""
    gap = SESSION_GAP_NS
    times = [NOW, NOW + gap + 1, NOW + gap + 2, NOW + 2 * gap + 2]
    user = UserState("u", tuple(Interaction(f"i{at}", FeedbackKind.CLICK, at) for at in times))

    def seen(event_time):
        return [one.event_time for one in user.session(event_time)]

    assert seen(times[-1]) == times[1:]
    assert seen(times[-1] + gap) == times[1:] and seen(times[-1] + gap + 1) == []
    assert seen(times[0]) == times[:1]
    assert UserState("u").session(NOW) == ()


def _tell(state, event_time, **reading):
    event = Event("e", event_time, "p", EnvironmentReading("p", **reading))
    return environment.fold(state, event), state.merged.get((Table.ENVIRONMENT, "p"))


def test_hours_are_told_apart_and_dropped_when_they_are_over():
    """A reading of an hour changes that hour alone; within it the newest speaks and an older one fills in."""
    state = ShardState()
    _tell(state, NOW, weather=Weather.SUN, expires=NOW + 3 * NS_PER_HOUR)
    _tell(state, NOW + 1, hour=HOUR + 1, weather=Weather.RAIN)
    _tell(state, NOW + 3, hour=HOUR + 2, weather=Weather.SNOW, temperature_c=-1.0)
    _, place = _tell(state, NOW + 2, hour=HOUR + 2, weather=Weather.RAIN, crowd=2.0)
    assert place.hours == (
        HourlyReading(HOUR + 1, Weather.RAIN, event_time=NOW + 1),
        HourlyReading(HOUR + 2, Weather.SNOW, -1.0, 2.0, (), NOW + 3),
    )
    assert place.at(NOW + NS_PER_HOUR).weather is Weather.RAIN, "told later than the standing reading"
    assert place.at(NOW + NS_PER_HOUR // 2).weather is Weather.SUN
    _, place = _tell(state, NOW + 2 * NS_PER_HOUR, hour=HOUR + 3, crowd=1.0)
    assert [one.hour for one in place.hours] == [HOUR + 2, HOUR + 3]


def test_an_hour_that_is_over_when_it_is_told_changes_nothing():
    """It makes no row, and is no error."""
    state = ShardState()
    outcome, place = _tell(state, NOW, hour=HOUR - 1, weather=Weather.RAIN)
    assert outcome is Outcome.IGNORED and place is None and not state.changed


@pytest.mark.parametrize("hour", [-1, HOUR + environment.FORECAST_HOURS + 1])
def test_an_hour_nobody_can_know_of_is_refused(hour):
    """Such as a time in seconds that was taken for an hour."""
    with pytest.raises(InvalidEvent, match="hours since 1970"):
        _tell(ShardState(), NOW, hour=hour, weather=Weather.RAIN)


def test_rows_that_ended_become_tombstones_and_those_told_of_again_stay():
    """A user after so long without a contact, a place when nothing told of it holds; once each."""
    state = ShardState()
    ends = Expiry(state)
    _contact(state, 1, NOW, user="gone")
    _contact(state, 2, NOW, user="back")
    _tell(state, NOW, weather=Weather.RAIN, expires=NOW + NS_PER_SECOND)
    assert ends.drop_ended(NOW) == 0
    state.changed.clear()
    _contact(state, 3, NOW + DAY, user="back")
    assert ends.drop_ended(NOW + FORGETTING.ttl_ns) == 2
    assert {key: value for key, value in state.changed.items() if value is None} == {
        (Table.USER, "gone"): None,
        (Table.ENVIRONMENT, "p"): None,
    }
    assert (Table.USER, "back") in state.merged
    assert ends.drop_ended(NOW + FORGETTING.ttl_ns) == 0
    assert ends.drop_ended(NOW + DAY + FORGETTING.ttl_ns) == 1


def test_a_restart_knows_what_ends_and_a_forgotten_user_begins_anew():
    """The ends are in the rows; an event from before the end does not bring the old user back."""
    before = ShardState()
    user = _contact(before, 1, NOW)
    state = ShardState()
    state.restore(rows.row(Table.USER, "u", user, NOW))
    assert Expiry(state).drop_ended(user.expires) == 1
    late = Event("e2", user.expires - 1, "u", Feedback(FeedbackKind.CLICK, "u", "i"))
    assert feedback.fold(state, late, FORGETTING) is Outcome.OUT_OF_ORDER
    assert _contact(state, 3, user.expires + 1).events == 1


def test_a_generation_of_users_leaves_in_passing(monkeypatch):
    """No commit has more tombstones than MOST_AT_ONCE; the next ones take the rest."""
    monkeypatch.setattr(expiry, "MOST_AT_ONCE", 3)
    state = ShardState()
    for number in range(7):
        _contact(state, number, NOW, user=f"u{number}")
    ends = Expiry(state)
    assert [ends.drop_ended(NOW + FORGETTING.ttl_ns) for _ in range(4)] == [3, 3, 1, 0]


@dataclass
class _UserBefore:
    """A user as rows held one before there were interests."""

    user_key: str
    history: tuple[Interaction, ...]
    events: int
    recent_event_ids: tuple[str, ...]


@dataclass
class _PlaceBefore:
    """A place as rows held one before there were hours."""

    place_id: str
    weather: str
    temperature_c: float | None
    crowd: float | None
    local_events: tuple[str, ...]
    event_time: int
    expires: int


def test_older_rows_are_read_with_what_is_new_left_empty():
    """A log from before knows no interests, ends or hours; folding goes on from it."""
    click = Interaction("old", FeedbackKind.CLICK, NOW)
    stored = {
        (Table.USER, "u"): _UserBefore("u", (click,), 1, ("e0",)),
        (Table.ENVIRONMENT, "p"): _PlaceBefore("p", "rain", 3.0, None, (), NOW, 0),
    }
    state = ShardState()
    for (table, key), value in stored.items():
        state.restore(Row(table, key, msgspec.msgpack.encode(value), NOW))
    assert state.merged[Table.USER, "u"] == UserState("u", (click,), 1, ("e0",))
    assert state.merged[Table.ENVIRONMENT, "p"] == Environment("p", Weather.RAIN, 3.0, None, (), NOW)
    user = _contact(state, 1, NOW + DAY, "new")
    assert (user.events, _weights(user)) == (2, {"new": 1.0})
    _, place = _tell(state, NOW + 1, hour=HOUR, crowd=2.0)
    assert place.weather is Weather.RAIN and place.hours[0].crowd == 2.0
