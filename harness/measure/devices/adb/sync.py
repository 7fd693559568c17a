"""The sync protocol: files to and from a phone, over any stream that leads to its `sync:` service."""

import errno
import os
import stat as modes
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness.errors import DeviceError, NoSpaceError
from harness.measure.devices.adb.connection import RemoteFile
from harness.measure.devices.adb.stream import STALL_S, ByteStream, Octets, gone

DATA_BYTES = 64 << 10
"""The most that a phone takes in one DATA frame."""
MOST_PATH_BYTES = 1024
SETTLE_S = 5.0
_HEAD = struct.Struct("<4sI")
_STAT = struct.Struct("<4sIII")
_STAT_V2 = struct.Struct("<4sIQQIIIIQqqq")

OnBytes = Callable[[int], None]


def stat(stream: ByteStream, path: str, *, v2: bool) -> RemoteFile | None:
    """A file's size, mode and time, links followed with `v2`; None where nothing is.

    Without `v2` (before Android 8) a size is known modulo 4 GiB only.

    Raises:
        DeviceError: the phone does not let it be seen.
        DeviceLostError: it is out of reach.
    """
    stream.within(STALL_S)
    name = _path(stream, path)
    stream.write(_HEAD.pack(b"STA2" if v2 else b"STAT", len(name)) + name)
    if not v2:
        tag, mode, size, modified = _STAT.unpack(_exactly(stream, _STAT.size))
        _expect(stream, tag, b"STAT")
        return RemoteFile(size_bytes=size, mode=mode, modified_s=modified) if mode else None
    told = _STAT_V2.unpack(_exactly(stream, _STAT_V2.size))
    _expect(stream, told[0], b"STA2")
    if told[1] in (errno.ENOENT, errno.ENOTDIR):
        return None
    if told[1]:
        raise DeviceError(f"{stream.name}: cannot look at {path}: {os.strerror(told[1])}")
    return RemoteFile(size_bytes=told[8], mode=told[4], modified_s=told[10])


def send(stream: ByteStream, source: Path, target: str, on_bytes: OnBytes | None = None) -> None:
    """Write a local file to `target`.

    Raises:
        NoSpaceError: the phone's storage is full.
        DeviceError: the phone refuses; what it has of the file by then, it removes itself.
        DeviceLostError: it is out of reach.
        OSError: the source cannot be read.
    """
    with open(source, "rb", buffering=0) as file:
        seen = os.fstat(file.fileno())
        wish = _path(stream, target) + b",%d" % (modes.S_IFREG | modes.S_IMODE(seen.st_mode))
        stream.within(STALL_S)
        stream.write(_HEAD.pack(b"SEND", len(wish)) + wish)
        try:
            if _send_data(stream, file.fileno(), on_bytes):
                stream.write(_HEAD.pack(b"DONE", int(seen.st_mtime) & 0xFFFFFFFF))
        except DeviceError as lost:
            # A phone that refuses may hang up before everything is sent; its reason is in the stream then.
            _raise_refusal(stream, target, lost)
    tag, length = _HEAD.unpack(_exactly(stream, _HEAD.size))
    if tag == b"FAIL":
        refusal = _refused(stream, target, length)
        _wait_for_the_end(stream)
        raise refusal
    _expect(stream, tag, b"OKAY")


def leave(stream: ByteStream) -> None:
    """Say good-bye, so that the phone ends the service by itself."""
    stream.write(_HEAD.pack(b"QUIT", 0))


def _send_data(stream: ByteStream, source: int, on_bytes: OnBytes | None) -> bool:
    """All of an open file; False when the phone has answered before the end."""
    done = 0
    stream.within(STALL_S)
    while got := stream.write_frames(source, _data_head, DATA_BYTES):
        done += got
        if on_bytes is not None:
            on_bytes(done)
        if stream.answered():
            return False
        stream.within(STALL_S)
    return True


def _data_head(length: int) -> bytes:
    return _HEAD.pack(b"DATA", length)


def _wait_for_the_end(stream: ByteStream) -> None:
    """Adbd removes what it has of a file once it has heard that no more comes; a new push must not be before that."""
    with suppress(DeviceError):
        stream.within(SETTLE_S)
        stream.write(_HEAD.pack(b"DONE", 0))
        leave(stream)
        while stream.read(1 << 16):
            pass


def _raise_refusal(stream: ByteStream, target: str, lost: DeviceError) -> None:
    try:
        tag, length = _HEAD.unpack(_exactly(stream, _HEAD.size))
        refusal = _refused(stream, target, length) if tag == b"FAIL" else lost
    except DeviceError:
        raise lost from None
    raise refusal from lost


def _refused(stream: ByteStream, path: str, length: int) -> DeviceError:
    message = bytes(_exactly(stream, min(length, 4096))).decode(errors="replace")
    text = f"{stream.name}: {path}: {message}"
    if os.strerror(errno.ENOSPC).lower() in message.lower():
        return NoSpaceError(f"{text} (free some storage on the phone)")
    return DeviceError(text)


def _expect(stream: ByteStream, tag: bytes, wanted: bytes) -> None:
    if tag != wanted:
        raise gone(stream.name, f"the stream is out of step: {tag!r} instead of {wanted!r}")


def _exactly(stream: ByteStream, length: int) -> Octets:
    data = stream.read(length)
    if len(data) == length:
        return data
    kept = bytearray(data)
    while len(kept) < length:
        if not (data := stream.read(length - len(kept))):
            raise gone(stream.name, "the connection ended in the middle of an answer")
        kept += data
    return kept


def _path(stream: ByteStream, path: str) -> bytes:
    encoded = os.fsencode(path)
    if b"\0" in encoded or len(encoded) > MOST_PATH_BYTES - len(",100644"):
        raise DeviceError(f"{stream.name}: not a path that a phone takes: {path[:80]!r}")
    return encoded
