"""One Milvus collection as a table of bytes by id: put, get, delete; nothing else is asked of a Milvus.

So the same table works on Milvus Lite, a server and a cluster. Values are text fields of Milvus, in pieces where long:
`id` holds the first, `id~1`, `id~2` … the others. One process writes at a time (Lite loses rows otherwise).
"""

import base64
import logging
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import grpc
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from ..core.errors import ConfigError, Unavailable
from .config import MemoryConfig

PIECE_CHARS = 60_000  # Milvus takes 65,535 bytes a text field; longer values go on in further rows
PIECE_BYTES = PIECE_CHARS // 4 * 3  # what fits one piece: base64 makes four characters of three bytes
WRITE_ROWS = 1_000
WRITE_CHARS = 4_000_000  # one request stays far under gRPC's 64 MB, and a slow server answers it in time
READ_IDS = 64  # of full pieces, 4 MB an answer
READERS = 4  # requests in flight: one is decoded here while the server prepares the next
KEEPALIVE_MS = 3_600_000  # Lite ends connections that ping more often (too_many_pings)
LISTED = 10_000  # `values` is for small collections; Milvus itself stops at 16,384
VECTOR = (0.0, 0.0)  # every collection needs a vector field; rows are found by id alone


class MilvusTable:
    """Unavailable, in one line, whenever Milvus is away."""

    def __init__(self, config: MemoryConfig, collection: str, client: Any | None = None) -> None:
        """Opens the collection, made where it is missing.

        Args:
            client: speaks pymilvus.MilvusClient's words; by default one is opened at the configured URI.
        """
        self._collection, self._uri = collection, config.milvus_uri
        self._lapsed = False
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="milvus-get")
        with self._answering():
            self._client = client if client is not None else connected(config)
            if not self._client.has_collection(collection):
                self._create()
            self._client.load_collection(collection)

    def put(self, values: Iterable[tuple[str, bytes]]) -> None:
        """Afterwards every (id, value) is stored. Ids within one call are distinct, as Milvus wants them."""
        pending: list[dict[str, Any]] = []
        size = 0
        for row in (row for row_id, value in values for row in _pieces(row_id, value)):
            if pending and (len(pending) >= WRITE_ROWS or size > WRITE_CHARS):
                self._send(pending)
                pending, size = [], 0
            pending.append(row)
            size += len(row["value"])
        if pending:
            self._send(pending)

    def get(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The stored values among these ids, read with several requests at once where they are many."""
        first = self._texts(ids)
        more = [_piece_id(row_id, piece) for row_id, text in first.items() for piece in range(1, _further(text) + 1)]
        texts = {**first, **self._texts(more)}
        values = {}
        for row_id, text in first.items():
            parts = [texts.get(_piece_id(row_id, piece)) for piece in range(1, _further(text) + 1)]
            if None not in parts:  # a value that is being deleted is as good as gone
                values[row_id] = base64.b64decode("".join((text.partition(":")[2], *(part or "" for part in parts))))
        return values

    def delete(self, ids: Mapping[str, int]) -> None:
        """Afterwards these ids are gone, each with so many pieces as stated; one that was not there is no error."""
        pieces = [_piece_id(row_id, piece) for row_id, count in ids.items() for piece in range(count)]
        for start in range(0, len(pieces), WRITE_ROWS):
            with self._answering():
                self._client.delete(self._collection, ids=pieces[start : start + WRITE_ROWS])

    def values(self) -> dict[str, bytes]:
        """All values by id, of a small collection whose values are of one piece."""
        with self._answering():
            found = self._client.query(self._collection, filter='id != ""', output_fields=["id", "value"], limit=LISTED)
        return {row["id"]: base64.b64decode(row["value"].partition(":")[2]) for row in found}

    def close(self) -> None:
        """Afterwards no connection is open."""
        self._readers.shutdown()
        self._client.close()

    def _send(self, pending: list[dict[str, Any]]) -> None:
        with self._answering():
            self._client.upsert(self._collection, pending)

    def _texts(self, ids: Sequence[str]) -> dict[str, str]:
        wanted = [list(ids[start : start + READ_IDS]) for start in range(0, len(ids), READ_IDS)]
        found = map(self._read, wanted) if len(wanted) < 2 else self._readers.map(self._read, wanted)
        return {row["id"]: row["value"] for rows in found for row in rows}

    def _read(self, ids: list[str]) -> Any:
        with self._answering():
            return self._client.get(self._collection, ids, output_fields=["id", "value"])

    def _create(self) -> None:
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=1_024)
        schema.add_field("value", DataType.VARCHAR, max_length=65_535)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=len(VECTOR))
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        # Strong: a writer that starts again must see the head it wrote before. Requests never wait for this.
        self._client.create_collection(self._collection, schema=schema, index_params=index, consistency_level="Strong")

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            if self._lapsed:  # a Milvus that started again has released its collections
                self._client.load_collection(self._collection)
                self._lapsed = False
            yield
        except (MilvusException, grpc.RpcError, ValueError) as error:
            self._lapsed = True
            reason = str(getattr(error, "message", error)).splitlines()[0]
            raise Unavailable(f"Milvus at {self._uri} does not answer: {reason}") from error


def connected(config: MemoryConfig) -> MilvusClient:
    """A client of the configured Milvus; ConfigError for a URI that is none, Unavailable when nobody listens there."""
    _require_reachable(config)
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it prints what becomes one line of ours
    return MilvusClient(
        uri=config.milvus_uri,
        token=config.milvus_token,
        timeout=config.timeout_s,
        grpc_options={"grpc.keepalive_time_ms": KEEPALIVE_MS},
    )


def pieces_of(value: bytes) -> int:
    """How many rows of Milvus a value takes."""
    return max(1, -(-len(value) // PIECE_BYTES))


def _pieces(row_id: str, value: bytes) -> Iterator[dict[str, Any]]:
    text = base64.b64encode(value).decode()
    pieces = [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)] or [""]
    for piece, content in enumerate(pieces):
        told = f"{len(pieces) - 1}:{content}" if piece == 0 else content
        yield {"id": _piece_id(row_id, piece), "value": told, "vector": list(VECTOR)}


def _piece_id(row_id: str, piece: int) -> str:
    return f"{row_id}~{piece}" if piece else row_id


def _further(text: str) -> int:
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
