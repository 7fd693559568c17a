"""What the kernel counts during a timed window; None where it does not say."""

import os
import resource
import time
from pathlib import Path

import msgspec

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
BUSY, STEAL = (0, 1, 2, 5, 6), 7
"""Columns of /proc/stat: user, nice, system, irq, softirq; steal."""


class Counters(msgspec.Struct, frozen=True):
    """Counters at one moment."""

    wall_ns: int
    cpu_ns: int
    busy_ns: int | None
    steal_ns: int | None
    major_faults: int
    minor_faults: int
    voluntary: int
    involuntary: int


def look() -> Counters:
    used = resource.getrusage(resource.RUSAGE_SELF)
    busy, steal = _machine()
    return Counters(
        wall_ns=time.monotonic_ns(),
        cpu_ns=time.process_time_ns(),
        busy_ns=busy,
        steal_ns=steal,
        major_faults=used.ru_majflt,
        minor_faults=used.ru_minflt,
        voluntary=used.ru_nvcsw,
        involuntary=used.ru_nivcsw,
    )


def between(before: Counters, after: Counters) -> dict[str, int | None]:
    """The fields of a `timing` event that are differences."""
    return {
        "wall_ns": after.wall_ns - before.wall_ns,
        "cpu_ns": after.cpu_ns - before.cpu_ns,
        "machine_busy_ns": _less(after.busy_ns, before.busy_ns),
        "machine_steal_ns": _less(after.steal_ns, before.steal_ns),
        "major_faults": after.major_faults - before.major_faults,
        "minor_faults": after.minor_faults - before.minor_faults,
        "voluntary_switches": after.voluntary - before.voluntary,
        "involuntary_switches": after.involuntary - before.involuntary,
    }


def _less(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else max(0, after - before)


def _machine() -> tuple[int | None, int | None]:
    try:
        columns = [int(one) for one in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]]
    except (OSError, ValueError, IndexError):
        return None, None
    if len(columns) <= STEAL:
        return None, None
    return sum(columns[at] for at in BUSY) * TICK_NS, columns[STEAL] * TICK_NS
