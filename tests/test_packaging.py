"""The wheel: nothing but `adgram` on top, with everything it needs inside."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def tracked() -> list[str]:
    """The files git tracks."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of what git tracks, so that no leftover of this folder hides a missing file."""
    copy = tmp_path_factory.mktemp("source")
    for name in tracked():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(source, tmp_path_factory.mktemp("dist"), {})


def built(source: Path, out: Path, environment: dict[str, str]) -> Path:
    """The wheel of that folder."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(build, check=True, capture_output=True, env={**os.environ, **environment})
    (wheel,) = out.iterdir()
    return wheel


def test_an_empty_environment_gets_adgram_and_nothing_else_on_top(wheel: Path, tmp_path: Path) -> None:
    """Installed without dependencies into an empty environment, the wheel adds one package, and it imports."""
    venv.create(tmp_path / "empty", with_pip=False)
    (site,) = (tmp_path / "empty" / "lib").glob("python*/site-packages")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "install",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    on_top = {path.name for path in site.iterdir() if not re.search(r"\.dist-info$|^bin$", path.name)}
    assert on_top == {"adgram"}
    python = tmp_path / "empty" / "bin" / "python"
    printed = subprocess.run(
        [python, "-c", "import adgram; print(adgram.__file__, adgram.__version__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert printed == [str(site / "adgram" / "__init__.py"), wheel.name.split("-")[1]]


def test_without_a_compiler_the_wheel_lacks_the_compiled_decode_and_nothing_else(
    wheel: Path, source: Path, tmp_path: Path
) -> None:
    """The extension is optional: where it cannot be built, every other file is there all the same."""
    shutil.rmtree(source / "build", ignore_errors=True)  # or the library compiled a moment ago would be found
    bare = built(source, tmp_path, {"CC": "/bin/false", "CXX": "/bin/false"})
    both = [{name for name in zipfile.ZipFile(each).namelist() if ".dist-info/" not in name} for each in (wheel, bare)]
    assert {re.sub(r"\..*", "", name) for name in both[0] - both[1]} <= {"adgram/kernels/native/_native"}
    assert not both[1] - both[0]
    assert not [name for name in both[1] if name.endswith(".so")]


def test_every_module_and_data_file_is_in_the_wheel(wheel: Path) -> None:
    """No package is missing from the hand-written list, and each data file the code opens comes along."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    outside = ("tests/", "bench/", "docs/", "deploy/", ".ci/")
    wanted = {
        name for name in tracked if re.search(r"\.(py|pyi|proto|html|toml)$", name) and not name.startswith(outside)
    }
    assert {f"adgram/{name}" for name in wanted - {"pyproject.toml"}} <= inside


def test_the_lock_pins_every_dependency_without_urls() -> None:
    """constraints.txt fixes a version for each declared dependency and names no host."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert not [line for line in lines if "://" in line or " @ " in line]
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    declared = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9_.-]+", each)[0]).lower() for each in declared}
    assert names <= pinned
