"""The durable materialised store: commits as rows of one Milvus collection, through any Milvus that answers at a URI.

Every row is written once under its own id and never changed; only a shard's head moves, as the last step of a write:

    r/{shard}/{table}/{key}@{number}#{epoch}   one version of a key
    m/{shard}/{sequence}                       a batch: its last commit and the ids of its rows
    h/{shard}                                  how many batches there are; later ones do not exist

A batch keeps the newest version of each key, so the store's versions are as fine as its batches (`sink_interval_ms`).
Used of Milvus: upsert and get by id. One writer per collection.
"""

import base64
import logging
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import grpc
import msgspec
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from ..core.commit import Commit, Row
from ..core.errors import ConfigError, Unavailable
from . import mvcc
from .config import MemoryConfig

PIECE_CHARS = 60_000  # Milvus takes 65,535 bytes a text field; longer values go on in further rows
BATCH_ROWS = 1_000
BATCH_CHARS = 4_000_000  # one request stays far under gRPC's 64 MB, and a slow server answers it in time
KEEPALIVE_MS = 3_600_000  # Lite ends connections that ping more often (too_many_pings)
VECTOR = (0.0, 0.0)  # every collection needs a vector field; rows are found by id alone


@dataclass(frozen=True, slots=True)
class _Head:
    sequence: int = 0
    number: int = 0
    epoch: int = 0
    watermark: int = 0
    ingest_time: int = 0
    offsets: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Batch:
    number: int
    epoch: int
    watermark: int
    ingest_time: int
    offsets: dict[str, int]
    rows: tuple[tuple[str, str, int, int], ...]  # (table, key, number, epoch) of each row


