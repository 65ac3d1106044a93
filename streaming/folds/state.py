"""What the folds of one shard write to: the newest event time of each row, merged values, and what changed."""

from dataclasses import dataclass, field
from typing import Any

from ...core import rows
from ...core.commit import Row, Table
from .offers import OfferBook

MERGED = (Table.ENVIRONMENT, Table.USER)  # their next value depends on the last, so that one is kept

RowKey = tuple[Table, str]


@dataclass(slots=True)
class ShardState:
    """`changed` holds the rows of the next commit but for offers: the newest value of each, None for a deletion."""

    event_times: dict[RowKey, int] = field(default_factory=dict)
    merged: dict[RowKey, Any] = field(default_factory=dict)
    changed: dict[RowKey, Any | None] = field(default_factory=dict)
    offers: OfferBook = field(default_factory=OfferBook)

    def restore(self, entry: Row) -> None:
        """Afterwards the state is as it was when this committed row was written; oldest rows first."""
        if entry.table in (Table.OFFER, Table.OFFERS):
            self.offers.restore(entry)
            return
        key = (entry.table, entry.key)
        self.event_times[key] = entry.event_time
        if entry.table in MERGED:
            if entry.value is None:
                self.merged.pop(key, None)
            else:
                self.merged[key] = rows.value(entry)

    def put(self, table: Table, key: str, value: Any | None, event_time: int) -> None:
        """Afterwards the row has this value, as of `event_time` or of the newest event before."""
        row_key = (table, key)
        self.changed[row_key] = value
        self.event_times[row_key] = max(event_time, self.event_times.get(row_key, 0))
        if table in MERGED:
            if value is None:
                self.merged.pop(row_key, None)
            else:
                self.merged[row_key] = value

    def is_late(self, table: Table, key: str, event_time: int) -> bool:
        """Whether a newer event has already written the row; of two at the same time the later arrival wins."""
        return event_time < self.event_times.get((table, key), 0)
