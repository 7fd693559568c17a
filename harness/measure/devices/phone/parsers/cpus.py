"""Clusters of cores, from /proc/cpuinfo and cpufreq together."""

import re
from collections.abc import Iterable, Sequence

import msgspec

from harness.measure.devices.phone.parsers.proc import CpuLine
from harness.measure.devices.phone.parsers.text import cpu_list, whole
from harness.values import CoreCluster, CoreRole, Value

ARM, QUALCOMM = 0x41, 0x51
PARTS = {
    (ARM, 0xD03): "Cortex-A53",
    (ARM, 0xD04): "Cortex-A35",
    (ARM, 0xD05): "Cortex-A55",
    (ARM, 0xD07): "Cortex-A57",
    (ARM, 0xD08): "Cortex-A72",
    (ARM, 0xD09): "Cortex-A73",
    (ARM, 0xD0A): "Cortex-A75",
    (ARM, 0xD0B): "Cortex-A76",
    (ARM, 0xD0D): "Cortex-A77",
    (ARM, 0xD41): "Cortex-A78",
    (ARM, 0xD44): "Cortex-X1",
    (ARM, 0xD46): "Cortex-A510",
    (ARM, 0xD47): "Cortex-A710",
    (ARM, 0xD48): "Cortex-X2",
    (ARM, 0xD4B): "Cortex-A78C",
    (ARM, 0xD4C): "Cortex-X1C",
    (ARM, 0xD4D): "Cortex-A715",
    (ARM, 0xD4E): "Cortex-X3",
    (ARM, 0xD80): "Cortex-A520",
    (ARM, 0xD81): "Cortex-A720",
    (ARM, 0xD82): "Cortex-X4",
    (ARM, 0xD85): "Cortex-X925",
    (ARM, 0xD87): "Cortex-A725",
    (QUALCOMM, 0x001): "Oryon",
    (QUALCOMM, 0x800): "Kryo 2xx Gold",
    (QUALCOMM, 0x801): "Kryo 2xx Silver",
    (QUALCOMM, 0x802): "Kryo 3xx Gold",
    (QUALCOMM, 0x803): "Kryo 3xx Silver",
    (QUALCOMM, 0x804): "Kryo 4xx Gold",
    (QUALCOMM, 0x805): "Kryo 4xx Silver",
}
"""(implementer, part) → the core's name."""
LITTLE_CAPACITY = 512
"""Half of the fastest core's: a core of unknown make below it is little."""
LITTLE_CLOCK = 0.7
"""The same by its share of the fastest clock, where the kernel says no capacity."""


class CpuClock(Value, frozen=True):
    """What cpufreq says of one CPU."""

    related: tuple[int, ...] = ()
    """CPUs that share its clock."""
    max_khz: int | None = None
    capacity: int | None = None
    governor: str | None = None


def parse_cpufreq(text: str) -> dict[int, CpuClock]:
    """Lines `…/cpuN/FILE VALUE` of the files `cpufreq/…` and `cpu_capacity` → CPU → clock."""
    files: dict[int, dict[str, str]] = {}
    for cpu, name, value in re.findall(r"/cpu(\d{1,4})/(?:cpufreq/)?(\w+) ([^\r\n]*?)[ \t\r]*$", text, re.MULTILINE):
        files.setdefault(int(cpu), {})[name] = value
    return {
        cpu: CpuClock(
            related=cpu_list(seen.get("related_cpus")),
            max_khz=_positive(seen.get("cpuinfo_max_freq")),
            capacity=_positive(seen.get("cpu_capacity")),
            governor=seen.get("scaling_governor") or None,
        )
        for cpu, seen in files.items()
    }


def core_name(line: CpuLine | None) -> str | None:
    """Such as `Cortex-X4`; None where the part is not in the table."""
    return PARTS.get((line.implementer or 0, line.part or 0)) if line else None


