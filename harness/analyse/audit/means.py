"""Whether a line that is called a mean of tasks follows from their scores."""

from collections.abc import Iterator

from harness.analyse.audit.figures import score
from harness.analyse.audit.findings import Finding
from harness.analyse.audit.intervals import loosened, mean, said, touch
from harness.published import ClaimFile, Printed, PublishedTask

FEWEST = 2
"""Rows that must follow before another one that does not is a contradiction: one may follow by chance."""


def printed_means(file: ClaimFile) -> Iterator[Finding]:
    """One finding a line of means, and one a row that contradicts where most others of the line follow.

    A line of which few rows follow may be weighed, or be of other tasks than those that are shown: that is no
    contradiction, and must be said.
    """
    by_name = {task.name: task for task in file.tasks}
    for task in file.tasks:
        rows = dict(_rows(task, [by_name[name] for name in task.mean_of])) if task.mean_of else {}
        if not rows:
            continue
        wrong = {row: both for row, both in rows.items() if not touch(*both)}
        right = len(rows) - len(wrong)
        if wrong and right < max(FEWEST, len(wrong) + 1):
            yield _no_simple_mean(task, rows, wrong)
            continue
        for row, both in wrong.items():
            yield _contradiction(task, row, *both)
        yield Finding(
            rule="means",
            verdict="follows",
            sentence=f"{task.name}: {right} of {len(rows)} are the mean of the {len(task.mean_of)} tasks.",
        )


def _rows(task: PublishedTask, of: list[PublishedTask]) -> Iterator[tuple[str, tuple[Printed, Printed]]]:
    """Row → (recomputed, printed), where all its scores are known."""
    for row in task.values:
        printed, scores = score(task, row), [score(one, row) for one in of]
        known = [one for one in scores if one is not None]
        if printed is not None and len(known) == len(scores):
            yield row, (mean(known), loosened(printed))


def _contradiction(task: PublishedTask, row: str, found: Printed, printed: Printed) -> Finding:
    return Finding(
        rule="means",
        verdict="contradiction",
        row=row,
        sentence=f"{task.name} is {said(printed.value, 4)}, the mean of the {len(task.mean_of)} tasks "
        f"{said(found.value, 4)}; in other rows the mean follows.",
        unit="%",
        recomputed=found,
        printed=printed,
    )


def _no_simple_mean(
    task: PublishedTask, rows: dict[str, tuple[Printed, Printed]], wrong: dict[str, tuple[Printed, Printed]]
) -> Finding:
    row, (found, printed) = next(iter(wrong.items()))
    return Finding(
        rule="means",
        verdict="note",
        sentence=f"{task.name} is in {len(wrong)} of {len(rows)} rows not the mean of the {len(task.mean_of)} tasks "
        f"(of {row} {said(printed.value, 4)}, the mean {said(found.value, 4)}): weighed, of other tasks, or wrong.",
    )
