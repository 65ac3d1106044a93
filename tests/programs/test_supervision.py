"""What becomes of a worker whose consumer has stalled: the same command runs again in the same process."""

import subprocess
import sys

import pytest

WORKER = """
import os, signal, sys, time
from contextlib import ExitStack

from adgram.programs import supervision
from adgram.streaming.config import StreamingConfig
from adgram.streaming.lag import Standing

asked, patient = [], sys.argv[1] == "listens"
print("runs as", os.getpid(), os.environ.get("ADGRAM_RESTARTS", "0"), flush=True)
if "ADGRAM_RESTARTS" in os.environ:
    sys.exit(0)


class Stuck:
    def look(self):
        return (Standing("items", 0, 0, 5),)

    def readable(self, standing):
        return True

    def close(self):
        pass


supervision.LagProbe = lambda config, shards: Stuck()
supervision.STOP_GRACE_S = 600.0 if patient else 0.05
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
one = supervision.Supervision(StreamingConfig(stall_s=0.05), 0)
with ExitStack() as stack:
    one.watch(None, stack)
    while not (asked and patient):
        time.sleep(0.01)
one.restart_if_asked()
"""


@pytest.mark.parametrize("manner", ["listens", "does not listen"])
def test_a_stalled_worker_is_replaced_in_place(tmp_path, manner):
    """It is asked to stop first; if it does not, it is replaced as it stands. Same process id, one restart counted."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    done = subprocess.run(
        [sys.executable, str(script), manner], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = (line.split()[2:] for line in done.stdout.splitlines() if line.startswith("runs as"))
    assert first[0] == second[0] and (first[1], second[1]) == ("0", "1")
