"""Run folders: create, append, read.

A run is `results/<UTC>-<suite>-<host>-<4 hex>/` with `plan.json` and `records.jsonl`. Records are
appended one line a trial and fsynced, so that a kill at any point loses at most the trial in progress.
Readers accept every schema version up to `SCHEMA_VERSION` and refuse newer ones.
"""

import fcntl
import gzip
import os
import re
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.errors import StoreError
from harness.run_checks import plan_contradicts
from harness.values import SCHEMA_VERSION, Plan, Reported, TrialRecord

PLAN = "plan.json"
RECORDS = "records.jsonl"
LOCK = ".lock"
LONGEST_LINE = 64 << 20
MOST_BYTES = 1 << 30
"""Of one file of lines, decompressed: some kilobytes of gzip can hold gigabytes."""
DAMAGE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, EOFError, gzip.BadGzipFile, zlib.error)

T = TypeVar("T", Plan, TrialRecord)


class Run(msgspec.Struct, frozen=True):
    """A run as read: its folder, plan and records (the last record of a trial wins)."""

    path: Path
    plan: Plan
    records: tuple[TrialRecord, ...]

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def told_by(self) -> str | None:
        """The other tool that measured it; None: bench did."""
        told = (o for record in self.records for o in record.observations if isinstance(o, Reported))
        return next((one.tool for one in told), None)

    @property
    def complete(self) -> bool:
        return len(self.records) >= len(self.plan.trials)


def create_run(results: Path, plan: Plan, *, host: str) -> Path:
    """Make the folder of a new run and write its plan durably; returns the folder."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = results / f"{stamp}-{plan.suite.name}-{safe_host(host)}-{secrets.token_hex(2)}"
    try:
        folder.mkdir(parents=True)
        write_durably(folder / PLAN, msgspec.json.format(encode(plan), indent=1))
    except OSError as error:
        raise StoreError(f"cannot write a run into {results}: {error.strerror}") from error
    return folder


def safe_host(host: str) -> str:
    """A machine's name as it stands in names of runs."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", host)[:24].strip("-.") or "host"


def append_record(folder: Path, record: TrialRecord) -> None:
    """Append one line and wait until it is on the disk; a torn earlier line is cut off first.

    Raises:
        StoreError: the disk is full or the folder is read-only.
    """
    path = folder / RECORDS
    line = encode(record) + b"\n"
    try:
        new = not path.exists()
        _cut_torn_line(path)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            view = memoryview(line)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        if new:
            _sync_folder(folder)
    except OSError as error:
        raise StoreError(f"cannot append to {path}: {error.strerror}; `--resume {folder.name}` goes on") from error


def read_run(folder: Path) -> Run:
    """Read plan and records.

    Raises:
        StoreError: no run there, a damaged line that is not the last, or a newer schema.
    """
    plan_path = folder / PLAN
    if not plan_path.is_file():
        raise StoreError(f"{folder} is no run folder (it has no {PLAN})")
    plan = _decode(_bytes_of(plan_path), Plan, plan_path, None)
    if (wrong := plan_contradicts(plan)) is not None:
        raise StoreError(f"{plan_path}: damaged: {wrong}")
    cells = {trial.id: trial.cell for trial in plan.trials}
    by_trial: dict[str, TrialRecord] = {}
    for number, record in enumerate(_records(folder / RECORDS), 1):
        if cells.get(record.trial) != record.cell:
            raise StoreError(f"{folder / RECORDS}:{number}: damaged: no trial {record.trial!r} of that cell is planned")
        by_trial[record.trial] = record
    return Run(folder, plan, tuple(by_trial.values()))


def find_runs(where: Path) -> list[Path]:
    """Run folders below `where`, or `where` itself; oldest first by their names."""
    if (where / PLAN).is_file():
        return [where]
    if not where.is_dir():
        return []
    return sorted((p.parent for p in where.glob(f"*/{PLAN}")), key=lambda p: p.name)


def resolve_run(name: str, results: Path) -> Path:
    """`latest` (which is no rerun of what other runs measured), a run's folder, or its name in `results`."""
    if name == "latest":
        # The example that ships with the project is no run of this machine: it has no time in its name.
        runs = [p for p in find_runs(results) if re.match(r"\d{8}T", p.name)]
        if not runs:
            raise StoreError(f"no run in {results} yet: `bench run --suite quick` makes one")
        return next((run for run in reversed(runs) if not _is_rerun(run)), runs[-1])
    for candidate in (Path(name), results / name):
        if (candidate / PLAN).is_file():
            return candidate.resolve()
    raise StoreError(f"{name!r} is no run folder and no run in {results} (try `latest`)")


