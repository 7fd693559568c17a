"""What can be read off the local machine; what cannot be read is None with a reason."""

import hashlib
import os
import platform
import re
from pathlib import Path

import psutil

from harness.machine_name import machine_name
from harness.values import DeviceFacts

CPU = Path("/sys/devices/system/cpu")
CGROUP = Path("/sys/fs/cgroup")


def read_facts(device: str) -> DeviceFacts:
    """Facts that do not change while bench runs."""
    missing: dict[str, str] = {}
    cpuinfo = _text(Path("/proc/cpuinfo"))
    model = _first(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", cpuinfo) or platform.processor()
    flags = _first(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo) or ""
    llc = last_level_cache_bytes()
    governor = _text(CPU / "cpu0/cpufreq/scaling_governor").strip() or None
    if llc is None:
        missing["llc_bytes"] = "the kernel does not describe the caches"
    if governor is None:
        missing["governor"] = "no cpufreq on this machine (usual for a virtual one)"
    return DeviceFacts(
        device=device,
        model=_machine_model(),
        os=_os_name(),
        arch=platform.machine(),
        cpu=model or "unknown",
        logical_cpus=os.cpu_count() or 1,
        usable_cores=usable_cores(),
        memory_bytes=_memory_bytes(),
        llc_bytes=llc,
        cpu_flags=tuple(sorted(flags.split())),
        virtual=_hypervisor(flags),
        governor=governor,
        host_hash=hashlib.sha256(machine_name().encode()).hexdigest()[:16],
        missing=missing,
    )


def usable_cores() -> int:
    """Physical cores, no more than affinity and cgroup quota allow, at least 1."""
    allowed = len(os.sched_getaffinity(0))
    physical = psutil.cpu_count(logical=False) or allowed
    quota = _text(CGROUP / "cpu.max").split()
    limit = allowed
    if len(quota) == 2 and quota[0].isdigit():
        limit = max(1, int(quota[0]) // int(quota[1]))
    return max(1, min(allowed, physical, limit))


def last_level_cache_bytes() -> int | None:
    """Sum over all instances of the highest cache level."""
    instances: dict[tuple[int, str], int] = {}
    for index in CPU.glob("cpu[0-9]*/cache/index[0-9]*"):
        if _text(index / "type").strip() not in ("Unified", "Data"):
            continue
        size = re.fullmatch(r"(\d+)K", _text(index / "size").strip())
        level = _text(index / "level").strip()
        if size and level.isdigit():
            instances[int(level), _text(index / "shared_cpu_list").strip()] = int(size.group(1)) * 1024
    if not instances:
        return None
    top = max(level for level, _ in instances)
    return sum(size for (level, _), size in instances.items() if level == top)


def available_bytes() -> int:
    """Memory that a new program can have, the cgroup's limit considered."""
    free = psutil.virtual_memory().available
    limit, used = _text(CGROUP / "memory.max").strip(), _text(CGROUP / "memory.current").strip()
    if limit.isdigit() and used.isdigit():
        # The page cache counts as used there, but gives way.
        cache = re.findall(r"^(?:in)?active_file (\d+)$", _text(CGROUP / "memory.stat"), re.MULTILINE)
        free = min(free, int(limit) - int(used) + sum(map(int, cache)))
    return int(free)


def oom_kills() -> int:
    """How often the kernel's out-of-memory killer struck since boot (0 where it does not say)."""
    count = _first(r"^oom_kill (\d+)$", _text(Path("/proc/vmstat")))
    return int(count) if count else 0


def power_source() -> str | None:
    """`mains` or `battery`; None where the machine has no battery or does not say."""
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is None:
        return None
    return "mains" if battery.power_plugged else "battery"


def _memory_bytes() -> int:
    total = int(psutil.virtual_memory().total)
    limit = _text(CGROUP / "memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def _machine_model() -> str:
    folder = Path("/sys/class/dmi/id")
    parts = [_text(folder / name).strip() for name in ("sys_vendor", "product_name")]
    board = _text(Path("/proc/device-tree/model")).strip("\0\n ")
    return " ".join(p for p in parts if p) or board or "unknown machine"


def _os_name() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        name = platform.system()
    return f"{name}, kernel {platform.release()}"


def _hypervisor(flags: str) -> str | None:
    kind = _text(Path("/sys/hypervisor/type")).strip()
    if kind:
        return kind
    return "yes" if "hypervisor" in flags.split() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _first(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1).strip() if found else None
