"""A stranger's archive → plain files in a new folder, or a refusal. Nothing in it is believed or executed."""

import hashlib
import re
import tarfile
from pathlib import Path

from harness.errors import InputError, StoreError
from harness.measure.bundle.manifest import FACTS, MANIFEST, PLAN, STATE, SUMS, TARGET
from harness.values import digest

MOST_ARCHIVE_BYTES = 2 << 30
MOST_MEMBERS = 100_000
MOST_BYTES = {SUMS: 32 << 20, MANIFEST: 64 << 20, PLAN: 64 << 20, FACTS: 1 << 20, STATE: 1 << 20, TARGET: 100}
"""Of the files beside requests and jobs."""
MOST_JOB_FILE_BYTES = {"answers.jsonl": 1 << 30, "events.jsonl": 64 << 20, "samples.jsonl": 64 << 20}
MOST_OTHER_BYTES = 1 << 20
MOST_REQUESTS_BYTES = 1 << 30
JOB_FILES = (
    *("affinity", "answers.jsonl", "conditions.txt", "events.jsonl", "gate.json", "gate.jsonl", "killed_for_memory"),
    *("rc", "samples.jsonl", "settings.txt", "started", "starts", "state.json", "stderr.txt", "wrapper.conf"),
)
_REQUESTS = re.compile(r"requests/[0-9a-f]{8,64}\.jsonl\.gz")
_JOB_FILE = re.compile(r"out/[A-Za-z0-9][A-Za-z0-9._-]{0,99}/([a-z][a-z_.]{0,30})")
_FOLDER = re.compile(r"requests|out(/[A-Za-z0-9][A-Za-z0-9._-]{0,99})?")
_SUM = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._/-]{1,200})")


def unpack(archive: Path, folder: Path) -> str:
    """Unpack into the empty folder; returns what tells this result from any other: a hash of all that is in it.

    Raises:
        InputError: there is no such file, or it is no archive.
        StoreError: it holds what no result of bench holds, is damaged, or is not complete.
    """
    if not archive.is_file():
        raise InputError(f"no file at {archive}")
    if archive.stat().st_size > MOST_ARCHIVE_BYTES:
        raise StoreError(f"{archive}: larger than any result of bench ({MOST_ARCHIVE_BYTES >> 30} GiB)")
    try:
        with tarfile.open(archive, "r:") as opened:
            found = _members(opened, folder)
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{archive} is no archive of a bundle's result: {error}") from error
    return _checked(folder, found)


def _members(opened: tarfile.TarFile, folder: Path) -> dict[str, str]:
    """Name → sha256 of every file, each written below the folder."""
    found: dict[str, str] = {}
    for number, member in enumerate(opened, 1):
        name = member.name.removeprefix("./")
        if number > MOST_MEMBERS:
            raise StoreError(f"the archive has more than {MOST_MEMBERS:,} files")
        if member.type == tarfile.DIRTYPE and _FOLDER.fullmatch(name):
            continue
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse:  # no links, devices, holes
            raise StoreError(f"the archive holds {name!r}, which is no plain file")
        if name in found:
            raise StoreError(f"the archive holds {name!r} twice")
        if member.size > most_bytes(name):
            raise StoreError(f"{name!r} in the archive is larger than any that bench writes")
        found[name] = _write(opened, member, folder / name)
    return found


def most_bytes(name: str) -> int:
    """How large a file of this name may be.

    Raises:
        StoreError: a result has no such file.
    """
    if name in MOST_BYTES:
        return MOST_BYTES[name]
    if _REQUESTS.fullmatch(name):
        return MOST_REQUESTS_BYTES
    of_job = _JOB_FILE.fullmatch(name)
    if of_job is not None and of_job.group(1) in JOB_FILES:
        return MOST_JOB_FILE_BYTES.get(of_job.group(1), MOST_OTHER_BYTES)
    raise StoreError(f"the archive holds {name!r}, which no result of bench has")


def _write(opened: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> str:
    source = opened.extractfile(member)
    assert source is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    state = hashlib.sha256()
    with source, open(target, "xb") as file:
        while chunk := source.read(1 << 20):
            state.update(chunk)
            file.write(chunk)
    return state.hexdigest()


def _checked(folder: Path, found: dict[str, str]) -> str:
    """Raises StoreError: the files are not those that the phone summed up, as after a copy that was cut."""
    if SUMS not in found:
        raise StoreError(f"the archive has no {SUMS}: it is no result of a bundle, or not whole")
    listed = parse_sums((folder / SUMS).read_text(encoding="utf-8", errors="replace"))
    there = {name: sha256 for name, sha256 in found.items() if name != SUMS}
    for name in sorted(listed.keys() | there.keys()):
        if name not in there:
            raise StoreError(f"the archive is not whole: {name} is missing; copy it from the phone again")
        if listed.get(name) != there[name]:
            raise StoreError(f"the archive is damaged: {name} is not what the phone wrote")
    return digest(sorted(there.items()))


def parse_sums(text: str) -> dict[str, str]:
    """Lines of sha256sum → name → sum.

    Raises:
        StoreError: a line is none.
    """
    found = {}
    for line in text.splitlines():
        parts = _SUM.fullmatch(line)
        if parts is None:
            raise StoreError(f"{SUMS} in the archive is damaged: {line[:100]!r}")
        found[parts.group(2)] = parts.group(1)
    return found
