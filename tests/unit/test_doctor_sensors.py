"""What the doctor says of a phone's temperatures: a sensor of the skin says nothing of the processor."""

import msgspec
import pytest

from harness.doctor.phone import sensor_checks
from harness.health import State
from harness.measure.devices.phone.expected import expected_facts
from harness.values import DeviceSpec, PhoneFacts, PhoneSpec

FACTS = expected_facts(DeviceSpec(name="phone", kind="phone", phone=PhoneSpec()), 4)


@pytest.mark.parametrize(
    ("phone", "processor", "skin"),
    [
        (PhoneFacts(cpu_zones=("cpu-0",), skin_zones=("skin",)), "good", "good"),
        (PhoneFacts(cpu_sensors=("CPU0",), skin_sensors=("skin",)), "doubtful", "doubtful"),
        (PhoneFacts(skin_sensors=("skin",)), "unknown", "doubtful"),
        (PhoneFacts(cpu_sensors=("CPU0",)), "doubtful", "unknown"),
        (PhoneFacts(cpu_zones=("cpu-0",), cpu_sensors=("CPU0",)), "good", "unknown"),
    ],
)
def test_each_place_is_judged_by_its_own_sensors(phone: PhoneFacts, processor: State, skin: State) -> None:
    checks = tuple(sensor_checks(msgspec.structs.replace(FACTS, phone=phone)))
    assert [one.state for one in checks] == [processor, skin]
