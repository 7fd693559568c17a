"""Whether this machine is quiet enough: every check, in the order in which it is told."""

import os
from collections.abc import Collection
from pathlib import Path

from harness.doctor.clock import clock_checks
from harness.doctor.kernel import cgroup_limits, text
from harness.doctor.load import Watched, bandwidth_users_check, load_check, steal_check, swap_check, watch
from harness.doctor.place import is_virtual, place_checks
from harness.health import Check

ROOT = Path("/")


def examine_machine() -> tuple[Check, ...]:
    """Watch this machine for a second, then read the rest."""
    return checks(ROOT, watch(ROOT), os.sched_getaffinity(0))


def checks(root: Path, watched: Watched, cpus: Collection[int]) -> tuple[Check, ...]:
    """What the kernel's files below `root` say of the usable CPUs and of the second that was watched."""
    virtual = is_virtual(root)
    return (
        load_check(watched),
        bandwidth_users_check(watched, virtual),
        steal_check(watched, virtual),
        swap_check(watched, text(root / "proc/meminfo")),
        *clock_checks(root, cpus),
        *place_checks(root, cpus, cgroup_limits(root)),
    )
