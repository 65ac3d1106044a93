from dataclasses import dataclass

import numpy as np

from adgram.core import rows
from adgram.core.catalogue import Campaign, Creative, EncodedItem, Item, Objective
from adgram.core.commit import Commit, Table
from adgram.core.money import Money
from adgram.core.request import AdFormat, Size
from adgram.engine.values import ItemValues
from adgram.memory.snapshot import MemorySnapshot


@dataclass
class TenPerCent:
    """Priors that give every item a click rate of a tenth, and every click a conversion rate of a fifth."""

    p_convert: float = 0.2

    def p_click(self, item_ids):
        return np.full(len(item_ids), 0.1)


def _commit(number, *entries):
    return Commit(0, number, 1, 0, 0, {}, tuple(rows.row(table, key, value) for table, key, value in entries))


def _campaign(name, objective, units, active=True):
    bid = Money(units * 1_000_000, "CNY")
    return (Table.CAMPAIGN, name, Campaign(name, "a", objective, bid, bid, active=active))


def _item(name):
    vector = np.ones(4, np.float32).tobytes()
    return (Table.ITEM, name, EncodedItem(Item(name, name), (0, 0), vector, "m"))


def _creative(name, item, campaign):
    return (Table.CREATIVE, name, Creative(name, item, campaign, AdFormat.BANNER, Size(1, 1), "", "", "", ""))


SNAPSHOT = MemorySnapshot.empty(1, 4).fold(
    _commit(
        1,
        *(_item(name) for name in "xyz"),
        _campaign("shown", Objective.IMPRESSION, 1),
        _campaign("clicked", Objective.CLICK, 20),
        _campaign("bought", Objective.CONVERSION, 300),
        _creative("x1", "x", "shown"),
        _creative("x2", "x", "clicked"),
        _creative("y1", "y", "bought"),
        _creative("z1", "z", "unknown"),
    )
)


def _values(values, snapshot, admitted=None):
    known = [creative.creative_id for creative in snapshot.creatives.creatives]
    bits = np.array([admitted is None or name in admitted for name in known])
    of = values.of(snapshot, bits)
    return {name: round(float(of[snapshot.items.item_ids.index(name)]) / 1e6, 6) for name in "xyz"}


def test_an_item_is_worth_its_best_admitted_creative():
    """Bid times the rates that lie between an impression and what is paid; nothing where no campaign is known."""
    values = ItemValues(TenPerCent())
    assert _values(values, SNAPSHOT) == {"x": 2.0, "y": 6.0, "z": 0.0}
    assert _values(values, SNAPSHOT, {"x1"}) == {"x": 1.0, "y": 0.0, "z": 0.0}


def test_a_changed_or_paused_bid_counts_from_the_next_version_on():
    """Each version has its own bids, whichever is asked for first or last, and new items their rates."""
    values = ItemValues(TenPerCent())
    dearer = SNAPSHOT.fold(_commit(2, _campaign("clicked", Objective.CLICK, 50)))
    paused = dearer.fold(_commit(3, _campaign("bought", Objective.CONVERSION, 300, active=False)))
    joined = paused.fold(_commit(4, _campaign("unknown", Objective.IMPRESSION, 7), _item("w")))
    assert _values(values, SNAPSHOT)["x"] == 2.0
    assert _values(values, dearer)["x"] == 5.0
    assert _values(values, paused) == {"x": 5.0, "y": 0.0, "z": 0.0}
    assert _values(values, joined)["z"] == 7.0
    assert _values(values, SNAPSHOT) == {"x": 2.0, "y": 6.0, "z": 0.0}
