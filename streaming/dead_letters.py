"""Events that could not be folded, kept as they were on a topic of their own, in Kafka Connect's terms."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

FLUSH_TIMEOUT_S = 10.0
MAX_VALUE_BYTES = 1_900_000  # what a producer of ours can send, headers aside; a longer value is kept in part
MAX_PROBLEM_CHARACTERS = 1_000
# Our stages by the name that Connect's tools know. A check is of the key, its partition and the event's time.
CONNECT_STAGES = {"decode": "VALUE_CONVERTER", "check": "TRANSFORMATION", "fold": "TASK_PUT"}
_STAGES = {theirs: ours for ours, theirs in CONNECT_STAGES.items()}
_CONNECT = "__connect.errors."
_REASON, _WHOLE_BYTES = "adgram.reason", "adgram.whole-bytes"
Headers = list[tuple[str, bytes]]
logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record as it was, with where it was and why it could not be folded.

    `timestamp_ms` is the record's own, -1 if it had none; `whole_bytes` is the length its value had, should only the
    beginning be kept, else 0.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    stage: str
    reason: str
    problem: str
    whole_bytes: int = 0

    @property
    def headers(self) -> Headers:
        """As Kafka Connect names them, so that its tools can read the topic; `timestamp` is ours in its manner."""
        headers = [
            (_CONNECT + "topic", self.topic),
            (_CONNECT + "partition", str(self.partition)),
            (_CONNECT + "offset", str(self.offset)),
            (_CONNECT + "timestamp", str(self.timestamp_ms)),
            (_CONNECT + "connector.name", "adgram"),
            (_CONNECT + "task.id", str(self.partition)),  # a shard is its partition
            (_CONNECT + "stage", CONNECT_STAGES.get(self.stage, self.stage)),
            (_CONNECT + "class.name", "adgram.streaming.shard.Shard"),
            (_CONNECT + "exception.class.name", "adgram.core.errors.InvalidEvent"),
            (_CONNECT + "exception.message", self.problem),
            (_REASON, self.reason),
        ]
        if self.whole_bytes:
            headers.append((_WHOLE_BYTES, str(self.whole_bytes)))
        return [(name, value.encode(errors="replace")) for name, value in headers]

    @classmethod
    def of(cls, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> "DeadLetter":
        """The letter in a record of the topic; what a header does not tell is empty or -1."""
        told = {name: (content or b"").decode(errors="replace") for name, content in headers}

        def number(name: str, otherwise: int) -> int:
            text = told.get(name, "")
            return int(text) if text.lstrip("-").isdecimal() else otherwise

        stage = told.get(_CONNECT + "stage", "")
        return cls(
            topic=told.get(_CONNECT + "topic", ""),
            partition=number(_CONNECT + "partition", -1),
            offset=number(_CONNECT + "offset", -1),
            timestamp_ms=number(_CONNECT + "timestamp", -1),
            key=key,
            value=value,
            stage=_STAGES.get(stage, stage),
            reason=told.get(_REASON) or told.get(_CONNECT + "exception.class.name", ""),
            problem=told.get(_CONNECT + "exception.message", ""),
            whole_bytes=number(_WHOLE_BYTES, 0),
        )

    @property
    def sendable(self) -> "DeadLetter":
        """The letter within what a broker takes: a huge value is cut, an endless problem too."""
        value, whole = self.value, len(self.value or b"")
        if value is not None and whole > MAX_VALUE_BYTES:
            value = value[:MAX_VALUE_BYTES]
        elif value is None and self.key is None:
            value = b""  # a record has one of the two at least
        cut = whole if whole > MAX_VALUE_BYTES else 0
        return DeadLetter(
            self.topic,
            self.partition,
            self.offset,
            self.timestamp_ms,
            self.key,
            value,
            self.stage,
            self.reason,
            self.problem[:MAX_PROBLEM_CHARACTERS],
            cut,
        )


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
            logger.warning("bad event kept in the dead letters", at=at, problem=letter.problem[:200])
        self._unflushed = True
        sent = letter.sendable
        self._sender.publish_dead_letter(sent.key, sent.value, sent.headers)

    def flush(self) -> None:
        if self._unflushed:
            self._sender.flush(FLUSH_TIMEOUT_S)
            self._unflushed = False


class RawSender(Protocol):
    """Publishes bytes as they are; streaming.log.KafkaPublisher is one."""

    def publish_dead_letter(self, key: bytes | None, value: bytes | None, headers: Headers) -> None: ...
    def flush(self, timeout_s: float) -> None: ...
