"""A Kafka-protocol broker and a Milvus as child processes, for a demo on one machine; own processes only.

The broker is noida-db: kill -9 loses records it acknowledged, and a consumer that died is never evicted from its group.
For anything but a demo or a test, name a real Kafka.
"""

import ctypes
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import noida_db

from ..core.errors import Unavailable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h: the child gets a signal when its parent dies, however it dies
POLL_S = 0.05


@dataclass(slots=True)
class LocalProcess:
    """A child that listens on `address` (host:port); leaving the `with` block stops it."""

    name: str
    address: str
    process: subprocess.Popen[bytes]

    def stop(self, grace_s: float = 10.0) -> None:
        """Afterwards the child is gone: asked first, killed after `grace_s`."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "LocalProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_broker(folder: Path, port: int = 0, timeout_s: float = 20.0) -> LocalProcess:
    """A running Kafka-protocol broker on loopback that keeps its data in `folder`; port 0 picks a free one."""
    port = port or free_port()
    arguments = ["start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", str(folder)]
    # The package's own start script leaves the broker running when it is terminated, so the broker itself is started.
    program = Path(noida_db.__file__).with_name("noida-db")
    return _started(program, arguments, folder, port, timeout_s)


def start_milvus(folder: Path, port: int = 0, timeout_s: float = 60.0) -> LocalProcess:
    """A running Milvus Lite server on loopback that keeps its data in `folder`; its URI is `http://<address>`."""
    port = port or free_port()
    arguments = ["server", "--data-dir", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    return _started(Path(sys.executable).with_name("milvus-lite"), arguments, folder, port, timeout_s)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _started(program: Path, arguments: list[str], folder: Path, port: int, timeout_s: float) -> LocalProcess:
    name = program.name
    if not program.exists():
        raise Unavailable(f"{name} is not installed at {program}; install the project's dependencies")
    if _listening(port):
        raise Unavailable(f"port {port} is in use; choose another one for {name}")
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / f"{name}.log"
    with output.open("ab") as log:
        process = subprocess.Popen(
            [str(program), *arguments],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C reaches the program that started it, which then stops it in order
            preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - a system call alone
        )
    child = LocalProcess(name, f"127.0.0.1:{port}", process)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Unavailable(f"{name} stopped at once with code {process.returncode}; see {output}")
        if _listening(port):
            return child
        time.sleep(POLL_S)
    child.stop()
    raise Unavailable(f"{name} did not listen on port {port} within {timeout_s:.0f} s; see {output}")


def die_with_parent() -> None:
    """Run in a new child: afterwards it gets SIGTERM when its parent dies, however that dies (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
