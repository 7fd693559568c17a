"""A history that hosts share through an object store: runs are brought once and never changed, each adds its own.

Any address that fsspec knows, such as `s3://bucket/history` (with s3fs installed) or `file:///mnt/history`. A run's
plan is pushed last, and a run without one is nobody's: whoever reads sees whole runs or none.
"""

import fcntl
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from harness.analyse.history.found import FOLDER
from harness.errors import InputError, SetupError, StoreError
from harness.nightly.begun import is_own
from harness.progress import Progress
from harness.store import LOCK, PLAN, find_runs, read_run

LOOSE = (FOLDER, "acks")
"""Folders of small files beside the runs, each written once by one host."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,200}")
DEEPEST = 3
HALF = ".half"
"""Ends the name of a file that is being given."""
LOOKED_AT = 20
"""Of this machine's newest runs it is asked each night whether they are whole there; a killed night may have left
half of one. Older ones that are there are."""


class Shared:
    """A folder in a store that fsspec reaches."""

    def __init__(self, address: str) -> None:
        """Raises InputError: no such kind of address. SetupError: the package that reaches it is not installed.
        StoreError: the store is out of reach."""
        from fsspec.core import url_to_fs

        try:
            self._fs, root = url_to_fs(address)
        except ImportError as error:
            raise SetupError(f"{_scheme(address)}://: {error}") from error
        except ValueError:  # whose words may hold parts of the address
            raise InputError(f"{_scheme(address)}://: fsspec knows no such address") from None
        except _errors() as error:
            said = getattr(error, "strerror", None) or type(error).__name__
            raise StoreError(f"the shared history is out of reach: {said}") from None
        self._root = str(root).rstrip("/")

    def pull(self, results: Path, progress: Progress) -> int:
        """Bring what is not here yet; returns how many runs came.

        Raises:
            StoreError: the store is out of reach.
        """
        with _trouble("brought"), _alone(results) as part:
            self._fs.invalidate_cache()
            for folder in LOOSE:
                for name in self._names(folder):
                    if name.endswith(".json") and not (results / folder / name).exists():
                        self._bring_loose(f"{folder}/{name}", results / folder / name, part)
            here = {path.name for path in find_runs(results)}
            missing = [name for name in self._names("") if name not in here and name not in LOOSE]
            return sum(self._bring_run(name, results, part, progress) for name in missing)

    def push(self, results: Path, progress: Progress) -> int:
        """Give every complete run of this machine that the store lacks, and what lies beside; returns how many.

        Raises:
            StoreError: the store is out of reach; the next night tries again.
        """
        with _trouble("given"):
            self._fs.invalidate_cache()
            pushed, there = 0, set(self._names(""))
            own = [folder for folder in find_runs(results) if is_own(folder.name)]
            older = {folder.name for folder in own[:-LOOKED_AT]} & there
            for folder in own:
                if folder.name not in older and not self._has(folder.name) and _is_whole(folder):
                    self._give(folder)
                    progress.say(f"given to the shared history: {folder.name}")
                    pushed += 1
            for name in LOOSE:
                known = set(self._names(name))
                for path in sorted((results / name).glob("[!.]*.json")):
                    if path.name not in known:
                        self._put(path, f"{name}/{path.name}")
            return pushed

    def _names(self, folder: str) -> list[str]:
        """What lies directly in a folder there, with names that may be names here."""
        try:
            paths = self._fs.ls(self._at(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(n for n in (str(path).rstrip("/").rpartition("/")[2] for path in paths) if _NAME.fullmatch(n))

    def _has(self, run: str) -> bool:
        return bool(self._fs.exists(self._at(f"{run}/{PLAN}")))

    def _bring_run(self, name: str, results: Path, part: Path, progress: Progress) -> bool:
        if not self._has(name):
            return False  # its host is giving it just now, or died of it
        place = part / name
        for path in self._files(name):
            place.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
            self._fs.get_file(self._at(f"{name}/{path}"), str(place / path))
        if (results / name).exists() or not _is_whole(place):
            return False  # a folder of that name that is no run, or half of one that an older bench gave
        place.rename(results / name)
        progress.say(f"from the shared history: {name}")
        return True

    def _files(self, run: str) -> Iterator[str]:
        root = self._at(run) + "/"
        for path in self._fs.find(self._at(run)):
            inner = str(path).removeprefix(root)
            parts = inner.split("/")
            if len(parts) <= DEEPEST and not inner.endswith(HALF) and all(_NAME.fullmatch(one) for one in parts):
                yield inner

    def _bring_loose(self, name: str, target: Path, part: Path) -> None:
        place = part / target.name
        self._fs.get_file(self._at(name), str(place))
        try:
            msgspec.json.decode(place.read_bytes())
        except msgspec.MsgspecError:
            place.unlink()
            return  # its host is writing it just now: the next night brings it
        target.parent.mkdir(exist_ok=True)
        place.rename(target)

    def _give(self, run: Path) -> None:
        files = [path.relative_to(run) for path in sorted(run.rglob("*")) if path.is_file()]
        for path in sorted((p for p in files if str(p) != LOCK), key=lambda p: str(p) == PLAN):
            self._put(run / path, f"{run.name}/{path.as_posix()}")

    def _put(self, path: Path, name: str) -> None:
        self._fs.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)
        self._fs.put_file(str(path), self._at(name + HALF))  # not every store shows a file only when it is whole
        self._fs.mv(self._at(name + HALF), self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")


def _is_whole(folder: Path) -> bool:
    """A damaged run is given to nobody, and keeps no other back."""
    try:
        return read_run(folder).complete
    except StoreError:
        return False


def _scheme(address: str) -> str:
    """All of an address that may be shown: the rest can hold secrets."""
    return address.partition("://")[0] if "://" in address else "file"


@contextmanager
def _trouble(what: str) -> Iterator[None]:
    try:
        yield
    except _errors() as error:
        # What a library says may repeat the address, and with it a password.
        said = getattr(error, "strerror", None) or type(error).__name__
        raise StoreError(f"the shared history: not everything could be {what}: {said}") from None


def _errors() -> tuple[type[BaseException], ...]:
    """What a store that is out of reach raises; Amazon's library does not raise the operating system's errors."""
    amazons = getattr(sys.modules.get("botocore.exceptions"), "BotoCoreError", OSError)
    return (OSError, EOFError, amazons)


@contextmanager
def _alone(results: Path) -> Iterator[Any]:
    """A folder for half of a run; what a killed process left in it is removed. No run lies so deep."""
    part = results / FOLDER / ".pulling"
    part.mkdir(parents=True, exist_ok=True)
    fd = os.open(part.with_name(".pulling.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX)
        for left in part.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield part
    finally:
        os.close(fd)
