"""A phone straight over TCP, without an adb program: for containers, CI and phones in a rack."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.measure.devices.adb import services
from harness.measure.devices.adb.address import Address
from harness.measure.devices.adb.connection import Completed, RemoteFile
from harness.measure.devices.adb.direct_stream import DirectStream
from harness.measure.devices.adb.direct_transport import MOST_PAYLOAD, Packet, Transport
from harness.measure.devices.adb.keys import signers
from harness.measure.devices.adb.stream import gone, too_late, unauthorized

CONNECT_S = 10.0
ACCEPT_S = 30.0
"""How long the dialog on the phone may wait for a finger."""
VERSION_WITHOUT_SUMS = 0x01000001
"""From this version of the protocol on, nobody looks at the sum of a packet's bytes."""
_GREETING = b"host::features=shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir,fixed_push_symlink_timestamp"
_TOKEN, _SIGNATURE, _PUBLIC_KEY = 1, 2, 3


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """What adbd says of itself when it is greeted."""

    features: frozenset[str]
    most_payload: int
    checksum: bool


class DirectConnection:
    """See `Connection`. One socket carries one service at a time; after a loss the next call connects anew."""

    def __init__(self, address: Address, *, accept_s: float | None = None) -> None:
        """`accept_s`: how long somebody may take to accept the dialog on the phone; `ACCEPT_S` unless said otherwise.

        Raises:
            DeviceLostError: nobody answers there, or not in ADB.
            UnauthorizedDeviceError: the phone does not trust this machine.
        """
        self.name = str(address)
        self._accept_s = ACCEPT_S if accept_s is None else accept_s
        self._transport = Transport(address.host, address.port)
        self._peer: Peer | None = None
        self._last_local = 0
        self._meet()

    def shell(self, script: str, *, timeout_s: float = 30.0, stdin: bytes = b"") -> Completed:
        return services.shell(self, script, timeout_s, stdin)

    def push(self, source: Path, target: str, on_bytes: Callable[[int], None] | None = None) -> None:
        services.push(self, source, target, on_bytes)

    def stat(self, path: str) -> RemoteFile | None:
        return services.stat(self, path)

    def close(self) -> None:
        self._peer = None
        self._transport.close()

    def features(self) -> frozenset[str]:
        return self._meet().features

    def most_script_bytes(self) -> int:
        return min(services.MOST_SCRIPT_BYTES, self._meet().most_payload - 64)

    @contextmanager
    def opened(self, service: bytes, within_s: float) -> Iterator[DirectStream]:
        peer = self._meet()
        self._last_local += 1
        stream = DirectStream(
            self.name,
            self._transport,
            self._last_local,
            block_bytes=peer.most_payload,
            checksum=peer.checksum,
            lost=self.close,
        )
        stream.within(within_s)
        try:
            stream.open(service)
            yield stream
        finally:
            if self._peer is not None:
                stream.close()

    def _meet(self) -> Peer:
        if self._peer is None:
            try:
                self._peer = self._greet()
            except TimeoutError as error:
                raise too_late(self.name, CONNECT_S) from error
            except OSError as error:
                raise gone(self.name, f"cannot connect: {error.strerror or error}") from error
            finally:
                if self._peer is None:
                    self._transport.close()
        return self._peer

    def _greet(self) -> Peer:
        self._transport.close()
        self._transport.connect(CONNECT_S)
        self._say(b"CNXN", VERSION_WITHOUT_SUMS, MOST_PAYLOAD, _GREETING)
        answer = self._hear()
        if answer.command == b"AUTH":
            answer = self._authenticate(answer)
        if answer.command == b"STLS":
            raise gone(self.name, "it wants wireless debugging with pairing: run adb pair, and reach it by the server")
        if answer.command != b"CNXN":
            raise gone(self.name, f"it answers {answer.command!r} to a greeting")
        facts = answer.data.rstrip(b"\0").decode(errors="replace").partition("features=")[2].split(";")[0]
        return Peer(
            features=frozenset(facts.split(",")) - {""},
            most_payload=max(256, min(answer.second, MOST_PAYLOAD)),
            checksum=answer.first < VERSION_WITHOUT_SUMS,
        )

    def _authenticate(self, question: Packet) -> Packet:
        keys = signers()
        for key in keys:
            self._say(b"AUTH", _SIGNATURE, 0, key.Sign(question.data))
            question = self._hear()
            if question.command != b"AUTH":
                return question
        self._say(b"AUTH", _PUBLIC_KEY, 0, keys[0].GetPublicKey().encode() + b"\0")
        deadline = time.monotonic() + self._accept_s
        while question.command == b"AUTH":
            try:
                question = self._hear(max(0.0, deadline - time.monotonic()) or 1e-3)
            except (TimeoutError, ConnectionResetError) as error:
                raise unauthorized(self.name) from error
        return question

    def _say(self, command: bytes, first: int, second: int, data: bytes) -> None:
        self._transport.send_packet(command, first, second, data, checksum=True, timeout_s=CONNECT_S)

    def _hear(self, timeout_s: float | None = None) -> Packet:
        return self._transport.read_packet(CONNECT_S if timeout_s is None else timeout_s)
