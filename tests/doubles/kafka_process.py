"""Apache Kafka as a process of the tests' own, on ports that outgoing connections do not usually take."""

import os
import random
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KAFKA_HOME = os.environ.get("ADGRAM_KAFKA_HOME", str(Path(__file__).parents[3] / "shared" / "kafka"))
KAFKA_START = Path(KAFKA_HOME) / "start"
_TRIES, _STARTS_S, _FREE_S = 3, 90.0, 20.0
# Below the kernel's usual range for outgoing connections: a broker that is down finds its ports free when it returns.
_PORTS = range(20_000, 32_000, 2)
_HEAP_MB = "256"


class NotStartedError(RuntimeError):
    """Apache Kafka ended before it listened; the message holds what it printed last."""


def broker_port() -> int:
    """A port that is free now together with the one above it, which Kafka's controller listens on."""
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        if _free(port):
            return port
    raise NotStartedError(f"no two free ports side by side in {_PORTS}")


@contextmanager
def kafka_process(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Kafka, listening on loopback, with its data in `folder`; killed on leaving.

    Raises:
        NotStartedError: It ended, or did not listen in time, three times.
    """
    folder.mkdir(parents=True, exist_ok=True)
    process = _listening(folder, port)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _listening(folder: Path, port: int) -> subprocess.Popen[str]:
    output = folder / "start.log"
    for _ in range(_TRIES):
        _await_free(port)  # or the start script would take another's listening for Kafka's
        with output.open("a") as errors:
            command = [str(KAFKA_START), str(folder), str(port), _HEAP_MB]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        if _ready(process):
            return process
        process.kill()
        process.wait()
    last = " | ".join(output.read_text().splitlines()[-5:])
    raise NotStartedError(f"Apache Kafka did not start in {_TRIES} tries: {last or 'it printed nothing'}")


def _ready(process: subprocess.Popen[str]) -> bool:
    """Whether it says so before it ends; its end is seen at once, though a child of the script may outlive it."""
    assert process.stdout is not None
    deadline = time.monotonic() + _STARTS_S
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.2)[0]:
            line = process.stdout.readline()
            if line.startswith("ready"):
                return process.poll() is None
    return False


def _await_free(port: int) -> None:
    deadline = time.monotonic() + _FREE_S
    while not _free(port) and time.monotonic() < deadline:
        time.sleep(0.2)


def _free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
            return True
    except OSError:
        return False
