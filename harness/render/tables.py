"""The comparison as tables: one run against its baselines, and runs side by side."""

from collections.abc import Sequence

from harness.analyse.findings import Report, Row
from harness.metrics import metric
from harness.render.page import Cell, Group, Notes, Table
from harness.render.settings import Setting, named
from harness.render.words import metric_title, points, quantity, status_words, times

NOTHING = "–"


def comparison_table(setting: Setting, notes: Notes, metrics: Sequence[str] | None = None) -> Table:
    """Every metric of every variant, and its ratio or difference against every baseline."""
    baselines = setting.run.baselines
    groups = []
    for name, workload in dict.fromkeys((r.metric, r.workload) for r in setting.rows):
        if metrics is not None and name not in metrics:
            continue
        variants = dict.fromkeys(r.variant for r in setting.rows if (r.metric, r.workload) == (name, workload))
        title = metric_title(name, setting.run.workloads.get(workload))
        against = () if metric(name).kind in ("distance", "device") else baselines
        rows = [_line(setting, setting.of(name, workload, v), against, notes) for v in variants]
        groups.append(Group(title, tuple(rows), None if against else ("variant", "value", "n")))
    header = ("variant", "value", *(f"against {b}" for b in baselines), "n")
    return Table(header=header, groups=tuple(groups), numeric=1, tiles=True)


def runs_table(report: Report, notes: Notes, metrics: Sequence[str] | None = None) -> Table:
    """A column for each run: value, and the ratio against that run's own first baseline."""
    by_place: dict[tuple[str, str | None, str, str, str | None], dict[str, Row]] = {}
    for row in report.rows:
        if metrics is not None and row.metric not in metrics:
            continue
        place = (row.metric, row.runtime, row.device, row.workload, row.variant)
        by_place.setdefault(place, {}).setdefault(row.run, row)
    titles: dict[str, list[tuple[Cell, ...]]] = {}
    many = len({(device, runtime) for _, runtime, device, _, _ in by_place if runtime}) > 1
    for (name, runtime, device, workload, variant), rows in by_place.items():
        known = next(run.workloads.get(workload) for run in report.runs if run.id in rows)
        title = metric_title(name, known) + (f" ({device}, {runtime or 'any runtime'})" if many else "")
        cells = [_run_cell(report, rows.get(run.id), notes) for run in report.runs]
        who = dict.fromkeys(named(run, variant) for run in report.runs if run.id in rows)
        titles.setdefault(title, []).append((Cell(" / ".join(who)), *cells))
    header = ("variant", *(run.id for run in report.runs))
    groups = tuple(Group(title, tuple(rows)) for title, rows in titles.items())
    return Table(header=header, groups=groups, numeric=1)


def value_cell(setting: Setting, row: Row, refs: tuple[int, ...]) -> Cell:
    """The value, or why there is none."""
    if row.value is None:
        return Cell(no_value(row), refs)
    level = setting.levels.get((row.variant, row.workload, row.metric))
    low, high = (level.low, level.high) if level else (None, None)
    alone = metric(row.metric).kind == "distance"  # no other column has its interval
    return Cell(quantity(row.metric, row.value, low, high, interval=alone), refs)


def against_cell(row: Row) -> Cell:
    """Difference in points for metrics over items, ratio for everything else."""
    if row.diff is not None:
        return Cell(points(row.diff, row.diff_low, row.diff_high))
    if row.ratio is None:
        return Cell(NOTHING)
    exact = metric(row.metric).kind == "exact"
    return Cell(times(row.ratio, row.ratio_low, row.ratio_high, exact=exact))


def no_value(row: Row) -> str:
    """`failed: the program died by SIGSEGV`"""
    word, reason = status_words(row.status), row.reason or "no reason was recorded"
    return reason if reason.startswith(word) else f"{word}: {reason}"


def _line(setting: Setting, rows: list[Row], baselines: Sequence[str], notes: Notes) -> tuple[Cell, ...]:
    by_baseline = {row.baseline: row for row in rows}
    refs = notes.refs(tuple(dict.fromkeys(note for row in rows for note in row.notes)))
    counts = dict.fromkeys(f"{row.n:,}" for row in rows)
    return (
        Cell(setting.named(rows[0].variant)),
        value_cell(setting, rows[0], refs),
        *(against_cell(by_baseline[b]) if b in by_baseline else Cell(NOTHING) for b in baselines),
        Cell(" / ".join(counts)),
    )


def _run_cell(report: Report, row: Row | None, notes: Notes) -> Cell:
    if row is None:
        return Cell(NOTHING)
    refs = notes.refs(row.notes)
    if row.value is None:
        return Cell(no_value(row), refs)
    level = next(
        (
            one
            for one in report.levels
            if (one.run, one.variant, one.runtime, one.device, one.workload, one.metric)
            == (row.run, row.variant, row.runtime, row.device, row.workload, row.metric)
        ),
        None,
    )
    shown = quantity(row.metric, row.value, level.low if level else None, level.high if level else None)
    against = against_cell(row).text
    return Cell(shown if against == NOTHING else f"{shown}; {against} against {row.baseline}", refs)
