"""From many answers of a phone to its facts, its state and what is found in it before a run."""

import subprocess

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.device_files import load_devices
from harness.errors import InputError, WrongDeviceError
from harness.measure.devices.adb.connection import Completed
from harness.measure.devices.phone import facts as facts_room
from harness.measure.devices.phone import state as state_room
from harness.measure.devices.phone.asking import Answer, answers, ask, script
from harness.measure.devices.phone.expected import expected_facts
from harness.measure.devices.phone.facts import facts_from
from harness.measure.devices.phone.preflight import check_identity, differs, preflight
from harness.measure.devices.phone.state import state_from
from harness.values import CoolDown, DeviceFacts, DeviceSpec, PhoneFacts, PhoneSpec, PhoneState, digest
from tests.phone_texts import FACTS, STATE, THERMAL, said

ONEPLUS = load_devices()["oneplus12"]
PHONE = ONEPLUS.phone
assert isinstance(PHONE, PhoneSpec)


class ShellHere:
    """A connection whose shell is this machine's."""

    name = "here"

    def shell(self, script: str, *, timeout_s: float = 30.0, stdin: bytes = b"") -> Completed:
        done = subprocess.run(["sh", "-c", script], capture_output=True, timeout=timeout_s)
        return Completed(exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)


# ---------------------------------------------------------------- asking


def test_each_question_has_its_own_answer_in_one_call() -> None:
    found = ask(
        ShellHere(),  # type: ignore[arg-type]
        {"one": "echo a; echo b", "two": "printf c", "err": "echo no >&2; exit 3", "gone": "no-such-program-here"},
    )
    assert [found[name].text for name in ("one", "two", "err")] == ["a\nb\n", "c", "no\n"]
    assert found["gone"].why_not is not None and "not found" in found["gone"].why_not


def test_a_question_that_reads_its_input_does_not_eat_the_next_one() -> None:
    found = ask(ShellHere(), {"cat": "cat", "next": "echo here"})  # type: ignore[arg-type]
    assert (found["cat"].text, found["next"].text) == ("", "here\n")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")), min_size=1, max_size=5))
def test_whatever_is_printed_ends_no_answer_early(prints: list[str]) -> None:
    questions = {f"q{n}": "" for n in range(len(prints))}
    output = "".join(f"{text}\nm4rk q{n} 0\n" for n, text in enumerate(prints))
    found = answers(output, questions, "m4rk")
    assert [found[name].text for name in questions] == prints


@given(st.integers(0, 200))
def test_an_answer_that_is_cut_off_is_none(cut: int) -> None:
    questions = {"a": "", "b": "", "c": ""}
    output = "".join(f"text of {name}\n\nm4rk {name} 0\n" for name in questions)
    found = answers(output[:cut], questions, "m4rk")
    for name, answer in found.items():
        assert answer.text == f"text of {name}\n" or answer.why_not == "the phone's answer was cut off"


def test_the_scripts_are_shell_and_fit_an_old_phone() -> None:
    """Before shell v2 a whole command had to fit into 4 KiB."""
    for questions in (facts_room.QUESTIONS, state_room.QUESTIONS):
        text = script(questions, "0" * 16)
        assert len(text.encode()) < 3500
        subprocess.run(["sh", "-n", "-c", text], check=True)


def test_this_machines_own_files_are_read_by_the_same_script() -> None:
    """Linux as well: what it has in common with a phone comes out, the rest has reasons."""
    found = facts_room.read_phone_facts(ShellHere(), "here", PhoneSpec())  # type: ignore[arg-type]
    assert found.memory_bytes and found.logical_cpus >= 1 and found.usable_cores >= 1
    assert "soc" in found.missing and "properties" not in found.missing
    state = state_room.read_phone_state(ShellHere(), PhoneSpec())  # type: ignore[arg-type]
    assert state.available_bytes and state.uptime_s and state.boot_hash and state.free_bytes is None
    assert "battery_percent" in state.missing


# ---------------------------------------------------------------- facts


def seen(**others: Answer) -> DeviceFacts:
    return facts_from(said(FACTS, **others), "oneplus12", PHONE)


