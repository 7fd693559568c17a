"""The shell protocol of Android 7 and newer: output, errors and the exit code, each in packets of its own."""

import struct
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from harness.errors import DeviceLostError
from harness.measure.devices.adb.connection import Completed
from harness.measure.devices.adb.stream import ByteStream, gone

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
MOST_PACKET_BYTES = 16 << 20
"""Phones send at most 1 MiB at once; a longer packet is no packet but a stream out of step."""
_HEADER = struct.Struct("<BI")
_STDIN_BYTES = 64 << 10


class Packet(msgspec.Struct, frozen=True):
    kind: int
    data: bytes


class OutOfStepError(ValueError):
    """The bytes are no shell packets."""


def pack(kind: int, data: bytes = b"") -> bytes:
    return _HEADER.pack(kind, len(data)) + data


class Unpacker:
    """Packets out of bytes that arrive cut anywhere."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that are whole now.

        Raises:
            OutOfStepError: a length that no phone sends.
        """
        self._kept += data
        at = 0
        try:
            while len(self._kept) - at >= _HEADER.size:
                kind, length = _HEADER.unpack_from(self._kept, at)
                if length > MOST_PACKET_BYTES:
                    raise OutOfStepError(f"a shell packet of {length} bytes")
                end = at + _HEADER.size + length
                if len(self._kept) < end:
                    return
                packet = Packet(kind, bytes(self._kept[at + _HEADER.size : end]))
                at = end
                yield packet
        finally:
            del self._kept[:at]


def converse(stream: ByteStream, stdin: bytes) -> Completed:
    """Feed a started command and wait for its end.

    Raises:
        DeviceLostError: the stream ended before the exit code, or makes no sense.
    """
    # A command need not read what it is given: one that ends before still tells its exit code.
    with suppress(DeviceLostError):
        for start in range(0, len(stdin), _STDIN_BYTES):
            stream.write(pack(STDIN, stdin[start : start + _STDIN_BYTES]))
        stream.write(pack(CLOSE_STDIN))
    told = {STDOUT: bytearray(), STDERR: bytearray()}
    unpacker = Unpacker()
    try:
        while chunk := stream.read(1 << 20):
            for packet in unpacker.feed(chunk):
                if packet.kind in told:
                    told[packet.kind] += packet.data
                elif packet.kind == EXIT and packet.data:
                    return Completed(exit_code=packet.data[0], stdout=bytes(told[STDOUT]), stderr=bytes(told[STDERR]))
    except OutOfStepError as error:
        raise gone(stream.name, f"the stream is out of step: {error}") from error
    raise gone(stream.name, "the connection ended before the command told its exit code")
