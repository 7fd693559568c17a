"""Whether a line that is called a mean of tasks follows from their scores."""

from collections.abc import Iterator

from harness.analyse.audit.figures import score
from harness.analyse.audit.findings import Finding
from harness.analyse.audit.intervals import loosened, mean, said, touch
from harness.published import ClaimFile, Printed, PublishedTask


def printed_means(file: ClaimFile) -> Iterator[Finding]:
    """One finding a line of means, or one a row that contradicts where others of the line follow.

    A line of which no row follows may be weighed, or be of other tasks than those that are shown: that is no
    contradiction, and must be said.
    """
    by_name = {task.name: task for task in file.tasks}
    for task in file.tasks:
        if not task.mean_of:
            continue
        rows = dict(_rows(task, [by_name[name] for name in task.mean_of]))
        wrong = {row: both for row, both in rows.items() if not touch(*both)}
        if rows and len(wrong) == len(rows):
            yield _no_simple_mean(task, rows)
            continue
        for row, both in wrong.items():
            yield _contradiction(task, row, *both)
        if right := len(rows) - len(wrong):
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


def _no_simple_mean(task: PublishedTask, rows: dict[str, tuple[Printed, Printed]]) -> Finding:
    row, (found, printed) = next(iter(rows.items()))
    return Finding(
        rule="means",
        verdict="note",
        sentence=f"{task.name} is in no row the mean of the {len(task.mean_of)} tasks (of {row} "
        f"{said(printed.value, 4)}, the mean {said(found.value, 4)}): it is weighed, of other tasks, or wrong.",
    )
