"""The wheel: nothing but `adgram` on top, with everything it needs inside."""

import re
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
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a clean copy of what git tracks, so that no leftover of this folder hides a missing file."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in tracked:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = out.iterdir()
    return built


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
