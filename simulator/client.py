"""The bidder at the other end of a gRPC channel."""

from types import TracebackType

import grpc

from ..core.errors import Unavailable
from ..core.exchange import Answer, Notice
from ..core.request import BidRequest
from ..proto import bidding_pb2, bidding_pb2_grpc
from ..proto.notices import encode_notice
from ..proto.openrtb import decode_answer, encode_request
from .statistics import EngineStats

# An exchange gives up at tmax; we wait longer, so that a late answer is measured rather than only missed.
PATIENCE_S = 5.0
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


class GrpcBidder:
    """core.ports.Bidder over one channel; use as an async context manager, inside the loop that will call it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = grpc.aio.insecure_channel(address)
        self._bidding = bidding_pb2_grpc.BiddingServiceStub(self._channel)
        self._notices = bidding_pb2_grpc.NoticeServiceStub(self._channel)

    async def __aenter__(self) -> "GrpcBidder":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close(grace=None)

    async def ready(self, timeout_s: float) -> None:
        """Afterwards the endpoint can be reached; Unavailable if it cannot in time."""
        try:
            await self._stats(timeout_s)
        except grpc.aio.AioRpcError as error:
            raise self._unavailable(error) from error

    async def bid(self, request: BidRequest) -> Answer:
        """The endpoint's answer; Unavailable when the call failed, whatever its status."""
        try:
            response = await self._bidding.Bid(encode_request(request), timeout=PATIENCE_S)
        except grpc.aio.AioRpcError as error:
            raise self._unavailable(error) from error
        return decode_answer(response)

    async def notify(self, notice: Notice) -> None:
        """Afterwards the endpoint has acknowledged the notice; Unavailable when the call failed."""
        try:
            await self._notices.Notify(encode_notice(notice), timeout=PATIENCE_S)
        except grpc.aio.AioRpcError as error:
            raise self._unavailable(error) from error

    async def stats(self) -> EngineStats:
        """The engine's own counts since it started."""
        try:
            message = await self._stats(PATIENCE_S)
        except grpc.aio.AioRpcError as error:
            raise self._unavailable(error) from error
        return EngineStats(
            candidates_by_source=dict(message.candidates_by_source),
            rejections_by_reason=dict(message.rejections),
            tiers=dict(message.tiers),
            no_bid_reasons=dict(message.no_bids),
            bids_by_source=dict(message.bids_by_source),
            lateness=dict(message.lateness),
            version=".".join(map(str, message.version)),
            models=dict(message.models),
        )

    async def _stats(self, timeout_s: float) -> bidding_pb2.EngineStats:
        stats: bidding_pb2.EngineStats = await self._bidding.Stats(
            bidding_pb2.StatsRequest(), timeout=timeout_s, wait_for_ready=True
        )
        return stats

    def _unavailable(self, error: grpc.aio.AioRpcError) -> Unavailable:
        code = error.code()
        advice = "; is `adgram serve` running there?" if code in _AWAY else ""
        return Unavailable(f"bidder at {self._address}: {code.name} {error.details() or ''}".rstrip() + advice)
