"""`bench-compress`, the program that makes compressed checkpoints with torch and torchao."""

import sys
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec

from harness.build.runners.hf import INSTALL, SCHEME, SOURCES, hashes_of
from harness.errors import BuildError
from harness.values import digest

ARGV = (sys.executable, "-m", "harness.measure.workers.compress")
"""Started by name, never imported: it needs torch."""
NEEDS = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "torchao")


def find_compress() -> str:
    """What tells the program apart: a hash of its sources and of the libraries that compute.

    Raises:
        BuildError: a library is not installed.
    """
    if lacking := [name for name in NEEDS if find_spec(name) is None]:
        raise BuildError(f"it is made with {', '.join(lacking)}: {INSTALL}")
    return _sha256()


@cache
def _sha256() -> str:
    folders = (SOURCES, SCHEME, SOURCES.with_name("compress"))
    return digest([hashes_of(*folders), {name: version(name) for name in NEEDS}])
