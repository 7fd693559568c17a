"""One second of watching: who keeps the CPUs busy, what the hypervisor took, whether memory is being swapped."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from harness.doctor.kernel import CpuTimes, cpu_times, fields, text
from harness.health import Check
from harness.measure.noise import OTHER_LOAD_CORES
from harness.values import Value

WATCHED_S = 1.0
BUSY_PROCESS_CORES = 0.05
SHOWN_PROCESSES = 5
BAD_LOAD_CORES = 1.0
STEAL_CORES = 0.02
BAD_STEAL_CORES = 0.1


class BusyProcess(Value, frozen=True):
    """A program's name and share; its arguments may hold secrets and are never read."""

    name: str
    cores: float


class Watched(Value, frozen=True):
    """What one stretch of time showed. Cores are CPU time over wall time."""

    seconds: float
    other_cores: float | None
    """Busy CPUs, bench's own left out; None where /proc/stat does not say."""
    steal_cores: float | None
    steal_ever: bool | None
    """Whether the hypervisor has reported any stolen time since boot."""
    swapped_pages: int | None
    processes: tuple[BusyProcess, ...]


Usage = Mapping[int, tuple[str, float]]
"""Process → its name and CPU seconds so far."""


def watch(root: Path, seconds: float = WATCHED_S, sleep: Callable[[float], None] = time.sleep) -> Watched:
    """Read the kernel's counters, wait, read them again; looking at processes stays outside of it."""
    used, before, own, clock = usage(), _counters(root), _own_seconds(), time.monotonic()
    sleep(seconds)
    wall, own_after, after, used_after = time.monotonic() - clock, _own_seconds(), _counters(root), usage()
    return compare(before, after, busiest(used, used_after, wall), wall, own_after - own)


