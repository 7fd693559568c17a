"""A service of a phone through one socket of the adb server."""

import select
import socket
import time
from collections import deque

from harness.measure.devices.adb.frames import FrameBlock, Head
from harness.measure.devices.adb.stream import STALL_S, Octets, from_server, gone, too_late


class SocketStream:
    """Owns the socket; see `ByteStream`."""

    block_bytes = 1 << 20

    def __init__(self, name: str, connected: socket.socket) -> None:
        self.name = name
        self._socket = connected
        self._socket.setblocking(False)
        if connected.family != socket.AF_UNIX:
            # A request and the data after it are two writes: the second must not wait for the kernel's delayed answer.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll = select.poll()
        self._inbox: deque[bytes] = deque()
        self._ended = False
        self._frames: FrameBlock | None = None
        self.within(STALL_S)

    def within(self, seconds: float) -> None:
        self._limit_s = seconds
        self._deadline = time.monotonic() + seconds

    def write(self, data: Octets) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                # Both directions: a service that waits for us to read would never take more.
                if self._wait(select.POLLOUT | (0 if self._ended else select.POLLIN)) & select.POLLIN:
                    self._receive(self.block_bytes)
            except OSError as error:
                raise gone(self.name, f"the connection broke: {error.strerror}") from error

    def write_frames(self, file: int, head: Head, frame_bytes: int) -> int:
        if self._frames is None:
            self._frames = FrameBlock(head, frame_bytes, self.block_bytes)
        block, got = self._frames.read(file)
        self.write(block)
        return got

    def read(self, most: int) -> bytes:
        while not self._inbox and not self._ended:
            self._receive(most)
        if not self._inbox:
            return b""
        first = self._inbox.popleft()
        if len(first) > most:
            self._inbox.appendleft(first[most:])
        return first[:most]

    def answered(self) -> bool:
        if self._inbox or self._ended:
            return True
        self._poll.register(self._socket, select.POLLIN)
        return bool(self._poll.poll(0))

    def close(self) -> None:
        self._socket.close()

    def _receive(self, most: int) -> None:
        try:
            chunk = self._socket.recv(most)
        except BlockingIOError:
            self._wait(select.POLLIN)
            return
        except OSError as error:
            raise from_server(self.name, error.strerror or "") from error
        if chunk:
            self._inbox.append(chunk)
        else:
            self._ended = True

    def _wait(self, events: int) -> int:
        self._poll.register(self._socket, events)
        left_s = self._deadline - time.monotonic()
        ready = self._poll.poll(left_s * 1000) if left_s > 0 else []
        if not ready:
            raise too_late(self.name, self._limit_s)
        return ready[0][1]
