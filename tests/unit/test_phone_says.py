"""What Android prints → values: the forms of several versions, and whatever else may come."""

import math
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.devices.phone.parsers.battery import parse_battery
from harness.measure.devices.phone.parsers.cpus import (
    clusters,
    common_features,
    in_words,
    parse_cpufreq,
    usable_cpus,
    with_roles,
)
from harness.measure.devices.phone.parsers.power import parse_screen
from harness.measure.devices.phone.parsers.proc import busy_cores, parse_cpuinfo, parse_meminfo, parse_uptime
from harness.measure.devices.phone.parsers.processes import parse_top
from harness.measure.devices.phone.parsers.properties import parse_getprop, parse_settings, switch
from harness.measure.devices.phone.parsers.storage import parse_df
from harness.measure.devices.phone.parsers.text import cpu_list, whole
from harness.measure.devices.phone.parsers.thermal import (
    hottest,
    of_types,
    parse_thermalservice,
    parse_zones,
)
from harness.measure.devices.phone.temperatures import CPU_ZONES, SKIN_ZONES, any_case, fits
from harness.values import CoreCluster
from tests import phone_texts as texts

PARSERS = [
    parse_battery, parse_cpufreq, parse_screen, busy_cores, parse_cpuinfo, parse_meminfo, parse_uptime, parse_top,
    parse_getprop, parse_settings, parse_df, parse_thermalservice, parse_zones, cpu_list, whole,
]  # fmt: skip
SAMPLES = [
    texts.GETPROP, texts.MEMINFO, texts.CPUINFO, texts.CLOCKS, texts.ZONES, texts.THERMAL, texts.BATTERY, texts.TOP,
    texts.DF, texts.WORK,
]  # fmt: skip
noise = st.text(alphabet=st.one_of(st.sampled_from("0123456789 []{}:=|,.-\n\t\r%/"), st.characters()), max_size=200)


@given(noise, st.sampled_from(SAMPLES), st.integers(0, 3000), st.integers(0, 3000))
def test_no_text_breaks_a_parser(dirt: str, sample: str, start: int, end: int) -> None:
    """Also a real text that is cut anywhere, with dirt in the middle."""
    for parse in PARSERS:
        parse(sample[:start] + dirt + sample[end:])  # type: ignore[operator]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda text: text.split()[0])
def test_line_ends_of_an_old_shell_change_nothing(sample: str) -> None:
    for parse in PARSERS:
        plain, carriage = parse(sample), parse(sample.replace("\n", "\r\n"))  # type: ignore[operator]
        assert plain == carriage, parse.__name__


# ---------------------------------------------------------------- getprop, settings

name = st.text(alphabet="abcdefghijklmnopqrstuvwxyz._0123456789", min_size=1, max_size=20)
value = st.text(alphabet=st.characters(codec="ascii", exclude_characters="\r\x0b\x0c\x1c\x1d\x1e"), max_size=40)


@given(st.dictionaries(name, value.filter(lambda text: "\n[" not in text and "]\n" not in text), max_size=8))
def test_getprop_comes_back_as_it_was_written(wish: dict[str, str]) -> None:
    assert parse_getprop("".join(f"[{k}]: [{v}]\n" for k, v in wish.items())) == wish


def test_a_property_that_is_cut_off_is_left_out() -> None:
    assert parse_getprop("[a]: [1]\n[b]: [hal") == {"a": "1"}
    assert parse_getprop("a line of a linker\n[a]: [x [y]]\n") == {"a": "x [y]"}


def test_settings_that_were_never_made_are_none() -> None:
    found = parse_settings("low_power=null\nairplane_mode_on=1\nother=0\nempty=\nno equals\n")
    assert found == {"low_power": None, "airplane_mode_on": "1", "other": "0", "empty": None}
    assert [switch(found[k]) for k in ("low_power", "airplane_mode_on", "other")] == [None, True, False]


# ---------------------------------------------------------------- CPUs


