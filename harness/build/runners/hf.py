"""`bench-hf`, the program for torch: nothing is compiled, but it is told apart like a native runner."""

import sys
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from harness.build.runners import Runner
from harness.errors import SetupError
from harness.values import digest

WORKER = "harness.measure.workers.hf"
"""Started by name, never imported: it needs torch."""
ARGV = (sys.executable, "-m", WORKER)
SOURCES = Path(__file__).resolve().parents[2] / "measure" / "workers" / "hf"
SCHEME = SOURCES.with_name("scheme")
"""What compressed checkpoints compute."""
RELEASED = SOURCES.with_name("released")
"""How Meta's layout is read."""
NEEDS = ("torch", "transformers", "tokenizers", "safetensors", "accelerate")
INSTALL = (
    "`pip install torch==2.13.0` first and by itself, then "
    "`pip install transformers==5.23.0 accelerate torchao==0.18.0`"
)


def find_hf() -> Runner:
    """The program, told apart by its sources and the libraries that compute.

    Raises:
        SetupError: a library is not installed.
    """
    if lacking := [name for name in NEEDS if find_spec(name) is None]:
        raise SetupError(f"bench-hf needs {', '.join(lacking)}: {INSTALL}")
    return Runner(path=sys.executable, sha256=_sha256())


@cache
def _sha256() -> str:
    return digest([hashes_of(SOURCES, SCHEME, RELEASED), {name: version(name) for name in NEEDS}])


def hashes_of(*folders: Path) -> list[tuple[str, str]]:
    """(folder/file, sha256) of the sources in them."""
    files = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    return [(f"{path.parent.name}/{path.name}", sha256(path.read_bytes()).hexdigest()) for path in files]
