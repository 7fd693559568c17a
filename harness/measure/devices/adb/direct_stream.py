"""One service over one connection to a phone's adbd: packets, each acknowledged before the next."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from harness.errors import DeviceError
from harness.measure.devices.adb.direct_transport import Packet, Transport
from harness.measure.devices.adb.frames import FrameBlock, Head
from harness.measure.devices.adb.stream import STALL_S, Octets, gone, too_late


class DirectStream:
    """See `ByteStream`. One at a time on a transport; packets of streams closed before are passed over."""

    def __init__(
        self, name: str, transport: Transport, local: int, *, block_bytes: int, checksum: bool, lost: Callable[[], None]
    ) -> None:
        """`lost` is called when the transport can be used no more."""
        self.name = name
        self.block_bytes = block_bytes
        self._transport, self._local, self._remote = transport, local, 0
        self._checksum, self._lost = checksum, lost
        self._may_send = False
        self._inbox: deque[bytes] = deque()
        self._ended = False
        self._frames: FrameBlock | None = None
        self.within(STALL_S)

    def open(self, service: bytes) -> None:
        """Raises `DeviceError` where the phone does not offer the service."""
        self._send(b"OPEN", service + b"\0")
        while not self._may_send and not self._ended:
            self._take()
        if not self._remote:
            raise DeviceError(f"{self.name}: the phone refuses {service.split(b':')[0].decode(errors='replace')!r}")

    def within(self, seconds: float) -> None:
        self._limit_s = seconds
        self._deadline = time.monotonic() + seconds

    def write(self, data: Octets) -> None:
        """The last block is not waited for: the next one is prepared while the phone takes it."""
        view = memoryview(data)
        for start in range(0, len(view), self.block_bytes):
            while not self._may_send and not self._ended:
                self._take()
            if self._ended:
                raise gone(self.name, "the phone ended the service")
            self._may_send = False
            self._send(b"WRTE", view[start : start + self.block_bytes])

    def write_frames(self, file: int, head: Head, frame_bytes: int) -> int:
        if self._frames is None:
            self._frames = FrameBlock(head, frame_bytes, self.block_bytes)
        block, got = self._frames.read(file)
        self.write(block)
        return got

    def read(self, most: int) -> bytes:
        while not self._inbox and not self._ended:
            self._take()
        if not self._inbox:
            return b""
        first = self._inbox.popleft()
        if len(first) > most:
            self._inbox.appendleft(first[most:])
        return first[:most]

    def answered(self) -> bool:
        with self._watched():
            while not self._inbox and not self._ended and self._transport.readable():
                self._handle(self._transport.read_packet(self._left()))
        return bool(self._inbox) or self._ended

    def close(self) -> None:
        """A service that ended by itself is taken leave of too: adbd keeps its half until then."""
        if self._remote:
            with suppress(DeviceError):
                self.within(STALL_S)
                self._send(b"CLSE")

    def _take(self) -> None:
        with self._watched():
            self._handle(self._transport.read_packet(self._left()))

    def _handle(self, packet: Packet) -> None:
        if packet.second != self._local:
            return
        if packet.command == b"OKAY":
            self._remote, self._may_send = packet.first, True
        elif packet.command == b"WRTE" and packet.first == self._remote:
            self._inbox.append(packet.data)
            self._send(b"OKAY")
        elif packet.command == b"CLSE":
            self._ended = True

    def _send(self, command: bytes, data: Octets = b"") -> None:
        with self._watched():
            self._transport.send_packet(
                command, self._local, self._remote, data, checksum=self._checksum, timeout_s=self._left()
            )

    def _left(self) -> float:
        if (left_s := self._deadline - time.monotonic()) <= 0:
            raise TimeoutError
        return left_s

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            self._lost()
            raise too_late(self.name, self._limit_s) from error
        except OSError as error:
            self._lost()
            raise gone(self.name, f"the connection broke: {error.strerror or error}") from error