def test_three_kinds_of_cores_in_four_clusters() -> None:
    found = clusters(parse_cpuinfo(texts.CPUINFO), parse_cpufreq(texts.CLOCKS), cpu_list("0-7"))
    assert [(c.cpus, c.core, c.role, c.max_khz) for c in found] == [
        ((0, 1), "Cortex-A520", "little", 2265600),
        ((2, 3, 4), "Cortex-A720", "big", 3148800),
        ((5, 6), "Cortex-A720", "big", 2956800),
        ((7,), "Cortex-X4", "prime", 3302400),
    ]
    assert usable_cpus(found) == (2, 3, 4, 5, 6, 7)
    assert usable_cpus(found, "all") == tuple(range(8))
    assert usable_cpus(found, (6, 7, 9)) == (6, 7)
    assert in_words(found) == "1× Cortex-X4, 5× Cortex-A720, 2× Cortex-A520"
    assert "sve" not in common_features(found, (0, 7)) and "sve" in common_features(found, (2, 7))


def test_a_core_that_is_off_still_belongs_to_its_cluster() -> None:
    """Its cpufreq folder and its block of /proc/cpuinfo are gone; its siblings name it."""
    lines = [line for line in parse_cpuinfo(texts.CPUINFO) if line.cpu != 3]
    clocks = {cpu: clock for cpu, clock in parse_cpufreq(texts.CLOCKS).items() if cpu != 3}
    found = clusters(lines, clocks, cpu_list("0-7"))
    assert {cpu for c in found for cpu in c.cpus} == set(range(8))
    assert 3 in usable_cpus(found)
    assert next(c for c in found if 3 in c.cpus).max_khz == 3148800


def test_features_that_an_old_kernel_says_once_hold_for_all() -> None:
    text = "processor\t: 0\nprocessor\t: 1\n\nFeatures\t: half neon aes\nCPU part\t: 0xd03\n"
    assert [line.features for line in parse_cpuinfo(text)] == [("aes", "half", "neon")] * 2


def core(cpus: int, first: int, khz: int | None, name: str | None = None, capacity: int | None = None) -> CoreCluster:
    numbers = tuple(range(first, first + cpus))
    return CoreCluster(cpus=numbers, role="big", core=name, max_khz=khz, capacity=capacity)


ROLES = {
    "two kinds": ([core(6, 0, 2000, "Cortex-A55"), core(2, 6, 2600, "Cortex-A78")], ["little", "big"]),
    "one faster of four": (
        [core(4, 0, 1785, "Kryo 4xx Silver"), core(3, 4, 2419, "Kryo 4xx Gold"), core(1, 7, 2841, "Kryo 4xx Gold")],
        ["little", "big", "prime"],
    ),
    "no little ones": ([core(6, 0, 3532, "Oryon"), core(2, 6, 4320, "Oryon")], ["big", "prime"]),
    "only little ones": ([core(4, 0, 1300, "Cortex-A53"), core(4, 4, 1900, "Cortex-A53")], ["little", "little"]),
    "two X cores": (
        [core(4, 0, 1803, "Cortex-A55"), core(2, 4, 2253, "Cortex-A76"), core(2, 6, 2802, "Cortex-X1")],
        ["little", "big", "prime"],
    ),
    "unknown makes, by capacity": ([core(4, 0, 2400, None, 400), core(4, 4, 2500, None, 1024)], ["little", "big"]),
    "unknown makes, by clock": ([core(4, 0, 1500), core(4, 4, 2500)], ["little", "big"]),
    "nothing but numbers": ([core(8, 0, None)], ["big"]),
}


@pytest.mark.parametrize(("found", "roles"), ROLES.values(), ids=ROLES)
def test_roles_of_clusters(found: list[CoreCluster], roles: list[str]) -> None:
    assert [c.role for c in with_roles(found)] == roles


def test_a_phone_of_only_little_cores_uses_them() -> None:
    assert usable_cpus(with_roles(ROLES["only little ones"][0])) == tuple(range(8))


@given(st.sets(st.integers(0, 60), min_size=1))
def test_lists_of_cpus(cpus: set[int]) -> None:
    assert cpu_list(",".join(map(str, sorted(cpus)))) == cpu_list(" ".join(map(str, cpus))) == tuple(sorted(cpus))
    assert cpu_list(f"0-{max(cpus)}\n") == tuple(range(max(cpus) + 1))


@pytest.mark.parametrize("text", ["", "a", "0-", "1,b", None, "0-3;reboot"])
def test_what_is_no_list_of_cpus(text: str | None) -> None:
    assert cpu_list(text) == ()


