"""Admission against memory's own snapshots, with a rule-by-rule twin as oracle."""

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adgram.core.catalogue import Advertiser, Item, Offer, Schedule, Targeting
from adgram.core.commit import Table
from adgram.core.event import StopScope
from adgram.core.feedback import FeedbackKind, Interaction, UserState
from adgram.core.money import Money
from adgram.core.request import AdFormat, Device, Place, Size
from adgram.core.snapshot import Snapshot
from adgram.rules.admission import CHILD_BLOCKED, Admissions, Limits

from .conftest import Fold, campaign, creative, request, slot

SMALL, WIDE = Size(300, 250), Size(728, 90)
HOUR = 12
NOW = HOUR * 3600 * 10**9


def reason_of(snapshot, made, asked, impression, limits, user):
    """The naive twin: why this one creative may not be shown, reading rule after rule; "" if it may."""
    item, offer = snapshot.item(made.item_id), snapshot.offer(made.item_id)
    order = snapshot.campaign(made.campaign_id)
    advertiser = snapshot.advertiser(order.advertiser_id) if order else None
    place = asked.place.place_id
    stops = {scope: limits.stops.get(scope, frozenset()) for scope in StopScope}

    def under(name, blocked, separator, backwards):
        parts = name.split(separator)
        heads = [parts[n:] for n in range(len(parts))] if backwards else [parts[: n + 1] for n in range(len(parts))]
        return any(separator.join(head) in blocked for head in heads)

    checks = [
        ("deleted", item is None),
        (
            "size-or-format",
            made.format is not impression.format
            or (made.format is AdFormat.BANNER and made.size not in impression.sizes),
        ),
        ("campaign-unknown", order is None),
        ("campaign-inactive", order and not order.active),
        (
            "schedule",
            order
            and (
                asked.event_time < order.schedule.start
                or (order.schedule.end and asked.event_time >= order.schedule.end)
                or (order.schedule.hours and HOUR not in order.schedule.hours)
            ),
        ),
        (
            "place",
            order
            and order.targeting.places
            and not any(place == wanted or place.startswith(wanted + "/") for wanted in order.targeting.places),
        ),
        (
            "device",
            order and order.targeting.device_types and asked.device.device_type not in order.targeting.device_types,
        ),
        ("currency", order and order.bid.currency != asked.currency),
        (
            "advertiser-blocked",
            under(made.adomain, asked.blocked_advertisers, ".", True)
            or (advertiser and under(advertiser.domain, asked.blocked_advertisers, ".", True)),
        ),
        ("category-blocked", any(under(name, asked.blocked_categories, "-", False) for name in made.categories)),
        (
            "child-directed",
            asked.child_directed
            and (not made.categories or any(under(name, CHILD_BLOCKED, "-", False) for name in made.categories)),
        ),
        (
            "stopped",
            made.item_id in stops[StopScope.ITEM]
            or made.creative_id in stops[StopScope.CREATIVE]
            or made.campaign_id in stops[StopScope.CAMPAIGN]
            or (order and order.advertiser_id in stops[StopScope.ADVERTISER]),
        ),
        ("out-of-stock", offer is not None and offer.stock == 0),
        ("budget-exhausted", made.campaign_id in limits.exhausted),
        ("frequency-cap", made.campaign_id in limits.capped),
        (
            "already-converted",
            user
            and not asked.child_directed
            and any(seen.item_id == made.item_id and seen.kind is FeedbackKind.CONVERSION for seen in user.history),
        ),
    ]
    return next((name for name, failed in checks if failed), "")


ORDER = [
    "deleted",
    "size-or-format",
    "campaign-unknown",
    "campaign-inactive",
    "schedule",
    "place",
    "device",
    "currency",
    "advertiser-blocked",
    "category-blocked",
    "child-directed",
    "stopped",
    "out-of-stock",
    "budget-exhausted",
    "frequency-cap",
    "already-converted",
]
some = st.integers(0, 3)


