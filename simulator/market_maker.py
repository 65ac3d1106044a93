"""Makes the market's side of a simulation: a marketplace's traffic as bid requests, each with what the market would
pay."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.errors import MarketplaceError
from ..core.marketplace import Marketplace
from ..core.money import Money
from ..core.request import AdFormat, BidRequest, Device, Impression, Page, Place, Size, Viewer


@dataclass(frozen=True, slots=True)
class Offering:
    """A request with what the bidder is not told. The viewer carries the raw user id, as an exchange would send it."""

    request: BidRequest
    user_id: str
    market_price_micros: int | None  # the highest rival's price per mille, None where the source does not say


@dataclass(frozen=True, slots=True)
class Terms:
    """What every request of a simulation has in common."""

    currency: str
    timeout_ms: int
    auction_type: int


class MarketMaker:
    """Reads a marketplace's traffic; MarketplaceError where it has none."""

    def __init__(self, marketplace: Marketplace, terms: Terms) -> None:
        self._terms = terms
        self._traffic = marketplace.log("traffic")
        if not self._traffic.num_rows:
            raise MarketplaceError(
                f"{marketplace.folder / 'traffic.parquet'} is empty; make a world with --requests above 0"
            )

    @property
    def count(self) -> int:
        """How many requests there are."""
        return int(self._traffic.num_rows)

    def all(self) -> Iterator[Offering]:
        """Every request, by event time."""
        return self._offerings(0, self.count)

    def peak(self, requests: int) -> Iterator[Offering]:
        """The `requests` consecutive ones that came in the shortest time (all, where there are no more), by event
        time."""
        size = min(requests, self.count)
        first = busiest(np.asarray(self._traffic.column("event_time")), size)
        return self._offerings(first, size)

    def _offerings(self, first: int, size: int) -> Iterator[Offering]:
        for batch in self._traffic.slice(first, size).to_batches(max_chunksize=1024):
            for row in batch.to_pylist():
                yield self._offering(row)

    def _offering(self, row: dict[str, object]) -> Offering:
        terms = self._terms
        size = Size(_number(row["width"]), _number(row["height"]))
        form = AdFormat(str(row["format"]))
        impression = Impression(
            impression_id="1",
            format=form,
            sizes=() if form is AdFormat.NATIVE else (size,),
            reserve_price=Money(_number(row["reserve_price_micros"]), terms.currency),
            placement=str(row["placement"]),
            position=_number(row["position"]),
        )
        user_id = str(row["user_id"] or "")
        request = BidRequest(
            request_id=str(row["request_id"]),
            impressions=(impression,),
            viewer=Viewer(user_id),
            device=Device(_number(row["device_type"]), str(row["os"]), str(row["user_agent"])),
            page=Page(domain=str(row["domain"]), publisher_id=str(row["publisher_id"])),
            place=Place(str(row["country"]), str(row["region"]), str(row["city"])),
            event_time=_number(row["event_time"]),
            timeout_ms=terms.timeout_ms,
            auction_type=terms.auction_type,
            currency=terms.currency,
        )
        market_price = row["market_price_micros"]
        return Offering(request, user_id, None if market_price is None else _number(market_price))


def busiest(times: npt.NDArray[np.int64], size: int) -> int:
    """Where the `size` consecutive times begin that span least; the first of equals."""
    spans = times[size - 1 :] - times[: times.size - size + 1]
    return int(np.argmin(spans))


def _number(value: object) -> int:
    return int(value) if isinstance(value, int) else 0
