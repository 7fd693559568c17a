"""What `bench devices` shows: every known device and every attached phone, with its state and what to do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from harness.device_files import KnownDevice
from harness.measure.devices.adb.attached import DEVICE, UNAUTHORIZED, Attached
from harness.measure.devices.phone.resolve import ALLOW, PLUG_IN, RECONNECT, may_be, serial_of
from harness.values import Value

State = Literal["ready", "busy", "mismatch", "several", "unauthorized", "offline", "not connected", "no answer"]


class Seen(Value, frozen=True):
    """What a look at a phone found."""

    facts: str = ""
    """In words."""
    differs: str | None = None
    """Why it is not the named one."""
    holder: str | None = None
    """Who holds its lock."""
    error: str | None = None
    """Why it could not be looked at."""


Look = Callable[[KnownDevice | None, Attached], Seen]
"""Asks a phone that is ready."""


class Listed(Value, frozen=True):
    """One line of `bench devices`."""

    name: str | None
    """None: an attached phone that no name fits."""
    kind: str
    title: str
    state: State
    serial: str | None = None
    model: str | None = None
    """As the adb server tells it."""
    seen: str = ""
    advice: str = ""


def roster(known: Mapping[str, KnownDevice], there: Sequence[Attached], look: Look) -> tuple[Listed, ...]:
    """Known devices in the order of their file, then the attached phones that no name fits."""
    rows = tuple(_known(device, _speaks_of(device, there), look) for device in known.values())
    named = {one.serial for device in known.values() for one in _speaks_of(device, there)}
    return (*rows, *_strangers([one for one in there if one.serial not in named], look))


def _speaks_of(device: KnownDevice, there: Sequence[Attached]) -> list[Attached]:
    """Attached phones that a name may mean. One that tells no model yet is meant by no name but its serial's."""
    if device.spec.kind == "local":
        return []
    named = serial_of(device.reach)
    if named is not None:
        return [one for one in there if one.serial == named]
    return [one for one in there if one.model is not None and may_be(device.spec, one)]


def _known(device: KnownDevice, found: Sequence[Attached], look: Look) -> Listed:
    spec = device.spec
    row = Listed(name=spec.name, kind=spec.kind, title=spec.title, state="ready")
    if spec.kind == "local":
        return row
    ready = [one for one in found if one.state == DEVICE]
    if len(ready) > 1:
        serials = ", ".join(one.serial for one in ready)
        advice = f"say which is meant, by `reach: {{serial: …}}` in devices.yaml: {serials}"
        return msgspec.structs.replace(row, state="several", advice=advice)
    if not found:
        advice = f"`adb connect {serial_of(device.reach)}`" if device.reach.tcp is not None else PLUG_IN
        return msgspec.structs.replace(row, state="not connected", advice=advice)
    one = (ready or list(found))[0]
    return _with_state(row, one, device, look)


def _with_state(row: Listed, one: Attached, device: KnownDevice | None, look: Look) -> Listed:
    row = msgspec.structs.replace(row, serial=one.serial, model=one.model)
    if one.state == UNAUTHORIZED:
        return msgspec.structs.replace(row, state="unauthorized", advice=ALLOW)
    if one.state != DEVICE:
        return msgspec.structs.replace(row, state="offline", seen=one.state, advice=RECONNECT)
    seen = look(device, one)
    row = msgspec.structs.replace(row, seen=seen.facts)
    if seen.error is not None:
        return msgspec.structs.replace(row, state="no answer", advice=seen.error)
    if seen.differs is not None:
        advice = f"{seen.differs}: correct devices.yaml, or give this phone a name of its own there"
        return msgspec.structs.replace(row, state="mismatch", advice=advice)
    if seen.holder is not None:
        return msgspec.structs.replace(row, state="busy", advice=f"{seen.holder} measures on it: wait until it ends")
    return row


def _strangers(there: Sequence[Attached], look: Look) -> Iterator[Listed]:
    for one in there:
        row = _with_state(Listed(name=None, kind="phone", title="", state="ready"), one, None, look)
        if row.state == "ready":
            row = msgspec.structs.replace(row, advice="give it a name in devices.yaml to measure on it")
        yield row
