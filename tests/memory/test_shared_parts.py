import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adgram.memory import payloads
from adgram.memory.payloads import Payloads
from adgram.memory.slots import Slots

STEP = st.tuples(st.integers(0, 3), st.lists(st.integers(0, 12), max_size=6, unique=True), st.binary(max_size=5))


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.text(max_size=2), max_size=6, unique=True)), max_size=12))
def test_every_version_of_slots_knows_its_own_names_and_no_later_ones(steps):
    """Whichever version is added to next, each one keeps the names it had, in their order."""
    versions = [(Slots(), [])]
    for which, names in steps:
        slots, naive = versions[-1 - which % len(versions)]
        new = [name for name in names if name not in naive]
        versions.append((slots.appended(new), naive + new))
    everything = {name for _, naive in versions for name in naive}
    for slots, naive in versions:
        assert len(slots) == len(naive) and sorted(slots) == sorted(naive)
        for name in everything:
            assert slots.get(name) == (naive.index(name) if name in naive else None)
            assert (name in slots) == (name in naive)


@given(st.lists(STEP, max_size=14))
def test_every_version_of_payloads_keeps_its_own_bytes(steps):
    """Values put anew, deleted, or gathered because too much is waste: each version reads as the dict it stands for."""
    versions = [(Payloads.empty(), [])]
    kept, payloads.LEAST_WASTE = payloads.LEAST_WASTE, 8
    try:
        for number, (which, touched, value) in enumerate(steps):
            before, naive = versions[-1 - which % len(versions)]
            after = list(naive)
            known = [slot for slot in touched if slot < len(naive)]
            gone, put = (known[:1], known[1:]) if number % 3 == 0 else ([], known)
            new = list(range(len(naive), len(naive) + len(touched) - len(known)))
            after += [b""] * len(new)
            for slot in gone:
                after[slot] = None
            for slot in (*put, *new):
                after[slot] = value + bytes([slot])
            slots = np.array([*put, *new], np.int32)
            values = [value + bytes([slot]) for slot in (*put, *new)]
            versions.append((before.changed(slots, values, np.array(gone, np.int32)), after))
    finally:
        payloads.LEAST_WASTE = kept
    for one, naive in versions:
        found = [one.get(slot) for slot in range(len(naive))]
        assert [None if value is None else value.tobytes() for value in found] == naive