# ---------------------------------------------------------------- heat


def test_only_current_readings_of_real_sensors_count() -> None:
    found = parse_thermalservice(texts.THERMAL)
    assert (found.status, found.missing) == (1, None)
    assert found.hottest("cpu") == 47.25  # 88 °C is cached
    assert found.hottest("skin") == 33.1
    assert [t.celsius for t in found.temperatures if t.name == "second"] == [None]  # 0 °C: no sensor
    assert next(t for t in found.temperatures if t.name == "vbat").place == "other"


def test_types_that_a_maker_numbers_otherwise_are_told_by_name() -> None:
    text = (
        "Thermal Status: 0\nCurrent temperatures from HAL:\n"
        " Temperature{mValue=24.0, mType=1, mName=TYPE_CPU, mStatus=0}\n"
        " Temperature{mValue=25.3, mType=4, mName=TYPE_SKIN, mStatus=0}\n"
        " Temperature{mValue=24.4, mType=3, mName=TYPE_BATTERY, mStatus=0}\n"
        " Temperature{mValue=-99.9, mType=6, mName=TYPE_POWER_AMPLIFIER, mStatus=0}\n"
    )
    found = parse_thermalservice(text)
    assert (found.hottest("cpu"), found.hottest("skin"), found.hottest("battery")) == (24.0, 25.3, 24.4)


UNREADABLE = {
    "Can't find service: thermalservice\n": "Can't find service",
    "": "says no status",
    "Thermal Status: 0\nHAL Ready: false\n": "reads no sensor",
    texts.THERMAL.replace("IsStatusOverride: false", "IsStatusOverride: true"): "by hand",
}


@pytest.mark.parametrize(("text", "why"), UNREADABLE.items(), ids=list(UNREADABLE.values()))
def test_what_the_thermal_service_does_not_say_has_a_reason(text: str, why: str) -> None:
    found = parse_thermalservice(text)
    assert found.missing is not None and why in found.missing
    assert found.status is None or "no sensor" in why


@pytest.mark.parametrize(
    ("raw", "celsius"),
    [
        ("45100", 45.1), ("451", None), ("45", 45.0), ("0", None), ("-274000", None), ("-40000", None), ("", None),
        ("200000", None), ("-5000", None), ("N/A", None),
    ],
)  # fmt: skip
def test_units_of_thermal_zones(raw: str, celsius: float | None) -> None:
    (zone,) = parse_zones(f"/sys/class/thermal/thermal_zone7|cpu-0|{raw}\n")
    assert (zone.number, zone.type, zone.celsius) == (7, "cpu-0", celsius)


def test_zones_by_their_type() -> None:
    zones = parse_zones(texts.ZONES)
    assert {z.type for z in of_types(zones, CPU_ZONES)} == {"cpuss-0", "cpu-1-0-0"}  # one cannot be read
    assert hottest(of_types(zones, CPU_ZONES)) == 46.3
    assert {z.type for z in of_types(zones, SKIN_ZONES)} == {"shell_front"}  # −274 °C: no sensor
    assert {z.type for z in of_types(zones, ("AOSS-*",))} == {"aoss-0"}
    assert hottest(()) is None


PIECES = st.sampled_from(["a", "Z", "1", "-", "_", "*", "?", "[aZ]", "[!a]", "[a-c1]"])


@given(st.lists(PIECES, max_size=5).map("".join), st.text("abzABZ1-_", max_size=5))
def test_a_pattern_means_the_same_to_the_phones_shell(pattern: str, kind: str) -> None:
    assert fnmatchcase(kind, any_case(pattern)) == fits(kind, (pattern,))


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_temperature_is_one_that_no_phone_survives(value: float) -> None:
    reading = f"Temperature{{mValue={value}, mType=0, mName=c, mStatus=0}}"
    seen = parse_thermalservice(f"Thermal Status: 0\nCurrent temperatures from HAL:\n {reading}\n").hottest("cpu")
    assert seen is None or (math.isfinite(seen) and -30 < seen < 150 and seen != 0)


# ---------------------------------------------------------------- battery, screen, room, work


