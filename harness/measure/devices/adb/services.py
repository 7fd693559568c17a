"""What both ways to a phone do alike, once they can open one of its services."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from harness.errors import DeviceError
from harness.measure.devices.adb import old_shell, shell_v2, sync
from harness.measure.devices.adb.connection import Completed, RemoteFile
from harness.measure.devices.adb.stream import STALL_S, ByteStream, checked_script

MOST_SCRIPT_BYTES = 32 << 10
"""A command is one string of the phone's shell, and the server's own limit is 64 KiB."""


class Way(Protocol):
    """A way to one phone."""

    name: str

    def features(self) -> frozenset[str]:
        """What its adbd can do, by adb's names; connects if need be."""
        ...

    def most_script_bytes(self) -> int: ...

    def opened(self, service: bytes, within_s: float) -> AbstractContextManager[ByteStream]: ...


def shell(way: Way, script: str, timeout_s: float, stdin: bytes) -> Completed:
    """See `Connection.shell`."""
    if "shell_v2" in way.features():
        command = checked_script(way.name, script, way.most_script_bytes())
        with way.opened(b"shell,v2,raw:" + command, timeout_s) as stream:
            return shell_v2.converse(stream, stdin)
    if stdin:
        raise DeviceError(f"{way.name}: before Android 7 a command takes no input")
    token = old_shell.new_token()
    command = checked_script(way.name, old_shell.with_exit_code(script, token), way.most_script_bytes())
    with way.opened(b"shell:" + command, timeout_s) as stream:
        return old_shell.converse(stream, token)


def push(way: Way, source: Path, target: str, on_bytes: sync.OnBytes | None) -> None:
    """See `Connection.push`."""
    with way.opened(b"sync:", STALL_S) as stream:
        sync.send(stream, source, target, on_bytes)
        sync.leave(stream)


def stat(way: Way, path: str) -> RemoteFile | None:
    """See `Connection.stat`."""
    v2 = "stat_v2" in way.features()
    with way.opened(b"sync:", STALL_S) as stream:
        seen = sync.stat(stream, path, v2=v2)
        sync.leave(stream)
    return seen
