"""Runs interpreted_kernels.py where Triton is there to interpret."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).with_name("interpreted_kernels.py")


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is installed on Linux only")
def test_the_kernels_agree_with_their_twins_under_the_interpreter():
    """Parity on odd shapes in float32 and bfloat16, and a whole decode, in a process of their own."""
    command = [sys.executable, "-m", "pytest", str(TESTS), "-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly"]
    run = subprocess.run(
        [*command, "--rootdir", str(TESTS.parents[2])],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-1000:]
