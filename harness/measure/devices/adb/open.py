"""A connection to one phone, named by its serial or its address."""

from typing import Literal

from harness.errors import DeviceLostError, InputError
from harness.measure.devices.adb.address import parse_address
from harness.measure.devices.adb.attached import DEVICE, UNAUTHORIZED, Attached, attached
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.adb.stream import gone, unauthorized

Via = Literal["server", "direct"]


def open_connection(serial: str | None, tcp: str | None, via: Via = "server") -> Connection:
    """Reach the phone with this serial or at this address (`host:port`); without both, the only one that is attached.

    Raises:
        InputError: no address; several phones, and none is named; both named; no direct way to a serial.
        DeviceLostError: the phone is not attached or does not answer.
        UnauthorizedDeviceError: it does not trust this machine.
        SetupError: no adb server can be had.
    """
    if serial is not None and tcp is not None:
        raise InputError(f"a phone has a serial ({serial}) or an address ({tcp}), not both")
    if via == "direct":
        if tcp is None:
            raise InputError(
                "a direct connection needs the phone's address (tcp: host:port); a serial needs the server"
            )
        from harness.measure.devices.adb.direct import DirectConnection

        return DirectConnection(parse_address(tcp))
    from harness.measure.devices.adb.adb_server import adb_client
    from harness.measure.devices.adb.server import ServerConnection

    if tcp is not None:
        address = parse_address(tcp)
        return ServerConnection(str(address), address)
    adb_client()  # so that a missing server is an error of its own
    return ServerConnection(choose(serial, attached()).serial)


def choose(serial: str | None, there: tuple[Attached, ...]) -> Attached:
    """The one that is meant.

    Raises:
        InputError: several are attached, and none is named.
        DeviceLostError: it is not attached, or not ready.
        UnauthorizedDeviceError: it does not trust this machine.
    """
    known = ", ".join(f"{one.serial} ({one.state})" for one in there) or "none"
    wanted = [one for one in there if serial in (None, one.serial)]
    if not wanted:
        raise DeviceLostError(f"{serial or 'phone'}: not attached (attached: {known}; is USB debugging on?)")
    if len(wanted) > 1:
        raise InputError(f"several phones are attached: name one by its serial (attached: {known})")
    (one,) = wanted
    if one.state == UNAUTHORIZED:
        raise unauthorized(one.serial)
    if one.state != DEVICE:
        raise gone(one.serial, f"the phone is in the state {one.state!r}")
    return one
