"""Runs → Report: every variant against every baseline of its run, never across runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET

from harness.analyse.accuracy import distances, pair_items, task_scores
from harness.analyse.cells import SeenCell, read_cells
from harness.analyse.conditions import artifacts, conditions, differing, see_run
from harness.analyse.contexts import footprints
from harness.analyse.findings import (
    ArtifactSeen,
    Condition,
    Distance,
    Heat,
    Level,
    PairedItems,
    Report,
    RoundValue,
    Row,
    RunSeen,
    TaskScore,
    ThreadCounts,
    Trouble,
    Waterfall,
    WeakBaseline,
)
from harness.analyse.fits import frontiers
from harness.analyse.heat import heats
from harness.analyse.levels import Measured, MeasuredCell, measure_cells
from harness.analyse.limits import Footprint, Frontier, Roof
from harness.analyse.memory import waterfall
from harness.analyse.places import place
from harness.analyse.roof import roofs
from harness.analyse.rows import in_order, metric_rows, others_of
from harness.analyse.threads import thread_counts
from harness.analyse.trials import has_random_weights, observed
from harness.errors import InputError
from harness.stats import bounds
from harness.store import Run
from harness.values import Loaded, Speed, Timing, TrialRecord

__all__ = ["Report", "analyse"]

WEAK_BANDWIDTH_SHARE = 0.5
EXECUTORCH, X86 = "ExecuTorch ", "x86_64"
"""How ExecuTorch's programs describe themselves, and the processor whose kernels for floats are portable ones."""


class _Found:
    """Lists that grow run by run, in the order of the report."""

    def __init__(self) -> None:
        self.runs: list[RunSeen] = []
        self.rows: list[Row] = []
        self.levels: list[Level] = []
        self.accuracy: list[PairedItems] = []
        self.tasks: list[TaskScore] = []
        self.distances: list[Distance] = []
        self.waterfalls: list[Waterfall] = []
        self.roofs: list[Roof] = []
        self.footprints: list[Footprint] = []
        self.frontiers: list[Frontier] = []
        self.threads: list[ThreadCounts] = []
        self.heats: list[Heat] = []
        self.conditions: list[Condition] = []
        self.artifacts: list[ArtifactSeen] = []
        self.troubles: list[Trouble] = []
        self.weak_baselines: list[WeakBaseline] = []


@dataclass(frozen=True)
class MeasuredRun:
    """A run's cells, which several pages are made from: reading their items is a large part of the work."""

    seen: list[SeenCell]
    cells: list[MeasuredCell]
    """In the order of the report."""


def measure(run: Run) -> MeasuredRun:
    """Every cell of a run with its metrics.

    Raises:
        StoreError: an items file is damaged.
    """
    seen = read_cells(run)
    return MeasuredRun(seen, in_order(run, measure_cells(run, seen)))


def analyse(runs: Sequence[Run], measured: Sequence[MeasuredRun] | None = None) -> Report:
    """Everything the pages need, from one run or several.

    Ratios are formed within a run only: runs may differ in conditions, and `differing` says in which.

    Raises:
        InputError: no run, or one run twice.
        StoreError: an items file is damaged.
    """
    if not runs:
        raise InputError("there is no run to report on")
    if len({run.id for run in runs}) < len(runs):
        raise InputError("the same run is given twice")
    found = _Found()
    for run, cells in zip(runs, measured or map(measure, runs), strict=True):
        _analyse_run(run, cells, found)
    return Report(
        runs=tuple(found.runs),
        rows=tuple(found.rows),
        levels=tuple(found.levels),
        accuracy=tuple(found.accuracy),
        tasks=tuple(found.tasks),
        distances=tuple(found.distances),
        waterfalls=tuple(found.waterfalls),
        roofs=tuple(found.roofs),
        footprints=tuple(found.footprints),
        frontiers=tuple(found.frontiers),
        threads=tuple(found.threads),
        heats=tuple(found.heats),
        conditions=tuple(found.conditions),
        artifacts=tuple(found.artifacts),
        troubles=tuple(found.troubles),
        weak_baselines=tuple(found.weak_baselines),
        differing=tuple(differing(found.runs, found.conditions, found.artifacts)),
    )


def _analyse_run(run: Run, of_run: MeasuredRun, found: _Found) -> None:
    seen, cells = of_run.seen, of_run.cells
    found.runs.append(see_run(run, seen))
    found.conditions += conditions(run, seen)
    found.artifacts += artifacts(run, seen)
    found.troubles += [trouble for one in seen for trouble in one.troubles]
    baselines = run.plan.suite.baselines
    found.roofs += roofs(run.id, cells, baselines)
    found.footprints += footprints(run.id, cells, baselines)
    found.threads += thread_counts(run, cells)
    found.heats += heats(run.id, cells)
    random = frozenset(v.name for v in run.plan.suite.variants if has_random_weights(v))
    found.frontiers += frontiers(run.id, cells, random, run.plan.suite.families())
    by_place = {place(c): c for c in cells}
    for cell in cells:
        others = others_of(run, cell, by_place)
        for measured in cell.metrics.values():
            found.rows += metric_rows(run, cell, measured, others)
            found.levels += _level(run, cell, measured)
        for other in others.values():
            found.accuracy += pair_items(run.id, cell, other) if other else []
        found.tasks += task_scores(run.id, cell)
        found.distances += distances(run.id, cell)
        if (one := waterfall(run.id, cell)) is not None:
            found.waterfalls.append(one)
        found.weak_baselines += _weak(run, cell)


def _level(run: Run, cell: MeasuredCell, measured: Measured) -> list[Level]:
    if measured.value is None:
        return []
    seen = cell.seen
    low, high = bounds(measured.interval)
    return [
        Level(
            run=run.id,
            variant=seen.cell.variant,
            runtime=seen.runtime,
            device=seen.cell.device,
            workload=seen.workload,
            metric=measured.metric,
            value=measured.value,
            low=low,
            high=high,
            cv=measured.cv,
            rounds=tuple(RoundValue(round=r, value=v) for r, v in measured.rounds),
        )
    ]


def _weak(run: Run, cell: MeasuredCell) -> list[WeakBaseline]:
    variant = cell.seen.cell.variant
    share = cell.metrics.get("bandwidth_share")
    portable = is_portable(cell.seen.counted)
    deep = isinstance(cell.seen.cell.workload, Speed) and bool(cell.seen.cell.workload.depth)
    if deep and not portable:
        return []  # deep in a context the cache and its arithmetic are read too, which no baseline can help
    if not portable and (variant not in run.plan.suite.baselines or share is None or share.value is None):
        return []
    if not portable and share is not None and share.value is not None and share.value >= WEAK_BANDWIDTH_SHARE:
        return []
    return [
        WeakBaseline(
            run=run.id,
            baseline=str(variant),
            runtime=cell.seen.runtime,
            device=cell.seen.cell.device,
            workload=cell.seen.workload,
            share=None if portable or share is None else share.value,
            portable=True if portable else UNSET,
        )
    ]


def is_portable(records: Sequence[TrialRecord]) -> bool:
    """Whether ExecuTorch ran without a delegate on a processor other than Arm's: on kernels that no phone is measured
    with."""
    timed = [r for r in records if any(isinstance(o, Timing) for o in r.observations)]
    return any(
        loaded.description.startswith(EXECUTORCH) and loaded.cpu_features == (X86,)
        for loaded in observed(timed, Loaded)
    )
