"""OpenRTB protobuf to the engine's words and back, both ways."""

import html
import math
from collections.abc import Iterable
from itertools import groupby

from ..core.decision import Bid, Decision
from ..core.errors import InvalidRequest
from ..core.exchange import Answer, OfferedBid
from ..core.money import from_units
from ..core.pseudonym import Pseudonymiser
from ..core.request import AdFormat, BidRequest, Device, Impression, Page, Place, Size, Viewer
from . import openrtb_pb2 as wire
from .native import assets_asked, markup_json, request_json
from .notices import notice_uris

MARKUP_BANNER, MARKUP_NATIVE = 1, 4  # OpenRTB 2.6 mtype
MOST_IMPRESSIONS = 100  # a pod has tens; more is noise or an attack
_LARGEST_FLOOR = 1e6  # no real floor per mille is near it; beyond is a unit mistake


def decode_request(
    message: wire.BidRequest,
    pseudonymiser: Pseudonymiser,
    now_ns: int,
    default_timeout_ms: int,
    trust_event_time: bool,
    currency: str,
) -> BidRequest:
    """The request in core's words. Impressions we cannot fill (video alone) are left out; fields we do not know
    stay in `message`.

    Args:
        now_ns: stamped as the event time, unless `trust_event_time` and the request's ext carry another (replays).
        default_timeout_ms: taken where the exchange sends no tmax.
        currency: ours; taken where the exchange names none, or names it among others.

    Raises:
        InvalidRequest: with the field's path in OpenRTB's words.
    """
    if not message.id:
        raise InvalidRequest("id", "is required")
    if not message.imp:
        raise InvalidRequest("imp", "at least one is required")
    if message.tmax < 0:
        raise InvalidRequest("tmax", f"must not be negative, got {message.tmax}")
    if len(message.imp) > MOST_IMPRESSIONS:
        raise InvalidRequest("imp", f"at most {MOST_IMPRESSIONS} are answered, got {len(message.imp)}")
    currency = currency if not message.cur or currency in message.cur else message.cur[0]
    impressions, seen = [], set()
    for index, imp in enumerate(message.imp):
        if imp.id in seen:
            raise InvalidRequest(f"imp[{index}].id", f"{imp.id!r} is used twice")
        seen.add(imp.id)
        impressions.append(_impression(imp, f"imp[{index}]", currency))
    event_time = message.ext.event_time_ns if trust_event_time and message.ext.HasField("event_time_ns") else now_ns
    return BidRequest(
        request_id=message.id,
        impressions=tuple(impression for impression in impressions if impression),
        viewer=Viewer(
            pseudonymiser.user_key(message.user.buyeruid or message.user.id),
            tuple(message.user.kwarray) or _keywords(message.user.keywords),
        ),
        device=Device(message.device.devicetype, message.device.os, message.device.ua, message.device.language),
        page=_page(message),
        place=_place(message),
        event_time=event_time,
        timeout_ms=message.tmax or default_timeout_ms,
        auction_type=message.at,
        currency=currency,
        blocked_categories=frozenset(message.bcat),
        blocked_advertisers=frozenset(message.badv),
        child_directed=message.regs.coppa,
        test=message.test,
    )


def _impression(imp: wire.Imp, path: str, currency: str) -> Impression | None:
    if not imp.id:
        raise InvalidRequest(f"{path}.id", "is required")
    if not math.isfinite(imp.bidfloor) or not 0 <= imp.bidfloor <= _LARGEST_FLOOR:
        raise InvalidRequest(f"{path}.bidfloor", f"must be a price per mille from 0 to 1000000, got {imp.bidfloor}")
    reserve_price = from_units(imp.bidfloor, imp.bidfloorcur if imp.bidfloor else currency)
    if imp.HasField("banner"):
        sizes = _sizes(imp.banner, f"{path}.banner")
        return Impression(imp.id, AdFormat.BANNER, sizes, reserve_price, imp.tagid, imp.banner.pos)
    if imp.HasField("native"):
        assets = assets_asked(imp.native.request, f"{path}.native.request")
        return Impression(imp.id, AdFormat.NATIVE, (Size(0, 0),), reserve_price, imp.tagid, native_assets=assets)
    return None


def _sizes(banner: wire.Banner, path: str) -> tuple[Size, ...]:
    sizes = [Size(form.w, form.h) for form in banner.format if form.w or form.h]
    if banner.w or banner.h:
        sizes.insert(0, Size(banner.w, banner.h))
    if not sizes:
        raise InvalidRequest(f"{path}.w", "a banner needs w and h, or format")
    for size in sizes:
        for name, length in (("w", size.width), ("h", size.height)):
            if length <= 0:
                raise InvalidRequest(f"{path}.{name}", f"must be positive, got {length}")
    return tuple(dict.fromkeys(sizes))


def _page(message: wire.BidRequest) -> Page:
    if message.HasField("app"):
        app = message.app
        return Page(app.domain, app.bundle, app.publisher.id, tuple(app.cat), keywords=_keywords(app.keywords))
    site = message.site
    return Page(site.domain, "", site.publisher.id, tuple(site.cat), site.search, _keywords(site.keywords))


def _keywords(joined: str) -> tuple[str, ...]:
    """OpenRTB joins keywords by commas."""
    return tuple(filter(None, map(str.strip, joined.split(","))))


def _place(message: wire.BidRequest) -> Place:
    geo = message.device.geo if message.device.HasField("geo") else message.user.geo
    for name, value, most in (("lat", geo.lat, 90), ("lon", geo.lon, 180)):
        if not math.isfinite(value) or abs(value) > most:
            raise InvalidRequest(f"device.geo.{name}", f"must be within ±{most}, got {value}")
    located = geo.HasField("lat") and geo.HasField("lon")
    return Place(geo.country, geo.region, geo.city, geo.lat if located else None, geo.lon if located else None)


