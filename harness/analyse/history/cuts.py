"""Where a series begins anew: conditions under which numbers are not comparable with those before."""

import itertools
from collections.abc import Mapping, Sequence
from statistics import median

from harness.analyse.history.surroundings import VERSION
from harness.analyse.history.values import Cut, Difference, Point
from harness.metrics import Kind

BETWEEN = frozenset(
    {"artifact", "runner", "bench version", "Python", "recipe", "scheme", "weights", "settings of the recipe", "cable"}
)
"""What a team changes and wants to see the effect of: named beside a change, never a reason to cut."""
OF_MACHINE = frozenset(
    {
        "operating system",
        "memory",
        "last-level cache",
        "logical CPUs",
        "usable physical cores",
        "hypervisor",
        "frequency governor",
        "machine",
        "power",
        "chip",
        "platform",
        "Android",
        "the system's build",
        "cooling",
    }
)
"""Conditions of whatever is timed or takes memory; a file has the same size and the same answers all the same."""
OF_PROCESSOR = frozenset({"CPU", "architecture"})
"""The kernel path: it may change answers, never a size."""
ON_MACHINE: frozenset[Kind] = frozenset({"speed", "memory", "energy", "device"})
PRESENCE = frozenset({"told by"})
"""Says something by being there at all; of other names an absence is nothing that was seen."""
UNSEEN = frozenset({"unknown", "none"})


def of_runtime(name: str) -> bool:
    """Whether a condition is which version of the runtime it was; another build of one version is no other runtime."""
    return name.endswith(VERSION) and name not in BETWEEN


def cuts_series(name: str, kind: Kind, *, across_runtimes: bool = False) -> bool:
    """Whether values of that kind before and after a change of this condition are not comparable."""
    if across_runtimes and of_runtime(name):
        return False
    if name in BETWEEN or (name in OF_PROCESSOR and kind == "exact") or (name == "reference" and kind != "distance"):
        return False
    return name not in OF_MACHINE or kind in ON_MACHINE


def find_cuts(
    points: Sequence[Point], conditions: Sequence[Mapping[str, str]], kind: Kind, *, across_runtimes: bool = False
) -> tuple[Cut, ...]:
    """Cuts in order. A point without a value says nothing of conditions; an unseen condition differs from none."""
    found: list[Cut] = []
    known: dict[str, str] | None = None
    start = 0
    for index, point in enumerate(points):
        if point.value is None:
            continue
        own = conditions[point.conditions]
        if known is None:
            known = dict(own)
            continue
        differences = tuple(
            d for d in _differences(known, own) if cuts_series(d.what, kind, across_runtimes=across_runtimes)
        )
        if differences:
            found.append(Cut(at=index, differences=differences, before=_level(points[start:index])))
            known, start = {}, index
        known |= {name: value for name, value in own.items() if value not in UNSEEN or name not in known}
    return _with_levels_after(found, points)


def segments(count: int, cuts: Sequence[Cut]) -> list[range]:
    """Indices of the points between cuts, of `count` in all."""
    bounds = [0, *(cut.at for cut in cuts), count]
    return [range(a, b) for a, b in itertools.pairwise(bounds)]


def differences_between(
    points: Sequence[Point], conditions: Sequence[Mapping[str, str]], before: int, after: int
) -> tuple[Difference, ...]:
    """Artifact and conditions of two points that are not alike, whether they cut or not."""
    a, b = points[before], points[after]
    old, new = conditions[a.conditions], conditions[b.conditions]
    found = [
        Difference(what=name, before=old.get(name), after=new.get(name))
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name)
    ]
    if a.artifact_sha256 != b.artifact_sha256:
        found.insert(0, Difference(what="artifact", before=a.artifact_sha256, after=b.artifact_sha256))
    return tuple(found)


def _differences(known: Mapping[str, str], own: Mapping[str, str]) -> list[Difference]:
    found = []
    for name in dict.fromkeys((*known, *own)):
        before, after = known.get(name), own.get(name)
        seen = before not in UNSEEN and after not in UNSEEN and None not in (before, after)
        if before != after and (seen or name in PRESENCE):
            found.append(Difference(what=name, before=before, after=after))
    return found


def _level(points: Sequence[Point]) -> float | None:
    values = [point.value for point in points if point.value is not None]
    return median(values) if values else None


def _with_levels_after(found: Sequence[Cut], points: Sequence[Point]) -> tuple[Cut, ...]:
    ends = [*(cut.at for cut in found[1:]), len(points)]
    return tuple(
        Cut(at=cut.at, differences=cut.differences, before=cut.before, after=_level(points[cut.at : end]))
        for cut, end in zip(found, ends, strict=False)
    )
