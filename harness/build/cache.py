"""Where made things are kept between runs: outside the project, addressed by hash, safe to delete."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from harness.errors import InputError, SetupError


def cache_folder(*parts: str) -> Path:
    """`$BENCH_CACHE`, or `bench` in the user's cache folder; made if absent."""
    root = os.environ.get("BENCH_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(root) if root else Path(base) / "bench"
    folder = folder.joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"cannot make the cache folder {folder}: {error.strerror} (set BENCH_CACHE)") from error
    return folder


def used(path: Path) -> None:
    """Remember that this file or folder of the cache was of use now: what nobody uses is removed one day."""
    with suppress(OSError):  # of a cache that may only be read
        os.utime(path)


@contextmanager
def in_use() -> Iterator[None]:
    """While the cache's files are read: nothing is removed from it meanwhile, in any process."""
    with _flock("in-use", fcntl.LOCK_SH):
        yield


@contextmanager
def nobody_uses_it() -> Iterator[None]:
    """While files are removed from the cache.

    Raises:
        InputError: a bench process uses it.
    """
    try:
        with _flock("in-use", fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield
    except BlockingIOError as error:
        raise InputError("a bench process uses the cache now: try again when it has ended") from error


@contextmanager
def only_one(name: str) -> Iterator[None]:
    """Wait until no other process makes the same thing."""
    with _flock(name, fcntl.LOCK_EX):
        yield


@contextmanager
def _flock(name: str, how: int) -> Iterator[None]:
    path = cache_folder("locks") / f"{name}.lock"
    with open(path, "w") as file:
        fcntl.flock(file, how)
        yield


class Stamp(msgspec.Struct, frozen=True):
    """What changes when a file does. The kernel alone sets `ctime`, so a time set back is seen."""

    device: int
    inode: int
    bytes: int
    mtime_ns: int
    ctime_ns: int


def stamp_of(path: Path) -> Stamp | None:
    """None where no file is."""
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    return Stamp(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def sha256_file(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
