"""What the kernel shows as text, parsed. Every reader takes the root of a tree, so that tests have their own.

None means that the kernel does not say; nothing here raises for a missing or garbled file.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from harness.values import Value

UNLIMITED_V1 = 1 << 60
"""cgroup v1 writes the largest multiple of a page where there is no limit."""


class CpuTimes(Value, frozen=True):
    """Ticks since boot, over all CPUs."""

    busy: int
    steal: int


class CgroupLimits(Value, frozen=True):
    """The narrowest limits of a process's own groups and those above; None: no limit is shown."""

    shown: bool
    """Whether any limit file could be read."""
    cores: float | None = None
    memory_bytes: int | None = None
    memory_free_bytes: int | None = None
    """Below the limit, the page cache counted as free."""


def text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return None


def number(path: Path) -> int | None:
    """The whole number that a file holds."""
    body = (text(path) or "").strip()
    return int(body) if re.fullmatch(r"-?[0-9]{1,20}", body) else None


def cpu_times(stat: str) -> CpuTimes | None:
    """The first line of /proc/stat. Guest time is already in user time, waiting for a disk is idle."""
    words = (stat.splitlines() or [""])[0].split()
    if words[:1] != ["cpu"] or len(words) < 5 or not all(re.fullmatch(r"[0-9]{1,20}", w) for w in words[1:]):
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = [*map(int, words[1:9]), *[0] * 8][:8]
    return CpuTimes(busy=user + nice + system + irq + softirq, steal=steal)


def fields(body: str) -> dict[str, int]:
    """Lines of `name number` or `name: number kB`, as in meminfo, vmstat and memory.stat; kB become bytes."""
    found = {}
    for line in body.splitlines():
        if match := re.fullmatch(r"([\w()]+):?\s+([0-9]{1,20})(\s+kB)?", line.strip(), re.ASCII):
            found[match.group(1)] = int(match.group(2)) * (1024 if match.group(3) else 1)
    return found


def cpu_list(body: str) -> frozenset[int]:
    """`0-3,8` → {0, 1, 2, 3, 8}; what is no list of CPUs is left out."""
    found: set[int] = set()
    for part in body.strip().split(","):
        if match := re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part.strip()):
            found.update(range(int(match.group(1)), int(match.group(2) or match.group(1)) + 1))
    return frozenset(found)


def cgroup_limits(root: Path) -> CgroupLimits:
    """Limits of this process by /proc/self/cgroup, version 2, 1, or both at once."""
    cores: list[float] = []
    memory: list[tuple[int, int | None]] = []
    shown = False
    for line in (text(root / "proc/self/cgroup") or "").splitlines():
        hierarchy, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        controllers = names.split(",") if names else []
        for folder in _groups(root / "sys/fs/cgroup", names, path) if hierarchy else ():
            quota = _quota_v1(folder) if "cpu" in controllers else _quota_v2(folder) if not names else None
            limit = _memory_v1(folder) if "memory" in controllers else _memory_v2(folder) if not names else None
            shown = shown or quota is not None or limit is not None
            cores += [quota] if quota else []
            memory += [limit] if limit and limit[0] else []
    limits = [one for one, _ in memory]
    frees = [free for _, free in memory if free is not None]
    return CgroupLimits(
        shown=shown,
        cores=min(cores, default=None),
        memory_bytes=min(limits, default=None),
        memory_free_bytes=min(frees, default=None),
    )


def _groups(mount: Path, names: str, path: str) -> Iterator[Path]:
    """The process's group and all above it. A container often sees its own group as the top one."""
    tops = [mount / names, *(mount / name for name in names.split(","))] if names else [mount / "unified", mount]
    top = next((t for t in tops if t.is_dir()), None)
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    if top is not None:
        for depth in range(len(parts), -1, -1):
            if (folder := top.joinpath(*parts[:depth])).is_dir():
                yield folder


def _quota_v2(folder: Path) -> float | None:
    """Cores; 0 for no limit, None where the file is missing."""
    match = re.fullmatch(r"(max|[0-9]{1,19})\s+([1-9][0-9]{0,18})", (text(folder / "cpu.max") or "").strip())
    if match is None:
        return None
    return 0.0 if match.group(1) == "max" else int(match.group(1)) / int(match.group(2))


def _quota_v1(folder: Path) -> float | None:
    quota, period = number(folder / "cpu.cfs_quota_us"), number(folder / "cpu.cfs_period_us")
    if quota is None or period is None or period <= 0:
        return None
    return quota / period if quota > 0 else 0.0


def _memory_v2(folder: Path) -> tuple[int, int | None] | None:
    """(limit, free below it); a limit of 0 for none."""
    body = (text(folder / "memory.max") or "").strip()
    if body == "max":
        return 0, None
    limit = number(folder / "memory.max")
    return None if limit is None else (limit, _free(folder, limit, "memory.current", ""))


def _memory_v1(folder: Path) -> tuple[int, int | None] | None:
    limit = number(folder / "memory.limit_in_bytes")
    if limit is None:
        return None
    if limit >= UNLIMITED_V1:
        return 0, None
    return limit, _free(folder, limit, "memory.usage_in_bytes", "total_")


def _free(folder: Path, limit: int, usage: str, prefix: str) -> int | None:
    used, stat = number(folder / usage), fields(text(folder / "memory.stat") or "")
    if used is None:
        return None
    return limit - used + stat.get(f"{prefix}active_file", 0) + stat.get(f"{prefix}inactive_file", 0)
