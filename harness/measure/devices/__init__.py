"""Kinds of device: kind → "module:class", loaded late. Adding one is one module and one line here."""

from importlib import import_module

from harness.errors import UnknownNameError
from harness.measure.jobs import Device
from harness.values import DeviceSpec

DEVICES: dict[str, str] = {
    "local": "harness.measure.devices.local:LocalDevice",
    "phone": "harness.measure.devices.phone.device:PhoneDevice",
}


def open_device(spec: DeviceSpec) -> Device:
    """The device that a spec describes.

    Raises:
        UnknownNameError: no such kind of device.
    """
    if spec.kind not in DEVICES:
        raise UnknownNameError("kind of device", spec.kind, DEVICES)
    module, name = DEVICES[spec.kind].split(":")
    device: Device = getattr(import_module(module), name)(spec)
    return device
