"""Money and frequency: reserved with every bid, charged by notices, kept in SQLite so that a killed engine loses
nothing.

A bid's life; each step is idempotent, and one transaction together with the event it owes the log:

    OPEN ──win──▶ WON ──billing──▶ CHARGED        charge_on = "win" charges with the win notice
      ├───loss──▶ LOST
      └──(ttl)──▶ EXPIRED ──billing──▶ CHARGED    late money is still owed
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from ..core.catalogue import Campaign
from ..core.clock import NS_PER_SECOND
from ..core.exchange import Notice, NoticeKind
from ..core.feedback import Feedback, FeedbackKind
from .outbox import Outbox, Owed, connect
from .pacing import day_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bids (
    bid_id TEXT PRIMARY KEY, campaign_id TEXT NOT NULL, item_id TEXT NOT NULL, creative_id TEXT NOT NULL,
    user_key TEXT NOT NULL, place_id TEXT NOT NULL, slot TEXT NOT NULL, price_micros INTEGER NOT NULL,
    day INTEGER NOT NULL, expires_ns INTEGER NOT NULL, state TEXT NOT NULL,
    charged_micros INTEGER NOT NULL DEFAULT 0, won_ns INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS bids_by_state ON bids (state, expires_ns);
"""
_KEEP_DAYS = 31  # settled bids are kept this long: repeats are recognised, and no frequency window looks further back


class BidState(StrEnum):
    """Where a bid is in its life."""

    OPEN = "open"
    WON = "won"
    CHARGED = "charged"
    LOST = "lost"
    EXPIRED = "expired"


_HOLDS_MONEY = (BidState.OPEN, BidState.WON)


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a bid holds back until its notices come; `price_micros` is the bid per mille, the most a thousand can
    cost.
    """

    bid_id: str
    campaign_id: str
    item_id: str
    creative_id: str
    user_key: str
    place_id: str
    slot: str
    price_micros: int

    @property
    def cost_micros(self) -> int:
        """What one impression at the bid would cost."""
        return self.price_micros // 1000


_IDENTITY = tuple(field.name for field in fields(Reservation))
_COLUMNS = (*_IDENTITY, "day", "expires_ns", "state")
_RESERVE = f"INSERT INTO bids ({', '.join(_COLUMNS)}) VALUES ({', '.join(':' + name for name in _COLUMNS)})"
_FIND = f"SELECT {', '.join(_IDENTITY)}, day, state, won_ns FROM bids WHERE bid_id = ?"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a notice did: `known` if the bid was made here, `repeated` if it had been taken before; the bid's `slot`.

    `tells_price` where it is the first to say what the auction's winner pays (a win and its billing say the same).
    """

    known: bool
    repeated: bool = False
    slot: str = ""
    tells_price: bool = False


