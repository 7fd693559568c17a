"""`sync:` of the stand-in."""

import errno
import os
import stat
import struct
from pathlib import Path

from tests.standin.faults import Faults
from tests.standin.files import inside
from tests.standin.host import Stream

WRITABLE = ("data/local/tmp", "sdcard")
DATA_BYTES = 64 << 10
_HEAD = struct.Struct("<4sI")
_STAT_V2 = struct.Struct("<4sIQQIIIIQqqq")


def serve_sync(stream: Stream, root: Path, faults: Faults) -> None:
    """Requests until the host leaves."""
    while True:
        command, length = _HEAD.unpack(stream.exactly(_HEAD.size))
        if command == b"QUIT":
            return
        name = os.fsdecode(stream.exactly(length))
        if command == b"STAT":
            stream.write(_stat(inside(root, name)))
        elif command in (b"STA2", b"LST2"):
            stream.write(_stat_v2(command, inside(root, name), follow=command == b"STA2"))
        elif command in (b"LIST", b"LIS2"):
            stream.write(_list(inside(root, name), v2=command == b"LIS2"))
        elif command == b"SEND":
            _take(stream, root, name, faults)
        elif command == b"RECV":
            _give(stream, inside(root, name))
        else:
            stream.write(_failure(f"unknown command {command!r}"))
            return


def _stat(path: Path) -> bytes:
    try:
        seen = path.lstat()
    except OSError:
        return struct.pack("<4sIII", b"STAT", 0, 0, 0)
    return struct.pack("<4sIII", b"STAT", seen.st_mode, seen.st_size & 0xFFFFFFFF, int(seen.st_mtime))


def _stat_v2(tag: bytes, path: Path, *, follow: bool) -> bytes:
    try:
        seen = path.stat() if follow else path.lstat()
    except OSError as error:
        return _STAT_V2.pack(tag, error.errno or errno.EIO, *[0] * 10)
    times = (int(seen.st_atime), int(seen.st_mtime), int(seen.st_ctime))
    links = (seen.st_mode, seen.st_nlink, 2000, 2000)
    return _STAT_V2.pack(tag, 0, seen.st_dev, seen.st_ino, *links, seen.st_size, *times)


def _list(folder: Path, *, v2: bool) -> bytes:
    told = b""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        encoded = os.fsencode(path.name)
        one = _stat_v2(b"DNT2", path, follow=False) if v2 else b"DENT" + _stat(path)[4:]
        told += one + struct.pack("<I", len(encoded)) + encoded
    return told + b"DONE" + bytes(72 if v2 else 16)


def _give(stream: Stream, path: Path) -> None:
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115
    except OSError as error:
        stream.write(_failure(f"open failed: {os.strerror(error.errno or 0)}"))
        return
    with file:
        # Several frames to a packet, as adbd's own buffers do.
        while block := file.read(15 * DATA_BYTES):
            frames = (block[i : i + DATA_BYTES] for i in range(0, len(block), DATA_BYTES))
            stream.write(b"".join(_HEAD.pack(b"DATA", len(frame)) + frame for frame in frames))
    stream.write(_HEAD.pack(b"DONE", 0))


def _take(stream: Stream, root: Path, wish: str, faults: Faults) -> None:
    name, _, mode = wish.rpartition(",")
    path = inside(root, name)
    refusal, whole, file = None, False, -1
    try:
        if not any(path.is_relative_to(root / folder) for folder in WRITABLE):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    except OSError as error:
        refusal = f"couldn't create file: {os.strerror(error.errno or 0)}"
        stream.write(_failure(refusal))
    try:
        while True:
            command, length = _HEAD.unpack(stream.exactly(_HEAD.size))
            if command == b"DONE":
                whole = True
                break
            if command != b"DATA" or length > DATA_BYTES:
                stream.write(_failure(f"not a DATA frame: {command!r} {length}"))
                raise EOFError
            failed = _write(stream, file, length, write=refusal is None)
            if failed is not None and refusal is None:
                refusal = f"write failed: {os.strerror(failed)}"
                stream.write(_failure(refusal))
    finally:
        if file >= 0:
            os.close(file)
            if (refusal or not whole) and not faults.keep_partial:
                path.unlink(missing_ok=True)
    if refusal is None:
        wished = stat.S_IMODE(int(mode or "420"))
        # Adbd gives everybody what it gives the owner.
        path.chmod(wished | (wished >> 3 & 0o070) | (wished >> 3 & 0o007))
        os.utime(path, (length, length))
        stream.write(_HEAD.pack(b"OKAY", 0))


def _write(stream: Stream, file: int, length: int, *, write: bool) -> int | None:
    """Take `length` bytes; the number of the error that kept them from being written."""
    failed = None
    while length:
        data = stream.some(length)
        length -= len(data)
        while write and data:
            try:
                data = data[os.write(file, data) :]
            except OSError as error:
                failed, write = error.errno, False
    return failed


def _failure(message: str) -> bytes:
    encoded = message.encode()
    return _HEAD.pack(b"FAIL", len(encoded)) + encoded
