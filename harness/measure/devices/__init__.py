"""Kinds of device: kind → "module:class", loaded late. Adding one is one module and one line here."""

from importlib import import_module

from harness.errors import UnknownNameError
from harness.measure.jobs import Device
from harness.progress import Progress
from harness.values import DeviceFacts, DeviceSpec, PhoneSpec

DEVICES: dict[str, str] = {
    "local": "harness.measure.devices.local:LocalDevice",
    "phone": "harness.measure.devices.phone.device:PhoneDevice",
}


def open_device(spec: DeviceSpec, progress: Progress | None = None) -> Device:
    """The device that a spec describes; `progress` hears of what is brought to it.

    Raises:
        UnknownNameError: no such kind of device.
    """
    if spec.kind not in DEVICES:
        raise UnknownNameError("kind of device", spec.kind, DEVICES)
    module, name = DEVICES[spec.kind].split(":")
    device: Device = getattr(import_module(module), name)(spec, progress=progress)
    return device


def planned_facts(spec: DeviceSpec, *, connected: bool) -> DeviceFacts:
    """Facts to plan with; a phone that need not be `connected` is as devices.yaml expects it, if that says enough.

    Raises:
        UnknownNameError: no such kind of device.
        DeviceError: a phone is needed and out of reach, or not the named one.
    """
    if isinstance(spec.phone, PhoneSpec) and spec.phone.usable_cores is not None and not connected:
        from harness.measure.devices.phone.expected import expected_facts

        return expected_facts(spec)
    return open_device(spec).facts()