def encode_request(request: BidRequest) -> wire.BidRequest:
    """The request as an exchange would send it; `viewer.user_key` travels as user.id, whatever the caller put there."""
    message = wire.BidRequest(
        id=request.request_id,
        at=request.auction_type,
        tmax=request.timeout_ms,
        cur=[request.currency] if request.currency else [],
        bcat=sorted(request.blocked_categories),
        badv=sorted(request.blocked_advertisers),
        test=request.test,
        device=wire.Device(
            devicetype=request.device.device_type,
            os=request.device.os,
            ua=request.device.user_agent,
            language=request.device.language,
            geo=wire.Geo(country=request.place.country, region=request.place.region, city=request.place.city),
        ),
        user=wire.User(id=request.viewer.user_key, kwarray=request.viewer.keywords),
        regs=wire.Regs(coppa=request.child_directed),
        ext=wire.BidRequest.Ext(event_time_ns=request.event_time),
    )
    if request.place.latitude is not None and request.place.longitude is not None:
        message.device.geo.lat, message.device.geo.lon = request.place.latitude, request.place.longitude
    page = request.page
    if page.bundle:
        message.app.CopyFrom(
            wire.App(domain=page.domain, bundle=page.bundle, cat=page.categories, keywords=",".join(page.keywords))
        )
        message.app.publisher.id = page.publisher_id
    else:
        message.site.CopyFrom(
            wire.Site(domain=page.domain, cat=page.categories, search=page.search, keywords=",".join(page.keywords))
        )
        message.site.publisher.id = page.publisher_id
    message.imp.extend(_encode_impression(impression) for impression in request.impressions)
    return message


def _encode_impression(impression: Impression) -> wire.Imp:
    imp = wire.Imp(
        id=impression.impression_id,
        tagid=impression.placement,
        bidfloor=impression.reserve_price.units,
        bidfloorcur=impression.reserve_price.currency,
    )
    if impression.format is AdFormat.NATIVE:
        imp.native.CopyFrom(wire.Native(request=request_json(impression.native_assets), ver="1.2"))
        return imp
    first, *others = impression.sizes
    formats = [wire.Format(w=size.width, h=size.height) for size in others]
    imp.banner.CopyFrom(wire.Banner(w=first.width, h=first.height, pos=impression.position, format=formats))
    return imp


def encode_response(request: BidRequest, decision: Decision, notice_base: str) -> wire.BidResponse:
    """The answer on the wire: bids grouped by seat (the advertiser), or `nbr`.

    Notice URIs carry ${AUCTION_PRICE} and ${AUCTION_LOSS}.
    """
    response = wire.BidResponse(id=request.request_id, bidid=decision.decision_id)
    response.ext.decision_id = decision.decision_id
    if decision.no_bid_reason is not None:
        response.nbr = int(decision.no_bid_reason)
        return response
    response.cur = decision.bids[0].priced.bid_price.currency
    for seat, bids in groupby(sorted(decision.bids, key=_seat), key=_seat):
        response.seatbid.append(wire.SeatBid(seat=seat, bid=_encode_bids(bids, notice_base)))
    return response


def _seat(bid: Bid) -> str:
    return bid.priced.judged.ad.campaign.advertiser_id


def _encode_bids(bids: Iterable[Bid], notice_base: str) -> list[wire.Bid]:
    encoded = []
    for bid in bids:
        ad, creative = bid.priced.judged.ad, bid.priced.judged.ad.creative
        native = creative.format is AdFormat.NATIVE
        uris = notice_uris(notice_base, bid.bid_id)
        message = wire.Bid(
            id=bid.bid_id,
            impid=ad.impression.impression_id,
            price=bid.priced.bid_price.units,
            adid=creative.creative_id,
            nurl=uris.win,
            burl=uris.billing,
            lurl=uris.loss,
            adm=_markup(bid),
            adomain=[creative.adomain],
            cid=creative.campaign_id,
            crid=creative.creative_id,
            cat=creative.categories,
            mtype=MARKUP_NATIVE if native else MARKUP_BANNER,
            ext=wire.Bid.Ext(item_id=creative.item_id),
        )
        if not native:
            message.w, message.h = creative.size.width, creative.size.height
        encoded.append(message)
    return encoded


def _markup(bid: Bid) -> str:
    ad, creative = bid.priced.judged.ad, bid.priced.judged.ad.creative
    if creative.format is AdFormat.NATIVE:
        return markup_json(ad.impression.native_assets, creative.title, creative.text, creative.landing_page)
    title, text, page = map(html.escape, (creative.title, creative.text, creative.landing_page))
    size = f"width:{creative.size.width}px;height:{creative.size.height}px;overflow:hidden"
    return (
        f'<a href="{page}" target="_blank" style="display:block;{size}"><strong>{title}</strong><span>{text}</span></a>'
    )


def decode_answer(message: wire.BidResponse) -> Answer:
    """What an exchange reads in a response."""
    bids = tuple(
        OfferedBid(
            bid_id=bid.id,
            impression_id=bid.impid,
            bid_price=from_units(bid.price, message.cur or "USD"),
            item_id=bid.ext.item_id,
            creative_id=bid.crid,
            campaign_id=bid.cid,
            adomain=bid.adomain[0] if bid.adomain else "",
            width=bid.w,
            height=bid.h,
            markup=bid.adm,
        )
        for seat in message.seatbid
        for bid in seat.bid
    )
    reason = message.nbr if message.HasField("nbr") else None
    return Answer(message.id, message.ext.decision_id or message.bidid, bids, reason)
