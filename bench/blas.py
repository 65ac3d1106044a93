"""numpy's own OpenBLAS: which kernel it chose for this machine, and its speed on one shape."""

import ctypes
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROWS, DEPTH, COLUMNS = 128, 256, 1024  # the shape that the reference arithmetic is timed on


class Sgemm:
    """128 x 256 x 1024 in float32, on as many threads as told."""

    def __init__(self, threads: int) -> None:
        rng = np.random.default_rng(0)
        self._left = rng.standard_normal((ROWS, DEPTH), dtype=np.float32)
        self._right = rng.standard_normal((DEPTH, COLUMNS), dtype=np.float32)
        self._out = np.empty((ROWS, COLUMNS), dtype=np.float32)
        self._threads = threads

    def gflops(self, clock: Callable[[], float] = time.process_time, repeats: int = 60) -> float:
        """Billions of operations a second, by that clock."""
        _call("set_num_threads", self._threads)
        np.matmul(self._left, self._right, out=self._out)
        started = clock()
        for _ in range(repeats):
            np.matmul(self._left, self._right, out=self._out)
        took = clock() - started
        _call("set_num_threads", 1)
        return 2 * ROWS * DEPTH * COLUMNS * repeats / took / 1e9


def with_own_kernel() -> None:
    """Starts the program anew where its environment tells OpenBLAS to take another CPU's kernel than it would choose.

    It reads these settings when it is loaded, which has happened by now.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    if len(kept) < len(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.argv], kept)


def kernel() -> str:
    """The kernel OpenBLAS runs here, "unknown" where numpy was built otherwise."""
    name = _call("get_corename", result=ctypes.c_char_p)
    return name.decode() if name else "unknown"


def _call(name: str, *arguments: int, result: Any = None) -> Any:
    for path in (Path(np.__file__).parents[1] / "numpy.libs").glob("*openblas*"):
        function = getattr(ctypes.CDLL(str(path)), f"scipy_openblas_{name}64_", None)
        if function is not None:
            function.restype = result
            return function(*arguments)
    return None
