"""Each trial of a run with what it says: one value a metric, or why it says nothing."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from harness.analyse.cells import SeenCell, read_cells
from harness.analyse.levels import measure_cells
from harness.store import Run
from harness.values import Task, Text, TrialRecord


@dataclass(frozen=True)
class SeenTrial:
    """A trial as reports count it: one that is set aside or impossible has its reason and no values."""

    cell: SeenCell
    record: TrialRecord
    status: str
    reason: str | None
    noise: tuple[str, ...]
    values: dict[str, float]


def read_trials(run: Run) -> list[SeenTrial]:
    """Every trial with a record, cell by cell in the plan's order, by round within a cell.

    Raises:
        StoreError: an items file is damaged.
    """
    cells = read_cells(run)
    by_cell: dict[str, list[TrialRecord]] = defaultdict(list)
    for record in run.records:
        by_cell[record.cell].append(record)
    scores = _scores(run, cells)
    return [trial for seen in cells for trial in _trials(seen, by_cell[seen.cell.key], scores)]


def _trials(seen: SeenCell, records: list[TrialRecord], scores: dict[str, dict[str, float]]) -> Iterator[SeenTrial]:
    counted = {record.trial for record in seen.counted}
    noise: dict[int | None, list[str]] = defaultdict(list)
    wrong: dict[int | None, tuple[str, str]] = {}
    for trouble in seen.troubles:
        if trouble.status == "noisy":
            noise[trouble.round].append(trouble.what)
        else:
            wrong[trouble.round] = (trouble.status, trouble.what)
    for record in sorted(records, key=lambda r: r.round):
        round_ = record.round
        if record.trial not in counted:
            status, reason = wrong.get(round_, (record.status, record.reason))
            yield SeenTrial(seen, record, status, reason, record.noise, {})
            continue
        values = {name: rounds[round_] for name, rounds in seen.values.items() if round_ in rounds}
        values |= scores.get(seen.cell.key, {})
        why = None if values else "nothing that a metric follows from was seen"
        yield SeenTrial(seen, record, record.status, why, tuple(noise.get(round_, ())), values)


def _scores(run: Run, cells: list[SeenCell]) -> dict[str, dict[str, float]]:
    """Cell → metric → score: an accuracy cell has one trial, whose values come from its items."""
    graded = [seen for seen in cells if isinstance(seen.cell.workload, Task | Text)]
    return {
        cell.seen.cell.key: {name: one.value for name, one in cell.metrics.items() if one.value is not None}
        for cell in measure_cells(run, graded)
    }
