"""Offers decoded by the thousand: the same JSON events as `proto.events`, read straight into columns.

Nothing is judged here that `proto.events` would judge otherwise: whatever is not plainly an offer of price and stock
is left to it, one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from .events import LARGEST_INTEGER, MAX_KEY_BYTES

_Id = Annotated[str, Meta(min_length=1, max_length=MAX_KEY_BYTES // 4)]  # a character has at most four bytes


class _Price(msgspec.Struct, gc=False):
    micros: Annotated[int, Meta(ge=0, le=LARGEST_INTEGER)]
    currency: _Id


class _Offer(msgspec.Struct, gc=False):
    item_id: _Id
    price: _Price
    stock: Annotated[int, Meta(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
    promotion: Annotated[str, Meta(max_length=0)] = ""


class _Envelope(msgspec.Struct, gc=False):
    event_id: _Id
    event_time: Annotated[int, Meta(gt=0, le=LARGEST_INTEGER)]
    key: _Id
    value: _Offer


_DECODER = msgspec.json.Decoder(_Envelope)


@dataclass(frozen=True, slots=True)
class HotOffers:
    """M offers without promotion, in the order of their records. `keys` are the events' own."""

    keys: list[str]  # [M]
    event_times: npt.NDArray[np.int64]  # [M] ns UTC
    price_micros: npt.NDArray[np.int64]  # [M]
    currencies: list[str]  # [M]
    stock: npt.NDArray[np.int64]  # [M]


def decode(payloads: Sequence[bytes | None], max_bytes: int) -> HotOffers | None:
    """All of them as columns; None where any one is not sound, not plain, or too large."""
    try:
        joined = b"\n".join(payloads)  # type: ignore[arg-type] # a None is found out by trying
        # No line break inside a payload, so that lines and payloads are the same.
        if joined.count(b"\n") != len(payloads) - 1 or max(map(len, payloads)) > max_bytes:  # type: ignore[arg-type]
            return None
        envelopes = _DECODER.decode_lines(joined)
    except (TypeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    values = [one.value for one in envelopes]
    keys = [one.key for one in envelopes]
    if len(envelopes) != len(payloads) or [one.item_id for one in values] != keys:
        return None
    prices = [one.price for one in values]
    return HotOffers(
        keys,
        np.array([one.event_time for one in envelopes], np.int64),
        np.array([one.micros for one in prices], np.int64),
        [one.currency for one in prices],
        np.array([one.stock for one in values], np.int64),
    )
