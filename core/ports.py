"""The seams between parts. What a part needs from a sibling comes through one of these, handed in by `programs/`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .catalogue import EncodedItem, Item
from .clock import Deadline
from .commit import Commit
from .decision import Ad, JudgedAd, Proposal, Verdict
from .environment import Environment
from .event import Event, Outcome, Stop, Topic
from .exchange import Answer, Notice
from .feedback import Feedback, Interaction
from .request import BidRequest
from .snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class ProposalContext:
    """What a proposer may look at: one snapshot, what is admitted in it, and what the viewer did (oldest first).

    `admitted` is [N] by item slot, with dead slots False. `limit` bounds the candidates wanted. `need` is what the
    viewer asked for in words, of any length and script; "" where nothing is known of it.
    """

    snapshot: Snapshot
    admitted: npt.NDArray[np.bool_]
    history: tuple[Interaction, ...]
    limit: int
    deadline: Deadline
    need: str = ""
    values: npt.NDArray[np.float32] | None = None  # [N] what showing each item is expected to earn, where it is asked


class Proposer(Protocol):
    """Names items worth showing."""

    @property
    def model(self) -> str:
        """The checksum of the artefact behind the proposals."""
        ...

    def propose(self, context: ProposalContext) -> Proposal:
        """At most `limit` candidates, best first, each an admitted item, no item twice.

        Deterministic in its context. An empty catalogue, admission or history is an answer (perhaps empty, with its
        reason), never an error.
        """
        ...


@dataclass(frozen=True, slots=True)
class StepShape:
    """What whoever shares a thread among proposals must know of their steps: a prompt, then `levels` of a search."""

    levels: int  # 0 where a proposal is one step
    prompt_rows: int  # how many beams' worth of work the prompt is
    widths: tuple[int, ...]  # beams a level may be searched with, widest first; `propose` searches with the widest


class ProposalInSteps(Protocol):
    """One proposal on its way."""

    def advance(self, width: int) -> Proposal | None:
        """Does the next step, a level of the search with at most `width` beams; the proposal once nothing is left.

        The first step reads the prompt and has no width. A proposal may end before its last level.
        """
        ...


class StepwiseProposer(Proposer, Protocol):
    """A proposer whose proposals can be made side by side in one thread, a step of each in turn.

    Advanced with the widest beams all the way, a proposal is exactly that of `propose`.
    """

    @property
    def shape(self) -> StepShape: ...
    def begin(self, context: ProposalContext) -> ProposalInSteps:
        """The proposal before its first step. Any number may be open at the same time."""
        ...


class TextEncoder(Protocol):
    """Says where an item's own words and attributes place it. It knows nothing of behaviour, so a new item is placed
    as well as an old one."""

    @property
    def model(self) -> str:
        """The checksum of the artefact behind the vectors."""
        ...

    @property
    def width(self) -> int:
        """C, the length of a vector."""
        ...

    def vectors(self, items: Sequence[Item]) -> npt.NDArray[np.float64]:
        """[N, C] in order, each of unit length, zero for an item that says nothing the encoder knows; a row does not
        depend on its companions in the call."""
        ...


class ItemEncoder(Protocol):
    """Gives new items their semantic ID and content vector, with codebooks frozen at training."""

    @property
    def model(self) -> str: ...
    def encode(self, items: Sequence[Item]) -> tuple[EncodedItem, ...]:
        """Each item encoded, in order; an item's result does not depend on its companions in the call."""
        ...


class Verifier(Protocol):
    """Judges ads: what they are worth here and whether their words may be shown."""

    @property
    def models(self) -> dict[str, str]:
        """Checksums of the artefacts and the policy version in use, by part."""
        ...

    def judge(
        self, ads: Sequence[Ad], request: BidRequest, environment: Environment, snapshot: Snapshot
    ) -> tuple[JudgedAd, ...]:
        """Each ad judged, in order. Verdicts come from the cache where text, policy and the item's facts are
        unchanged.
        """
        ...

    def cached_verdict(self, ad: Ad, snapshot: Snapshot) -> Verdict | None:
        """The verdict already known for this ad's creative, without judging it now."""
        ...

    def warm(self, snapshot: Snapshot) -> None:
        """Judges creatives that are new in this snapshot, ahead of any request.

        Safe beside `judge` in another thread.
        """
        ...


class Priors(Protocol):
    """What is known of items before anything of a request is."""

    @property
    def p_convert(self) -> float:
        """The share of clicks that convert, over all items."""
        ...

    def p_click(self, item_ids: Sequence[str]) -> npt.NDArray[np.float64]:
        """[M] the prior click rate of each item, in order."""
        ...


