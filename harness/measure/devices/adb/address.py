"""Where a phone listens on the network."""

import re

import msgspec

from harness.errors import InputError

DEFAULT_PORT = 5555
_ADDRESS = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?::(?P<port>[0-9]{1,5}))?"
)


class Address(msgspec.Struct, frozen=True):
    """`str()` of it is the serial under which an adb server knows the phone."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """`host`, `host:port` or `[v6]:port`.

    Raises:
        InputError: it is none of them.
    """
    seen = _ADDRESS.fullmatch(text)
    port = int(seen["port"] or DEFAULT_PORT) if seen else 0
    if seen is None or not 0 < port < 65536:
        raise InputError(f"{text!r} is no address of a phone (host or host:port, for example 192.168.1.20:5555)")
    return Address(seen["host"].strip("[]"), port)