def test_facts_of_a_phone() -> None:
    found = seen()
    assert (found.model, found.arch, found.usable_cores, found.logical_cpus) == ("CPH2581", "aarch64", 6, 8)
    assert found.os == "Android 14 (API 34), kernel 6.1.57-android14"
    assert found.cpu == "SM8650, 1× Cortex-X4, 5× Cortex-A720, 2× Cortex-A520"
    assert found.memory_bytes == 946 * 16 * 2**20
    assert {"asimddp", "i8mm", "sve"} <= set(found.cpu_flags)
    assert found.governor == "walt"
    assert "1a2b3c4d" not in str(msgspec.json.encode(found)) and len(found.host_hash) == 16
    phone = found.phone
    assert isinstance(phone, PhoneFacts)
    assert (phone.android, phone.api_level, phone.soc) == ("14", 34, "SM8650")
    assert phone.cpu_zones == ("cpu-1-0-0", "cpuss-0")
    assert (phone.cpu_sensors, phone.skin_sensors) == (("CPU0", "CPU7"), ("skin",))
    assert set(found.missing) == {"llc_bytes"}


def test_facts_are_equal_however_often_they_are_read() -> None:
    later = seen(memory=Answer(text="MemTotal: 15509132 kB\n"))  # another start of the kernel
    assert digest(later) == digest(seen())
    assert msgspec.json.decode(msgspec.json.encode(seen()), type=DeviceFacts) == seen()


def test_what_was_not_read_has_the_phones_reason() -> None:
    denied = Answer(why_not="cat: /proc/cpuinfo: Permission denied")
    found = seen(cpuinfo=denied, thermal=Answer(text="Can't find service: thermalservice\n"))
    assert found.missing["cpu_flags"] == "cat: /proc/cpuinfo: Permission denied"
    assert found.missing["cpu_sensors"] == found.missing["skin_sensors"] == "Can't find service: thermalservice"
    skin_only = "\n".join(line for line in THERMAL.splitlines() if "mType=0" not in line)
    assert seen(thermal=Answer(text=skin_only)).missing["cpu_sensors"] == "the thermal service reads no CPU sensor"
    assert found.usable_cores == 6  # cores of unknown make, by their capacities

    nothing = facts_from(dict.fromkeys(FACTS, Answer(why_not="the phone's answer was cut off")), "p", PHONE)
    assert nothing.memory_bytes is None and nothing.model == "unknown phone"
    assert nothing.missing["memory_bytes"] == "the phone's answer was cut off"


def test_affinity_decides_which_cores_and_instructions_count() -> None:
    all_cores = facts_from(said(FACTS), "p", msgspec.structs.replace(PHONE, affinity="all"))
    assert all_cores.usable_cores == 8 and "sve" not in all_cores.cpu_flags
    assert facts_from(said(FACTS), "p", msgspec.structs.replace(PHONE, affinity=(7,))).usable_cores == 1


def test_expected_facts_count_as_the_real_ones() -> None:
    expected = expected_facts(ONEPLUS)
    assert (expected.usable_cores, expected.logical_cpus) == (seen().usable_cores, seen().logical_cpus)
    assert isinstance(expected.phone, PhoneFacts) and expected.phone.expected
    assert differs(ONEPLUS, seen()) is None
    with pytest.raises(InputError, match="does not say its `clusters`"):
        expected_facts(load_devices()["phone"])


# ---------------------------------------------------------------- which phone it is


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"models": ("PJD110",)}, "model is CPH2581, expected PJD110"),
        ({"models": ("CPH2573", "SM-*")}, r"expected CPH2573 or SM-\*"),
        ({"soc_models": ("MT68*",)}, "chip is SM8650"),
        ({"memory_bytes": 12 << 30}, "14.8 GiB of memory, too far from the 12 GiB"),
        ({"memory_bytes": 24 << 30}, "too far from the 24 GiB"),
    ],
)
def test_another_phone_is_refused(change: dict[str, object], why: str) -> None:
    spec = msgspec.structs.replace(ONEPLUS, phone=msgspec.structs.replace(PHONE, **change))
    with pytest.raises(WrongDeviceError, match=why) as caught:
        check_identity(spec, seen())
    assert "\n" not in str(caught.value) and "bench devices" in str(caught.value)


def test_what_a_phone_does_not_say_contradicts_nothing() -> None:
    """Before Android 12 there is no ro.soc.model."""
    old = seen(properties=Answer(text="[ro.product.model]: [CPH2581]\n"), memory=Answer(why_not="Permission denied"))
    check_identity(ONEPLUS, old)


@given(st.sampled_from([2, 3, 4, 6, 8, 12, 16, 24]), st.floats(0.86, 0.99))
def test_memory_as_sold_is_told_from_its_neighbours(gib: int, share: float) -> None:
    """What a phone reports fits the size it is sold with and no other size."""
    sizes = [2, 3, 4, 6, 8, 12, 16, 24]
    facts = msgspec.structs.replace(seen(), memory_bytes=int(share * gib * 2**30))
    fitting = [
        size
        for size in sizes
        if differs(
            msgspec.structs.replace(ONEPLUS, phone=msgspec.structs.replace(PHONE, memory_bytes=size << 30)), facts
        )
        is None
    ]
    assert fitting == [gib]


