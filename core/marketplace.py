"""A marketplace on disk: what a real platform could observe, in one format that `world` and `import` write and all
else reads.

A folder with

    marketplace.json      Manifest: name, currency, seed, source, and in words every rule by which something was made up
    *.jsonl               one object a line: advertisers, campaigns, items, offers, creatives, places, users
    *.parquet             logs, by event time: interactions, searches, impressions, bids, feedback, traffic, environment
                          (columns in SCHEMAS)

A log that a source does not have is absent. A world's latent truth lies in `truth/` beside these; only the simulator
opens it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from .catalogue import Advertiser, Campaign, Creative, Item, Offer
from .errors import MarketplaceError
from .request import Place

T = TypeVar("T")
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What this marketplace is. `rules` says how whatever the source lacked was made; `figures` holds measured
    properties.
    """

    name: str
    currency: str
    source: str
    seed: int
    rules: tuple[str, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who sees ads, by the id an exchange would send (`core.pseudonym` makes it a user key), with their
    usual place.
    """

    user_id: str
    place_id: str = ""
    device_type: int = 0


_TIME = ("event_time", pa.int64())
SCHEMAS: dict[str, pa.Schema] = {
    "interactions": pa.schema([_TIME, ("user_id", pa.string()), ("item_id", pa.string()), ("kind", pa.string())]),
    # A click after a search: `need` is what was typed, `item_id` what was clicked then.
    "searches": pa.schema(
        [_TIME, ("user_id", pa.string()), ("need", pa.string()), ("item_id", pa.string()), ("kind", pa.string())]
    ),
    "impressions": pa.schema(
        [
            _TIME,
            ("user_id", pa.string()),
            ("item_id", pa.string()),
            ("creative_id", pa.string()),
            ("campaign_id", pa.string()),
            ("place_id", pa.string()),
            ("device_type", pa.int32()),
            ("os", pa.string()),
            ("domain", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("position", pa.int32()),
            ("weather", pa.string()),
            ("temperature_c", pa.float32()),
            ("crowd", pa.float32()),
            ("clearing_price_micros", pa.int64()),
            ("clicked", pa.bool_()),
            ("converted", pa.bool_()),
        ]
    ),
    # Only where a running system's own log was read: every bid made, with the probability that the policy showed it,
    "bids": pa.schema(
        [
            _TIME,
            ("bid_id", pa.string()),
            ("user_id", pa.string()),
            ("item_id", pa.string()),
            ("creative_id", pa.string()),
            ("campaign_id", pa.string()),
            ("place_id", pa.string()),
            ("device_type", pa.int32()),
            ("os", pa.string()),
            ("domain", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("position", pa.int32()),
            ("weather", pa.string()),
            ("temperature_c", pa.float32()),
            ("crowd", pa.float32()),
            ("need", pa.string()),
            ("propensity", pa.float64()),
        ]
    ),
    # and everything that was told afterwards.
    "feedback": pa.schema(
        [
            _TIME,
            ("kind", pa.string()),
            ("user_id", pa.string()),
            ("item_id", pa.string()),
            ("bid_id", pa.string()),
            ("price_micros", pa.int64()),
        ]
    ),
    "traffic": pa.schema(
        [
            _TIME,
            ("request_id", pa.string()),
            ("user_id", pa.string()),
            ("country", pa.string()),
            ("region", pa.string()),
            ("city", pa.string()),
            ("device_type", pa.int32()),
            ("os", pa.string()),
            ("user_agent", pa.string()),
            ("domain", pa.string()),
            ("publisher_id", pa.string()),
            ("format", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("position", pa.int32()),
            ("placement", pa.string()),
            ("reserve_price_micros", pa.int64()),
            ("market_price_micros", pa.int64()),
        ]
    ),
    "environment": pa.schema(
        [
            _TIME,
            ("place_id", pa.string()),
            ("weather", pa.string()),
            ("temperature_c", pa.float32()),
            ("crowd", pa.float32()),
        ]
    ),
}


class Marketplace:
    """A marketplace folder, opened for reading; MarketplaceError names the file, line or column that is wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "marketplace.json"
        if not path.is_file():
            raise MarketplaceError(f"no marketplace in {folder}; make one with `adgram world` or `adgram import`")
        try:
            self.manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except msgspec.DecodeError as error:
            raise MarketplaceError(f"{path}: {error}") from error
        if self.manifest.format != FORMAT:
            raise MarketplaceError(
                f"{path} has format {self.manifest.format}, this version reads {FORMAT}; make it again"
            )

    def advertisers(self) -> list[Advertiser]:
        return self._entities("advertisers", Advertiser)

    def campaigns(self) -> list[Campaign]:
        return self._entities("campaigns", Campaign)

    def items(self) -> list[Item]:
        return self._entities("items", Item)

    def offers(self) -> list[Offer]:
        return self._entities("offers", Offer)

    def creatives(self) -> list[Creative]:
        return self._entities("creatives", Creative)

    def places(self) -> list[Place]:
        return self._entities("places", Place)

    def users(self) -> list[User]:
        return self._entities("users", User)

    def has(self, log: str) -> bool:
        """Whether the marketplace keeps this log."""
        return (self.folder / f"{log}.parquet").is_file()

    def log(self, name: str) -> pa.Table:
        """A log with exactly the columns of SCHEMAS[name], as stored (ordered by event time)."""
        path = self.folder / f"{name}.parquet"
        try:
            table = pq.read_table(path)
        except FileNotFoundError as error:
            raise MarketplaceError(f"{path} is missing; this marketplace keeps no {name} log") from error
        except pa.ArrowInvalid as error:
            raise MarketplaceError(f"{path} is not Parquet: {error}") from error
        missing = [column for column in SCHEMAS[name].names if column not in table.column_names]
        if missing:
            raise MarketplaceError(f"{path} lacks the column {missing[0]}; it needs {', '.join(SCHEMAS[name].names)}")
        try:
            return table.select(SCHEMAS[name].names).cast(SCHEMAS[name])
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise MarketplaceError(f"{path} has a column of another type: {error}") from error

    def _entities(self, name: str, kind: type[T]) -> list[T]:
        path = self.folder / f"{name}.jsonl"
        decoder = msgspec.json.Decoder(kind)
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise MarketplaceError(f"cannot read {path}: {error.strerror}") from error
        entities = []
        for number, line in enumerate(lines, start=1):
            try:
                entities.append(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise MarketplaceError(f"{path}:{number}: {error}") from error
        return entities


def write_entities(folder: Path, name: str, entities: Iterable[Any]) -> None:
    """Afterwards `<name>.jsonl` holds the entities, one a line."""
    encoder = msgspec.json.Encoder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.jsonl").open("wb") as file:
        file.writelines(encoder.encode(entity) + b"\n" for entity in entities)


def write_log(folder: Path, name: str, columns: dict[str, Sequence[Any] | Any]) -> None:
    """Afterwards `<name>.parquet` holds the columns, sorted by event time (rows of one time keep their order)."""
    table = pa.table(columns).select(SCHEMAS[name].names).cast(SCHEMAS[name])
    order = pa.compute.sort_indices(table, sort_keys=[("event_time", "ascending")])
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.take(order), folder / f"{name}.parquet", compression="zstd")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Afterwards the folder is a marketplace; write this last, so that a half-written folder is none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "marketplace.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
