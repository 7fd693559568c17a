"""One host's connection to the stand-in: greeting, keys, and a thread for each service."""

import os
import queue
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.standin.faults import Faults
from tests.standin.phone import Phone
from tests.standin.wire import MOST_PAYLOAD, TOKEN_BYTES, VERSION, Packet, pack_header, read_packet, signed


class Stream:
    """One service: bytes both ways, one packet at a time each way."""

    def __init__(self, host: "Host", local: int, remote: int) -> None:
        self.host, self.local, self.remote = host, local, remote
        self.on_close: Callable[[], None] | None = None
        self._arrived: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._current = self._whole = memoryview(b"")
        self._may_send = threading.Semaphore(1)
        self._closed = threading.Event()

    def some(self, most: int) -> memoryview:
        """At least one byte, good until the next call; EOFError at the end."""
        if not self._current:
            # None stays in the queue, so that whoever asks again hears the same.
            if (data := self._arrived.get()) is None:
                self._arrived.put(None)
                raise EOFError
            if not self._closed.is_set():
                self.host.send(b"OKAY", self.local, self.remote)
            self.host.give_back(self._whole)
            self._current = self._whole = data
        taken, self._current = self._current[:most], self._current[most:]
        return taken

    def exactly(self, length: int) -> bytes:
        data = bytes(self.some(length)) if length else b""
        while len(data) < length:
            data += self.some(length - len(data))
        return data

    def write(self, data: bytes) -> None:
        """BrokenPipeError when the host has closed the service."""
        view = memoryview(data)
        for start in range(0, len(view), self.host.most_payload):
            self._may_send.acquire()
            if self._closed.is_set():
                raise BrokenPipeError
            self.host.send(b"WRTE", self.local, self.remote, view[start : start + self.host.most_payload])

    def close(self) -> None:
        if not self._closed.is_set():
            self.end()
            with suppress(OSError):
                self.host.send(b"CLSE", self.local, self.remote)

    def arrived(self, data: memoryview) -> None:
        if data:
            self._arrived.put(data)

    def acknowledged(self) -> None:
        self._may_send.release()

    def end(self) -> None:
        self._closed.set()
        self._arrived.put(None)
        self._may_send.release()
        if self.on_close is not None:
            self.on_close()


Serve = Callable[[Stream, str], None]


class Host:
    """`run` returns when the host is gone."""

    def __init__(self, connected: socket.socket, phone: Phone, faults: Faults, keys: list[bytes], serve: Serve) -> None:
        self._socket, self._phone, self._faults, self._keys = connected, phone, faults, keys
        self._serve = serve
        self._sending = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._last_local = 0
        self._version, self.most_payload = 0x01000000, 4096
        self._token = os.urandom(TOKEN_BYTES)
        self._online = False
        self._spare: list[bytearray] = []
        self.waiting_key: bytes | None = None

    def send(self, command: bytes, first: int, second: int, data: bytes | memoryview = b"") -> None:
        head = pack_header(command, first, second, data, self._version)
        with self._sending:
            self._socket.sendall(head)
            if data:
                self._socket.sendall(data)

    def run(self) -> None:
        try:
            while packet := read_packet(self._socket, check_sum=self._version < VERSION, spare=self._spare):
                if self._cable_pulled(len(packet.data)):
                    self.abort()
                    return
                self._handle(packet)
        except OSError:
            pass
        finally:
            for stream in list(self._streams.values()):
                stream.end()
            self._socket.close()

    def give_back(self, data: memoryview) -> None:
        """A payload that was read to its end: fresh memory for each would cost more than what is done with it."""
        if isinstance(data.obj, bytearray) and len(data.obj) == MOST_PAYLOAD:
            self._spare.append(data.obj)

    def abort(self) -> None:
        """As a pulled cable: at once, with nothing said."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.shutdown(socket.SHUT_RDWR)

    def welcome(self) -> None:
        told = self._phone.all_properties()
        facts = "".join(f"{k}={told[k]};" for k in ("ro.product.name", "ro.product.model", "ro.product.device"))
        banner = f"device::{facts}features={','.join(self._phone.features)}".encode()
        self._online = True  # first: its next packet is handled by another thread, and may be here at once
        self.send(b"CNXN", self._version, self.most_payload, banner)

    def _cable_pulled(self, got: int) -> bool:
        left = self._faults.cut_after_bytes
        if left is None:
            return False
        self._faults.cut_after_bytes = None if got >= left else left - got
        return got >= left

    def _handle(self, packet: Packet) -> None:
        if packet.command == b"CNXN":
            self._greet(packet)
        elif packet.command == b"AUTH":
            self._authenticate(packet)
        elif not self._online:
            return
        elif packet.command == b"OPEN":
            self._open(packet.first, bytes(packet.data).rstrip(b"\0").decode("utf-8", "surrogateescape"))
        elif stream := self._streams.get(packet.second):
            self._pass_on(stream, packet)
        elif packet.command == b"WRTE":
            self.send(b"CLSE", 0, packet.first)

    def _greet(self, packet: Packet) -> None:
        if self._faults.silent:
            return
        self._version, self.most_payload = min(packet.first, VERSION), min(packet.second, MOST_PAYLOAD)
        if self._faults.auth == "none":
            self.welcome()
        else:
            self.send(b"AUTH", 1, 0, self._token)

    def _authenticate(self, packet: Packet) -> None:
        if packet.first == 2 and any(signed(key, self._token, bytes(packet.data)) for key in self._keys):
            self.welcome()
        elif packet.first == 2:
            self._token = os.urandom(TOKEN_BYTES)
            self.send(b"AUTH", 1, 0, self._token)
        elif packet.first == 3:
            self.waiting_key = bytes(packet.data).rstrip(b"\0")
            if self._faults.auth == "accept":
                self.accept()

    def accept(self) -> None:
        """The dialog's button."""
        if self.waiting_key is not None:
            self._keys.append(self.waiting_key)
            self.waiting_key = None
            with suppress(OSError):  # who asked may be gone by now; it is trusted when it comes again
                self.welcome()

    def _open(self, remote: int, service: str) -> None:
        self._faults.asked.append(service)
        if (text := self._faults.cut_before) and text in service:
            self._faults.cut_before = None
            self.abort()
            return
        if not (service == "sync:" or service.startswith(("shell:", "shell,", "exec:"))):
            self.send(b"CLSE", 0, remote)
            return
        self._last_local += 1
        stream = Stream(self, self._last_local, remote)
        self._streams[stream.local] = stream
        threading.Thread(target=self._run_service, args=(stream, service), daemon=True).start()

    def _run_service(self, stream: Stream, service: str) -> None:
        try:
            self.send(b"OKAY", stream.local, stream.remote)
            self._serve(stream, service)
        except (EOFError, OSError):
            pass
        finally:
            stream.close()
            self._streams.pop(stream.local, None)

    def _pass_on(self, stream: Stream, packet: Packet) -> None:
        if packet.command == b"WRTE":
            stream.arrived(packet.data)
        elif packet.command == b"OKAY":
            stream.acknowledged()
        elif packet.command == b"CLSE":
            stream.close()
