"""Packets of ADB, and the proof that a host has the key that it shows."""

import base64
import socket
import struct
from contextlib import suppress
from typing import NamedTuple

VERSION = 0x01000001
MOST_PAYLOAD = 1 << 20
TOKEN_BYTES = 20
_HEADER = struct.Struct("<4s5I")
_SHA1_PREFIX = bytes.fromhex("3021300906052b0e03021a05000414")


class Packet(NamedTuple):
    command: bytes
    first: int
    second: int
    data: memoryview


def pack_header(command: bytes, first: int, second: int, data: bytes | bytearray | memoryview, version: int) -> bytes:
    total = 0 if version >= VERSION else sum(data) & 0xFFFFFFFF
    return _HEADER.pack(command, first, second, len(data), total, int.from_bytes(command, "little") ^ 0xFFFFFFFF)


def read_packet(connected: socket.socket, *, check_sum: bool, spare: list[bytearray] | None = None) -> Packet | None:
    """None when the host is gone or sends no packets. A payload may lie in one of the `spare` buffers."""
    head = _read(connected, memoryview(bytearray(_HEADER.size)))
    if head is None:
        return None
    command, first, second, length, total, magic = _HEADER.unpack(head)
    if int.from_bytes(command, "little") ^ 0xFFFFFFFF != magic or length > MOST_PAYLOAD:
        return None
    large = length > MOST_PAYLOAD // 4
    buffer = (spare.pop() if spare else bytearray(MOST_PAYLOAD)) if large else bytearray(length)
    data = _read(connected, memoryview(buffer)[:length])
    if data is None or (check_sum and sum(data) & 0xFFFFFFFF != total):
        return None
    return Packet(command, first, second, data)


def signed(public_key: bytes, token: bytes, signature: bytes) -> bool:
    """Whether the owner of an Android public key (base64, then a name) signed the token as if it were a SHA-1."""
    with suppress(ValueError):
        raw = base64.b64decode(public_key.split()[0])
        words = int.from_bytes(raw[:4], "little")
        modulus = int.from_bytes(raw[8 : 8 + 4 * words], "little")
        exponent = int.from_bytes(raw[8 + 8 * words : 12 + 8 * words], "little")
        size = 4 * words
        shown = pow(int.from_bytes(signature, "big"), exponent, modulus).to_bytes(size, "big")
        end = b"\0" + _SHA1_PREFIX + token
        return shown == b"\0\1" + b"\xff" * (size - 2 - len(end)) + end
    return False


def _read(connected: socket.socket, data: memoryview) -> memoryview | None:
    left = data
    while left:
        try:
            got = connected.recv_into(left)
        except OSError:
            return None
        if not got:
            return None
        left = left[got:]
    return data
