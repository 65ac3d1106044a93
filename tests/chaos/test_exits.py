"""Worker and sink leave at every kind of call; see exits.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_two_hundred_exits_around_every_call_lose_double_and_mix_nothing(tmp_path):
    """Before and after each store and Kafka call of the commit path: all acknowledged is there once, all verifies."""
    command = [sys.executable, str(HERE / "exits.py"), str(tmp_path), "200", "7"]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent / "doubles"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=220, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    proved = json.loads(done.stdout)
    assert proved["exits"] >= 200
    assert len(proved["points"]) == 22, "every call was left before and after"
