"""The local trail of decision records: bounded segments on disk, found again by decision id."""

import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from ..core.decision import DecisionRecord

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(DecisionRecord)
_NAME = re.compile(r"decisions-(\d{8})\.jsonl$")


@dataclass(frozen=True, slots=True)
class _Where:
    segment: int
    offset: int
    length: int


class Trail:
    """Records one a line in `decisions-NNNNNNNN.jsonl`; when there are more than `segments` of them the oldest leaves.

    One thread writes, any may read: a record is found once `append` has returned.
    """

    def __init__(self, folder: Path, segment_bytes: int, segments: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._segment_bytes, self._segments = folder, segment_bytes, segments
        self._index: OrderedDict[str, _Where] = OrderedDict()
        self._numbers = sorted(int(found[1]) for path in folder.iterdir() if (found := _NAME.match(path.name)))
        for number in self._numbers:
            self._read_index(number)
        self._current = (self._numbers[-1] + 1) if self._numbers else 1
        self._file = self._open(self._current)
        self._trim()

    def append(self, record: DecisionRecord) -> bytes:
        """Afterwards the record can be found; its encoded form, for the log."""
        encoded = _ENCODER.encode(record)
        if self._file.tell() + len(encoded) >= self._segment_bytes and self._file.tell():
            self._rotate()
        offset = self._file.tell()
        self._file.write(encoded + b"\n")
        self._file.flush()
        self._index[record.decision_id] = _Where(self._current, offset, len(encoded))
        return encoded

    def find(self, decision_id: str) -> DecisionRecord | None:
        """The record, or None once its segment has left the disk."""
        where = self._index.get(decision_id)
        if where is None:
            return None
        try:
            with self._path(where.segment).open("rb") as file:
                file.seek(where.offset)
                return _DECODER.decode(file.read(where.length))
        except FileNotFoundError:
            return None

    def newest(self, count: int) -> list[str]:
        """The newest decision ids, newest first."""
        ids = list(self._index)
        return ids[::-1][:count]

    def close(self) -> None:
        self._file.close()

    def _path(self, number: int) -> Path:
        return self._folder / f"decisions-{number:08}.jsonl"

    def _open(self, number: int) -> BinaryIO:
        self._numbers.append(number)
        return self._path(number).open("ab")

    def _rotate(self) -> None:
        self._file.close()
        self._current += 1
        self._file = self._open(self._current)
        self._trim()

    def _trim(self) -> None:
        while len(self._numbers) > self._segments:
            gone = self._numbers.pop(0)
            self._path(gone).unlink(missing_ok=True)
            while self._index and next(iter(self._index.values())).segment <= gone:
                self._index.popitem(last=False)

    def _read_index(self, number: int) -> None:
        offset = 0
        with self._path(number).open("rb") as file:
            for line in file:
                # A line cut short by a kill has no newline; the next start writes a new segment, so it is only skipped.
                if line.endswith(b"\n"):
                    decision_id = msgspec.json.decode(line, type=_Named).decision_id
                    self._index[decision_id] = _Where(number, offset, len(line) - 1)
                offset += len(line)


@dataclass(frozen=True, slots=True)
class _Named:
    decision_id: str
