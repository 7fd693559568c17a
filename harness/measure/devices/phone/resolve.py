"""A phone's name → the one attached phone that is meant. Pure."""

import re
from collections.abc import Sequence

from harness.errors import DeviceLostError, InputError, UnauthorizedDeviceError
from harness.measure.devices.adb.address import parse_address
from harness.measure.devices.adb.attached import DEVICE, UNAUTHORIZED, Attached
from harness.measure.devices.phone.preflight import fits
from harness.values import DeviceReach, DeviceSpec, PhoneSpec

ALLOW = "unlock the phone and accept the question whether this computer may debug it"
RECONNECT = "unplug the phone and plug it in again, or `adb reconnect`"
PLUG_IN = "plug it in and switch USB debugging on"


def resolve(spec: DeviceSpec, reach: DeviceReach, there: Sequence[Attached]) -> Attached:
    """The attached phone that a name stands for: by serial or address, else the only one of its model.

    Raises:
        DeviceLostError: it is not attached, or offline.
        UnauthorizedDeviceError: it does not trust this machine yet.
        InputError: several phones fit, and no serial tells which is meant.
    """
    named = serial_of(reach)
    if named is not None:
        found = [one for one in there if one.serial == named]
        if not found:
            how = f"`adb connect {named}`" if reach.tcp is not None else PLUG_IN
            raise DeviceLostError(f"device {spec.name!r} ({named}) is not connected: {how} ({_attached(there)})")
        return _ready(spec, found[0])
    ready = [one for one in there if one.state == DEVICE and may_be(spec, one)]
    if len(ready) > 1:
        serials = ", ".join(one.serial for one in ready)
        raise InputError(
            f"device {spec.name!r} may be any of {len(ready)} connected phones ({serials}): "
            f"set `reach: {{serial: …}}` of {spec.name!r} in devices.yaml"
        )
    if ready:
        return ready[0]
    # A phone tells its model only once it trusts this machine, so one that does not may be the one that is meant.
    waiting = [one for one in there if one.state != DEVICE and may_be(spec, one)]
    if waiting:
        return _ready(spec, min(waiting, key=lambda one: one.state != UNAUTHORIZED))
    raise DeviceLostError(f"device {spec.name!r} is not connected: {PLUG_IN} ({_attached(there)})")


def goes_direct(reach: DeviceReach, there: Sequence[Attached]) -> bool:
    """Whether a phone is spoken to straight over TCP: asked for, or no adb server knows the address."""
    if reach.via == "auto":
        return reach.tcp is not None and serial_of(reach) not in {one.serial for one in there}
    return reach.via == "direct"


def serial_of(reach: DeviceReach) -> str | None:
    """The serial by which an adb server knows a phone; None where any that fits is meant.

    Raises:
        InputError: its address is none.
    """
    if reach.tcp is None:
        return reach.serial
    return str(parse_address(reach.tcp))


def may_be(spec: DeviceSpec, one: Attached) -> bool:
    """Whether an attached phone may be the named one, by the model that the adb server tells, if it tells one."""
    phone = spec.phone
    if not isinstance(phone, PhoneSpec):
        return False
    if one.model is None or not phone.models:
        return True
    return fits(_plain(one.model), tuple(_plain(pattern, "*?") for pattern in phone.models))


def _ready(spec: DeviceSpec, one: Attached) -> Attached:
    if one.state == UNAUTHORIZED:
        raise UnauthorizedDeviceError(f"device {spec.name!r} ({one.serial}) does not trust this machine: {ALLOW}")
    if one.state != DEVICE:
        raise DeviceLostError(f"device {spec.name!r} ({one.serial}) is {one.state}: {RECONNECT}")
    return one


def _plain(model: str, kept: str = "") -> str:
    """The adb server writes all but letters and digits as underscores."""
    return re.sub(rf"[^A-Za-z0-9{re.escape(kept)}]", "_", model)


def _attached(there: Sequence[Attached]) -> str:
    return "attached: " + (", ".join(f"{one.serial} {one.state}" for one in there) or "none")
