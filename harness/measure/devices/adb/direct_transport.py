"""adb-shell's TCP transport, mended: it writes all it is given, reads all it is asked for, and delays nothing.

As it comes, one `send()` on a non-blocking socket loses what the socket does not take, and small packets wait for the
acknowledgement of the one before.
"""

import socket
import struct
import time
from collections.abc import Sequence

import msgspec
from adb_shell.adb_message import AdbMessage
from adb_shell.transport.tcp_transport import TcpTransport

from harness.measure.devices.adb.stream import Octets

MOST_PAYLOAD = 1 << 20
"""The most that adbd takes in one packet, and what it never exceeds itself."""
_HEADER = struct.Struct("<4s5I")


class Packet(msgspec.Struct, frozen=True):
    command: bytes
    first: int
    second: int
    data: bytes


class OutOfStepError(OSError):
    """The bytes are no packets of ADB."""


class Transport(TcpTransport):  # type: ignore[misc]  # adb-shell has no types
    """Time-outs are for the whole call; None waits for ever. All methods raise OSError, TimeoutError among them."""

    def connect(self, transport_timeout_s: float | None) -> None:
        super().connect(transport_timeout_s)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
        """Exactly `numbytes`."""
        data = bytearray(numbytes)
        left = memoryview(data)
        deadline = _deadline(transport_timeout_s)
        while left:
            got = self._ready(_left(deadline)).recv_into(left)
            if not got:
                raise ConnectionResetError("it hung up")
            left = left[got:]
        return bytes(data)

    def bulk_write(self, data: Octets, transport_timeout_s: float | None) -> int:
        """All of `data`."""
        return self.write_all([data], transport_timeout_s)

    def write_all(self, parts: Sequence[Octets], transport_timeout_s: float | None) -> int:
        """All parts, one after the other, without joining them first."""
        left = [memoryview(part) for part in parts if len(part)]
        total, deadline = sum(map(len, left)), _deadline(transport_timeout_s)
        while left:
            sent = self._ready(_left(deadline)).sendmsg(left)
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if sent:
                left[0] = left[0][sent:]
        return total

    def readable(self) -> bool:
        """Whether bytes, or the end, have come already."""
        try:
            self._ready(0).recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        return True

    def _ready(self, timeout_s: float | None) -> socket.socket:
        connection: socket.socket | None = self._connection
        if connection is None:
            raise ConnectionResetError("it is closed")
        connection.settimeout(timeout_s)
        return connection

    def send_packet(
        self, command: bytes, first: int, second: int, data: Octets, *, checksum: bool, timeout_s: float
    ) -> None:
        if checksum or not len(data):
            head = AdbMessage(command, first, second, bytes(data)).pack()
        else:
            (number,) = struct.unpack("<I", command)
            head = _HEADER.pack(command, first, second, len(data), 0, number ^ 0xFFFFFFFF)
        self.write_all([head, data], timeout_s)

    def read_packet(self, timeout_s: float) -> Packet:
        """The next packet. Its sum is not checked: TCP has one of its own, and files are verified by their hash.

        Raises:
            OutOfStepError: what came is no packet.
        """
        deadline = time.monotonic() + timeout_s
        command, first, second, length, _sum, magic = _HEADER.unpack(self.bulk_read(_HEADER.size, timeout_s))
        if magic ^ 0xFFFFFFFF != int.from_bytes(command, "little") or length > MOST_PAYLOAD:
            raise OutOfStepError(f"it does not speak ADB (it sent {command!r})")
        # The rest of a packet that has begun comes soon, however little time is left.
        data = self.bulk_read(length, max(1.0, deadline - time.monotonic())) if length else b""
        return Packet(command, first, second, data)


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    if (left_s := deadline - time.monotonic()) <= 0:
        raise TimeoutError("timed out")
    return left_s
