"""A log of commits in a file: core.ports.CommitLog, durable after every append."""

import os
from collections.abc import Sequence
from pathlib import Path

from adgram.core.commit import Commit
from adgram.core.errors import Unavailable
from adgram.memory.committer import decoded, encoded
from adgram.memory.mvcc import ANYWHERE, Progress, counted


class FileBackedLog:
    """One file a shard; a record that a crash tore is not there. `room_bytes` is the size of its disk."""

    def __init__(self, folder: Path, room_bytes: int | None = None) -> None:
        self._folder, self.room_bytes = folder, room_bytes

    def append(self, commit: Commit) -> int:
        records = self._records(commit.shard)
        file = self._file(commit.shard)
        body = encoded(commit)
        frame = len(body).to_bytes(4, "big") + body
        before = file.stat().st_size if file.exists() else 0
        if self.room_bytes is not None and before + len(frame) > self.room_bytes:
            raise Unavailable("cannot append to the log: no space left on device")
        with file.open("ab") as out:
            out.write(frame)
        return len(records)

    def last(self, shard: int) -> Commit | None:
        commits = counted(self._records(shard), Progress(ANYWHERE))
        return commits[-1] if commits else None

    def read(self, shard: int, after_number: int) -> Sequence[Commit]:
        return counted(self._records(shard), Progress(after_number))

    def records(self, shard: int) -> list[Commit]:
        """Everything that was appended, whether it counts or not."""
        return self._records(shard)

    def _file(self, shard: int) -> Path:
        return self._folder / f"commits-{shard}.log"

    def _records(self, shard: int) -> list[Commit]:
        file = self._file(shard)
        content = file.read_bytes() if file.exists() else b""
        found, at = [], 0
        while at + 4 <= len(content):
            size = int.from_bytes(content[at : at + 4], "big")
            if at + 4 + size > len(content):
                break
            commit = decoded(content[at + 4 : at + 4 + size])
            assert commit is not None
            found.append(commit)
            at += 4 + size
        if at < len(content):
            os.truncate(file, at)
        return found
