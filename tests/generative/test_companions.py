import numpy as np
import pytest

from adgram.generative.companions import CompanionMemory, CompanionTable

# a goes with b (2) and c (1); b goes with a (3)
TABLE = CompanionTable(
    item_ids=np.array(["a", "b", "c"]),
    bounds=np.array([0, 2, 3, 3]),
    companions=np.array([1, 2, 0], dtype=np.int32),
    weights=np.array([2.0, 1.0, 3.0], dtype=np.float32),
    decay=0.5,
    last=2,
)


def told(history: list[str], table: CompanionTable = TABLE) -> dict[str, float]:
    companions = CompanionMemory(table).of(history)
    return dict(zip(companions.item_ids, companions.weights.tolist(), strict=True))


def test_the_newest_choice_speaks_loudest():
    """Each item weighs `decay` times the one chosen after it, and companions of several items add up."""
    assert told(["b", "a"]) == pytest.approx({"a": 1.5, "b": 2.0, "c": 1.0})
    assert told(["a", "b"]) == pytest.approx({"a": 3.0, "b": 1.0, "c": 0.5})


def test_only_the_last_choices_speak():
    """What lies further back than `last` says nothing."""
    assert told(["a", "c", "b"]) == pytest.approx({"a": 3.0})


def test_an_unknown_item_takes_its_turn_in_silence():
    """An item the table never met adds nothing, yet what came before it is older by one."""
    assert told(["b", "new"]) == pytest.approx({"a": 1.5})


def test_nothing_known_gives_no_companions():
    """An empty history, an unknown one, an empty table: no companions, no error."""
    assert told([]) == told(["new"]) == told(["a"], CompanionTable.empty()) == {}
