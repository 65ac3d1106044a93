"""Child processes of a program: started with a log, waited for until ready, always ended with their parent."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from ..core.errors import Unavailable
from ..streaming.local_broker import die_with_parent

_POLL_S = 0.05
_TERM_WAIT_S = 10.0  # a worker finishes its batch and commits within this; then it is killed


class Child:
    """One running child process."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name, self.process, self.log = name, process, log

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Afterwards `ready()` was true; Unavailable if the child ended or the time passed first, with its last
        words.
        """
        until = time.monotonic() + timeout_s
        while not ready():
            if self.process.poll() is not None:
                raise Unavailable(f"{self.name} ended with code {self.process.returncode}: {self.last_words()}")
            if time.monotonic() > until:
                raise Unavailable(f"{self.name} was not ready within {timeout_s:.0f} s; its log is {self.log}")
            time.sleep(_POLL_S)

    def last_words(self) -> str:
        """The last line it logged."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def stop(self) -> None:
        """Afterwards the process is gone: asked first, killed if it does not listen."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_TERM_WAIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Children:
    """A context whose end stops every child it started, the youngest first."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []

    def start(self, name: str, command: Sequence[str], environment: dict[str, str] | None = None) -> Child:
        """A child running `command`, its output in `<logs>/<name>.log`, its input closed."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # a Ctrl-C reaches the parent alone, which then stops them in order
                preexec_fn=die_with_parent  # noqa: PLW1509 - only a system call, and no thread runs here yet
                if sys.platform == "linux"
                else None,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def __enter__(self) -> "Children":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._children):
            child.stop()


def adgram(*arguments: str) -> list[str]:
    """The command line of this very adgram."""
    return [sys.executable, "-m", "adgram", *arguments]
