"""What the cache holds, and how it is removed: by name, under the makers' locks, renamed before it is deleted.

Nothing outside the cache is ever touched: entries are direct children of known folders, and a link is left alone.
"""

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from harness.build.cache import cache_folder, only_one
from harness.build.runners.llama_cpp_build import build_key
from harness.build.runners.targets import TARGETS
from harness.errors import SetupError
from harness.store import write_durably
from harness.values import Value

GONE = ".gone"
KINDS = (
    "artifacts",
    "checkpoints",
    "training",
    "texts",
    "downloads",
    "exported",
    "members",
    "sources",
    "runners",
    "build",
    "references",
    "releases",
    "requests",
    "kernel-checks",
    "task-names",
    "worker",
)
"""Folders of the cache whose entries may be removed. Locks stay: a removed lock would let two makers in."""
DAY_S = 86_400


class Entry(Value, frozen=True):
    """One file or folder of the cache."""

    kind: str
    name: str
    bytes: int
    used_s: float
    """When it was last of use, in seconds since 1970."""

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def path(self) -> Path:
        return cache_folder(self.kind) / self.name

    @property
    def left_over(self) -> bool:
        """Whether a killed process left it: half made or half removed."""
        return self.name.startswith(".") or self.name.endswith(".part")


def entries() -> list[Entry]:
    """All that may be removed, in the order of the folders; links are left out."""
    return [entry for kind in KINDS for entry in _entries(kind)]


def old(entry: Entry, keep_days: int, now_s: float | None = None) -> bool:
    """Whether nobody used it for so many days; what was half removed is always old."""
    age_s = (time.time() if now_s is None else now_s) - entry.used_s
    return entry.name.endswith(GONE) or age_s >= keep_days * DAY_S


def remove(entry: Entry, keep_days: int) -> bool:
    """Remove an entry, if it still is old once its makers are shut out; returns whether it is gone.

    A kill leaves either the whole entry or a left-over under another name, which the next call removes.
    """
    with ExitStack() as locks:
        for name in _locks(entry):
            locks.enter_context(only_one(name))
        seen = _entry(entry.kind, entry.path)
        if seen is None or not old(seen, keep_days):
            return False
        gone = entry.path
        if not entry.name.endswith(GONE):
            gone = entry.path.with_name(f".{entry.name.lstrip('.')}.{os.getpid()}{GONE}")
            entry.path.rename(gone)
    if gone.is_dir():
        shutil.rmtree(gone)
    else:
        gone.unlink()
    return True


def _entries(kind: str) -> Iterator[Entry]:
    folder = cache_folder() / kind
    if not folder.is_dir() or folder.is_symlink():
        return
    for path in sorted(folder.iterdir()):
        if (found := _entry(kind, path)) is not None:
            yield found


def _entry(kind: str, path: Path) -> Entry | None:
    """None for what is gone, is a link, or is neither a file nor a folder."""
    try:
        seen = path.lstat()
    except OSError:
        return None
    if not (stat.S_ISDIR(seen.st_mode) or stat.S_ISREG(seen.st_mode)):
        return None
    return Entry(kind=kind, name=path.name, bytes=_bytes(path, seen), used_s=seen.st_mtime)


def _bytes(path: Path, seen: os.stat_result) -> int:
    """On disk; hard links and holes are counted as the disk does."""
    if not stat.S_ISDIR(seen.st_mode):
        return seen.st_blocks * 512
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += Path(folder, name).lstat().st_blocks * 512
            except OSError:
                continue
    return total


def _locks(entry: Entry) -> tuple[str, ...]:
    """Names of the locks under which the entry is made."""
    match entry.kind:
        case "artifacts":
            return (f"artifact-{entry.name.removesuffix('.part').lstrip('.')}",)
        case "checkpoints" | "training":
            return (f"checkpoint-{entry.name.removesuffix('.part').lstrip('.')}",)
        case "texts":
            return (f"text-{entry.name}",)
        case "downloads":
            return (f"download-{entry.name[:16]}",)
        case "members":
            return (f"member-{entry.name}",)
        case "sources":
            return (f"sources-{entry.name.removesuffix('.part')}",)
        case "exported":
            return (f"exported-{entry.name.removesuffix('.part').lstrip('.')}",)
        case "releases":
            return (f"release-{entry.name.removesuffix('.part').lstrip('.')}",)
        case "references":
            return (f"reference-{entry.name[:16]}",)
        case "build":
            return (entry.name,)
        case "runners":
            return _runner_locks()
        case _:
            return ()


def _runner_locks() -> tuple[str, ...]:
    """Those of every toolchain that built here, and of those at hand."""
    names = {entry.name for entry in _entries("build")}
    for target in TARGETS:
        with suppress(SetupError):  # no compiler for it here: nothing is being built with one
            names.add(build_key(target))
    return tuple(sorted(names))


class Pins(Value, frozen=True):
    """What is kept whatever its age: name → entries."""

    held: dict[str, tuple[str, ...]] = {}


def read_pins() -> Pins:
    """The pins of this cache."""
    path = cache_folder() / "pins.json"
    if not path.is_file():
        return Pins()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pins)
    except msgspec.MsgspecError as error:
        raise SetupError(f"{path} is damaged ({error}): nothing is removed until it is mended or deleted") from error


def write_pins(pins: Pins) -> None:
    write_durably(cache_folder() / "pins.json", msgspec.json.format(msgspec.json.encode(pins), indent=1) + b"\n")
