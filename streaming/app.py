"""The faust worker: one agent a source topic, all feeding the shards of their partition.

Records are acknowledged to Kafka only after the commit that covers them counts, so that the group's offsets never pass
the shards' own. faust takes 1,000 to 2,000 events a second and worker; `streaming.batch` is for more.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from tempfile import TemporaryDirectory
from typing import Any, cast

import faust
import structlog
from faust.types import TP, EventT

from ..core.errors import AdgramError
from ..core.event import Topic
from .config import StreamingConfig
from .patience import install_patient_fetcher
from .shards import Shards

# faust's default is 60 s without a sign of life; a dead worker's partitions should move within seconds. Brokers allow
# no less than 6 s by default (group.min.session.timeout.ms). Who is taken for dead and lives costs no event, only a
# rebalance.
SESSION_TIMEOUT_S = 6.0
HEARTBEAT_S = 1.5  # the others hear of a rebalance with their next heartbeat
logger = structlog.get_logger(__name__)


class Worker:
    """A faust app around `shards`. `failure` says why it stopped by itself, "" when it did not."""

    def __init__(self, config: StreamingConfig, shards: Shards) -> None:
        self._config, self._shards = config, shards
        self._lock: asyncio.Lock | None = None
        self._uncovered: list[EventT[Any]] = []
        self.failure = ""
        self._scratch = TemporaryDirectory(prefix="adgram-ingest-")
        self.app = self._configured()
        for topic in config.sources.values():
            self._add_agent(topic)
        self.app.timer(interval=config.commit_interval_ms / 1000)(self._commit)
        self.app.on_partitions_assigned.connect(cast(Any, self._assigned), weak=False)
        self.app.on_partitions_revoked.connect(self._revoked, weak=False)
        self.app.on_before_shutdown.connect(self._shutdown, weak=False)

    def run(self) -> None:
        """Returns after SIGTERM or SIGINT with all that was folded committed, else `failure` says why it stopped."""
        install_patient_fetcher()
        worker = faust.Worker(self.app, loglevel=logging.ERROR, redirect_stdouts=False, quiet=True)
        worker.spinner = None  # it draws on terminals and on logs alike
        try:
            worker.execute_from_commandline()
        except SystemExit as stop:
            if stop.code and not self.failure:
                self.failure = f"faust stopped with code {stop.code}"

    def _configured(self) -> faust.App:
        config = self._config
        return faust.App(
            config.group_id,
            broker=[f"kafka://{address.strip()}" for address in config.bootstrap.split(",")],
            store="memory://",
            datadir=self._scratch.name,  # faust makes it though nothing is kept there, else in the working directory
            web_enabled=False,
            autodiscover=False,
            topic_disable_leader=True,
            topic_partitions=config.shards,
            processing_guarantee="at_least_once",  # faust's exactly_once has open bugs, and folding needs none
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=SESSION_TIMEOUT_S,
            broker_heartbeat_interval=HEARTBEAT_S,
            broker_commit_interval=1.0,
            stream_wait_empty=False,  # acknowledgements come with the next commit, not with each event
            worker_redirect_stdouts=False,
        )

    def _add_agent(self, topic: Topic) -> None:
        channel = self.app.topic(
            self._config.topic(topic), key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes
        )

        async def agent(stream: Any) -> AsyncIterator[None]:
            async for event in stream.noack().events():
                async with self._exclusive():
                    await self._feed(topic, event)
                yield

        self.app.agent(channel, name=f"{self._config.group_id}.{topic.value}")(agent)

    async def _feed(self, topic: Topic, event: EventT[Any]) -> None:
        message = event.message
        try:
            timestamp_ms = int((message.timestamp or 0) * 1000) or -1
            if self._shards.feed(topic, message.partition, message.offset, message.key, message.value, timestamp_ms):
                self._uncovered.append(event)
        except Exception as error:  # the process's edge: faust would go on with the next event, and this one be lost
            logger.exception("an event could not be folded", topic=message.topic, offset=message.offset)
            await self._give_up(error, f"{message.topic} offset {message.offset} could not be folded: {error!r}")

    def _exclusive(self) -> asyncio.Lock:
        if self._lock is None:  # made in the loop it belongs to
            self._lock = asyncio.Lock()
        return self._lock

    async def _commit(self, *_: Any) -> None:
        async with self._exclusive():
            await self._covered()

    async def _covered(self) -> None:
        """Afterwards all that was fed is committed and acknowledged; events of shards lost meanwhile are not."""
        events, self._uncovered = self._uncovered, []
        if await self._in_thread(self._shards.commit):
            for event in events:
                if self._shards.owns(event.message.partition):
                    event.ack()

    async def _assigned(self, _app: Any, *args: Any, **_: Any) -> None:
        assigned: set[TP] = args[0]
        numbers = {tp.partition for tp in assigned if tp.topic in self._config.sources}
        async with self._exclusive():
            await self._in_thread(lambda: self._shards.own(numbers))
        logger.info("partitions assigned", shards=sorted(numbers))

    async def _revoked(self, *_: Any, **__: Any) -> None:
        async with self._exclusive():
            await self._covered()
            self._shards.own(())

    async def _shutdown(self, *_: Any, **__: Any) -> None:
        async with self._exclusive():
            await self._covered()

    async def _in_thread(self, work: Callable[[], object]) -> bool:
        """Whether blocking work succeeded; if not, the worker ends and says why. Heartbeats go on meanwhile."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, work)
        except AdgramError as error:
            await self._give_up(error, str(error))
            return False
        except Exception as error:  # the process's edge: faust would log it and go on without ever committing again
            logger.exception("the worker failed")
            await self._give_up(error, f"the worker failed: {error!r}")
            return False
        return True

    async def _give_up(self, error: Exception, reason: str) -> None:
        self.failure = self.failure or reason
        await self.app.crash(error)
