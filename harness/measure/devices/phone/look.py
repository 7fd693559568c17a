"""A look at attached phones for `bench devices`."""

from collections.abc import Mapping

from harness.device_files import KnownDevice, load_known
from harness.errors import BenchError, DeviceLostError, UnauthorizedDeviceError
from harness.measure.devices.adb.attached import DEVICE, OFFLINE, UNAUTHORIZED, Attached, attached
from harness.measure.devices.adb.connection import Connection
from harness.measure.devices.adb.open import open_connection
from harness.measure.devices.phone.facts import read_phone_facts
from harness.measure.devices.phone.lock import peek
from harness.measure.devices.phone.preflight import differs
from harness.measure.devices.phone.resolve import goes_direct, serial_of
from harness.measure.devices.phone.roster import Listed, Seen, roster
from harness.values import DeviceFacts, DeviceSpec, PhoneSpec


def list_devices() -> tuple[Listed, ...]:
    """Every known device and every attached phone, the ready ones asked who they are.

    Raises:
        ConfigError: devices.yaml is wrong.
    """
    known, there = load_known(), attached()
    straight = straight_over_tcp(known, there)
    return roster(known, (*there, *straight.values()), lambda device, one: look_at(device, one, straight))


def straight_over_tcp(known: Mapping[str, KnownDevice], there: tuple[Attached, ...]) -> dict[str, Attached]:
    """Phones that no adb server knows and that are spoken to directly: address → their state."""
    found: dict[str, Attached] = {}
    for device in known.values():
        reach, address = device.reach, serial_of(device.reach)
        if device.spec.kind != "phone" or reach.tcp is None or address is None or not goes_direct(reach, there):
            continue
        state = DEVICE
        try:
            open_connection(None, reach.tcp, "direct").close()
        except UnauthorizedDeviceError:
            state = UNAUTHORIZED
        except DeviceLostError:
            continue
        except BenchError:
            state = OFFLINE
        found[address] = Attached(serial=address, state=state)
    return found


def look_at(device: KnownDevice | None, one: Attached, straight: Mapping[str, Attached]) -> Seen:
    """Who an attached phone is; a phone that does not answer is no error of the command."""
    spec = device.spec if device else DeviceSpec(name="phone", kind="phone", phone=PhoneSpec())
    assert isinstance(spec.phone, PhoneSpec)
    try:
        connection = _opened(one.serial, direct=one.serial in straight)
        try:
            facts = read_phone_facts(connection, spec.name, spec.phone)
            held = peek(connection)
        finally:
            connection.close()
    except BenchError as error:
        return Seen(error=str(error))
    return Seen(facts=in_words(facts), differs=differs(spec, facts), holder=held.owner if held else None)


def in_words(facts: DeviceFacts) -> str:
    memory = f"{facts.memory_bytes / 2**30:.1f} GiB" if facts.memory_bytes else "memory unknown"
    return f"{facts.model}, {facts.cpu}, {memory}, {facts.os}"


def _opened(serial: str, *, direct: bool) -> Connection:
    return open_connection(None, serial, "direct") if direct else open_connection(serial, None)
