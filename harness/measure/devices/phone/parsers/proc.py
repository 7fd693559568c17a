"""Files of /proc."""

import re

import msgspec

from harness.values import Value

BUSY = (0, 1, 2, 5, 6)
"""Columns of a `cpu` line in which a CPU works: user, nice, system, irq, softirq."""


class CpuLine(Value, frozen=True):
    """What /proc/cpuinfo says of one CPU."""

    cpu: int
    implementer: int | None
    part: int | None
    features: tuple[str, ...]


def parse_meminfo(text: str) -> dict[str, int]:
    """Name → bytes."""
    lines = re.findall(r"^([A-Za-z][\w()]*):\s+(\d{1,15}) kB\s*$", text, re.MULTILINE)
    return {name: int(kilobytes) * 1024 for name, kilobytes in lines}


def parse_cpuinfo(text: str) -> tuple[CpuLine, ...]:
    """One entry a CPU, in order of their numbers; old kernels say features only once, for all."""
    found: dict[int, CpuLine] = {}
    common: tuple[str, ...] = ()
    for block in re.split(r"\r?\n[ \t]*\r?\n", text):
        fields = dict(re.findall(r"^([^:\n]+?)[ \t]*:[ \t]*(.*?)[ \t\r]*$", block, re.MULTILINE))
        features = tuple(sorted(fields.get("Features", "").split()))
        cpus = [int(n) for n in re.findall(r"^processor[ \t]*:[ \t]*(\d{1,4})[ \t\r]*$", block, re.MULTILINE)]
        if len(cpus) != 1:
            common = features or common
        for cpu in cpus:
            found[cpu] = CpuLine(
                cpu=cpu,
                implementer=_hexadecimal(fields.get("CPU implementer")),
                part=_hexadecimal(fields.get("CPU part")),
                features=features if len(cpus) == 1 else (),
            )
    lines = (found[cpu] for cpu in sorted(found))
    return tuple(line if line.features else msgspec.structs.replace(line, features=common) for line in lines)


def parse_uptime(text: str) -> float | None:
    """Seconds since boot."""
    found = re.match(r"\s*(\d{1,12}(?:\.\d{1,4})?)(?:\s|$)", text)
    return float(found.group(1)) if found else None


def busy_cores(text: str, ticks_per_s: int = 100) -> float | None:
    """Cores' worth of work between two readings of /proc/stat that stand one after the other, each with /proc/uptime.

    None where there are not two, or the clock did not go on between them.
    """
    readings = re.findall(r"^cpu +(\d[\d ]*)$", text.replace("\r", ""), re.MULTILINE)
    uptimes = [float(t) for t in re.findall(r"^(\d{1,12}\.\d{2}) \d+\.\d+\s*$", text.replace("\r", ""), re.MULTILINE)]
    if len(readings) != 2 or len(uptimes) != 2 or uptimes[1] - uptimes[0] < 0.2:
        return None
    first, second = (_busy_ticks(reading) for reading in readings)
    if first is None or second is None or second < first:
        return None
    return (second - first) / ticks_per_s / (uptimes[1] - uptimes[0])


def _busy_ticks(reading: str) -> int | None:
    columns = reading.split()
    return sum(int(columns[n]) for n in BUSY) if len(columns) > BUSY[-1] else None


def _hexadecimal(text: str | None) -> int | None:
    found = re.fullmatch(r"0x([0-9a-fA-F]{1,8})", text or "")
    return int(found.group(1), 16) if found else None
