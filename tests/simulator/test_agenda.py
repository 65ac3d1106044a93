"""Happenings come in their order, none lost."""

from hypothesis import given
from hypothesis import strategies as st

from adgram.core.environment import EnvironmentReading
from adgram.core.feedback import Feedback, FeedbackKind
from adgram.simulator.agenda import Agenda, Reaction, Reading


def _happening(kind: int, name: int) -> Reading | Reaction:
    if kind == 0:
        return Reading(EnvironmentReading(str(name)))
    return Reaction(str(name), Feedback(FeedbackKind.CLICK))


def _name(happening: object) -> int:
    if isinstance(happening, Reading):
        return int(happening.reading.place_id)
    assert isinstance(happening, Reaction)
    return int(happening.event_id)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), max_size=40))
def test_everything_comes_once_by_time_then_rank_then_order_of_adding(due: list[tuple[int, int]]) -> None:
    """The agenda is a stable sort by time and rank."""
    agenda = Agenda()
    for name, (at, kind) in enumerate(due):
        agenda.add(at, _happening(kind, name))
    popped = [agenda.pop() for _ in range(len(agenda))]
    expected = sorted(range(len(due)), key=lambda name: due[name])
    assert [_name(entry.happening) for entry in popped] == expected
    assert [entry.at for entry in popped] == [due[name][0] for name in expected]


def test_what_is_added_while_running_takes_its_place() -> None:
    """A happening added late for an early time is the next one."""
    agenda = Agenda()
    agenda.add(10, _happening(1, 0))
    agenda.add(20, _happening(1, 1))
    agenda.pop()
    agenda.add(15, _happening(1, 2))
    assert agenda.first is not None
    assert agenda.first.at == 15
    assert [agenda.pop().at for _ in range(2)] == [15, 20]
