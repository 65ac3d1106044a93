"""Notices: macros out, numbers back in."""

import pytest

from adgram.core.errors import InvalidRequest
from adgram.core.exchange import Notice, NoticeKind
from adgram.core.money import Money
from adgram.proto import bidding_pb2 as wire
from adgram.proto.notices import decode_notice, encode_notice, notice_uris


def test_an_expanded_uri_is_the_notice() -> None:
    """What an exchange sends back after expanding our macros decodes to bid, price and reason."""
    uris = notice_uris("https://ads.example/", "d-1")
    win = uris.win.replace("${AUCTION_PRICE}", "1.25")
    assert decode_notice(wire.Notice(uri=win), "CNY", 9, False) == Notice(
        NoticeKind.WIN, "d-1", 9, Money(1_250_000, "CNY")
    )
    loss = uris.loss.replace("${AUCTION_MIN_TO_WIN}", "2").replace("${AUCTION_LOSS}", "102")
    assert decode_notice(wire.Notice(uri=loss), "CNY", 9, False) == Notice(
        NoticeKind.LOSS, "d-1", 9, Money(2_000_000, "CNY"), 102
    )


def test_an_unexpanded_macro_is_no_price() -> None:
    """A loss whose exchange does not expand the price macro still frees the money."""
    notice = decode_notice(wire.Notice(uri=notice_uris("adgram:", "d-1").loss), "CNY", 9, False)
    assert notice.clearing_price is None


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (wire.Notice(bid_id="b"), "kind"),
        (wire.Notice(kind=wire.Notice.WIN), "bid_id"),
        (wire.Notice(kind=wire.Notice.BILLING, bid_id="b"), "price"),
        (wire.Notice(kind=wire.Notice.WIN, bid_id="b", price=float("nan")), "price"),
        (wire.Notice(kind=wire.Notice.WIN, bid_id="b", price=-1), "price"),
        (wire.Notice(kind=wire.Notice.LOSS, bid_id="b", price=1e300), "price"),
        (wire.Notice(kind=wire.Notice.LOSS, bid_id="b", loss_reason=-1), "loss_reason"),
        (wire.Notice(uri="http://[x"), "uri"),
        (wire.Notice(uri="https://x/elsewhere?bid=b"), "uri"),
    ],
)
def test_a_broken_notice_names_the_field(message: wire.Notice, path: str) -> None:
    """The error names the field that is wrong."""
    with pytest.raises(InvalidRequest) as caught:
        decode_notice(message, "CNY", 9, False)
    assert caught.value.path == path


def test_a_notice_survives_the_wire() -> None:
    """Encoding and decoding a notice gives it back."""
    notice = Notice(NoticeKind.BILLING, "b", 123, Money(5_000, "CNY"), 0)
    assert decode_notice(encode_notice(notice), "CNY", 9, True) == notice
    assert decode_notice(encode_notice(notice), "CNY", 9, False).event_time == 9, "a live server stamps its own time"


def test_an_endless_reason_is_no_reason() -> None:
    """A reason that is no finite number is taken as none given."""
    assert decode_notice(wire.Notice(uri="adgram:loss?bid=b&reason=inf"), "CNY", 9, False).loss_reason == 0
