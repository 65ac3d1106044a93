"""Other people's decoders, each in a process and a virtual environment of its own, asked one request at a time.

They get the same weights as a GPT-2 with exact GELU. transformers runs `generate` with `prefix_allowed_tokens_fn`;
CTranslate2 has no such constraint and runs a plain beam search, so it does less than the others.
"""

import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from transformer import PlainTransformer

WORKER = Path(__file__).with_name("peer_worker.py")
PACKAGES = {"transformers": ["transformers"], "ctranslate2": ["transformers", "ctranslate2"]}
TORCH = "torch==2.13.0"
WAYS = {
    "transformers generate + prefix_allowed_tokens_fn": ("transformers", "generate"),
    "CTranslate2 int8, unconstrained": ("ctranslate2", "int8"),
    "CTranslate2 float32, unconstrained": ("ctranslate2", "float32"),
}


class Peer:
    """One way of decoding, alive until closed."""

    def __init__(self, name: str, python: Path, way: str, folder: Path) -> None:
        self.name = name
        self._times: dict[int, list[float]] = {}
        # Run from another folder than the project's, which has packages that others look for by name.
        with (folder / f"{way}.log").open("w") as log:
            self._process = subprocess.Popen(
                [python, WORKER, way, folder],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder,
            )  # fmt: skip

    def ask(self, prompt: npt.NDArray[np.int64], width: int) -> None:
        """Afterwards one request more has been timed, by the peer's own CPU clock."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"prompt": prompt.tolist(), "width": width}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(f"peers: {self.name} ended; its log lies in the folder given with --peers")
        self._times.setdefault(width, []).append(float(answer))

    def median_ms(self, width: int) -> float:
        """Over all but the first request, which warms up."""
        return float(np.median(self._times[width][1:]))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def peers(folder: Path, model: PlainTransformer, sids: npt.NDArray[np.int32]) -> list[Peer]:
    """All peers, running; what they need is installed into `folder` if it is not there yet."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    np.savez(folder / "weights.npz", sids=sids, heads=model.shape.heads, **weights)
    return [Peer(name, _python(folder, package), way, folder) for name, (package, way) in WAYS.items()]


def _python(folder: Path, package: str) -> Path:
    """The interpreter of the package's own environment."""
    home = folder / package
    python = home / "bin" / "python"
    ready = home / "ready"
    if not ready.exists():
        Console().print(f"installing {package} into {home}")
        venv.create(home, with_pip=True)
        _pip(python, [TORCH, "numpy", *PACKAGES[package]])
        ready.touch()
    return python


def _pip(python: Path, packages: Sequence[str]) -> None:
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=False)
    if done.returncode:
        sys.exit(f"peers: pip could not install {' '.join(packages)}; run without --peers to leave them out")
