"""The gRPC edge: OpenRTB in and out, notices, explanations, health."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import _async as health_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ..core.clock import Clock, Deadline
from ..core.errors import InvalidRequest, NotFound, Unavailable
from ..core.exchange import Notice
from ..core.pseudonym import Pseudonymiser
from ..proto import bidding_pb2 as wire
from ..proto import openrtb_pb2 as openrtb
from ..proto.notices import decode_notice
from ..proto.openrtb import decode_request, encode_response
from ..proto.records import encode_record
from .audit import AuditWriter
from .config import EngineConfig
from .notices import NoticeDesk
from .pipeline import Pipeline
from .statistics import Statistics
from .trail import Trail

_GRACE_S = 2.0  # answers under way may finish within this when the server is told to stop
_log = structlog.get_logger(__name__)
Handler = Callable[[Any], Awaitable[Message]]


class Endpoint:
    """The services' methods; each takes a parsed message and returns one, or raises InvalidRequest."""

    def __init__(
        self,
        pipeline: Pipeline,
        notices: NoticeDesk,
        audit: AuditWriter,
        trail: Trail,
        statistics: Statistics,
        pseudonymiser: Pseudonymiser,
        config: EngineConfig,
        clock: Clock,
    ) -> None:
        self._pipeline, self._notices, self._audit, self._trail = pipeline, notices, audit, trail
        self._statistics, self._pseudonymiser, self._config, self._clock = statistics, pseudonymiser, config, clock

    async def bid(self, message: openrtb.BidRequest) -> openrtb.BidResponse:
        arrived_ns = self._clock.monotonic_ns()
        config = self._config
        request = decode_request(
            message,
            self._pseudonymiser,
            self._clock.now_ns(),
            config.default_timeout_ms,
            config.trust_event_time,
            config.currency,
        )
        budget_ms = request.timeout_ms - config.answer_margin_ms
        deadline = Deadline(arrived_ns + int(budget_ms * 1e6), self._clock)
        decision = await self._pipeline.decide(request, deadline)
        self._statistics.count(decision)
        self._audit.record(decision.record)
        return encode_response(request, decision, config.notice_base)

    async def notify(self, message: wire.Notice) -> wire.NoticeReceipt:
        receipt = self._notices.take(self._noticed(message))
        return wire.NoticeReceipt(known=receipt.known, repeated=receipt.repeated)

    def _noticed(self, message: wire.Notice) -> Notice:
        config = self._config
        return decode_notice(message, config.currency, self._clock.now_ns(), config.trust_event_time)

    async def explain(self, message: wire.ExplainRequest) -> wire.DecisionRecord:
        if not message.decision_id:
            raise InvalidRequest("decision_id", "is required")
        record = await asyncio.to_thread(self._trail.find, message.decision_id)
        if record is None:  # perhaps it is still on its way to the disk
            await asyncio.to_thread(self._audit.settle)
            record = await asyncio.to_thread(self._trail.find, message.decision_id)
        if record is None:
            raise NotFound(
                f"no decision {message.decision_id} in the local trail; older ones are in the decisions topic"
            )
        return encode_record(record)

    async def stats(self, _: wire.StatsRequest) -> wire.EngineStats:
        return self._statistics.encode()


def _handler(method: Handler, request_type: type[Message]) -> Any:
    """A handler that parses the request itself, so that bytes which are no message are the caller's error, not ours."""

    async def handle(data: bytes, context: "grpc.aio.ServicerContext[bytes, Message]") -> Message:
        try:
            return await method(request_type.FromString(data))
        except DecodeError:
            name = request_type.DESCRIPTOR.name
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{name}: these bytes are no such protobuf message")
        except InvalidRequest as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except NotFound as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            # The process's edge: one call fails and is told of, the server answers the next.
            _log.exception("a call failed", method=request_type.DESCRIPTOR.name)
            await context.abort(grpc.StatusCode.INTERNAL, f"the engine failed on this one: {error!r}")
        raise AssertionError("abort raises")

    return grpc.unary_unary_rpc_method_handler(handle, response_serializer=lambda message: message.SerializeToString())


class Server:
    """A grpc.aio server around an endpoint; health says SERVING once it is `ready` and has rehearsed."""

    def __init__(
        self,
        endpoint: Endpoint,
        host: str,
        port: int,
        ready: Callable[[], bool],
        rehearse: Callable[[], Awaitable[None]],
    ) -> None:
        self._ready, self._rehearse = ready, rehearse
        self._health = health_aio.HealthServicer()
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        services = {
            "BiddingService": {
                "Bid": _handler(endpoint.bid, openrtb.BidRequest),
                "Explain": _handler(endpoint.explain, wire.ExplainRequest),
                "Stats": _handler(endpoint.stats, wire.StatsRequest),
            },
            "NoticeService": {"Notify": _handler(endpoint.notify, wire.Notice)},
        }
        for name, methods in services.items():
            generic = grpc.method_handlers_generic_handler(f"adgram.v1.{name}", methods)
            self._server.add_generic_rpc_handlers((generic,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        try:
            self.port = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise Unavailable(
                f"cannot listen on {host}:{port}: the port is in use; choose another with --port"
            ) from error

    async def run(self, stopping: asyncio.Event) -> None:
        """Serves until `stopping` is set, then lets answers under way finish."""
        await self._server.start()
        _log.info("serving", port=self.port)
        watch = asyncio.create_task(self._watch())
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({watch, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            watch.result()  # what breaks in rehearsal would break in service: the process ends and says why
        await stopped
        watch.cancel()
        await self._server.stop(_GRACE_S)

    async def _watch(self) -> None:
        status = health_pb2.HealthCheckResponse
        await self._health.set("", status.NOT_SERVING)
        while not self._ready():
            await asyncio.sleep(0.05)
        await self._rehearse()
        await self._health.set("", status.SERVING)