def _is_rerun(folder: Path) -> bool:
    """As `Plan.compares` says; only what is named like one is opened."""
    if not re.match(r"[0-9TZ]+-(confirm|bisect)-", folder.name):
        return False
    try:
        return "compares" in msgspec.json.decode((folder / PLAN).read_bytes())
    except (OSError, msgspec.DecodeError):
        return False


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Hold the run's lock, so that two processes never append to it at once."""
    try:
        fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"cannot lock {folder}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise StoreError(f"{folder.name} is being written by another bench process") from error
    finally:
        os.close(fd)


def inside(run: Path, name: str) -> Path:
    """The path of a run's file that a record names.

    Raises:
        StoreError: it leads out of the run's folder, by its name or by a link.
    """
    path = run / name
    if not path.resolve().is_relative_to(run.resolve()):
        raise StoreError(f"{run.name}: a record names a file outside of the run's folder: {name!r}")
    return path


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON lines of a plain or gzip-compressed file; a torn last line is left out.

    Raises:
        StoreError: the file is damaged, or larger than any that bench writes.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    decoder = msgspec.json.Decoder(dict[str, Any])
    total = 0
    try:
        with opener(path, "rb") as file:
            while line := file.readline(LONGEST_LINE):
                total += len(line)
                if len(line) == LONGEST_LINE or total > MOST_BYTES:
                    raise StoreError(f"{path}: damaged: larger than any file that bench writes")
                if line.endswith(b"\n"):
                    yield decoder.decode(line)
    except DAMAGE as error:
        raise StoreError(f"{path}: damaged: {error}") from error


def write_lines(path: Path, lines: Iterator[Any] | list[Any]) -> None:
    """Write JSON lines durably; `.gz` is compressed with a fixed header, so equal lines give equal bytes."""
    body = b"".join(encode(line) + b"\n" for line in lines)
    write_durably(path, gzip.compress(body, mtime=0) if path.suffix == ".gz" else body)


def write_durably(path: Path, body: bytes) -> None:
    """Write a whole file or nothing: temporary name, fsync, rename, fsync of the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # a half-written one keeps room on a disk that is full
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def encode(value: Any) -> bytes:
    """JSON; NaN and infinity are refused, since JSON would make them null.

    Raises:
        ValueError: a float that is not finite.
    """
    body = msgspec.json.encode(value)
    if b"null" in body:  # which is how msgspec writes a float that is not finite
        _refuse_non_finite(msgspec.to_builtins(value), "")
    return body


def _refuse_non_finite(value: Any, path: str) -> None:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        raise ValueError(f"{path or 'value'} is {value}: what was not seen must be None with a reason")
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_non_finite(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_non_finite(item, f"{path}[{index}]")


def _records(path: Path) -> Iterator[TrialRecord]:
    if not path.exists():
        return
    body = _bytes_of(path)
    lines = body.split(b"\n")
    lines.pop()  # empty, or a last line cut in the middle: that trial is measured again
    for number, line in enumerate(lines, 1):
        yield _decode(line, TrialRecord, path, number)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error


def _decode(body: bytes, kind: type[T], path: Path, line: int | None) -> T:
    try:
        value: T = _DECODERS[kind].decode(body)
    except DAMAGE as error:
        raise StoreError(_why_not(body, error, path, line)) from error
    if value.schema > SCHEMA_VERSION:
        raise StoreError(_why_not(body, None, path, line))
    return value


def _why_not(body: bytes, error: Exception | None, path: Path, line: int | None) -> str:
    """A newer schema may be anything, and so is named before what does not fit ours."""
    where = f"{path}:{line}" if line else str(path)
    try:
        version = msgspec.json.decode(body, type=_Versioned).schema
    except DAMAGE as unreadable:
        return f"{where}: damaged: {unreadable}"
    if version > SCHEMA_VERSION:
        return f"{where}: written by a newer bench (schema {version}, this one reads up to {SCHEMA_VERSION})"
    return f"{where}: damaged: {error}"


class _Versioned(msgspec.Struct):
    schema: int


_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(kind) for kind in (Plan, TrialRecord)}


def _cut_torn_line(path: Path) -> None:
    """Drop what a killed process left after the last newline."""
    try:
        with open(path, "rb+") as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0:
                return
            file.seek(-1, os.SEEK_END)
            if file.read(1) == b"\n":
                return
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
