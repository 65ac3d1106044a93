"""Apache Kafka as a process of the tests' own, on ports that no test's outgoing connection can have taken."""

import os
import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KAFKA_HOME = os.environ.get("ADGRAM_KAFKA_HOME", str(Path(__file__).parents[3] / "shared" / "kafka"))
KAFKA_START = Path(KAFKA_HOME) / "start"
_TRIES = 3
# Below the kernel's usual range for outgoing connections: a broker that is down gets its port back when it returns.
_PORTS = range(20_000, 32_000, 2)
_HEAP_MB = "256"


class NotStarted(RuntimeError):
    """Apache Kafka ended before it listened; the message holds what it printed last."""


def broker_port() -> int:
    """A port that is free now together with the one above it, which Kafka's controller listens on."""
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
                return port
        except OSError:
            continue
    raise NotStarted(f"no two free ports side by side in {_PORTS}")


@contextmanager
def kafka_process(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Kafka, listening on loopback, with its data in `folder`; killed on leaving.

    Raises:
        NotStarted: It ended, or did not listen within a minute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(KAFKA_START), str(folder), str(port), _HEAP_MB]
    process = _listening(command, folder / "start.log")
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _listening(command: list[str], output: Path) -> subprocess.Popen[str]:
    for _ in range(_TRIES):
        with output.open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            if line.startswith("ready"):
                return process
            said.append(line)
        process.kill()
        process.wait()
    last = " | ".join([*said, *output.read_text().splitlines()][-5:])
    raise NotStarted(f"Apache Kafka did not start in {_TRIES} tries: {last or 'it printed nothing'}")
