"""Bytes to and from one service of a phone, and how they are lost."""

from typing import Protocol

from harness.errors import DeviceError, DeviceLostError, UnauthorizedDeviceError
from harness.measure.devices.adb.frames import Head

Octets = bytes | bytearray | memoryview

STALL_S = 60.0
"""A phone that takes or gives nothing for so long while a file is transferred is out of reach. Flash memory that
erases may well keep it silent for some seconds."""


class ByteStream(Protocol):
    """One service of one phone. All methods raise `DeviceLostError` when the phone is gone."""

    name: str
    block_bytes: int
    """The most bytes that travel as one block."""

    def within(self, seconds: float) -> None:
        """From now on until the next call: everything must be done within so many seconds."""
        ...

    def write(self, data: Octets) -> None:
        """All of it. What the service says meanwhile is kept for `read`, so neither side waits for the other."""
        ...

    def write_frames(self, file: int, head: Head, frame_bytes: int) -> int:
        """The next bytes of an open file, about a block of them, as frames of at most `frame_bytes` behind a head each.

        Returns how many of the file's bytes those were: 0 at its end.
        """
        ...

    def read(self, most: int) -> bytes:
        """At least one byte; none at the end of the stream."""
        ...

    def answered(self) -> bool:
        """Whether `read` would return at once."""
        ...

    def close(self) -> None: ...


def gone(name: str, how: str) -> DeviceLostError:
    """The error for a phone that is out of reach; `how` says what was seen."""
    return DeviceLostError(f"{name}: {how} (is the cable in, the phone awake, USB debugging on?)")


def too_late(name: str, seconds: float) -> DeviceLostError:
    return DeviceLostError(f"{name}: no answer within {seconds:g} s (asleep, or busy with something else?)")


def unauthorized(name: str) -> UnauthorizedDeviceError:
    return UnauthorizedDeviceError(
        f"{name}: the phone does not trust this machine: unlock it, accept 'Allow USB debugging?' with 'Always allow', "
        f"and try again (no dialog: revoke USB debugging authorisations in its developer options)"
    )


def from_server(name: str, message: str) -> DeviceError:
    """What the adb server says of a phone, as our error."""
    if "unauthorized" in message:
        return unauthorized(name)
    if "authorizing" in message:  # at each start of a connection, for a moment
        return gone(name, "the phone is still looking at this machine's key")
    if "offline" in message:
        return gone(name, "the phone is offline")
    if "not found" in message or "no devices" in message:
        return gone(name, "no such phone is attached")
    return gone(name, f"the connection ended: {message}" if message else "the connection ended")


def checked_script(name: str, script: str, most_bytes: int) -> bytes:
    """A script as bytes that arrive whole.

    Raises:
        DeviceError: it is too long, or holds a byte at which the phone would cut it.
    """
    try:
        encoded = script.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise DeviceError(f"{name}: a command holds a character that has no bytes: {error.reason}") from error
    if b"\0" in encoded:
        raise DeviceError(f"{name}: a command must not hold a zero byte")
    if len(encoded) > most_bytes:
        raise DeviceError(
            f"{name}: a command of {len(encoded)} bytes is too long (at most {most_bytes}): push it as a file"
        )
    return encoded
