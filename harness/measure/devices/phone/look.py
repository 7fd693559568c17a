"""A look at attached phones for `bench devices`."""

from harness.device_files import KnownDevice, load_known
from harness.errors import BenchError
from harness.measure.devices.adb.attached import Attached, attached
from harness.measure.devices.adb.open import open_connection
from harness.measure.devices.phone.facts import read_phone_facts
from harness.measure.devices.phone.preflight import differs
from harness.measure.devices.phone.roster import Listed, Seen, roster
from harness.values import DeviceFacts, DeviceSpec, PhoneSpec


def list_devices() -> tuple[Listed, ...]:
    """Every known device and every attached phone, the ready ones asked who they are.

    Raises:
        ConfigError: devices.yaml is wrong.
    """
    return roster(load_known(), attached(), look_at)


def look_at(device: KnownDevice | None, one: Attached) -> Seen:
    """Who an attached phone is; a phone that does not answer is no error of the command."""
    spec = device.spec if device else DeviceSpec(name="phone", kind="phone", phone=PhoneSpec())
    assert isinstance(spec.phone, PhoneSpec)
    try:
        connection = open_connection(one.serial, None)
        try:
            facts = read_phone_facts(connection, spec.name, spec.phone)
        finally:
            connection.close()
    except BenchError as error:
        return Seen(error=str(error))
    return Seen(facts=in_words(facts), differs=differs(spec, facts))


def in_words(facts: DeviceFacts) -> str:
    memory = f"{facts.memory_bytes / 2**30:.1f} GiB" if facts.memory_bytes else "memory unknown"
    return f"{facts.model}, {facts.cpu}, {memory}, {facts.os}"