def usage() -> dict[int, tuple[str, float]]:
    """Every process that may be seen, this one left out."""
    found = {}
    for process in psutil.process_iter(["pid", "name", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is not None and process.pid != os.getpid():
            found[process.pid] = (process.info["name"] or "?", times.user + times.system)
    return found


def busiest(before: Usage, after: Usage, wall: float) -> tuple[BusyProcess, ...]:
    """The processes that took most CPU time in between; those that had ended by then are missing."""
    shares = [
        BusyProcess(name=name, cores=(seconds - before.get(pid, (name, 0.0))[1]) / wall)
        for pid, (name, seconds) in after.items()
    ]
    shown = [one for one in shares if one.cores >= BUSY_PROCESS_CORES]
    return tuple(sorted(shown, key=lambda one: -one.cores)[:SHOWN_PROCESSES])


class Counters(Value, frozen=True):
    cpu: CpuTimes | None
    swapped_pages: int | None


def compare(
    before: Counters, after: Counters, processes: Sequence[BusyProcess], wall: float, own_seconds: float
) -> Watched:
    """Two readings → what happened in between."""
    other = steal = None
    tick = wall * os.sysconf("SC_CLK_TCK")
    if before.cpu is not None and after.cpu is not None:
        other = max(0.0, (after.cpu.busy - before.cpu.busy) / tick - own_seconds / wall)
        steal = max(0.0, (after.cpu.steal - before.cpu.steal) / tick)
    swapped = None
    if before.swapped_pages is not None and after.swapped_pages is not None:
        swapped = after.swapped_pages - before.swapped_pages
    return Watched(
        seconds=wall,
        other_cores=other,
        steal_cores=steal,
        steal_ever=None if after.cpu is None else after.cpu.steal > 0,
        swapped_pages=swapped,
        processes=tuple(processes),
    )


def load_check(watched: Watched) -> Check:
    """What others take of the CPUs."""
    if watched.other_cores is None:
        return Check(name="load", state="unknown", seen=None, reason="/proc/stat cannot be read")
    cores = watched.other_cores
    bad, doubtful = cores >= BAD_LOAD_CORES, cores > OTHER_LOAD_CORES
    return Check(
        name="load",
        state="bad" if bad else "doubtful" if doubtful else "good",
        seen=f"others kept {cores:.2f} cores busy for {watched.seconds:.1f} s{_named(watched.processes)}",
        effect=f"above {OTHER_LOAD_CORES} cores trials are marked noisy; rates fall and spread" if doubtful else "",
        advice="end or wait for the programs named, then measure" if doubtful else "",
        values={"other_cores": cores},
    )


def bandwidth_users_check(watched: Watched, virtual: bool) -> Check:
    """Other users of memory bandwidth: only those can be seen that also use a CPU of this machine."""
    busy = [one for one in watched.processes if one.cores > OTHER_LOAD_CORES]
    unseen = "what they read from memory is not counted by the kernel"
    if busy:
        return Check(
            name="memory bandwidth",
            state="doubtful",
            seen=f"busy programs{_named(busy)}; {unseen}",
            effect="decode is bound by memory: each byte that others read is missing there",
            advice="end them, or compare the read bandwidth below with that of a quiet hour",
        )
    if virtual:
        why = "no busy program here, but neighbours on the same memory cannot be seen from a virtual machine"
        return Check(
            name="memory bandwidth",
            state="unknown",
            seen=None,
            reason=why,
            effect="decode and the read bandwidth fall together when a neighbour reads",
            advice="compare the read bandwidth below with that of another hour",
        )
    return Check(name="memory bandwidth", state="good", seen=f"no busy program ({unseen})")


def steal_check(watched: Watched, virtual: bool) -> Check:
    """CPU time that a hypervisor gave to others."""
    cores = watched.steal_cores
    if cores is None:
        return Check(name="stolen time", state="unknown", seen=None, reason="/proc/stat cannot be read")
    if virtual and not watched.steal_ever:
        why = "the hypervisor has reported no stolen time since boot, which it may never do"
        return Check(name="stolen time", state="unknown", seen=None, reason=why)
    doubtful = cores > STEAL_CORES
    return Check(
        name="stolen time",
        state="bad" if cores > BAD_STEAL_CORES else "doubtful" if doubtful else "good",
        seen=f"the hypervisor took {cores:.2f} cores for {watched.seconds:.1f} s",
        effect="threads stand still in the middle of a window, and all wait for the last one" if doubtful else "",
        advice="use another hour, another host, or cores of your own" if doubtful else "",
        values={"steal_cores": cores},
    )


def swap_check(watched: Watched, meminfo: str | None) -> Check:
    """Memory that was moved to disk, and whether that goes on."""
    memory = fields(meminfo or "")
    if "SwapTotal" not in memory or "SwapFree" not in memory:
        return Check(name="swap", state="unknown", seen=None, reason="/proc/meminfo does not say")
    used, moving = memory["SwapTotal"] - memory["SwapFree"], watched.swapped_pages or 0
    if not memory["SwapTotal"]:
        return Check(name="swap", state="good", seen="no swap is set up", values={"swap_used_bytes": 0})
    return Check(
        name="swap",
        state="bad" if moving else "doubtful" if used else "good",
        seen=f"{used >> 20} MiB of {memory['SwapTotal'] >> 20} MiB in use, {moving} pages moved while watched",
        effect="weights that come back from disk stop a window for milliseconds" if used or moving else "",
        advice="end programs that hold memory, then `swapoff -a && swapon -a`" if used or moving else "",
        values={"swap_used_bytes": used},
    )


def _counters(root: Path) -> Counters:
    moved = fields(text(root / "proc/vmstat") or "")
    pages = moved["pswpin"] + moved["pswpout"] if {"pswpin", "pswpout"} <= moved.keys() else None
    return Counters(cpu=cpu_times(text(root / "proc/stat") or ""), swapped_pages=pages)


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _named(processes: Sequence[BusyProcess]) -> str:
    return ": " + ", ".join(f"{one.name} {one.cores:.2f}" for one in processes) if processes else ""
