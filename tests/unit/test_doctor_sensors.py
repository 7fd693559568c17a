"""What the doctor says of a phone: its temperatures, and what a plain program on it showed."""

from typing import Any

import msgspec
import pytest

from harness.doctor.phone import placement_check, sampler_check, sensor_checks, settings_check
from harness.health import State
from harness.measure.devices.phone.expected import expected_facts
from harness.measure.devices.phone.probe import Probed
from harness.measure.devices.phone.settings import SettingsSeen
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


def probed(**changes: Any) -> Probed:
    seen = SettingsSeen(settings=(), fixed_performance=None, saved=True, restored="yes")
    sound = Probed(cores=(4, 5), allowed=(4, 5), settings=seen, compared=(), samples=4, clocks=("cpu0",))
    return msgspec.structs.replace(sound, **changes)


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        ({}, "good", "a program stays on the cores 4, 5"),
        ({"allowed": (0, 4, 5)}, "bad", "asked for the cores 4, 5, allowed were 0, 4, 5"),
        ({"allowed": None}, "unknown", "the kernel did not say where it may run"),
        ({"cores": ()}, "unknown", "the phone's clusters are not known"),
    ],
)
def test_placement(changes: dict[str, Any], state: State, said: str) -> None:
    check = placement_check(probed(**changes))
    assert (check.state, check.seen or check.reason) == (state, said)


@pytest.mark.parametrize(
    ("settings", "compared", "state", "said"),
    [
        ({"saved": False}, (), "doubtful", "could not be saved"),
        ({"restored": "failed"}, (), "bad", "not put back: unknown which"),
        ({}, (("screen_brightness", "102", "0"), ("low_power", "0", "0")), "bad", "not put back: screen_brightness"),
        ({}, (("low_power", "0", "0"),), "good", "0 changed and put back"),
    ],
)
def test_settings(settings: dict[str, Any], compared: Any, state: State, said: str) -> None:
    seen = msgspec.structs.replace(probed().settings, **settings)
    check = settings_check(probed(settings=seen, compared=compared))
    assert check.state == state and said in str(check.seen)


def test_the_sampler() -> None:
    assert sampler_check(probed()).state == "good"
    assert sampler_check(probed(clocks=())).seen == "4 samples in 2 s, no clock can be read"
    assert sampler_check(probed(samples=0)).state == "unknown"
