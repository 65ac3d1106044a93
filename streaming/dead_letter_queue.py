"""The topic of dead letters, read and replayed: each letter goes back to where it came from, once."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError

from ..core.clock import NS_PER_SECOND, Clock
from ..core.errors import Unavailable
from ..core.event import Topic
from .config import StreamingConfig
from .dead_letters import DeadLetter
from .log import KafkaPublisher, consumer

REPLAYED = "adgram.replayed"  # header of a mark: the offset of a letter that went back
REPLAYED_FROM = "adgram.replayed-from"  # header of a record that went back: its letter's offset
FLUSH_S = 30.0
MARK_EVERY = 100  # letters sent between two marks, and so the most that a crash would send twice
POLL_MS = 500


@dataclass(frozen=True, slots=True)
class Buried:
    """A dead letter in its topic, where `number` (its offset) names it; `at_ms` is when it was put there."""

    number: int
    at_ms: int
    letter: DeadLetter
    replayed: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are meant; what is empty or 0 asks for nothing. Times are ms UTC of the burial, [since, until)."""

    topic: str = ""
    reason: str = ""
    since_ms: int = 0
    until_ms: int = 0
    numbers: frozenset[int] = frozenset()

    def accepts(self, buried: Buried) -> bool:
        """Whether this letter is meant."""
        letter = buried.letter
        return (
            (not self.topic or letter.topic == self.topic or letter.topic.endswith(f".{self.topic}"))
            and (not self.reason or letter.reason == self.reason)
            and buried.at_ms >= self.since_ms
            and (not self.until_ms or buried.at_ms < self.until_ms)
            and (not self.numbers or buried.number in self.numbers)
        )


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay did: `refused` says by reason why letters stayed, `stopped` that it was asked to end early."""

    sent: int
    refused: dict[str, int]
    stopped: bool


class DeadLetterQueue:
    """Letters as of the moment `letters` is called. The topic is read twice: the marks lie behind what they mark."""

    def __init__(self, config: StreamingConfig) -> None:
        self._config = config
        self._partition = TopicPartition(config.topic(Topic.DEAD_LETTERS), 0)

    def letters(self, wanted: Wanted) -> Iterator[Buried]:
        """The letters asked for, oldest first."""
        with _told(self._config):
            kafka = consumer(self._config)
        try:
            with _told(self._config):
                kafka.assign([self._partition])
                end = int(kafka.end_offsets([self._partition])[self._partition])
                replayed = {number for record in self._records(kafka, end) if (number := _marked(record)) is not None}
                for record in self._records(kafka, end):
                    if _marked(record) is None:
                        letter = DeadLetter.of(record.key, record.value, record.headers)
                        buried = Buried(record.offset, record.timestamp, letter, record.offset in replayed)
                        if wanted.accepts(buried):
                            yield buried
        finally:
            kafka.close()

    def _records(self, kafka: Any, end: int) -> Iterator[Any]:
        kafka.seek_to_beginning(self._partition)
        while kafka.position(self._partition) < end:
            for record in kafka.poll(timeout_ms=POLL_MS).get(self._partition, ()):
                if record.offset < end:
                    yield record


def replay(
    letters: Iterable[Buried],
    publisher: KafkaPublisher,
    config: StreamingConfig,
    rate: float,
    clock: Clock,
    wait: Callable[[float], bool],
) -> Replay:
    """Sends letters back to their topics under their own keys, marks them, and says what it did.

    A letter that was replayed is passed over. One that has gone back but was not marked yet when the process died goes
    twice; folds know an event they have seen, so that changes nothing.

    Args:
        rate: letters a second at most.
        wait: waits so many seconds, 0 included, and says whether to stop now.
    """
    began, sent, stopped = clock.monotonic_ns(), 0, False
    unmarked: list[int] = []
    refused: dict[str, int] = {}
    for buried in letters:
        reason = _refusal(buried, config)
        if reason:
            refused[reason] = refused.get(reason, 0) + 1
            continue
        due_s = sent / rate - (clock.monotonic_ns() - began) / NS_PER_SECOND
        if wait(max(0.0, due_s)):
            stopped = True
            break
        letter = buried.letter
        publisher.publish_record(
            config.sources[letter.topic],
            letter.key,
            letter.value,
            # The key decides where it goes, which mends a record that lay in the wrong partition.
            partition=letter.partition if letter.key is None else None,
            headers=[(REPLAYED_FROM, str(buried.number).encode())],
        )
        unmarked.append(buried.number)
        sent += 1
        if len(unmarked) >= MARK_EVERY:
            _mark(unmarked, publisher)
    _mark(unmarked, publisher)
    return Replay(sent, refused, stopped)


def rehearsed(letters: Iterable[Buried], config: StreamingConfig) -> Replay:
    """What `replay` would do with these letters."""
    refusals = [_refusal(buried, config) for buried in letters]
    refused = {reason: refusals.count(reason) for reason in set(refusals) if reason}
    return Replay(refusals.count(""), refused, stopped=False)


def _mark(numbers: list[int], publisher: KafkaPublisher) -> None:
    """Afterwards the letters are acknowledged where they went, and then marked."""
    publisher.flush(FLUSH_S)
    for number in numbers:
        publisher.publish_dead_letter(None, b"", [(REPLAYED, str(number).encode())])
    publisher.flush(FLUSH_S)
    numbers.clear()


def _refusal(buried: Buried, config: StreamingConfig) -> str:
    letter = buried.letter
    if buried.replayed:
        return "replayed before"
    if letter.topic not in config.sources:
        return f"{letter.topic or 'its topic'} is no source topic under this prefix"
    if letter.whole_bytes:
        return "only its beginning was kept"
    if letter.key is None and not letter.value:
        return "it has neither key nor value"
    return ""


def _marked(record: Any) -> int | None:
    told = dict(record.headers or ())
    return int(told[REPLAYED]) if REPLAYED in told else None


@contextmanager
def _told(config: StreamingConfig) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise Unavailable(f"cannot read the dead letters of {config.bootstrap}: {error}; try again") from error
