"""Events that could not be folded, kept with their reason on a topic of their own, counted by reason."""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import structlog

FLUSH_TIMEOUT_S = 10.0
logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record as it was, with where it was and why it could not be folded."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    stage: str
    reason: str
    problem: str

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """As Kafka Connect names them, so that its tools can read the topic; `reason` is ours."""
        return [
            ("__connect.errors.topic", self.topic.encode()),
            ("__connect.errors.partition", str(self.partition).encode()),
            ("__connect.errors.offset", str(self.offset).encode()),
            ("__connect.errors.stage", self.stage.encode()),
            ("__connect.errors.exception.class.name", b"InvalidEvent"),
            ("__connect.errors.exception.message", self.problem.encode()),
            ("adgram.reason", self.reason.encode()),
        ]


class DeadLetters(Protocol):
    """Where bad events go. `flush` comes before the commit that covers them, so that none is passed over unseen."""

    def put(self, letter: DeadLetter) -> None: ...
    def flush(self) -> None: ...


class CountedDeadLetters:
    """Dead letters sent to `sender` and counted by reason."""

    def __init__(self, sender: "RawSender") -> None:
        self._sender = sender
        self._unflushed = False
        self.counts: Counter[str] = Counter()

    def put(self, letter: DeadLetter) -> None:
        self.counts[letter.reason] += 1
        if self.counts[letter.reason] == 1:  # the first of its kind is told; the rest are counted
            at = f"{letter.topic}[{letter.partition}]@{letter.offset}"
            logger.warning("bad event kept in the dead letters", at=at, problem=letter.problem)
        self._unflushed = True
        self._sender.publish_dead_letter(letter.key, letter.value, letter.headers)

    def flush(self) -> None:
        if self._unflushed:
            self._sender.flush(FLUSH_TIMEOUT_S)
            self._unflushed = False


class RawSender(Protocol):
    """Publishes bytes as they are; streaming.log.KafkaPublisher is one."""

    def publish_dead_letter(self, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> None: ...
    def flush(self, timeout_s: float) -> None: ...
