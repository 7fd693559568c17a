"""`bench-export` and `bench-executorch`, the programs for ExecuTorch, told apart like native runners."""

import sys
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec

from harness.build.runners import Runner
from harness.build.runners.hf import INSTALL as TORCH
from harness.build.runners.hf import RELEASED, SCHEME, SOURCES, hashes_of
from harness.errors import BuildError, SetupError
from harness.values import digest

EXPORT_ARGV = (sys.executable, "-m", "harness.measure.workers.export")
RUN_ARGV = (sys.executable, "-m", "harness.measure.workers.pte")
"""Started by name, never imported: they need torch."""
NEEDS = {
    "executorch": "executorch",
    "torch": "torch",
    "torchao": "torchao",
    "transformers": "transformers",
    "flatbuffers": "flatbuffers",
    "omegaconf": "omegaconf",
    "pytorch_tokenizers": "pytorch-tokenizers",
    "tiktoken": "tiktoken",
}
"""Module → package. ExecuTorch's wheel names more, for backends that are not used here."""
INSTALL = (
    f"{TORCH}, then `pip install --no-deps executorch==1.5.1 flatbuffers omegaconf pytorch-tokenizers tiktoken` "
    "(`make executorch` in a checkout)"
)


def lacking() -> str | None:
    """What is not installed and how to install it, or None."""
    if missing := [package for module, package in NEEDS.items() if find_spec(module) is None]:
        return f"ExecuTorch needs {', '.join(missing)}: {INSTALL}"
    return None


def find_export() -> str:
    """What tells the exporter apart: a hash of its sources and libraries.

    Raises:
        BuildError: a library is not installed.
    """
    if (why := lacking()) is not None:
        raise BuildError(why)
    return _sha256("export")


def find_executorch() -> Runner:
    """The program that runs `.pte` files.

    Raises:
        SetupError: a library is not installed.
    """
    if (why := lacking()) is not None:
        raise SetupError(why)
    return Runner(path=sys.executable, sha256=_sha256("pte"))


@cache
def _sha256(program: str) -> str:
    folders = (SOURCES, SCHEME, RELEASED, SOURCES.with_name(program))
    versions = {package: version(package) for package in ("executorch", "torch", "torchao", "transformers")}
    return digest([hashes_of(*folders), versions])
