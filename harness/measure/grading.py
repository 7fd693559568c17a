"""Answers of a run → graded items, one record at a time."""

import shutil
from pathlib import Path

from harness.errors import BuildError, InputError, StoreError
from harness.measure.grade import grade_task, grade_text
from harness.measure.parts import part_of
from harness.measure.tasks import resolve_task
from harness.progress import Progress
from harness.store import inside, read_lines, read_run, write_lines
from harness.values import Answers, Cell, Plan, Task, Trial, TrialRecord


def forget_items(folder: Path) -> None:
    """Remove every graded item, so that `grade_missing` makes them anew from the answers."""
    shutil.rmtree(folder / "items", ignore_errors=True)


def grade_missing(folder: Path, plan: Plan, data: Path | None, progress: Progress) -> None:
    """Grade accuracy cells that have answers and no items yet, and compress their answers."""
    cells = {cell.key: cell for cell in plan.cells}
    run = read_run(folder)
    todo = [(r, o) for r in run.records for o in r.observations if isinstance(o, Answers)]
    todo = [(r, o) for r, o in todo if r.status == "ok" and not inside(folder, o.items).exists()]
    if not todo:
        return
    troubles: list[str] = []
    with progress.bar("grading", len(todo)) as bar:
        for number, (record, answers) in enumerate(todo, 1):
            compress(folder, answers)
            try:
                grade_record(folder, record, answers, cells[record.cell], plan, data)
            except (BuildError, InputError, StoreError) as error:  # this one can be graded again; the others are now
                troubles.append(str(error))
            bar.update(number, len(todo))
    if troubles:
        raise BuildError(f"{'; '.join(dict.fromkeys(troubles))} (the answers are kept: `bench regrade {folder.name}`)")


def grade_record(
    folder: Path, record: TrialRecord, answers: Answers, cell: Cell, plan: Plan, data: Path | None
) -> None:
    """Items of one record's answers.

    Raises:
        BuildError: lm-eval failed.
        InputError: the task's data are not there.
        StoreError: requests and answers do not fit each other.
    """
    trial = Trial(id=record.trial, cell=record.cell, round=record.round)
    part = part_of(plan, trial, cell)
    try:
        chosen = part.chosen(inside(folder, answers.requests)) if part else None
        if isinstance(cell.workload, Task):
            files = resolve_task(cell.workload.task, data, cell.workload.fewshot)
            grade_task(folder, answers, cell.workload, files, plan.suite.seed, chosen)
        else:
            grade_text(folder, answers, chosen)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{answers.answers} does not fit {answers.requests}: {error!r}") from error


def compress(folder: Path, answers: Answers) -> None:
    """Plain while running, compressed when complete; doing it again changes nothing."""
    target = inside(folder, answers.answers)
    plain = target.with_suffix("")
    if plain.exists():
        write_lines(target, list(read_lines(plain)))
        plain.unlink()
