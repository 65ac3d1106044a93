"""Regenerates the stubs from the .proto files, or with --check tells whether the committed ones are current.

Run from the repository: `make proto`. The files are compiled as adgram/proto/….proto, because .proto names are one
global
namespace in a process and other libraries claim the plain ones.
"""

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

FOLDER = Path(__file__).parent


def generate(target: Path) -> None:
    """Afterwards `target`/adgram/proto holds freshly generated stubs."""
    with tempfile.TemporaryDirectory() as box:
        (Path(box) / "adgram").symlink_to(FOLDER.parent.resolve())
        names = [f"adgram/proto/{path.name}" for path in sorted(FOLDER.glob("*.proto"))]
        includes = [f"-I{box}", f"-I{files('grpc_tools') / '_proto'}"]
        outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
        if protoc.main(["protoc", *includes, *outputs, *names]):
            sys.exit("error: protoc refused the .proto files; its message is above")


def main() -> None:
    with tempfile.TemporaryDirectory() as fresh:
        generate(Path(fresh))
        stale = []
        for path in sorted((Path(fresh) / "adgram" / "proto").iterdir()):
            committed = FOLDER / path.name
            if not committed.is_file() or committed.read_bytes() != path.read_bytes():
                stale.append(path.name)
                if "--check" not in sys.argv:
                    committed.write_bytes(path.read_bytes())
    if stale and "--check" in sys.argv:
        sys.exit(f"error: {', '.join(stale)} do not fit the .proto files; run `make proto`")
    print("stubs are current" if not stale else f"wrote {', '.join(stale)}")


if __name__ == "__main__":
    main()
