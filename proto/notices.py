"""Win, billing and loss notices: URIs with OpenRTB's macros out, notices back in."""

import math
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from ..core.errors import InvalidRequest
from ..core.exchange import Notice, NoticeKind
from ..core.money import from_units
from . import bidding_pb2 as wire

_LARGEST_PRICE = 1e6  # per mille; no real price is near it
_LARGEST_REASON = 99_999  # OpenRTB's codes have three digits, an exchange's own a few more
_KINDS = {wire.Notice.WIN: NoticeKind.WIN, wire.Notice.BILLING: NoticeKind.BILLING, wire.Notice.LOSS: NoticeKind.LOSS}
_WIRE_KINDS = {kind: number for number, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class NoticeUris:
    """What goes into nurl, burl and lurl of one bid."""

    win: str
    billing: str
    loss: str


def notice_uris(base: str, bid_id: str) -> NoticeUris:
    """URIs under `base` (an address that relays to NoticeService, or the scheme `adgram:`), macros left for the
    exchange to expand.
    """
    bid = urlencode({"bid": bid_id})
    return NoticeUris(
        f"{base}win?{bid}&price=${{AUCTION_PRICE}}",
        f"{base}billing?{bid}&price=${{AUCTION_PRICE}}",
        f"{base}loss?{bid}&price=${{AUCTION_MIN_TO_WIN}}&reason=${{AUCTION_LOSS}}",
    )


def decode_notice(message: wire.Notice, currency: str, now_ns: int, trust_event_time: bool) -> Notice:
    """The notice, from its fields or its expanded URI; InvalidRequest names the field that is wrong.

    It is stamped `now_ns`, unless `trust_event_time` and it carries another time (replays).
    """
    if message.uri:
        return _from_uri(message.uri, currency, now_ns)
    if message.kind not in _KINDS:
        raise InvalidRequest("kind", "must be WIN, BILLING or LOSS")
    return _notice(
        _KINDS[message.kind],
        message.bid_id,
        message.price if message.HasField("price") else None,
        message.loss_reason,
        message.event_time_ns if trust_event_time and message.event_time_ns > 0 else now_ns,
        currency,
    )


def _from_uri(uri: str, currency: str, now_ns: int) -> Notice:
    try:
        parts = urlsplit(uri)
        kind = NoticeKind(parts.path.rsplit("/", 1)[-1])
    except ValueError as error:
        raise InvalidRequest("uri", "must be one of ours: its path ends in win, billing or loss") from error
    fields = parse_qs(parts.query)
    price = _number(fields.get("price", [""])[0])
    reason = _number(fields.get("reason", [""])[0])
    return _notice(kind, fields.get("bid", [""])[0], price, int(reason or 0), now_ns, currency)


def _number(text: str) -> float | None:
    # An exchange that does not know a macro leaves it unexpanded or blank: then there is no number.
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _notice(
    kind: NoticeKind, bid_id: str, price: float | None, loss_reason: int, event_time: int, currency: str
) -> Notice:
    if not bid_id:
        raise InvalidRequest("bid_id", "is required")
    if price is not None and not 0 <= price <= _LARGEST_PRICE:  # NaN fails this too
        raise InvalidRequest("price", f"must be a price per mille from 0 to {_LARGEST_PRICE:.0f}, got {price}")
    if not 0 <= loss_reason <= _LARGEST_REASON:
        raise InvalidRequest("loss_reason", f"must be a code from 0 to {_LARGEST_REASON}, got {loss_reason}")
    if price is None and kind is NoticeKind.BILLING:
        raise InvalidRequest("price", "a billing notice needs the clearing price")
    clearing_price = None if price is None else from_units(price, currency)
    return Notice(kind, bid_id, event_time, clearing_price, loss_reason)


def encode_notice(notice: Notice) -> wire.Notice:
    """The notice on the wire."""
    message = wire.Notice(
        kind=_WIRE_KINDS[notice.kind],
        bid_id=notice.bid_id,
        loss_reason=notice.loss_reason,
        event_time_ns=notice.event_time,
    )
    if notice.clearing_price is not None:
        message.price = notice.clearing_price.units
    return message
