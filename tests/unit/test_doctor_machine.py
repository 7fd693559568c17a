"""The machine's checks, on small trees that look like /proc and /sys, and on any text at all."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.doctor.kernel import CpuTimes, cgroup_limits, cpu_list, cpu_times, fields, number
from harness.doctor.load import BusyProcess, Counters, Watched, bandwidth_users_check, busiest, compare, watch
from harness.doctor.machine import checks
from harness.health import Check

QUIET = Watched(
    seconds=1.0, other_cores=0.02, steal_cores=0.0, steal_ever=False, swapped_pages=0, processes=()
)  # fmt: skip
GIB = 1 << 30
PLAIN = {
    "proc/cpuinfo": "flags : fpu avx2\n",
    "proc/meminfo": "MemAvailable: 16777216 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    "proc/self/cgroup": "0::/user.slice/session\n",
    "sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
    "sys/fs/cgroup/user.slice/memory.max": "max\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/intel_pstate/no_turbo": "1\n",
    "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0\n",
    "sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "1\n",
    "sys/devices/system/node/node0/cpulist": "0-1\n",
    "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp\n",
    "sys/class/thermal/thermal_zone0/temp": "48000\n",
    "sys/class/thermal/thermal_zone0/trip_point_0_type": "passive\n",
    "sys/class/thermal/thermal_zone0/trip_point_0_temp": "95000\n",
    "sys/class/power_supply/AC/type": "Mains\n",
    "sys/class/power_supply/AC/online": "1\n",
}
"""A workstation with nothing to complain about."""


def tree(root: Path, **changes: str | None) -> Path:
    """PLAIN with changes; keys are paths, None removes."""
    for name, body in {**PLAIN, **changes}.items():
        if body is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(body)
    return root


def examined(root: Path, watched: Watched = QUIET) -> dict[str, Check]:
    return {check.name: check for check in checks(root, watched, {0, 1})}


def test_a_quiet_workstation_is_good_in_everything(tmp_path: Path) -> None:
    found = examined(tree(tmp_path))
    assert {name: check.state for name, check in found.items() if check.state != "good"} == {}
    assert found["memory"].values["available_bytes"] == 16 * GIB


def test_an_empty_tree_is_unknown_with_reasons_and_no_guess(tmp_path: Path) -> None:
    for name, check in examined(tmp_path).items():
        if name not in ("load", "memory bandwidth", "stolen time"):  # those are of the second that was watched
            assert check.state == "unknown" and check.reason and check.seen is None, name


CHANGES: list[tuple[str, str, dict[str, str | None], str]] = [
    ("governor", "doubtful", {"sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "powersave\n"}, "powersave"),
    ("turbo", "doubtful", {"sys/devices/system/cpu/intel_pstate/no_turbo": "0\n"}, "on"),
    (
        "turbo",
        "good",
        {"sys/devices/system/cpu/intel_pstate/no_turbo": None, "sys/devices/system/cpu/cpufreq/boost": "0"},
        "off",
    ),
    (
        "turbo",
        "doubtful",
        {"sys/devices/system/cpu/intel_pstate/no_turbo": None, "sys/devices/system/cpu/cpufreq/boost": "1"},
        "on",
    ),
    ("heat", "doubtful", {"sys/class/thermal/thermal_zone0/temp": "88000\n"}, "88 °C, slowed down at 95 °C"),
    ("heat", "bad", {"sys/class/thermal/thermal_zone0/temp": "95000\n"}, "95 °C"),
    ("hypervisor", "doubtful", {"proc/cpuinfo": "flags : fpu hypervisor\n"}, "virtual"),
    ("hypervisor", "doubtful", {"sys/hypervisor/type": "xen\n"}, "virtual"),
    ("CPU quota", "bad", {"sys/fs/cgroup/user.slice/cpu.max": "150000 100000\n"}, "1.50 cores"),
    ("CPU quota", "good", {"sys/fs/cgroup/user.slice/cpu.max": "400000 100000\n"}, "4.00 cores"),
    ("memory", "doubtful", {"proc/meminfo": "MemAvailable: 1048576 kB\n"}, "1.0 GiB available"),
    ("memory", "bad", {"proc/meminfo": "MemAvailable: 102400 kB\n"}, "0.1 GiB available"),
    ("NUMA", "doubtful", {f"sys/devices/system/node/node{i}/cpulist": f"{i}\n" for i in (0, 1)}, "2 nodes"),
    (
        "sibling threads",
        "doubtful",
        {f"sys/devices/system/cpu/cpu{i}/topology/thread_siblings_list": "0-1\n" for i in (0, 1)},
        "2 CPUs on 1 cores",
    ),
    ("swap", "doubtful", {"proc/meminfo": "SwapTotal: 2097152 kB\nSwapFree: 1048576 kB\n"}, "1024 MiB of 2048"),
    (
        "power",
        "bad",
        {"sys/class/power_supply/BAT0/type": "Battery\n", "sys/class/power_supply/BAT0/status": "Discharging\n"},
        "battery",
    ),
]


@pytest.mark.parametrize(("name", "state", "changes", "said"), CHANGES)
def test_each_trouble_is_seen(tmp_path: Path, name: str, state: str, changes: dict[str, str], said: str) -> None:
    check = examined(tree(tmp_path, **changes))[name]
    assert check.state == state and said in (check.seen or "")
    assert state == "good" or (check.effect and check.advice)


def test_the_battery_of_a_mouse_is_not_the_machines(tmp_path: Path) -> None:
    mouse = {"type": "Battery\n", "status": "Discharging\n", "scope": "Device\n"}
    found = examined(tree(tmp_path, **{f"sys/class/power_supply/hid/{k}": v for k, v in mouse.items()}))
    assert found["power"].state == "good"


def test_broken_sensors_are_left_out(tmp_path: Path) -> None:
    cold = {"sys/class/thermal/thermal_zone0/temp": "-274000\n"}
    assert examined(tree(tmp_path, **cold))["heat"].state == "unknown"


def test_a_virtual_machine_does_not_claim_what_it_cannot_see(tmp_path: Path) -> None:
    found = examined(tree(tmp_path, **{"proc/cpuinfo": "flags : hypervisor\n"}))
    for name in ("memory bandwidth", "stolen time", "sibling threads"):
        assert found[name].state == "unknown" and found[name].reason, name


def test_the_narrowest_cgroup_above_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/cpu.max": "50000 100000",
        "sys/fs/cgroup/a/b/cpu.max": "max 100000",
        "sys/fs/cgroup/a/b/memory.max": str(2 * GIB),
        "sys/fs/cgroup/a/b/memory.current": str(GIB),
        "sys/fs/cgroup/a/b/memory.stat": f"anon 5\nactive_file {GIB // 4}\ninactive_file {GIB // 4}\n",
    }
    limits = cgroup_limits(tree(tmp_path, **files))
    assert limits.shown and limits.cores == 0.5
    assert (limits.memory_bytes, limits.memory_free_bytes) == (2 * GIB, 3 * GIB // 2)
    assert examined(tmp_path)["memory"].values["available_bytes"] == 3 * GIB // 2


def test_cgroups_of_version_1_are_read_from_the_top_where_a_container_hides_the_path(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/hidden/x\n2:cpu,cpuacct:/\n0::/\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "120000\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": str(4 * GIB),
        "sys/fs/cgroup/memory/memory.usage_in_bytes": str(GIB),
        "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 1024\ninactive_file 7\n",
    }
    limits = cgroup_limits(tree(tmp_path, **files))
    assert limits.cores == 1.2 and limits.memory_free_bytes == 3 * GIB + 1024


def test_no_limit_of_version_1_is_no_limit(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/\n1:cpu:/\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    limits = cgroup_limits(tree(tmp_path, **files))
    assert limits.shown and limits.cores is None and limits.memory_bytes is None


def test_cpu_times_leave_guests_and_idle_out() -> None:
    assert cpu_times("cpu  100 10 30 999 5 1 2 7 50 0\ncpu0 1 1 1 1\n") == CpuTimes(busy=143, steal=7)
    assert cpu_times("cpu 1 2 3 4\n") == CpuTimes(busy=6, steal=0)
    assert cpu_times("intr 5") is None and cpu_times("") is None


def test_own_cpu_time_is_no_other_load() -> None:
    hz = os.sysconf("SC_CLK_TCK")
    before = Counters(cpu=CpuTimes(busy=0, steal=0), swapped_pages=3)
    after = Counters(cpu=CpuTimes(busy=3 * hz, steal=hz // 2), swapped_pages=10)
    seen = compare(before, after, (), wall=2.0, own_seconds=1.0)
    assert (seen.other_cores, seen.steal_cores, seen.swapped_pages) == (1.0, 0.25, 7)
    assert compare(before, Counters(cpu=None, swapped_pages=None), (), 1.0, 0.0).other_cores is None


def test_busy_programs_are_named_by_share() -> None:
    before = {1: ("idle", 5.0), 2: ("make", 1.0)}
    after = {1: ("idle", 5.0), 2: ("make", 1.5), 3: ("cc1plus", 1.8)}
    assert [(one.name, one.cores) for one in busiest(before, after, 2.0)] == [("cc1plus", 0.9), ("make", 0.25)]


LOADS = [("load", 0.2, "good"), ("load", 0.5, "doubtful"), ("load", 1.5, "bad")]


@pytest.mark.parametrize(("name", "cores", "state"), LOADS)
def test_load_has_three_states(tmp_path: Path, name: str, cores: float, state: str) -> None:
    busy = Watched(
        seconds=1.0,
        other_cores=cores,
        steal_cores=cores / 10,
        steal_ever=True,
        swapped_pages=0,
        processes=(BusyProcess(name="make", cores=cores),),
    )
    found = examined(tree(tmp_path), busy)
    assert found[name].state == state and f"make {cores:.2f}" in (found[name].seen or "")
    assert found["stolen time"].state == ("good" if cores == 0.2 else "doubtful" if cores == 0.5 else "bad")
    assert bandwidth_users_check(busy, virtual=False).state == ("good" if cores == 0.2 else "doubtful")


def test_this_machine_can_be_watched() -> None:
    seen = watch(Path("/"), seconds=1.0)
    assert seen.seconds >= 1.0
    assert seen.other_cores is None or 0 <= seen.other_cores <= (os.cpu_count() or 1) + 1


@given(st.text())
def test_no_text_breaks_a_parser(body: str) -> None:
    cpu_times(body)
    assert all(value >= 0 for value in fields(body).values())
    assert all(cpu >= 0 for cpu in cpu_list(body))


@given(st.frozensets(st.integers(0, 400)))
def test_cpu_lists_come_back(cpus: frozenset[int]) -> None:
    assert cpu_list(",".join(map(str, sorted(cpus)))) == cpus


@given(st.integers(0, 300), st.integers(0, 300))
def test_cpu_ranges_hold_both_ends(low: int, length: int) -> None:
    assert cpu_list(f"{low}-{low + length}\n") == frozenset(range(low, low + length + 1))


@given(st.lists(st.integers(0, 10**15), min_size=4, max_size=10))
def test_busy_ticks_are_never_more_than_all(ticks: list[int]) -> None:
    seen = cpu_times("cpu " + " ".join(map(str, ticks)))
    assert seen is not None and 0 <= seen.busy + seen.steal <= sum(ticks)


@given(body=st.text(alphabet=st.characters(codec="utf-8")))
def test_any_cgroup_file_is_survived(tmp_path_factory: pytest.TempPathFactory, body: str) -> None:
    root = tmp_path_factory.mktemp("root")
    names = ("proc/self/cgroup", "sys/fs/cgroup/cpu.max", "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.stat")
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("0::/\n" if name.startswith("proc") and len(body) % 2 else body)
    limits = cgroup_limits(root)
    assert limits.cores is None or limits.cores >= 0
    number(root / "sys/fs/cgroup/cpu.max")
