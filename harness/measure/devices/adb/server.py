"""A phone through the adb server: serials of `adb devices`, USB, and the keys and pairings that people have."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import DeviceLostError
from harness.measure.devices.adb import services
from harness.measure.devices.adb.adb_server import adb_client
from harness.measure.devices.adb.address import Address
from harness.measure.devices.adb.connection import Completed, RemoteFile
from harness.measure.devices.adb.socket_stream import SocketStream
from harness.measure.devices.adb.stream import from_server, gone, too_late

if TYPE_CHECKING:
    from adbutils import AdbClient

ANSWER_S = 30.0
"""The server itself, and a phone that is asked what it can do, answer within so many seconds."""


class ServerConnection:
    """See `Connection`. Each command and transfer has a socket of its own, so a phone that comes back is used again."""

    def __init__(self, serial: str, address: Address | None = None) -> None:
        """`address`: the server is told to connect to it first, and again after a loss.

        Raises:
            SetupError: no server runs, and none can be started.
            DeviceLostError: the phone is not there.
            UnauthorizedDeviceError: it does not trust this machine.
        """
        self.name = serial
        self._address = address
        self._features: frozenset[str] | None = None
        self._client: AdbClient = adb_client()
        self.features()

    def shell(self, script: str, *, timeout_s: float = 30.0, stdin: bytes = b"") -> Completed:
        return services.shell(self, script, timeout_s, stdin)

    def push(self, source: Path, target: str, on_bytes: Callable[[int], None] | None = None) -> None:
        services.push(self, source, target, on_bytes)

    def stat(self, path: str) -> RemoteFile | None:
        return services.stat(self, path)

    def close(self) -> None:
        """Nothing is held between two calls."""

    def features(self) -> frozenset[str]:
        """What the phone can do. Asked anew after a loss: it may come back with another Android."""
        if self._features is None:
            from adbutils import AdbError, AdbTimeout

            if self._address is not None:
                self._connect(self._address)
            try:
                self._features = frozenset(self._client.device(self.name).get_features().split(","))
            except AdbTimeout as error:
                raise too_late(self.name, ANSWER_S) from error
            except (AdbError, OSError) as error:
                raise from_server(self.name, str(error)) from error
        return self._features

    def most_script_bytes(self) -> int:
        return services.MOST_SCRIPT_BYTES

    def _connect(self, address: Address) -> None:
        from adbutils import AdbError

        client = self._client
        try:
            told = client.connect(str(address), timeout=ANSWER_S)
            if told.startswith("already connected") and self._state() == "offline":
                # The server keeps a dead connection for a while and calls it connected.
                client.disconnect(str(address))
                told = client.connect(str(address), timeout=ANSWER_S)
        except (AdbError, OSError) as error:
            raise gone(self.name, f"the adb server cannot connect to it: {error}") from error
        # A phone that does not trust us is reported as one that failed to authenticate: its features tell more.
        if "connected to" not in told and "authenticate" not in told:
            raise gone(self.name, f"the adb server cannot connect to it: {told.strip()}")

    def _state(self) -> str:
        from adbutils import AdbError

        with suppress(AdbError, OSError):
            return str(self._client.device(self.name).get_state())
        return "offline"

    @contextmanager
    def opened(self, service: bytes, within_s: float) -> Iterator[SocketStream]:
        from adbutils import AdbError, AdbTimeout

        self.features()
        try:
            connection = self._client.make_connection(timeout=ANSWER_S)
        except AdbTimeout as error:
            self._features = None
            raise too_late(self.name, ANSWER_S) from error
        except (AdbError, OSError) as error:
            self._features = None
            raise from_server(self.name, str(error)) from error
        with connection:
            stream = SocketStream(self.name, connection.conn)
            try:
                stream.within(ANSWER_S)
                _ask(stream, b"host:transport:" + os.fsencode(self.name))
                stream.within(within_s)
                _ask(stream, service)
                yield stream
            except DeviceLostError:
                self._features = None
                raise
            finally:
                stream.close()


def _ask(stream: SocketStream, service: bytes) -> None:
    stream.write(b"%04x" % len(service) + service)
    answer = _exactly(stream, 4)
    if answer == b"FAIL":
        message = os.fsdecode(_exactly(stream, int(_exactly(stream, 4), 16)))
        raise from_server(stream.name, message)
    if answer != b"OKAY":
        raise gone(stream.name, f"the adb server answered {answer!r}")


def _exactly(stream: SocketStream, length: int) -> bytes:
    data = b""
    while len(data) < length:
        if not (chunk := stream.read(length - len(data))):
            raise gone(stream.name, "the connection ended")
        data += chunk
    return data