@st.composite
def catalogues(draw):
    """Six items, a few campaigns and creatives of any kind, some joined to nothing."""
    items = [Item(f"i{n}", f"t{n}") for n in range(6)]
    offers = [Offer(f"i{n}", Money(10**6, "CNY"), draw(st.sampled_from([0, 5, 5]))) for n in range(5)]
    orders = [
        campaign(
            f"c{n}",
            f"a{draw(some)}",
            active=draw(st.sampled_from([True, True, False])),
            schedule=draw(
                st.sampled_from([Schedule(), Schedule(), Schedule(end=NOW), Schedule(hours=(1, 2)), Schedule(start=1)])
            ),
            targeting=Targeting(
                draw(st.sampled_from([(), (), ("CN/x",), ("CN/xy", "US")])),
                draw(st.sampled_from([(), (), (4,), (2, 5)])),
            ),
        )
        for n in range(3)
    ]
    creatives = [
        creative(
            f"k{n}",
            f"i{draw(st.integers(0, 6))}",
            f"c{draw(some)}",
            draw(st.sampled_from([SMALL, WIDE])),
            format=draw(st.sampled_from([AdFormat.BANNER, AdFormat.BANNER, AdFormat.NATIVE])),
            adomain=draw(st.sampled_from(["shop.example", "a.shop.example", "other.example"])),
            categories=draw(st.sampled_from([(), ("IAB22",), ("IAB25-3", "IAB1"), ("IAB8-5",)])),
        )
        for n in range(draw(st.integers(0, 12)))
    ]
    advertisers = [Advertiser(f"a{n}", f"A{n}", f"d{n}.example") for n in range(3)]
    return [*items, *offers, *orders, *advertisers, *creatives]


requests = st.builds(
    request,
    place=st.sampled_from([Place("CN", "x", "wet"), Place("CN", "xy"), Place("US"), Place()]),
    device=st.sampled_from([Device(4), Device(2), Device()]),
    blocked_advertisers=st.sampled_from([frozenset(), frozenset({"shop.example"}), frozenset({"D1.EXAMPLE".lower()})]),
    blocked_categories=st.sampled_from([frozenset(), frozenset({"IAB25"}), frozenset({"IAB22", "IAB8"})]),
    child_directed=st.sampled_from([False, False, True]),
    currency=st.sampled_from(["CNY", "CNY", "CNY", "USD"]),
)
stops = st.dictionaries(
    st.sampled_from(list(StopScope)), st.frozensets(st.sampled_from(["a0", "c1", "k2", "i3"]), max_size=2), max_size=2
)
campaign_ids = st.frozensets(st.sampled_from(["c0", "c1", "nobody"]), max_size=2)
limits_drawn = st.builds(Limits, exhausted=campaign_ids, capped=campaign_ids, stops=stops)
impressions = st.sampled_from(
    [slot(SMALL), slot(WIDE, SMALL), slot(Size(1, 1)), slot(ad_format=AdFormat.NATIVE), slot()]
)
bought_and_clicked = (Interaction("i1", FeedbackKind.CONVERSION, 1), Interaction("i2", FeedbackKind.CLICK, 2))
users = st.sampled_from([None, UserState("u"), UserState("u", bought_and_clicked)])


@settings(max_examples=200, deadline=None)
@given(
    entities=catalogues(),
    gone=st.sets(some),
    asked=requests,
    impression=impressions,
    limits=limits_drawn,
    user=users,
)
def test_admits_exactly_what_the_rules_read_one_by_one_admit(
    entities, gone, asked, impression, limits, user, fold: Fold
):
    """The vectorised filters agree with a reading of the rules, creative by creative, also after deletions."""
    admissions = Admissions()
    before = fold(entities)
    admissions.admit(before, asked, impression, limits, user)
    snapshot = fold([], before, [(Table.ITEM, f"i{n}") for n in gone] + [(Table.CREATIVE, f"k{n}") for n in gone])
    admission = admissions.admit(snapshot, asked, impression, limits, user)
    by_item: dict[str, list[str]] = {}
    for position, made in enumerate(snapshot.creatives.creatives):
        alive = bool(snapshot.creatives.alive[position])
        known = snapshot.creatives.item_slot[position] >= 0
        reason = reason_of(snapshot, made, asked, impression, limits, user) if alive and known else "size-or-format"
        assert admission.creatives[position] == (reason == "")
        by_item.setdefault(made.item_id, []).append(reason)
    counts: Counter[str] = Counter()
    for position, item_id in enumerate(snapshot.items.item_ids):
        reasons = by_item.get(item_id, ["size-or-format"])
        expected = "" in reasons and bool(snapshot.items.alive[position])
        assert admission.items[position] == expected
        if not snapshot.items.alive[position]:
            counts["deleted"] += 1
        elif not expected:
            counts[max(reasons, key=ORDER.index)] += 1
    assert {rejection.reason: rejection.count for rejection in admission.rejections} == counts


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(catalogues(), st.sets(some), st.integers(0, 2)), max_size=4))
def test_an_index_that_follows_versions_says_what_one_made_from_nothing_says(steps, fold: Fold):
    """Whatever a version adds, changes or deletes, and whichever version was asked before it."""
    following, versions = Admissions(), [fold([])]
    for entities, gone, back in steps:
        before = versions[-1 - back % len(versions)]
        deleted = [(Table.ITEM, f"i{n}") for n in gone] + [(Table.CREATIVE, f"k{n}") for n in gone]
        versions.append(fold([one for n, one in enumerate(entities) if n % 3 != back], before, deleted))
        for snapshot in (versions[-1], before):
            for impression in (slot(SMALL), slot(WIDE, SMALL), slot(ad_format=AdFormat.NATIVE)):
                told = following.admit(snapshot, request(), impression, Limits(), None)
                anew = Admissions().admit(snapshot, request(), impression, Limits(), None)
                assert told.items.tolist() == anew.items.tolist()
                assert told.creatives.tolist() == anew.creatives.tolist()
                assert told.rejections == anew.rejections


