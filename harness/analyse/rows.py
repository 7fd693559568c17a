"""The rows of a run: every metric of every cell, against every baseline of the run."""

from collections.abc import Sequence

from harness.analyse.cells import read_cells
from harness.analyse.findings import Row
from harness.analyse.levels import Measured, MeasuredCell, interval_reason, measure_cells
from harness.analyse.pairs import Compared, compare_metric
from harness.analyse.places import Place, place
from harness.metrics import metric
from harness.stats import bounds
from harness.store import Run

Others = dict[str, MeasuredCell | None]
"""Baseline → its cell in the same place, where it has one."""


def run_rows(run: Run) -> list[Row]:
    """The rows of a run alone, without all else that a report needs.

    Raises:
        StoreError: an items file is damaged.
    """
    cells = in_order(run, measure_cells(run, read_cells(run)))
    by_place = {place(cell): cell for cell in cells}
    found: list[Row] = []
    for cell in cells:
        others = others_of(run, cell, by_place)
        for measured in cell.metrics.values():
            found += metric_rows(run, cell, measured, others)
    return found


def in_order(run: Run, cells: Sequence[MeasuredCell]) -> list[MeasuredCell]:
    """Cells by variant, in the suite's order; those of the device first."""
    order = {v.name: i for i, v in enumerate(run.plan.suite.variants)}
    return sorted(cells, key=lambda c: order.get(c.seen.cell.variant or "", -1))


def others_of(run: Run, cell: MeasuredCell, by_place: dict[Place, MeasuredCell]) -> Others:
    """What a cell is compared with: nothing for the device's own cells and for baselines."""
    variant = cell.seen.cell.variant
    names = () if variant is None else run.plan.suite.baselines_of(variant)
    return {name: by_place.get(place(cell, name)) for name in names}


def metric_rows(run: Run, cell: MeasuredCell, measured: Measured, others: Others) -> list[Row]:
    """One row a baseline, or one without a baseline where no ratio is due."""
    if not others or metric(measured.metric).kind in ("distance", "device"):
        return [_row(run, cell, measured, None, None, Compared(n=measured.n))]
    rows = []
    for name, other in others.items():
        compared = compare_metric(cell, other, measured.metric)
        value = other.metrics[measured.metric].value if other and measured.metric in other.metrics else None
        rows.append(_row(run, cell, measured, name, value, compared))
    return rows


def _row(
    run: Run,
    cell: MeasuredCell,
    measured: Measured,
    baseline: str | None,
    baseline_value: float | None,
    compared: Compared,
) -> Row:
    seen = cell.seen
    ratio_low, ratio_high = bounds(compared.ratio_interval)
    diff_low, diff_high = bounds(compared.diff_interval)
    notes = (*measured.notes, *compared.notes)
    if baseline is None and (why := interval_reason(measured)):
        notes = (*notes, why)
    return Row(
        run=run.id,
        variant=seen.cell.variant,
        baseline=baseline,
        runtime=seen.runtime,
        device=seen.cell.device,
        workload=seen.workload,
        metric=measured.metric,
        unit=metric(measured.metric).unit,
        status=seen.status,
        reason=measured.reason,
        value=measured.value,
        baseline_value=baseline_value,
        ratio=compared.ratio,
        ratio_low=ratio_low,
        ratio_high=ratio_high,
        diff=compared.diff,
        diff_low=diff_low,
        diff_high=diff_high,
        n=compared.n,
        notes=tuple(dict.fromkeys(notes)),
        artifact_sha256=seen.artifact_sha256,
    )
