"""A Milvus in a file: pymilvus.MilvusClient's words, as far as adgram speaks them, durable after every call."""

import os
from pathlib import Path
from typing import Any

import msgspec
from pymilvus.exceptions import MilvusException


class _Params:
    def add_field(self, *_: Any, **__: Any) -> None:
        pass

    add_index = add_field


class FileBackedMilvus:
    """Every write is one frame appended to a file; a frame that a crash tore is not there.

    `room_bytes` is the size of its disk: a write beyond it is refused, as by a server whose disk is full, and leaves a
    torn frame behind. Several processes may have it open, one after the other writing.
    """

    def __init__(self, file: Path, room_bytes: int | None = None) -> None:
        self._file, self.room_bytes, self.calls = file, room_bytes, 0
        self.away = False
        self._collections: dict[str, dict[str, dict[str, Any]]] = {}
        self._read = 0
        self._catch_up()
        if self._size() > self._read:  # torn by a crash
            os.truncate(self._file, self._read)

    def _catch_up(self) -> None:
        """Afterwards this is what the file holds, whoever wrote it."""
        if self._size() == self._read:
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            content = file.read()
        at = 0
        while at + 4 <= len(content):
            size = int.from_bytes(content[at : at + 4], "big")
            if at + 4 + size > len(content):
                break
            self._apply(msgspec.msgpack.decode(content[at + 4 : at + 4 + size]))
            at += 4 + size
        self._read += at

    def has_collection(self, name: str) -> bool:
        self._answer()
        return name in self._collections

    def create_schema(self, **_: Any) -> _Params:
        return _Params()

    def prepare_index_params(self) -> _Params:
        return _Params()

    def create_collection(self, name: str, **_: Any) -> None:
        self._do({"create": name})

    def load_collection(self, name: str) -> None:
        self._answer()

    def upsert(self, name: str, rows: list[dict[str, Any]]) -> None:
        ids = [row["id"] for row in rows]
        assert len(set(ids)) == len(ids), "ids within one upsert must be distinct"
        assert all(len(row["value"]) <= 65_535 for row in rows), "a text field takes 65,535 bytes"
        self._do({"collection": name, "rows": [{"id": row["id"], "value": row["value"]} for row in rows]})

    def delete(self, name: str, ids: list[str]) -> None:
        self._do({"collection": name, "gone": ids})

    def get(self, name: str, ids: list[str], output_fields: list[str]) -> list[dict[str, Any]]:
        self._answer()
        kept = self._collections[name]
        return [{field: kept[one][field] for field in output_fields} for one in ids if one in kept]

    def query(self, name: str, filter: str, output_fields: list[str], limit: int) -> list[dict[str, Any]]:
        self._answer()
        return [{field: row[field] for field in output_fields} for row in self._collections[name].values()][:limit]

    def close(self) -> None:
        pass

    @property
    def stored_bytes(self) -> int:
        """What all values take."""
        return sum(len(row["value"]) for rows in self._collections.values() for row in rows.values())

    def ids(self, name: str) -> set[str]:
        """All ids of a collection."""
        return set(self._collections.get(name, {}))

    def damage(self, name: str, row_id: str, value: str) -> None:
        """Afterwards a value is another one, unbeknown to anybody."""
        self._do({"collection": name, "rows": [{"id": row_id, "value": value}]})

    def value(self, name: str, row_id: str) -> str:
        return str(self._collections[name][row_id]["value"])

    def _answer(self) -> None:
        self.calls += 1
        if self.away:
            raise MilvusException(message="connection refused")
        self._catch_up()

    def _do(self, change: dict[str, Any]) -> None:
        self._answer()
        body = msgspec.msgpack.encode(change)
        frame = len(body).to_bytes(4, "big") + body
        room = None if self.room_bytes is None else max(0, self.room_bytes - self._size())
        with self._file.open("ab") as file:
            file.write(frame if room is None else frame[:room])
        if room is not None and room < len(frame):
            os.truncate(self._file, self._size() - min(room, len(frame)))
            raise MilvusException(message="No space left on device")
        self._catch_up()

    def _size(self) -> int:
        return self._file.stat().st_size if self._file.exists() else 0

    def _apply(self, change: dict[str, Any]) -> None:
        if "create" in change:
            self._collections.setdefault(change["create"], {})
        kept = self._collections.get(change.get("collection", ""), {})
        kept.update({row["id"]: row for row in change.get("rows", ())})
        for one in change.get("gone", ()):
            kept.pop(one, None)
