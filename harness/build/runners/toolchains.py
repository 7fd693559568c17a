"""The compilers that runners are made with, and what tells one toolchain from another."""

import hashlib
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from harness.build.cache import sha256_file
from harness.errors import SetupError

CROSS_COMPILER = "aarch64-linux-gnu-g++"
CROSS_PACKAGE = "g++-aarch64-linux-gnu"
LINKED_IN = ("libc.a", "libstdc++.a", "libgcc_eh.a")
"""Whose code a static program carries, whatever version the compiler says it is."""


def native_surroundings() -> str:
    """Compiler, its options in the environment, and the CPU that `-march=native` builds for.

    Raises:
        SetupError: no C++ compiler.
    """
    flags = [f"{name}={os.environ.get(name, '')}" for name in ("CC", "CFLAGS", "CXXFLAGS", "LDFLAGS")]
    return "\0".join((*flags, _first_line(_native_compiler()), _cpu_flags()))


def cross_surroundings() -> str:
    """The cross compiler and the libraries that it links in. The environment's compiler options are not used.

    Raises:
        SetupError: no cross compiler, or one without the libraries for static programs; the message says what to
            install.
    """
    if shutil.which(CROSS_COMPILER) is None:
        raise SetupError(
            f"no cross compiler for phones: {CROSS_COMPILER} not found"
            f" (Debian, Ubuntu: `apt-get install {CROSS_PACKAGE}`)"
        )
    return "\0".join((_first_line(CROSS_COMPILER), *map(_library_sha256, LINKED_IN)))


def build_tool(name: str) -> str:
    """cmake and ninja come as Python packages: beside this interpreter, or on PATH.

    Raises:
        SetupError: not installed.
    """
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise SetupError(f"{name} is not installed (it is a Python package: `pip install {name}`)")
    return found


def _library_sha256(name: str) -> str:
    path = Path(_output([CROSS_COMPILER, f"-print-file-name={name}"]).strip())
    if not path.is_file():  # the bare name again: the compiler does not find it
        raise SetupError(
            f"{CROSS_COMPILER} has no {name}, which static programs need"
            f" (Debian, Ubuntu: `apt-get install --reinstall {CROSS_PACKAGE} libc6-dev-arm64-cross`)"
        )
    return f"{name} {sha256_file(path)}"


def _native_compiler() -> str:
    name = os.environ.get("CXX") or next((n for n in ("c++", "g++", "clang++") if shutil.which(n)), None)
    if name is None:
        raise SetupError("no C++ compiler found (Debian, Ubuntu: `apt-get install g++`)")
    return name


def _first_line(compiler: str) -> str:
    return _output([compiler, "--version"]).splitlines()[0]


def _output(argv: list[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"the C++ compiler {argv[0]!r} does not run: {error}") from error


def _cpu_flags() -> str:
    """A binary built for this CPU must not be taken from the cache on another one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def hash_of_files(state: "hashlib._Hash", folder: Path) -> None:
    """Add every file below a folder, by relative path and content."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            state.update(f"{path.relative_to(folder)}\0".encode())
            state.update(path.read_bytes())
