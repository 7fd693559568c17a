"""Which variant fits which memory, and which of those that fit is worth most."""

from collections.abc import Sequence

from harness.analyse.levels import MeasuredCell
from harness.analyse.limits import Fit, Frontier, Need
from harness.analyse.trials import observed
from harness.metrics import metric
from harness.values import Loaded, Memory, Size, Task

MARGIN = 1.3
"""Available memory / peak, at least: a system that is filled to its edge ends programs."""
MEMORIES = tuple(gib << 30 for gib in (1, 2, 3, 4, 6, 8, 12, 16))
Worths = dict[str, float]


def frontiers(
    run: str, cells: Sequence[MeasuredCell], random: frozenset[str], families: Sequence[Sequence[str]]
) -> list[Frontier]:
    """One a family, device, runtime and memory workload; `random`: variants whose accuracy means nothing."""
    found = []
    for family in families:
        members = [c for c in cells if c.seen.cell.variant in family]
        found += _frontiers(run, members, random & frozenset(family))
    return found


def _frontiers(run: str, cells: Sequence[MeasuredCell], random: frozenset[str]) -> list[Frontier]:
    groups: dict[tuple[str, str | None, str], list[MeasuredCell]] = {}
    for cell in cells:
        if isinstance(cell.seen.cell.workload, Memory):
            groups.setdefault((cell.seen.cell.device, cell.seen.runtime, cell.seen.workload), []).append(cell)
    return [_frontier(run, cells, group, random) for group in groups.values()]


def _frontier(
    run: str, cells: Sequence[MeasuredCell], memory: Sequence[MeasuredCell], random: frozenset[str]
) -> Frontier:
    seen = memory[0].seen
    here = [c for c in cells if c.seen.cell.device == seen.cell.device and c.seen.runtime in (seen.runtime, None)]
    names = [str(c.seen.cell.variant) for c in memory if c.metrics["peak_rss_bytes"].value is not None]
    by_accuracy, said = _accuracy(here, names, random)
    name, workload, worths = by_accuracy or ("bits_per_weight", "", _worths(here, "", "bits_per_weight"))
    needs = tuple(_need(cell, worths) for cell in memory)
    loaded = next((o for c in memory for o in observed(c.seen.counted, Loaded)), None)
    return Frontier(
        run=run,
        runtime=seen.runtime,
        device=seen.cell.device,
        workload=seen.workload,
        context=loaded.context if loaded else None,
        judged_by="accuracy" if by_accuracy else "bits_per_weight",
        metric=name,
        judged_on=workload,
        said=said,
        needs=needs,
        fits=tuple(_fit(memory_bytes, needs) for memory_bytes in MEMORIES),
    )


def _accuracy(
    cells: Sequence[MeasuredCell], names: Sequence[str], random: frozenset[str]
) -> tuple[tuple[str, str, Worths] | None, str | None]:
    """((metric, workload, score by variant), None) of the first task that all variants answered, or (None, why)."""
    if random:
        return None, "the weights are random, so accuracy means nothing"
    tasks = [c for c in cells if isinstance(c.seen.cell.workload, Task)]
    if not tasks:
        return None, "no accuracy was measured"
    pairs = dict.fromkeys((c.seen.workload, m) for c in tasks for m in c.metrics if metric(m).unit == "fraction")
    for workload, name in pairs:
        worths = _worths(tasks, workload, name)
        if names and all(variant in worths for variant in names):
            return (name, workload, worths), None
    return None, "not every variant has an accuracy"


def _worths(cells: Sequence[MeasuredCell], workload: str, name: str) -> Worths:
    return {
        str(c.seen.cell.variant): value
        for c in cells
        if c.seen.workload == workload
        and isinstance(c.seen.cell.workload, Size | Task)
        and name in c.metrics
        and (value := c.metrics[name].value) is not None
    }


def _need(cell: MeasuredCell, worths: Worths) -> Need:
    variant, peak = str(cell.seen.cell.variant), cell.metrics["peak_rss_bytes"]
    return Need(
        variant=variant,
        peak_bytes=None if peak.value is None else round(peak.value),
        need_bytes=None if peak.value is None else round(MARGIN * peak.value),
        worth=worths.get(variant),
        reason=peak.reason if peak.value is None else None,
    )


def _fit(memory_bytes: int, needs: Sequence[Need]) -> Fit:
    fitting = [n for n in needs if n.need_bytes is not None and n.need_bytes <= memory_bytes]
    worthy = [(n.worth, -(n.need_bytes or 0), n.variant) for n in fitting if n.worth is not None]
    best = max(worthy, key=lambda w: w[:2])[2] if worthy else None
    return Fit(memory_bytes=memory_bytes, variants=tuple(n.variant for n in fitting), best=best)