def test_a_battery_that_charges() -> None:
    found = parse_battery(texts.BATTERY)
    assert (found.percent, found.celsius, found.millivolts, found.microampere_hours) == (78.0, 29.4, 4212, 4213000)
    assert (found.charging, found.plugged, found.missing) == ("charging", ("usb",), None)


@pytest.mark.parametrize(
    ("old", "new", "charging"),
    [
        ("status: 2", "status: 5", "held"),
        ("status: 2", "status: 4", "held"),
        ("USB powered: true", "USB powered: false", "unplugged"),
        ("status: 2\n", "", None),
    ],
)
def test_three_states_of_charging(old: str, new: str, charging: str | None) -> None:
    assert parse_battery(texts.BATTERY.replace(old, new)).charging == charging


def test_a_frozen_battery_is_not_believed() -> None:
    frozen = texts.BATTERY.replace("state:\n", "state:\n  (UPDATES STOPPED -- use 'reset' to restart)\n")
    found = parse_battery(frozen)
    assert found.percent is None and "frozen" in str(found.missing)


def test_no_battery_has_a_reason() -> None:
    assert parse_battery("Can't find service: battery\n").missing == "Can't find service: battery"
    assert parse_battery("").missing is not None
    assert parse_battery(texts.BATTERY.replace("level: 78", "level: 178")).percent is None


@pytest.mark.parametrize(("volts", "millivolts"), [("4", 4000), ("4212", 4212), ("4212000", 4212), ("0", None)])
def test_units_of_the_voltage(volts: str, millivolts: int | None) -> None:
    assert parse_battery(texts.BATTERY.replace("voltage: 4212", f"voltage: {volts}")).millivolts == millivolts


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("  mWakefulness=Awake\n", True),
        ("  mWakefulness=Dozing\n", False),
        ("  mWakefulness=Awake\n  mScreenState=OFF\n", False),
        ("  mWakefulness=Asleep\nDisplay Power: state=ON\n", True),
        ("  mGlobalDisplayState=DOZE_SUSPEND\n", True),
        ("", None),
    ],
)
def test_the_screen(text: str, on: bool | None) -> None:
    assert parse_screen(text) is on


HEAD = "Filesystem 1K-blocks Used Available Use% Mounted on\n"
TABLES = {
    "toybox": (texts.DF, 430000000 * 1024),
    "a long name": (f"{HEAD}/dev/block/very\n 100 40 60 40% /data\n", 60 << 10),
    "Android 6": ("Filesystem  Size   Used   Free   Blksize\n/data   11.1G   2.0G   9.1G   4096\n", 9.1 * 2**30),
    "no table": ("df: /data/local/tmp: Permission denied\n", None),
    "cut": (HEAD, None),
    "no number": (f"{HEAD}/dev 1 - - - /data\n", None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "free"), TABLES.values(), ids=TABLES)
def test_free_storage(text: str, free: float | None) -> None:
    assert parse_df(text) == (None if free is None else int(free))


def test_work_of_all_programs() -> None:
    assert busy_cores(texts.WORK) == pytest.approx(1.0)  # 100 ticks in one second
    assert busy_cores(texts.WORK.replace("1001.00", "1000.00")) is None  # the clock stood still
    assert busy_cores(texts.WORK.replace("1060", "60")) is None  # counters that fall
    assert busy_cores("1000.00 7000.00\n/system/bin/sh: can't open /proc/stat: Permission denied\n") is None


def test_the_busiest_programs_of_the_last_table() -> None:
    assert [(p.name, p.cpu_percent) for p in parse_top(texts.TOP)] == [
        ("com.example.player", 18.5), ("system_server", 6.0),
    ]  # fmt: skip
    old = "  PID PR CPU% S  #THR     VSS     RSS PCY UID      Name\n 900  0  12% S    30 1000K 500K fg u0_a1 com.x\n"
    assert [(p.name, p.cpu_percent) for p in parse_top(old)] == [("com.x", 12.0)]
    assert parse_top("top: unknown option -b\n") == ()


def test_memory_and_uptime() -> None:
    assert parse_meminfo(texts.MEMINFO)["MemTotal"] == 15509648 * 1024
    assert "HugePages_Total" not in parse_meminfo(texts.MEMINFO)
    assert parse_uptime("1003.25 7013.00\n") == 1003.25
    assert parse_uptime("cat: /proc/uptime: Permission denied") is None
