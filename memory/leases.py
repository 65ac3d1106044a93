"""Leases on the past: a replay or a backup names the oldest time it reads, and eviction leaves that time alone.

One row a lease in a collection of their own, `<collection>_leases`, so that lessees never overwrite one another. Who
takes a lease writes it first and looks at the horizon then; who evicts announces its horizon first and looks at the
leases then: one of the two always sees the other.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from ..core.clock import NS_PER_HOUR, NS_PER_SECOND, Clock
from ..core.errors import NotFound, Unavailable
from .config import MemoryConfig
from .milvus import MilvusTable
from .store import MilvusStore

EVICTION = "eviction"  # the id under which the one right to evict is held
EVICTION_NS = NS_PER_HOUR  # far longer than an eviction takes


@dataclass(frozen=True, slots=True)
class Lease:
    """`holder` reads versions as of `since` (event time, ns UTC) and later, until `expires` (ns UTC, wall clock)."""

    lease_id: str
    holder: str
    since: int
    expires: int


class Leases:
    """The leases on one store."""

    def __init__(self, config: MemoryConfig, clock: Clock, client: Any | None = None) -> None:
        self._table = MilvusTable(config, f"{config.collection}_leases", client)
        self._clock = clock
        self._right = Lease(EVICTION, "", 0, 0)

    def take(self, lease: Lease, store: MilvusStore, shards: int) -> None:
        """Afterwards the lease holds. VersionUnavailable when what it wants has been evicted, or is just being so."""
        self._table.put([(lease.lease_id, _encode(lease))])
        try:
            for shard in range(shards):
                store.require_kept(shard, store.as_of(shard, lease.since))
        except BaseException:
            self._table.delete({lease.lease_id: 1})
            raise

    def renew(self, lease_id: str, expires: int) -> Lease:
        """The lease with its new expiry; NotFound when it is gone, since the past may be so too."""
        found = {lease.lease_id: lease for lease in self.held()}.get(lease_id)
        if found is None:
            raise NotFound(f"no lease {lease_id} is held; take a new one")
        renewed = Lease(found.lease_id, found.holder, found.since, expires)
        self._table.put([(lease_id, _encode(renewed))])
        return renewed

    def release(self, lease_id: str) -> None:
        """Afterwards the lease is gone; NotFound when there was none."""
        if not self._table.get([lease_id]):
            raise NotFound(f"no lease {lease_id} is held; `adgram memory versions` lists them")
        self._table.delete({lease_id: 1})

    def held(self) -> Sequence[Lease]:
        """The leases that have not expired, the earliest need first."""
        now = self._clock.now_ns()
        return sorted((one for one in self._stored() if one.expires > now), key=lambda one: (one.since, one.lease_id))

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Holds the one right to evict; Unavailable when somebody else has it. A crash gives it back in an hour."""
        self._require_free()
        mine = Lease(EVICTION, uuid.uuid4().hex, 0, self._clock.now_ns() + EVICTION_NS)
        self._table.put([(EVICTION, _encode(mine))])
        self._right = mine
        try:
            self.require_exclusive()
            yield
        finally:
            if self._table.get([EVICTION]) == {EVICTION: _encode(mine)}:
                self._table.delete({EVICTION: 1})

    def require_exclusive(self) -> None:
        """Returns while the right to evict is still ours; Unavailable otherwise."""
        if self._table.get([EVICTION]) != {EVICTION: _encode(self._right)}:
            raise Unavailable("another eviction has begun; this one stops before it deletes anything")

    def _require_free(self) -> None:
        for value in self._table.get([EVICTION]).values():
            held = _LEASES.decode(value)
            left_ns = held.expires - self._clock.now_ns()
            if 0 < left_ns < 2 * EVICTION_NS:  # more is no right anybody was given: the clock has stepped back since
                left_s = left_ns // NS_PER_SECOND
                raise Unavailable(f"an eviction is at work, or died less than an hour ago; try again in {left_s} s")

    def _stored(self) -> list[Lease]:
        return [_LEASES.decode(value) for name, value in self._table.values().items() if name != EVICTION]

    def drop_expired(self) -> None:
        """Afterwards only leases that hold are stored."""
        now = self._clock.now_ns()
        self._table.delete({one.lease_id: 1 for one in self._stored() if one.expires <= now})

    def close(self) -> None:
        self._table.close()


_LEASES = msgspec.msgpack.Decoder(Lease)
_encode = msgspec.msgpack.Encoder().encode