class EventPublisher(Protocol):
    """Appends source events to the log."""

    def publish(self, topic: Topic, event: Event, partition_key: str | None = None) -> None:
        """Queues an event; its Kafka key is `partition_key`, else the event's key."""
        ...

    def publish_stop(self, stop: Stop) -> None: ...
    def publish_decision(self, decision_id: str, record: bytes) -> None: ...
    def flush(self, timeout_s: float) -> None:
        """Afterwards everything queued is acknowledged by the broker; Unavailable if it is not in time."""
        ...


class CommitLog(Protocol):
    """The topic `commits`: one ordered partition a shard. Appending is committing."""

    def append(self, commit: Commit) -> int:
        """The position in its shard's log at which the commit was acknowledged; Unavailable if that cannot be had.

        Consecutive appends get consecutive positions exactly when nobody else wrote in between.
        """
        ...

    def last(self, shard: int) -> Commit | None:
        """The newest valid commit of a shard."""
        ...

    def read(self, shard: int, after_number: int) -> Sequence[Commit]:
        """The retained commits of a shard beyond `after_number`, oldest first, up to the log's end as of the call."""
        ...


class CommitFeed(Protocol):
    """A follower's view of the log: commits and stops as they arrive."""

    def poll(self, timeout_s: float) -> Sequence[Commit]:
        """Commits since the last poll, each shard's in order; empty after `timeout_s` without any."""
        ...

    def close(self) -> None: ...


class StopFeed(Protocol):
    """Kill switches as they arrive, every one from the beginning of the topic on; needs no worker."""

    @property
    def caught_up(self) -> bool:
        """Whether every stop that was there at the start has been polled."""
        ...

    def poll(self, timeout_s: float) -> Sequence[Stop]:
        """Stops since the last poll, in order; empty after `timeout_s` without any."""
        ...

    def close(self) -> None: ...


class FeedbackFeed(Protocol):
    """What people and exchanges did, as it is told: for counts that may lag a little."""

    def poll(self, timeout_s: float) -> Sequence[Feedback]:
        """What was told since the last poll, from the oldest still retained on, each event once; empty after
        `timeout_s` without any."""
        ...

    def close(self) -> None: ...


class CommitStore(Protocol):
    """The durable materialised store (Milvus): commits written row by row, visible through their marker."""

    def write(self, commits: Sequence[Commit]) -> None:
        """Afterwards the commits' rows and markers are stored; writing one again changes nothing."""
        ...

    def head(self, shard: int) -> int:
        """The newest marked commit number of a shard, 0 for none."""
        ...

    def load(self, shard: int, after_number: int, up_to_number: int) -> Sequence[Commit]:
        """The marked commits in (after, up to], oldest first, superseded rows left out.

        VersionUnavailable below the horizon.
        """
        ...

    def as_of(self, shard: int, event_time: int) -> int:
        """The newest marked commit number of a shard whose watermark is not later than `event_time`; 0 for none."""
        ...

    def close(self) -> None: ...


class Bidder(Protocol):
    """Whatever answers bid requests: the gRPC client, or the pipeline in process. Wire types stay behind it."""

    async def bid(self, request: BidRequest) -> Answer:
        """The bidder's answer, a no-bid included; Unavailable when there is none at all."""
        ...

    async def notify(self, notice: Notice) -> None:
        """Afterwards the bidder has taken note of a win, a billing or a loss."""
        ...


class StreamMetrics(Protocol):
    """Where a worker's figures go. Called on the folding thread: each call is cheap and never raises."""

    def folded(self, topic: Topic, outcome: Outcome, count: int = 1) -> None:
        """Events were taken, with what became of them."""
        ...

    def late(self, topic: Topic, count: int = 1) -> None:
        """Events came below their shard's watermark, whatever became of them."""
        ...

    def dead_lettered(self, topic: str, reason: str) -> None:
        """A record of the topic of this name (prefix and all) could not be folded."""
        ...

    def committed(self, shard: int, rows: int, took_s: float, watermark: int) -> None:
        """A commit counts; `watermark` is its event time (ns UTC)."""
        ...

    def rebalanced(self, shards: Collection[int]) -> None:
        """The worker owns exactly these shards now."""
        ...


class Unmeasured:
    """Implements StreamMetrics where nobody looks."""

    def folded(self, topic: Topic, outcome: Outcome, count: int = 1) -> None:
        pass

    def late(self, topic: Topic, count: int = 1) -> None:
        pass

    def dead_lettered(self, topic: str, reason: str) -> None:
        pass

    def committed(self, shard: int, rows: int, took_s: float, watermark: int) -> None:
        pass

    def rebalanced(self, shards: Collection[int]) -> None:
        pass


UNMEASURED = Unmeasured()
