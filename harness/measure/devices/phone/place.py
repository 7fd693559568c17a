"""A file brought to its place on a phone: once, whole, verified, and going on where a pulled cable stopped it.

A large file travels in pieces, each by the sync protocol, appended to `TARGET.part` on the phone. Adbd removes what it
has of a file when the connection breaks, so a push in one go could never be resumed. Feeding a `cat >> TARGET.part`
could, and would save the phone writing each byte twice, but it pipes the bytes through a shell, which a phone before
Android 7 cannot do at all, and it is not the path that phones are made fast for. The second write is to flash that is
some ten times faster than the cable.
"""

import hashlib
import os
import posixpath
import re
import stat as modes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote

import msgspec

from harness.errors import DeviceError, DeviceLostError, NoSpaceError
from harness.measure.devices.adb.connection import Completed, Connection
from harness.measure.devices.phone.parsers.storage import parse_df

PIECE_BYTES = 64 << 20
SPARE_BYTES = 16 << 20
"""What a phone keeps free: one that is full to the brim misbehaves in ways of its own."""
SLOWEST_BYTES_PER_S = 20e6
"""No phone hashes or copies slower than that; time limits follow from it."""
MISSING = 127

OnBytes = Callable[[int], None]


class PlaceResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a file came to its place."""

    target: str
    size_bytes: int
    sent_bytes: int
    """0: it was there."""
    kept_bytes: int
    """What was there of it before."""
    unverified: str | None = None
    """Why its hash on the phone could not be compared; None: it was, and agrees."""


def place(
    connection: Connection,
    source: Path,
    target: str,
    sha256: str,
    on_bytes: OnBytes | None = None,
    *,
    mark: str = "",
) -> PlaceResult:
    """Make `target` (an absolute path on the phone) the file `source`, whose sha256 is given.

    `on_bytes` gets the bytes of it that are on the phone. After a `DeviceLostError` the same call goes on where it
    stopped. A source with any execute permission becomes executable. Who does not hold the phone's lock gives a `mark`
    of its own, which becomes part of the names that the file has until it is whole.

    Raises:
        NoSpaceError: the phone lacks the room; what this call left there of the file is removed.
        DeviceError: the phone refuses, or the file arrived damaged.
        DeviceLostError: the phone is out of reach.
        OSError: the source cannot be read.
    """
    seen = source.stat()
    mode = "755" if seen.st_mode & 0o111 else "644"
    size = seen.st_size
    there = connection.stat(target)
    if there is not None and modes.S_ISDIR(there.mode):
        raise DeviceError(f"{connection.name}: {target} is a folder there")
    if there is not None and there.size_bytes == size and _hash(connection, target, size) == sha256:
        if modes.S_IMODE(there.mode) & 0o777 != int(mode, 8):
            _must(connection, f"chmod {mode} {quote(target)}")
        return PlaceResult(target=target, size_bytes=size, sent_bytes=0, kept_bytes=size)
    part, piece = f"{target}{mark}.part", f"{target}{mark}.piece"
    _must(connection, f"mkdir -p {quote(posixpath.dirname(target))}")
    kept = _kept(connection, source, part, size)
    try:
        _check_space(connection, target, size - kept + (min(PIECE_BYTES, size) if size > PIECE_BYTES else 0))
        _send(connection, source, part, piece, range(kept, size), on_bytes)
    except NoSpaceError:
        with suppress(DeviceError):
            _must(connection, f"rm -f {quote(part)} {quote(piece)}")
        raise
    unverified = _verify(connection, part, size, sha256)
    _must(connection, f"chmod {mode} {quote(part)} && mv -f {quote(part)} {quote(target)}")
    return PlaceResult(target=target, size_bytes=size, sent_bytes=size - kept, kept_bytes=kept, unverified=unverified)


def free_bytes(connection: Connection, folder: str) -> int | None:
    """Bytes available where a folder of the phone is; None where it does not tell."""
    return parse_df(connection.shell(f"df -k {quote(folder)}").stdout.decode(errors="replace"))


def _kept(connection: Connection, source: Path, part: str, size: int) -> int:
    """How much of the file is there from an earlier attempt; a part that is not its beginning is removed."""
    there = connection.stat(part)
    if there is None:
        return 0
    if 0 < there.size_bytes <= size and _hash(connection, part, size) == _hash_of_head(source, there.size_bytes):
        return there.size_bytes
    _must(connection, f"rm -f {quote(part)}")
    return 0


def _check_space(connection: Connection, target: str, needed: int) -> None:
    free = free_bytes(connection, posixpath.dirname(target))
    if free is not None and free < needed + SPARE_BYTES:
        raise NoSpaceError(
            f"{connection.name}: {target} needs {(needed + SPARE_BYTES) / 1e6:.0f} MB there, and {free / 1e6:.0f} MB "
            f"are free (free some storage on the phone)"
        )


def _send(connection: Connection, source: Path, part: str, piece: str, wanted: range, on_bytes: OnBytes | None) -> None:
    if wanted.start == 0 and wanted.stop <= PIECE_BYTES:
        connection.push(source, part, on_bytes)
        return
    for start in range(wanted.start, wanted.stop, PIECE_BYTES):
        length = min(PIECE_BYTES, wanted.stop - start)

        def tell(done: int, start: int = start) -> None:
            if on_bytes is not None:
                on_bytes(start + done)

        with _cut_out(source, start, length) as local:
            if start == 0:
                connection.push(local, part, tell)
                continue
            connection.push(local, piece, tell)
        script = f"cat {quote(piece)} >> {quote(part)} && rm -f {quote(piece)}"
        _must(connection, script, 60 + length / SLOWEST_BYTES_PER_S)


@contextmanager
def _cut_out(source: Path, start: int, length: int) -> Iterator[Path]:
    """A part of a file as a file of its own, in memory."""
    with open(source, "rb") as file, open(os.memfd_create("bench-piece"), "wb", buffering=0) as piece:
        at = start
        while at < start + length:
            got = os.sendfile(piece.fileno(), file.fileno(), at, start + length - at)
            if not got:
                raise OSError(f"{source} became shorter while it was sent")
            at += got
        yield Path(f"/proc/self/fd/{piece.fileno()}")


def _verify(connection: Connection, part: str, size: int, sha256: str) -> str | None:
    there = connection.stat(part)
    got = there.size_bytes if there is not None else 0
    found = _hash(connection, part, size)
    if got == size and found == sha256:
        return None
    if got == size and found is None:
        return "the phone has no sha256sum: only the size was compared"
    with suppress(DeviceLostError):
        _must(connection, f"rm -f {quote(part)}")
    raise DeviceError(
        f"{connection.name}: {part} arrived damaged ({got} of {size} bytes, sha256 {found}); it was removed: try again"
    )


def _hash(connection: Connection, path: str, size: int) -> str | None:
    """sha256 of a file there; None where the phone cannot tell."""
    done = connection.shell(f"sha256sum < {quote(path)}", timeout_s=60 + size / SLOWEST_BYTES_PER_S)
    word = done.stdout.split(maxsplit=1)[:1]
    if done.exit_code == 0 and word and re.fullmatch(rb"[0-9a-f]{64}", word[0]):
        return word[0].decode()
    if done.exit_code == MISSING:
        return None
    raise DeviceError(f"{connection.name}: cannot hash {path}: {_reason(done)}")


def _hash_of_head(source: Path, length: int) -> str:
    digest = hashlib.sha256()
    with open(source, "rb") as file:
        while length and (block := file.read(min(length, 1 << 22))):
            digest.update(block)
            length -= len(block)
    return digest.hexdigest()


def _must(connection: Connection, script: str, timeout_s: float = 60.0) -> None:
    done = connection.shell(script, timeout_s=timeout_s)
    if done.exit_code != 0:
        reason = _reason(done)
        kind = NoSpaceError if "no space left" in reason.lower() else DeviceError
        raise kind(f"{connection.name}: {script}: {reason}")


def _reason(done: Completed) -> str:
    text = (done.stderr or done.stdout).decode(errors="replace").strip()
    return f"exit code {done.exit_code}" + (f": {text.splitlines()[-1][:300]}" if text else "")
