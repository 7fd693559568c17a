"""A phone's name → a connection to it, wherever it is attached."""

from harness.measure.devices.adb.attached import attached
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.adb.open import open_connection
from harness.measure.devices.phone.resolve import goes_direct, resolve
from harness.values import DeviceReach, DeviceSpec


def connect(spec: DeviceSpec, reach: DeviceReach) -> Connection:
    """The phone of that name; an address is connected to, a serial must be attached.

    Raises:
        DeviceLostError: it is not attached, or offline.
        UnauthorizedDeviceError: it does not trust this machine.
        InputError: several phones fit.
    """
    if reach.tcp is not None and reach.via != "auto":
        return open_connection(None, reach.tcp, reach.via)
    there = attached()
    if goes_direct(reach, there):
        return open_connection(None, reach.tcp, "direct")
    return open_connection(resolve(spec, reach, there).serial, None)
