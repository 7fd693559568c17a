"""What all tests share: a machine that lacks something skips by name, but never in CI."""

import os
import shutil
import signal
from importlib.util import find_spec

import pytest
from hypothesis import settings

# Started in the background by a shell, the tests ignore Ctrl-C, and so would every program they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


# The same tests with a network and without one.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# On a machine with other work, an example may take long; that is no failure.
settings.register_profile("bench", deadline=None)
settings.load_profile("bench")

STRICT = bool(os.environ.get("CI") or os.environ.get("BENCH_REQUIRE_ALL"))
NEEDS = {
    "chromium": ("chromium", "chromium"),
    "cross": ("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"),
    "qemu": ("qemu-aarch64-static", "qemu-user-static"),
}
"""Marker → the program that its tests need, and the Debian package that has it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not STRICT and find_spec("executorch") is None:
        reason = "ExecuTorch is not installed (`make executorch`)"
        for item in items:
            if item.get_closest_marker("executorch"):
                item.add_marker(pytest.mark.skip(reason=reason))
    for marker, (program, package) in NEEDS.items():
        if STRICT or shutil.which(program):
            continue
        reason = f"{program} is not installed (Debian, Ubuntu: apt-get install {package})"
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
