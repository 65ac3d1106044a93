"""Runs a command beside a real Milvus server on loopback, with ADGRAM_MILVUS naming it: `make test-milvus`.

    python tests/contract/milvus_server.py VENV COMMAND...

The server comes from PyPI (milvus 2.3.5, Linux x86_64 only) into a virtual environment of its own, VENV, since it and
what it brings are no dependencies of this project. It ends with the command.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

PACKAGE = "milvus==2.3.5"
BOOT_S = 240
# Runs inside VENV. The template's addresses are forced to loopback; 2.3.5 wants its glog file named.
SERVE = """
import os, pathlib, sys, time
import milvus
from milvus import MilvusServer, MilvusServerConfig
home, data, port = pathlib.Path(milvus.__file__).parent / "data", pathlib.Path(sys.argv[1]), int(sys.argv[2])
lines = (home / "config.yaml.template").read_text().splitlines()
forced = [line.split("ip:")[0] + "ip: 127.0.0.1" if line.strip().startswith("ip:") else line for line in lines]
template = data / "template.yaml"
template.write_text("\\n".join(forced) + "\\n")
config = MilvusServerConfig(template=str(template), data_dir=str(data), proxy_port=port)
config.glog_conf_file = str(home / "glog.conf")
server = MilvusServer(config)
server.set_base_dir(str(data))
server.start()
print("ready", flush=True)
try:
    sys.stdin.read()
finally:
    server.stop()
"""


def main(folder: Path, command: list[str]) -> int:
    """The command's exit code."""
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE, "setuptools<81"], check=True)
        (folder / "installed").touch()
    with socket.socket() as probe, tempfile.TemporaryDirectory() as data:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        log = folder / "server.log"
        with log.open("wb") as errors:
            server = subprocess.Popen(
                [python, "-c", SERVE, data, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        try:
            if not _ready(server):
                print(f"the Milvus server did not start within {BOOT_S} s; see {log}", file=sys.stderr)
                return 1
            environment = {**os.environ, "ADGRAM_MILVUS": f"http://127.0.0.1:{port}"}
            return subprocess.run(command, env=environment, check=False).returncode
        finally:
            server.communicate(timeout=60)


def _ready(server: "subprocess.Popen[bytes]") -> bool:
    assert server.stdout is not None
    os.set_blocking(server.stdout.fileno(), False)
    until = time.monotonic() + BOOT_S
    while time.monotonic() < until and server.poll() is None:
        if b"ready" in (server.stdout.read() or b""):
            return True
        time.sleep(0.2)
    return False


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
