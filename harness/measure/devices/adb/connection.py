"""What a phone can be asked for, whichever way it is reached."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """A command that ended by itself. One that did not is a `DeviceLostError`, never an exit code."""

    exit_code: int
    """128 + N for a command that signal N ended."""
    stdout: bytes
    stderr: bytes | None
    """None: an old device merged it into stdout."""


class RemoteFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file on a phone; `mode` with the bits of its type."""

    size_bytes: int
    mode: int
    modified_s: int


class Connection(Protocol):
    """A phone within reach. One thread uses a connection at a time; after a loss the same one may be used again.

    Every method raises `DeviceLostError` when the phone is out of reach or does not answer in time, and
    `UnauthorizedDeviceError` when it does not trust this machine.
    """

    name: str
    """What messages call the device."""

    def shell(self, script: str, *, timeout_s: float = 30.0, stdin: bytes = b"") -> Completed:
        """Run a script with the phone's shell; all arguments in it are already quoted.

        The limit is for the whole command, which may be silent as long. A command that exceeds it gets a hang-up.

        Raises:
            DeviceError: the script cannot be sent whole, or an old device cannot take `stdin`.
        """
        ...

    def push(self, source: Path, target: str, on_bytes: Callable[[int], None] | None = None) -> None:
        """Write a file with the source's permissions; missing folders are made. `on_bytes` gets what is sent so far.

        Raises:
            NoSpaceError: the storage is full.
            DeviceError: the phone refuses.
        """
        ...

    def stat(self, path: str) -> RemoteFile | None:
        """None where nothing is.

        Raises:
            DeviceError: the phone does not let it be seen.
        """
        ...

    def close(self) -> None: ...