def clusters(lines: Sequence[CpuLine], clocks: dict[int, CpuClock], possible: Iterable[int]) -> tuple[CoreCluster, ...]:
    """CPUs of one core kind that share a clock, in order of their numbers; none where no CPU is known."""
    by_cpu = {line.cpu: line for line in lines}
    groups: dict[tuple[object, ...], list[int]] = {}
    for cpu in sorted({*by_cpu, *clocks, *possible}):
        line, clock = by_cpu.get(cpu), _clock(cpu, clocks)
        kind = (line.implementer, line.part) if line else (None, None)
        groups.setdefault((clock.related, clock.max_khz, clock.capacity, *kind), []).append(cpu)
    found = []
    for cpus in groups.values():
        members = [by_cpu[cpu] for cpu in cpus if cpu in by_cpu]
        clock = _clock(cpus[0], clocks)
        features = [set(m.features) for m in members]
        found.append(
            CoreCluster(
                cpus=tuple(cpus),
                role="big",
                core=core_name(members[0]) if members else None,
                max_khz=clock.max_khz,
                capacity=clock.capacity,
                features=tuple(sorted(set.intersection(*features))) if features else (),
            )
        )
    return with_roles(found)


def with_roles(found: Sequence[CoreCluster]) -> tuple[CoreCluster, ...]:
    """Little by make, else by capacity, else by clock; prime by make, else the one fastest of few cores."""
    top_khz = max((c.max_khz or 0 for c in found), default=0)
    roles: list[CoreRole] = ["little" if _is_little(c, top_khz) else "big" for c in found]
    large = [n for n, role in enumerate(roles) if role == "big"]
    prime = [n for n in large if (found[n].core or "").startswith("Cortex-X")]
    if not prime and len(large) > 1:
        speeds = [(found[n].capacity or 0, found[n].max_khz or 0) for n in large]
        first = max(speeds)
        if speeds.count(first) == 1 and len(found[large[speeds.index(first)]].cpus) <= 2:
            prime = [large[speeds.index(first)]]
    if len(prime) < len(large) or len(found) > len(large):
        for n in prime:
            roles[n] = "prime"
    return tuple(_in_role(cluster, role) for cluster, role in zip(found, roles, strict=True))


def usable_cpus(found: Sequence[CoreCluster], affinity: str | tuple[int, ...] = "big") -> tuple[int, ...]:
    """CPUs that a model runs on: the named ones, `all`, or `big`, which is all that are not little; where there are
    only little ones, those."""
    known = {cpu for cluster in found for cpu in cluster.cpus}
    if isinstance(affinity, tuple):
        return tuple(sorted(known & set(affinity)))
    large = {cpu for cluster in found if cluster.role != "little" for cpu in cluster.cpus}
    return tuple(sorted(known if affinity == "all" else large or known))


def common_features(found: Sequence[CoreCluster], cpus: Sequence[int]) -> tuple[str, ...]:
    """Instructions that every one of these CPUs has; empty where one's are not known."""
    sets = [set(cluster.features) for cluster in found if set(cluster.cpus) & set(cpus)]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def in_words(found: Sequence[CoreCluster]) -> str:
    """Such as `1× Cortex-X4, 5× Cortex-A720, 2× Cortex-A520`, the fastest first."""
    counts: dict[str, int] = {}
    for cluster in sorted(found, key=lambda c: (c.capacity or 0, c.max_khz or 0), reverse=True):
        name = cluster.core or f"{cluster.role} core"
        counts[name] = counts.get(name, 0) + len(cluster.cpus)
    return ", ".join(f"{count}× {name}" for name, count in counts.items())


def _clock(cpu: int, clocks: dict[int, CpuClock]) -> CpuClock:
    """A CPU that is switched off has no cpufreq of its own, but its siblings name it."""
    own = clocks.get(cpu, CpuClock())
    if own.related:
        return own
    return next((clock for clock in clocks.values() if cpu in clock.related), own)


def is_little_name(core: str) -> bool:
    """Whether a core of this name is one of the slow, thrifty ones."""
    return core in ("Cortex-A35", "Cortex-A53", "Cortex-A55", "Cortex-A510", "Cortex-A520") or core.endswith("Silver")


def _is_little(cluster: CoreCluster, top_khz: int) -> bool:
    if cluster.core is not None and cluster.core != "Oryon":
        return is_little_name(cluster.core)
    if cluster.capacity is not None:
        return cluster.capacity < LITTLE_CAPACITY
    return cluster.max_khz is not None and cluster.max_khz < LITTLE_CLOCK * top_khz


def _in_role(cluster: CoreCluster, role: CoreRole) -> CoreCluster:
    return msgspec.structs.replace(cluster, role=role)


def _positive(text: str | None) -> int | None:
    number = whole(text)
    return number if number is not None and number > 0 else None