def test_rejections_and_admitted_items_add_up_to_the_catalogue(fold: Fold):
    """Nobody has to guess where an item went."""
    snapshot = fold(
        [*(Item(f"i{n}", "t") for n in range(5)), campaign("c0"), *(creative(f"k{n}", f"i{n}", "c0") for n in range(3))]
    )
    admission = Admissions().admit(snapshot, request(), slot(SMALL), Limits(capped=frozenset({"c0"})), None)
    assert {rejection.reason: rejection.count for rejection in admission.rejections} == {
        "size-or-format": 2,
        "frequency-cap": 3,
    }


def test_a_later_version_is_admitted_by_its_own_facts_while_the_earlier_one_keeps_its_answer(fold: Fold):
    """The index of a new version takes over what did not change, and only that."""
    admissions = Admissions()
    first = fold([Item("i0", "t"), campaign("c0"), creative("k0", "i0", "c0")])
    assert admissions.admit(first, request(), slot(SMALL), Limits(), None).items.tolist() == [True]
    second = fold([campaign("c0", active=False), Item("i1", "t"), campaign("c1"), creative("k1", "i1", "c1")], first)
    admissions.warm(second)
    assert admissions.admit(second, request(), slot(SMALL), Limits(), None).items.tolist() == [False, True]
    assert admissions.admit(first, request(), slot(SMALL), Limits(), None).items.tolist() == [True]


def test_an_advertiser_that_moves_to_a_blocked_domain_is_blocked(fold: Fold):
    """A change of the advertiser alone reaches its campaigns' columns."""
    admissions = Admissions()
    first = fold([Item("i0", "t"), Advertiser("a0", "A", "fine.example"), campaign("c0"), creative("k0", "i0", "c0")])
    asked = request(blocked_advertisers=frozenset({"bad.example"}))
    assert admissions.admit(first, asked, slot(SMALL), Limits(), None).items.any()
    second = fold([Advertiser("a0", "A", "www.bad.example")], first)
    assert not admissions.admit(second, asked, slot(SMALL), Limits(), None).items.any()


@pytest.fixture(scope="module")
def large(fold: Fold) -> Snapshot:
    """12,000 items with 40,000 creatives of 500 campaigns."""
    orders = [
        campaign(f"c{n}", f"a{n % 200}", targeting=Targeting(("CN/1",) if n % 5 == 0 else ())) for n in range(500)
    ]
    sizes = (SMALL, WIDE, Size(320, 50), Size(160, 600))
    made = [creative(f"k{n}", f"i{n * 7 % 12_000}", f"c{n % 500}", sizes[n % 4]) for n in range(40_000)]
    return fold([*(Item(f"i{n}", "t") for n in range(12_000)), *orders, *made])


def test_a_large_catalogue_is_admitted_in_about_a_millisecond(large: Snapshot):
    """The bar is 1 ms; of forty tries the quickest may take five, which only a walk over objects would exceed."""
    admissions = Admissions()
    asked = request(blocked_advertisers=frozenset({"x.example"}), blocked_categories=frozenset({"IAB25"}))
    admissions.admit(large, asked, slot(SMALL), Limits(), None)
    took_ms = []
    for _ in range(40):
        started = time.perf_counter()
        admission = admissions.admit(large, asked, slot(SMALL), Limits(), None)
        took_ms.append((time.perf_counter() - started) * 1e3)
    assert admission.items.any()
    assert min(took_ms) < 5