# ---------------------------------------------------------------- state and preflight


def state(**others: Answer) -> PhoneState:
    return state_from(said(STATE, **others), PHONE)


def test_the_state_of_a_phone() -> None:
    found = state()
    assert (found.battery_percent, found.battery_c, found.charging, found.plugged) == (78.0, 29.4, "charging", ("usb",))
    assert (found.screen_on, found.power_save, found.airplane) == (False, False, True)
    assert (found.thermal_status, found.cpu_c, found.skin_c) == (1, 47.25, 33.1)
    assert found.free_bytes == 430000000 * 1024 and found.available_bytes == 9214300 * 1024
    assert found.busy_cores == pytest.approx(1.0)
    assert found.missing == {}
    assert "9b3d3d2e" not in str(msgspec.json.encode(found))


def test_zones_that_devices_yaml_names_are_the_ones_that_count() -> None:
    phone = msgspec.structs.replace(PHONE, cool_down=CoolDown(cpu_zones=("aoss-*",), skin_zones=("nothing",)))
    found = state_from(said(STATE, thermal=Answer(text="")), phone)
    assert (found.cpu_c, found.skin_c) == (41.9, None)
    assert "no zone of the surface" in found.missing["skin_c"]


def findings(spec: DeviceSpec = ONEPLUS, push_bytes: int = 0, **others: Answer) -> dict[str, str]:
    found = preflight(spec, state(**others), push_bytes=push_bytes)
    assert all(one.advice or one.state == "unknown" for one in found.findings)
    return {one.name: one.state for one in found.findings}


def battery(**values: str) -> Answer:
    text = STATE["battery"]
    for name, value in values.items():
        text = "\n".join(
            f"  {name.replace('_', ' ')}: {value}" if line.strip().startswith(f"{name.replace('_', ' ')}:") else line
            for line in text.split("\n")
        )
    return Answer(text=text)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({}, {"busy_cores": "warn"}),
        ({"battery": battery(level="49")}, {"battery_percent": "refuse"}),
        ({"battery": battery(level="50")}, {}),
        ({"battery": battery(USB_powered="false")}, {"charging": "warn", "screen_on": "warn"}),
        ({"battery": battery(temperature="412")}, {"battery_c": "warn"}),
        ({"settings": Answer(text="low_power=1\nairplane_mode_on=0\n")}, {"power_save": "refuse", "airplane": "warn"}),
        ({"settings": Answer(text="low_power=null\nairplane_mode_on=1\n")}, {}),
        ({"settings": Answer(text="")}, {"power_save": "unknown", "airplane": "unknown"}),
        ({"screen": Answer(text="mWakefulness=Awake\n")}, {}),
        (
            {"screen": Answer(text="mWakefulness=Awake\n"), "battery": battery(USB_powered="false")},
            {"charging": "warn"},
        ),
        ({"thermal": Answer(text="Thermal Status: 2\n")}, {"thermal_status": "warn"}),
        ({"boot": Answer(why_not="cut off")}, {"boot_hash": "unknown"}),
    ],
)
def test_what_is_found_before_a_run(others: dict[str, Answer], expected: dict[str, str]) -> None:
    assert findings(**others) == {"busy_cores": "warn", **expected}


def test_room_for_what_is_pushed() -> None:
    free = 430000000 * 1024
    assert "free_bytes" not in findings(push_bytes=free - (300 << 20))
    assert findings(push_bytes=free - (100 << 20))["free_bytes"] == "refuse"


def test_energy_wants_a_phone_that_is_not_plugged_in() -> None:
    spec = msgspec.structs.replace(ONEPLUS, phone=msgspec.structs.replace(PHONE, charging="unplugged"))
    assert findings(spec)["charging"] == "warn"
    assert "charging" not in findings(spec, battery=battery(USB_powered="false"))


def test_busy_programs_are_named() -> None:
    found = preflight(ONEPLUS, state())
    assert "com.example.player 18 %" in next(f.seen for f in found.findings if f.name == "busy_cores")
    assert found.refused == ()


def test_a_phone_that_tells_nothing_is_unknown_and_never_cool() -> None:
    found = state_from(dict.fromkeys(STATE, Answer(why_not="the phone's answer was cut off")), PHONE)
    assert found.cpu_c is None and found.skin_c is None and found.thermal_status is None
    assert {one.state for one in preflight(ONEPLUS, found).findings} == {"unknown"}
    fields = set(PhoneState.__struct_fields__) - {"plugged", "busiest", "missing"}
    assert set(found.missing) == fields