class Ledger:
    """One engine's books. It lives on the request loop's thread and is touched by no other."""

    def __init__(self, path: Path, ttl_s: int, charge_on: str) -> None:
        self._db = connect(path)
        self._db.executescript(_SCHEMA)
        # The first write makes the WAL file and waits for the disk; better here than in the first request.
        self._db.execute("PRAGMA user_version = 1")
        self._outbox = Outbox(self._db)
        self._ttl_ns, self._charge_kind = ttl_s * NS_PER_SECOND, NoticeKind(charge_on)
        self._held: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._spent: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._wins: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._open: Counter[tuple[str, str]] = Counter()
        self._touched: set[str] = set()
        self._pruned_day = self._expired_at = 0
        self._load()

    def _load(self) -> None:
        sums = self._db.execute(
            "SELECT campaign_id, day, state, SUM(price_micros / 1000), SUM(charged_micros) FROM bids GROUP BY 1, 2, 3"
        )
        for campaign_id, day, state, cost, charged in sums:
            if state in _HOLDS_MONEY:
                self._held[campaign_id, day] += cost
            self._spent[campaign_id, day] += charged
        undecided = self._db.execute(
            "SELECT user_key, campaign_id, COUNT(*) FROM bids WHERE state = ? GROUP BY 1, 2", (BidState.OPEN,)
        )
        for user_key, campaign_id, count in undecided:
            self._open[user_key, campaign_id] = count
        wins = self._db.execute("SELECT user_key, campaign_id, won_ns FROM bids WHERE won_ns > 0 ORDER BY won_ns")
        for user_key, campaign_id, won_ns in wins:
            self._wins[user_key][campaign_id].append(won_ns)

    def committed_micros(self, campaign_id: str, event_time: int) -> int:
        """What the campaign has spent or holds reserved on the UTC day of `event_time`."""
        key = (campaign_id, day_of(event_time))
        return self._spent.get(key, 0) + self._held.get(key, 0)

    def spent_micros(self, campaign_id: str, event_time: int) -> int:
        """What the campaign has been charged on the UTC day of `event_time`."""
        return self._spent.get((campaign_id, day_of(event_time)), 0)

    def take_touched(self) -> set[str]:
        """Campaigns whose money moved since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def campaigns_seen(self, user_key: str) -> tuple[str, ...]:
        """Campaigns of which the user was won; with those bid on right now, all that a frequency cap can hold back."""
        return tuple(self._wins.get(user_key, ())) if user_key else ()

    def affords(self, campaign: Campaign, cost_micros: int, user_key: str, event_time: int) -> bool:
        """Whether a bid of this cost would pass neither the daily budget nor the user's frequency cap."""
        held = self.committed_micros(campaign.campaign_id, event_time)
        return held + cost_micros <= campaign.daily_budget.micros and not self.capped(campaign, user_key, event_time)

    def capped(self, campaign: Campaign, user_key: str, event_time: int) -> bool:
        """Whether the user was won within the cap's window, or is bid on right now, as often as it allows."""
        cap = campaign.frequency_cap
        if not cap.impressions or not user_key:
            return False
        wins = self._wins[user_key][campaign.campaign_id] if user_key in self._wins else []
        since = event_time - cap.window_seconds * NS_PER_SECOND
        open_bids = self._open[user_key, campaign.campaign_id]
        return sum(since < won_ns <= event_time for won_ns in wins) + open_bids >= cap.impressions

    def reserve(self, reservation: Reservation, campaign: Campaign, event_time: int) -> bool:
        """Whether money and frequency are now held: False, and nothing changed, where budget or cap would be passed."""
        cost = reservation.cost_micros
        if not self.affords(campaign, cost, reservation.user_key, event_time):
            return False
        day = day_of(event_time)
        values = {name: getattr(reservation, name) for name in _IDENTITY}
        values |= {"day": day, "expires_ns": event_time + self._ttl_ns, "state": BidState.OPEN}
        with self._db:
            self._db.execute(_RESERVE, values)
        self._held[reservation.campaign_id, day] += cost
        self._open[reservation.user_key, reservation.campaign_id] += 1
        self._touched.add(reservation.campaign_id)
        return True

    def settle(self, notice: Notice) -> Receipt:
        """Afterwards the notice is on the books, once, and its event is owed to the log.

        A charge is the clearing price, never above the bid; without a clearing price, the bid.
        """
        row = self._db.execute(_FIND, (notice.bid_id,)).fetchone()
        if row is None:
            return Receipt(known=False)
        *identity, day, stored_state, won_ns = row
        held, state = Reservation(*identity), BidState(stored_state)
        if _taken_before(notice.kind, state, won_ns):
            return Receipt(True, True, held.slot)
        after = self._state_after(notice.kind)
        bought = notice.kind is not NoticeKind.LOSS
        clearing = held.price_micros if notice.clearing_price is None else notice.clearing_price.micros
        paid_micros = min(clearing, held.price_micros)
        charge = paid_micros // 1000 if after is BidState.CHARGED else 0
        with self._db:
            self._db.execute(
                "UPDATE bids SET state = ?, charged_micros = ?, won_ns = ? WHERE bid_id = ?",
                (after, charge, won_ns or (notice.event_time if bought else 0), notice.bid_id),
            )
            self._outbox.put(_owed(notice, held, paid_micros if bought else clearing))
        if state in _HOLDS_MONEY and after not in _HOLDS_MONEY:
            self._held[held.campaign_id, day] -= held.cost_micros
        elif state not in _HOLDS_MONEY and after in _HOLDS_MONEY:
            self._held[held.campaign_id, day] += held.cost_micros
        self._spent[held.campaign_id, day] += charge
        self._touched.add(held.campaign_id)
        if state is BidState.OPEN:
            self._closed(held.user_key, held.campaign_id)
        if bought and not won_ns and held.user_key:
            self._wins[held.user_key][held.campaign_id].append(notice.event_time)
        return Receipt(True, False, held.slot, tells_price=not won_ns)

    def _closed(self, user_key: str, campaign_id: str) -> None:
        self._open[user_key, campaign_id] -= 1
        if self._open[user_key, campaign_id] <= 0:
            del self._open[user_key, campaign_id]

    def _state_after(self, kind: NoticeKind) -> BidState:
        if kind is NoticeKind.LOSS:
            return BidState.LOST
        return BidState.CHARGED if kind in (NoticeKind.BILLING, self._charge_kind) else BidState.WON

    def expire(self, event_time: int) -> int:
        """Afterwards bids whose notices were overdue a second ago hold no money; how many were found so now."""
        if 0 <= event_time - self._expired_at < NS_PER_SECOND:
            return 0
        self._expired_at = event_time
        overdue = self._db.execute(
            "SELECT bid_id, campaign_id, day, price_micros, user_key, state FROM bids"
            " WHERE state IN (?, ?) AND expires_ns <= ?",
            (*_HOLDS_MONEY, event_time),
        ).fetchall()
        if overdue:
            with self._db:
                self._db.executemany(
                    "UPDATE bids SET state = ? WHERE bid_id = ?", [(BidState.EXPIRED, row[0]) for row in overdue]
                )
        for _, campaign_id, day, price_micros, user_key, state in overdue:
            self._held[campaign_id, day] -= price_micros // 1000
            if state == BidState.OPEN:
                self._closed(user_key, campaign_id)
            self._touched.add(campaign_id)
        self._prune(day_of(event_time) - _KEEP_DAYS)
        return len(overdue)

    def _prune(self, before_day: int) -> None:
        if before_day > self._pruned_day:
            self._pruned_day = before_day
            with self._db:
                self._db.execute("DELETE FROM bids WHERE day < ?", (before_day,))
            for sums in (self._held, self._spent):
                for key in [key for key in sums if key[1] < before_day]:
                    del sums[key]
            for user_key, campaigns in list(self._wins.items()):
                kept = {c: [at for at in wins if day_of(at) >= before_day] for c, wins in campaigns.items()}
                self._wins[user_key] = defaultdict(list, {c: wins for c, wins in kept.items() if wins})
                if not self._wins[user_key]:
                    del self._wins[user_key]

    def close(self) -> None:
        self._db.close()


def _taken_before(kind: NoticeKind, state: BidState, won_ns: int) -> bool:
    if kind is NoticeKind.WIN:
        return won_ns > 0
    if kind is NoticeKind.BILLING:
        return state is BidState.CHARGED
    return state is not BidState.OPEN


def _owed(notice: Notice, held: Reservation, price_micros: int) -> Owed:
    feedback = Feedback(
        kind=FeedbackKind(notice.kind.value),
        user_key=held.user_key,
        item_id=held.item_id,
        creative_id=held.creative_id,
        campaign_id=held.campaign_id,
        bid_id=held.bid_id,
        place_id=held.place_id,
        price_micros=price_micros,
        loss_reason=notice.loss_reason,
    )
    return Owed(f"{held.bid_id}:{notice.kind}", notice.event_time, feedback)
