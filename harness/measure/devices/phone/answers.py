"""A file that gains lines on a phone, and is wanted here: fetched while it grows, made one before a start."""

import os
from pathlib import Path

import msgspec

from harness.errors import DeviceError, DeviceLostError
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.phone.job import fetch_new
from harness.measure.devices.phone.wrapper import write


def agree(connection: Connection, remote: str, local: Path) -> None:
    """Before a program appends to it: here and there the same whole lines.

    A phone that lost power may have lost lines that were fetched before, or have garbage in their place: then what
    was fetched counts. What it has beyond is fetched. Another phone, or a folder that was removed, gets all of it.

    Raises:
        DeviceLostError: the phone is out of reach; call again.
    """
    local.parent.mkdir(parents=True, exist_ok=True)
    try:
        fetch_new(connection, remote, local)
        same = True
    except DeviceLostError:
        raise
    except DeviceError:
        same = False
    cut = _cut_after_whole_lines(local)
    there = connection.stat(remote)
    if there is None and count_lines(local) == 0:
        return
    if cut or not same or there is None:
        write(connection, local.read_bytes(), remote)


def count_lines(path: Path) -> int:
    """Whole lines; 0 where there is no file."""
    if not path.exists():
        return 0
    with open(path, "rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _cut_after_whole_lines(path: Path) -> bool:
    """Cut off everything from the first line on that is torn or no JSON; whether there was any."""
    if not path.exists():
        return False
    whole = 0
    with open(path, "rb") as file:
        for line in file:
            if not line.endswith(b"\n") or not _is_json(line):
                break
            whole += len(line)
    if whole == path.stat().st_size:
        return False
    os.truncate(path, whole)
    return True


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    return True