class MilvusStore:
    """Implements core.ports.CommitStore. Unavailable, in one line, whenever Milvus is away."""

    def __init__(self, config: MemoryConfig) -> None:
        self._config = config
        _require_reachable(config)
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it prints what becomes one line of ours
        with self._answering():
            self._client = MilvusClient(
                uri=config.milvus_uri,
                token=config.milvus_token,
                timeout=config.timeout_s,
                grpc_options={"grpc.keepalive_time_ms": KEEPALIVE_MS},
            )
            if not self._client.has_collection(config.collection):
                self._create()
            self._client.load_collection(config.collection)

    def write(self, commits: Sequence[Commit]) -> None:
        for shard in sorted({commit.shard for commit in commits}):
            ours = sorted((commit for commit in commits if commit.shard == shard), key=lambda commit: commit.number)
            head = self._head(shard)
            new = [commit for commit in ours if commit.number > head.number]
            if not new:
                continue
            if new[0].number > head.number + 1:
                raise mvcc.CommitGap(shard, head.number, new[0].number)
            self._write_batch(head, new)

    def head(self, shard: int) -> int:
        return self._head(shard).number

    def load(self, shard: int, after_number: int, up_to_number: int) -> Sequence[Commit]:
        """See core.ports.CommitStore. A commit stands for a batch; the last has the head's number if asked for."""
        head = self._head(shard)
        newest: dict[tuple[str, str], tuple[int, str]] = {}
        batches = [one for one in self._batches(shard, head) if after_number < one.number <= up_to_number]
        for index, batch in enumerate(batches):
            for table, key, number, epoch in batch.rows:
                newest[table, key] = (index, _row_id(shard, table, key, number, epoch))
        stored = self._get([row_id for _, row_id in newest.values()])
        grouped: list[list[Row]] = [[] for _ in batches]
        for index, row_id in newest.values():
            if row_id not in stored:
                raise Unavailable(f"the store lacks the row {row_id} that its batch lists; rebuild it from the log")
            grouped[index].append(_ROWS.decode(stored[row_id]))
        commits = [
            Commit(shard, one.number, one.epoch, one.watermark, one.ingest_time, one.offsets, tuple(rows)).sealed()
            for one, rows in zip(batches, grouped, strict=True)
        ]
        if after_number < head.number <= up_to_number and (not commits or commits[-1].number < head.number):
            at_head = Commit(shard, head.number, head.epoch, head.watermark, head.ingest_time, head.offsets, ())
            commits.append(at_head.sealed())
        return commits

    def as_of(self, shard: int, event_time: int) -> int:
        """The newest commit number of a shard whose watermark is not later than `event_time` (ns UTC); 0 for none."""
        head = self._head(shard)
        watermarks = [(batch.number, batch.watermark) for batch in self._batches(shard, head)]
        return mvcc.as_of([*watermarks, (head.number, head.watermark)], event_time)

    def close(self) -> None:
        self._client.close()

    def _write_batch(self, head: _Head, commits: Sequence[Commit]) -> None:
        last, shard = commits[-1], commits[-1].shard
        newest = {(row.table, row.key): (row, commit) for commit in commits for row in commit.rows}
        sequence = head.sequence
        if newest:
            sequence += 1
            listed = tuple((table.value, key, one.number, one.epoch) for (table, key), (_, one) in newest.items())
            batch = _Batch(last.number, last.epoch, last.watermark, last.ingest_time, last.offsets, listed)
            self._upsert(
                (_row_id(shard, row.table, row.key, one.number, one.epoch), _encode(row))
                for row, one in newest.values()
            )
            self._upsert([(f"m/{shard}/{sequence}", _encode(batch))])
        moved = _Head(sequence, last.number, last.epoch, last.watermark, last.ingest_time, last.offsets)
        self._upsert([(f"h/{shard}", _encode(moved))])

    def _head(self, shard: int) -> _Head:
        found = self._get([f"h/{shard}"])
        return _HEADS.decode(found[f"h/{shard}"]) if found else _Head()

    def _batches(self, shard: int, head: _Head) -> list[_Batch]:
        ids = [f"m/{shard}/{sequence}" for sequence in range(1, head.sequence + 1)]
        found = self._get(ids)
        return [_BATCHES.decode(found[one]) for one in ids]

    def _upsert(self, values: Iterable[tuple[str, bytes]]) -> None:
        """Afterwards every (id, value) is stored. Ids within one call are distinct, as Milvus wants them."""
        pending: list[dict[str, Any]] = []
        size = 0
        for row in (row for row_id, value in values for row in _pieces(row_id, value)):
            if pending and (len(pending) >= BATCH_ROWS or size > BATCH_CHARS):
                self._send(pending)
                pending, size = [], 0
            pending.append(row)
            size += len(row["value"])
        if pending:
            self._send(pending)

    def _send(self, pending: list[dict[str, Any]]) -> None:
        with self._answering():
            self._client.upsert(self._config.collection, pending)

    def _get(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The stored values among these ids."""
        first = self._texts(ids)
        more = [_piece_id(row_id, piece) for row_id, text in first.items() for piece in range(1, _count(text) + 1)]
        texts = {**first, **self._texts(more)}
        values = {}
        for row_id, text in first.items():
            parts = (texts[_piece_id(row_id, piece)] for piece in range(1, _count(text) + 1))
            values[row_id] = base64.b64decode("".join((text.partition(":")[2], *parts)))
        return values

    def _texts(self, ids: Sequence[str]) -> dict[str, str]:
        texts = {}
        for start in range(0, len(ids), BATCH_ROWS):
            wanted = list(ids[start : start + BATCH_ROWS])
            with self._answering():
                found = self._client.get(self._config.collection, wanted, output_fields=["id", "value"])
            texts.update({row["id"]: row["value"] for row in found})
        return texts

    def _create(self) -> None:
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=1_024)
        schema.add_field("value", DataType.VARCHAR, max_length=65_535)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=len(VECTOR))
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        # Strong: a writer that starts again must see the head it wrote before. Requests never wait for this.
        self._client.create_collection(
            self._config.collection, schema=schema, index_params=index, consistency_level="Strong"
        )

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (MilvusException, grpc.RpcError, ValueError) as error:
            reason = str(getattr(error, "message", error)).splitlines()[0]
            raise Unavailable(f"Milvus at {self._config.milvus_uri} does not answer: {reason}") from error


_ROWS = msgspec.msgpack.Decoder(Row)
_HEADS = msgspec.msgpack.Decoder(_Head)
_BATCHES = msgspec.msgpack.Decoder(_Batch)
_encode = msgspec.msgpack.Encoder().encode


def _row_id(shard: int, table: str, key: str, number: int, epoch: int) -> str:
    # Ids go through Milvus' filter language: quoting leaves nothing in a key that could mean something there.
    return f"r/{shard}/{table}/{quote(key, safe='')}@{number}#{epoch}"


def _pieces(row_id: str, value: bytes) -> Iterator[dict[str, Any]]:
    text = base64.b64encode(value).decode()
    pieces = [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)] or [""]
    yield {"id": row_id, "value": f"{len(pieces) - 1}:{pieces[0]}", "vector": list(VECTOR)}
    for piece, more in enumerate(pieces[1:], start=1):
        yield {"id": _piece_id(row_id, piece), "value": more, "vector": list(VECTOR)}


def _piece_id(row_id: str, piece: int) -> str:
    return f"{row_id}~{piece}"


def _count(text: str) -> int:
    """How many further pieces follow the first."""
    return int(text.partition(":")[0])


def _require_reachable(config: MemoryConfig) -> None:
    parts = urlsplit(config.milvus_uri)
    if parts.scheme not in ("http", "https", "tcp") or not parts.hostname:
        raise ConfigError(
            f"milvus URI {config.milvus_uri!r} is not http://host:port; give one like http://127.0.0.1:19530"
        )
    try:
        port = parts.port or (443 if parts.scheme == "https" else 19530)
        socket.create_connection((parts.hostname, port), timeout=min(3.0, config.timeout_s)).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unavailable(f"no Milvus at {config.milvus_uri} ({reason}); start one or name yours") from error
