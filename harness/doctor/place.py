"""What bench may use of the machine: hypervisor, cgroup limits, NUMA nodes, sibling threads, memory."""

from collections.abc import Collection
from pathlib import Path

from harness.doctor.kernel import CgroupLimits, cpu_list, fields, text
from harness.health import Check
from harness.measure.execute import ROOM
from harness.measure.runtimes.llama_cpp import RUNNER_BYTES

CPU = Path("sys/devices/system/cpu")
FEW_BYTES, LEAST_BYTES = 1 << 30, 256 << 20
"""Weights for which there is room: below the first doubtful, below the second bad."""


def is_virtual(root: Path) -> bool:
    """Whether a hypervisor says that it is there."""
    flags = (text(root / "proc/cpuinfo") or "").split()
    return "hypervisor" in flags or bool((text(root / "sys/hypervisor/type") or "").strip())


def place_checks(root: Path, cpus: Collection[int], limits: CgroupLimits) -> tuple[Check, ...]:
    return (
        _hypervisor(root),
        _quota(limits, len(cpus)),
        _memory_limit(limits),
        _memory(root, limits),
        _numa(root, cpus),
        _siblings(root, cpus),
    )


def _hypervisor(root: Path) -> Check:
    if text(root / "proc/cpuinfo") is None:
        return Check(name="hypervisor", state="unknown", seen=None, reason="/proc/cpuinfo cannot be read")
    if not is_virtual(root):
        return Check(name="hypervisor", state="good", seen="none says that it is there")
    return Check(
        name="hypervisor",
        state="doubtful",
        seen="a virtual machine",
        effect="neighbours share caches, memory and clock, and none of it shows: rounds drift together",
        advice="more rounds, at a quiet hour; trust ratios before absolute values",
    )


def _quota(limits: CgroupLimits, cpus: int) -> Check:
    if not limits.shown:
        why = "no cgroup shows its limits"
        return Check(name="CPU quota", state="unknown", seen=None, reason=why)
    if limits.cores is None:
        return Check(name="CPU quota", state="good", seen="none")
    narrow = limits.cores < cpus
    return Check(
        name="CPU quota",
        state="bad" if narrow else "good",
        seen=f"{limits.cores:.2f} cores, {cpus} CPUs may be used",
        effect="every 100 ms all threads stand still until the next period" if narrow else "",
        advice=f"a runtime with `threads: {max(1, int(limits.cores))}`, or a container with more" if narrow else "",
        values={"quota_cores": limits.cores},
    )


def _memory_limit(limits: CgroupLimits) -> Check:
    if not limits.shown:
        return Check(name="memory limit", state="unknown", seen=None, reason="no cgroup shows its limits")
    if limits.memory_bytes is None:
        return Check(name="memory limit", state="good", seen="none")
    return Check(
        name="memory limit",
        state="good",
        seen=f"{limits.memory_bytes / 2**30:.1f} GiB",
        values={"limit_bytes": limits.memory_bytes},
    )


def _memory(root: Path, limits: CgroupLimits) -> Check:
    free = fields(text(root / "proc/meminfo") or "").get("MemAvailable")
    if free is None:
        return Check(name="memory", state="unknown", seen=None, reason="/proc/meminfo does not say what is available")
    if limits.memory_free_bytes is not None:
        free = max(0, min(free, limits.memory_free_bytes))
    room = max(0, int(free / ROOM) - RUNNER_BYTES)
    tight = room < FEW_BYTES
    return Check(
        name="memory",
        state="bad" if room < LEAST_BYTES else "doubtful" if tight else "good",
        seen=f"{free / 2**30:.1f} GiB available: room for weights up to {room / 2**30:.1f} GiB",
        effect="larger variants become results `does_not_fit`" if tight else "",
        advice="end programs that hold memory" if tight else "",
        values={"available_bytes": free, "weights_bytes": room},
    )


def _numa(root: Path, cpus: Collection[int]) -> Check:
    nodes = {
        folder.name: here
        for folder in (root / "sys/devices/system/node").glob("node[0-9]*")
        if (here := cpu_list(text(folder / "cpulist") or "") & set(cpus))
    }
    if not nodes:
        return Check(name="NUMA", state="unknown", seen=None, reason="no node is shown for the usable CPUs")
    several = len(nodes) > 1
    return Check(
        name="NUMA",
        state="doubtful" if several else "good",
        seen=f"{len(nodes)} nodes" if several else "one node",
        effect="weights lie in one node's memory, and threads of the others read them slowly" if several else "",
        advice=f"start it on one node: `numactl -N {min(nodes)[4:]} -m {min(nodes)[4:]} bench run`" if several else "",
    )


def _siblings(root: Path, cpus: Collection[int]) -> Check:
    lists = [text(root / CPU / f"cpu{cpu}/topology/thread_siblings_list") for cpu in sorted(cpus)]
    groups = {found for body in lists if body and (found := cpu_list(body) & set(cpus))}
    if not groups:
        return Check(name="sibling threads", state="unknown", seen=None, reason="the kernel shows no topology")
    shared = [group for group in groups if len(group) > 1]
    if not shared and is_virtual(root):
        why = f"{len(groups)} cores without siblings, as the hypervisor shows them; really they may share one core"
        return Check(name="sibling threads", state="unknown", seen=None, reason=why)
    return Check(
        name="sibling threads",
        state="doubtful" if shared else "good",
        seen=f"{len(cpus)} CPUs on {len(groups)} cores",
        effect="two threads may land on one core, and both are slow there" if shared else "",
        advice=f"start it on one CPU a core: `taskset -c {_firsts(groups)} bench run`" if shared else "",
    )


def _firsts(groups: Collection[frozenset[int]]) -> str:
    return ",".join(map(str, sorted(min(group) for group in groups)))
