"""A running system's own log as a marketplace to train on: the inverse of publishing one.

The catalogue is the newest of each row. Bids come from decision records, with the probability that the policy showed
them; what became of them is told by feedback. Both are kept in the folder (`bids.parquet`, `feedback.parquet`), so that
reading again adds to what was read before, however short the log's retention; interactions, searches and impressions
are made of them anew. User ids are the log's, which are pseudonyms already.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..core.catalogue import Creative
from ..core.decision import DecisionRecord
from ..core.errors import InvalidEvent, MarketplaceError
from ..core.event import Event, Topic
from ..core.feedback import Feedback, FeedbackKind
from ..core.marketplace import SCHEMAS, Manifest, Marketplace, User, write_entities, write_log, write_manifest
from ..proto import events

SOURCE = "adgram's own log"
CATALOGUE = (Topic.ADVERTISERS, Topic.CAMPAIGNS, Topic.ITEMS, Topic.OFFERS, Topic.CREATIVES)
TOPICS = (*CATALOGUE, Topic.FEEDBACK, Topic.DECISIONS)
"""What is read, in this order."""
_PERSONAL = (FeedbackKind.CLICK, FeedbackKind.CONVERSION, FeedbackKind.VISIT)
_SHOWN = (FeedbackKind.IMPRESSION, FeedbackKind.BILLING)
_RECORDS = msgspec.json.Decoder(DecisionRecord)
_RULES = (
    "user ids are the log's keyed hashes; nothing leads back to a person",
    "an impression is a bid that was billed or told as shown; one that nobody told of is none",
    "a click or conversion that names only its bid takes user and item from the bid",
)


class LoggedBid(NamedTuple):
    """A row of bids.parquet; see core.marketplace.SCHEMAS."""

    event_time: int
    bid_id: str
    user_id: str
    item_id: str
    creative_id: str
    campaign_id: str
    place_id: str
    device_type: int
    os: str
    domain: str
    width: int
    height: int
    position: int
    weather: str
    temperature_c: float | None
    crowd: float | None
    need: str
    propensity: float


class LoggedFeedback(NamedTuple):
    """A row of feedback.parquet; see core.marketplace.SCHEMAS."""

    event_time: int
    kind: str
    user_id: str
    item_id: str
    bid_id: str
    price_micros: int


@dataclass(frozen=True, slots=True)
class LogReport:
    """What the folder holds after reading, and what was passed over."""

    items: int
    feedback: int
    bids: int
    interactions: int
    impressions: int
    passed_over: int  # records that could not be read, which the worker makes dead letters of


@dataclass(slots=True)
class LoggedMarket:
    """What has been read so far. Reading the same record again changes nothing."""

    entities: dict[Topic, dict[str, Any]] = field(default_factory=lambda: {topic: {} for topic in CATALOGUE})
    bids: dict[str, LoggedBid] = field(default_factory=dict)
    feedback: dict[LoggedFeedback, None] = field(default_factory=dict)  # in the order it was told
    passed_over: int = 0
    _told_at: dict[tuple[Topic, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> "LoggedMarket":
        """What the folder holds of earlier readings; MarketplaceError where it holds a marketplace of another
        origin."""
        market = cls()
        if not (folder / "marketplace.json").is_file():
            return market
        opened = Marketplace(folder)
        if opened.manifest.source != SOURCE:
            raise MarketplaceError(
                f"{folder} holds {opened.manifest.name} ({opened.manifest.source}), not a log; name another folder"
            )
        for topic, rows in (
            (Topic.ADVERTISERS, {row.advertiser_id: row for row in opened.advertisers()}),
            (Topic.CAMPAIGNS, {row.campaign_id: row for row in opened.campaigns()}),
            (Topic.ITEMS, {row.item_id: row for row in opened.items()}),
            (Topic.OFFERS, {row.item_id: row for row in opened.offers()}),
            (Topic.CREATIVES, {row.creative_id: row for row in opened.creatives()}),
        ):
            market.entities[topic].update(rows)
        market.bids = {row["bid_id"]: LoggedBid(**row) for row in opened.log("bids").to_pylist()}
        market.feedback = {LoggedFeedback(**row): None for row in opened.log("feedback").to_pylist()}
        return market

    def take(self, topic: Topic, payload: bytes | None, max_bytes: int) -> None:
        """Afterwards what the record says is known; one that says nothing sound is counted."""
        try:
            if topic is Topic.DECISIONS:
                self.decided(_RECORDS.decode(payload or b""))
            elif topic is Topic.FEEDBACK:
                self.told(events.decode(topic, payload, max_bytes))
            else:
                self.changed(topic, events.decode(topic, payload, max_bytes))
        except (InvalidEvent, msgspec.DecodeError, UnicodeDecodeError):
            self.passed_over += 1

    def changed(self, topic: Topic, event: Event) -> None:
        """A row of the catalogue as of the event; the newest event of a row speaks."""
        place = (topic, event.key)
        if event.event_time < self._told_at.get(place, event.event_time):
            return
        self._told_at[place] = event.event_time
        if event.value is None:
            self.entities[topic].pop(event.key, None)
        else:
            self.entities[topic][event.key] = event.value

    def told(self, event: Event) -> None:
        """Something that people or exchanges did."""
        if isinstance(event.value, Feedback):
            said = event.value
            row = (event.event_time, said.kind.value, said.user_key, said.item_id, said.bid_id, said.price_micros)
            self.feedback[LoggedFeedback(*row)] = None

    def decided(self, record: DecisionRecord) -> None:
        """The bids of a decision; those of test requests and the propensity of what was not shown are not kept."""
        request, environment = record.request, record.environment
        slots = {slot.impression_id: slot for slot in request.impressions}
        for chosen in () if request.test else record.bids:
            slot = slots[chosen.impression_id]
            creative = self.entities[Topic.CREATIVES].get(chosen.ad.creative_id)
            size = creative.size if isinstance(creative, Creative) else next(iter(slot.sizes), None)
            self.bids[chosen.bid_id] = LoggedBid(
                event_time=record.decided_at,
                bid_id=chosen.bid_id,
                user_id=request.viewer.user_key,
                item_id=chosen.ad.item_id,
                creative_id=chosen.ad.creative_id,
                campaign_id=chosen.ad.campaign_id,
                place_id=request.place.place_id,
                device_type=request.device.device_type,
                os=request.device.os,
                domain=request.page.domain,
                width=size.width if size else 0,
                height=size.height if size else 0,
                position=slot.position,
                weather=environment.weather.value,
                temperature_c=environment.temperature_c,
                crowd=environment.crowd,
                need=request.need,
                propensity=record.propensity.get(chosen.impression_id, 1.0),
            )

    def write(self, folder: Path, name: str) -> LogReport:
        """Afterwards `folder` is a marketplace of all that is known; what is known in another order gives the same
        files."""
        interactions, impressions = list(self._interactions()), list(self._impressions())
        needs = {bid_id: bid.need for bid_id, bid in self.bids.items() if bid.need}
        searches = [{**row, "need": needs[row["bid_id"]]} for row in interactions if row["bid_id"] in needs]
        partial = folder / ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        for topic, rows in self.entities.items():
            write_entities(partial, topic.value, [rows[key] for key in sorted(rows)])
        users = {row["user_id"] for row in (*interactions, *impressions)}
        write_entities(partial, "users", [User(user_id) for user_id in sorted(users)])
        write_entities(partial, "places", ())
        _write(partial, "bids", [bid._asdict() for bid in sorted(self.bids.values(), key=lambda bid: bid[:2])])
        _write(partial, "feedback", [row._asdict() for row in sorted(self.feedback)])
        _write(partial, "interactions", interactions)
        for log, rows_of_log in (("searches", searches), ("impressions", impressions)):
            (folder / f"{log}.parquet").unlink(missing_ok=True)
            if rows_of_log:  # a log without a row would be learned from as if nobody ever did such a thing
                _write(partial, log, rows_of_log)
        campaigns = self.entities[Topic.CAMPAIGNS].values()
        currency = next((campaign.bid.currency for campaign in campaigns), "USD")
        figures = {"bids": float(len(self.bids)), "feedback": float(len(self.feedback))}
        write_manifest(partial, Manifest(name, currency, SOURCE, 0, _RULES, figures))
        # One file after another: whoever is stopped between two of them holds nothing less than before.
        for path in sorted(partial.iterdir(), key=lambda path: path.name == "marketplace.json"):
            path.replace(folder / path.name)
        partial.rmdir()
        return LogReport(
            len(self.entities[Topic.ITEMS]),
            len(self.feedback),
            len(self.bids),
            len(interactions),
            len(impressions),
            self.passed_over,
        )

    def _interactions(self) -> Iterator[dict[str, Any]]:
        """What people did with items, each once, with the bid it followed."""
        for row in sorted(self.feedback):
            bid = self.bids.get(row.bid_id)
            user_id, item_id = (row.user_id, row.item_id) if bid is None else (bid.user_id, bid.item_id)
            user_id, item_id = row.user_id or user_id, row.item_id or item_id
            if row.kind in _PERSONAL and user_id and item_id:
                yield {**row._asdict(), "user_id": user_id, "item_id": item_id}

    def _impressions(self) -> Iterator[dict[str, Any]]:
        """The bids that were shown, with their price and what followed."""
        kinds: dict[str, set[str]] = {}
        prices: dict[str, int] = {}
        for row in self.feedback:
            if row.bid_id:
                kinds.setdefault(row.bid_id, set()).add(row.kind)
                if row.kind in (FeedbackKind.WIN, FeedbackKind.BILLING) and row.price_micros:
                    prices[row.bid_id] = row.price_micros
        for bid_id, bid in sorted(self.bids.items()):
            followed = kinds.get(bid_id, set())
            if followed.intersection(_SHOWN):
                clicked, converted = FeedbackKind.CLICK in followed, FeedbackKind.CONVERSION in followed
                price = prices.get(bid_id, 0)
                yield {**bid._asdict(), "clearing_price_micros": price, "clicked": clicked, "converted": converted}


def read_into(
    folder: Path,
    records: Iterable[tuple[Topic, bytes | None]],
    trails: Sequence[Path],
    max_bytes: int,
    told: Callable[[int], None],
) -> LogReport:
    """Afterwards `folder` is a marketplace of the records, of the decisions in the segments of `trails` (folders that
    engines keep on their disks), and of whatever it held of earlier readings."""
    market = LoggedMarket.of(folder)
    count = 0
    for count, (topic, payload) in enumerate(records, start=1):
        market.take(topic, payload, max_bytes)
        told(count)
    for line in _lines(trails):
        count += 1
        market.take(Topic.DECISIONS, line, max_bytes)
        told(count)
    folder.mkdir(parents=True, exist_ok=True)
    return market.write(folder, folder.name)


def _lines(trails: Sequence[Path]) -> Iterator[bytes]:
    """The whole lines of all segments; one cut short by a kill is none."""
    for trail in trails:
        segments = sorted(trail.glob("decisions-*.jsonl"))
        if not segments:
            raise MarketplaceError(f"{trail} holds no decision records; name an engine's trail, <state>/trail")
        for segment in segments:
            with segment.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))


def _write(folder: Path, log: str, rows: Sequence[dict[str, Any]]) -> None:
    write_log(folder, log, {name: [row[name] for row in rows] for name in SCHEMAS[log].names})
