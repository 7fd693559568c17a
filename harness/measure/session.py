"""A run from its first trial to its last graded item: execute what has no record, grade what has no items."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.errors import BuildError, InputError, StoreError
from harness.measure.answering import open_accuracy, with_answers
from harness.measure.enough import EarlyStop
from harness.measure.enough_questions import EnoughQuestions
from harness.measure.execute import execute
from harness.measure.floor import WORK, Floor
from harness.measure.grade import grade_task, grade_text
from harness.measure.parts import part_of
from harness.measure.ready import Ready, check_artifacts
from harness.measure.tasks import resolve_task
from harness.progress import Progress
from harness.store import Run, append_record, inside, read_lines, read_run, write_lines
from harness.values import Answers, Cell, CrossChecked, Plan, Status, Task, Text, Trial, TrialRecord


def execute_missing(folder: Path, plan: Plan, ready: Ready, data: Path | None, progress: Progress) -> None:
    """Execute every trial without a record, in the plan's order, and append each record at once.

    Raises:
        StoreError: another artifact or other requests than those the run has records of, or the folder cannot be
            written.
    """
    run = read_run(folder)
    check_artifacts(run, ready)
    done = {record.trial for record in run.records}
    cells = {cell.key: cell for cell in plan.cells}
    left = [trial for trial in plan.trials if trial.id not in done]
    shutil.rmtree(folder / WORK, ignore_errors=True)  # a killed process may have left half-written files
    floor = Floor(folder, plan, ready, data)
    open_accuracy(floor, run, [cells[t.cell] for t in left])
    for record in run.records:
        _remember_check(floor, record)
    early, questions = EarlyStop(plan, run.records), _asked_before(folder, run, data, progress)
    try:
        with progress.bar("trials", len(plan.trials)) as bar:
            bar.update(len(done), len(plan.trials))
            for number, trial in enumerate(left, len(done) + 1):
                cell = cells[trial.cell]
                spared = early.reason(trial, cell) or questions.reason(trial, cell)
                record = _not_run(trial, "not_needed", spared) if spared else _one(floor, trial, cell, progress)
                append_record(folder, record)
                early.add(record)
                _remember_check(floor, record)
                _grade_round(folder, record, cell, questions, data, progress)
                _report_trouble(record, cells[trial.cell], progress)
                bar.update(number, len(plan.trials))
    finally:
        shutil.rmtree(folder / WORK, ignore_errors=True)


def _remember_check(floor: Floor, record: TrialRecord) -> None:
    """A cell that a cross-check found wrong is not asked any more."""
    if record.status == "failed" and any(isinstance(o, CrossChecked) for o in record.observations):
        floor.broken[record.cell] = str(record.reason)


def _asked_before(folder: Path, run: Run, data: Path | None, progress: Progress) -> EnoughQuestions:
    """What earlier rounds of questions found, graded now where they are not yet."""
    questions = EnoughQuestions(run.plan)
    cells = {cell.key: cell for cell in run.plan.cells}
    for record in run.records:
        _grade_round(folder, record, cells[record.cell], questions, data, progress)
    return questions


def _grade_round(
    folder: Path, record: TrialRecord, cell: Cell, questions: EnoughQuestions, data: Path | None, progress: Progress
) -> None:
    """Rounds of questions are graded one by one, since what they found decides whether to go on.

    One that cannot be graded decides nothing; the end of the run says so.
    """
    if cell.key not in questions.cells or record.status != "ok":
        return
    build = record.environment.runner_sha256 if record.environment else None
    for answers in (o for o in record.observations if isinstance(o, Answers)):
        try:
            if not inside(folder, answers.items).exists():
                _compress(folder, answers)
                grade_record(folder, record, answers, cell, questions.plan, data)
        except (BuildError, InputError, StoreError) as error:
            progress.say(f"{cell.variant} {cell.workload.label}, round {record.round + 1}, not graded: {error}")
            return
        questions.add(cell.key, record.round, answers.of, build, read_lines(inside(folder, answers.items)))


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
            _compress(folder, answers)
            try:
                grade_record(folder, record, answers, cells[record.cell], plan, data)
            except (
                BuildError,
                StoreError,
            ) as error:  # the other cells are graded all the same; this one can be graded again
                troubles.append(str(error))
            bar.update(number, len(todo))
    if troubles:
        raise BuildError(f"{'; '.join(troubles)} (the answers are kept: `bench regrade {folder.name}`)")


def grade_record(
    folder: Path, record: TrialRecord, answers: Answers, cell: Cell, plan: Plan, data: Path | None
) -> None:
    """Items of one record's answers.

    Raises:
        BuildError: lm-eval failed.
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


def _one(floor: Floor, trial: Trial, cell: Cell, progress: Progress) -> TrialRecord:
    if cell.unsupported is None and (why := floor.why_not(cell)) is not None:
        return _failed(trial, why)
    work = floor.folder / WORK / "trial"
    if cell.unsupported is not None:
        return execute(trial, cell, floor.bare_equipment(cell), work, None)
    try:
        equipment = floor.equipment(trial, cell)
    except BuildError as error:  # such as a model that llama.cpp cannot read
        return _failed(trial, str(error))
    if (changed := floor.changed(cell)) is not None:
        return _failed(trial, changed)
    if not isinstance(cell.workload, Task | Text):
        return _unless_changed(floor, cell, execute(trial, cell, equipment, work, None))
    what = f"{cell.variant} {cell.workload.label}"
    with progress.bar(what) as bar:
        record = _unless_changed(floor, cell, execute(trial, cell, equipment, work, bar.update))
    return with_answers(floor, trial, cell, record) if record.status == "ok" else record


def _unless_changed(floor: Floor, cell: Cell, record: TrialRecord) -> TrialRecord:
    """What was seen of a file that changed meanwhile belongs to no artifact."""
    changed = floor.changed(cell)
    return record if changed is None else msgspec.structs.replace(record, status="invalid", reason=changed)


def _failed(trial: Trial, why: str) -> TrialRecord:
    return _not_run(trial, "failed", why)


def _not_run(trial: Trial, status: Status, why: str) -> TrialRecord:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return TrialRecord(trial=trial.id, cell=trial.cell, round=trial.round, status=status, reason=why, started=now)


def _compress(folder: Path, answers: Answers) -> None:
    """Plain while running, compressed when complete; doing it again changes nothing."""
    target = inside(folder, answers.answers)
    plain = target.with_suffix("")
    if plain.exists():
        write_lines(target, list(read_lines(plain)))
        plain.unlink()


def _report_trouble(record: TrialRecord, cell: Cell, progress: Progress) -> None:
    if record.status in ("ok", "unsupported", "not_needed") and not record.noise:
        return
    what = " ".join(p for p in (cell.variant or cell.device, cell.measure, cell.workload.label) if p)
    text = record.reason or "; ".join(record.noise)
    progress.say(f"{what}, round {record.round + 1}: {record.status if record.reason else 'noisy'}: {text}")
