"""A run from its first trial to its last record: every trial that has none, each device in a lane of its own."""

import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from harness.errors import DeviceError
from harness.measure.answering import open_accuracy
from harness.measure.floor import WORK, Floor, answers_name
from harness.measure.lane import Lane, Tally
from harness.measure.ready import Ready, check_artifacts
from harness.progress import Progress
from harness.store import read_run
from harness.values import Cell, Plan, Task, Text, Trial, TrialRecord

CUT_OFF = ("failed", "timed_out", "oom_killed", "lost_device")
"""How a trial ended that may have kept answers."""
Errand = tuple[Lane, Sequence[Trial]]


def execute_missing(folder: Path, plan: Plan, ready: Ready, data: Path | None, progress: Progress) -> None:
    """Execute every trial without a record, those of a device in the plan's order, and append each record at once.

    A trial of questions that failed and kept answers is gone on with: its last record is the one that counts.

    This machine's trials come first and alone, since looking after phones would be other load beside them. Phones
    go on side by side; where one is lost, the others end their trials first.

    Raises:
        DeviceError: a device is out of reach; what it has begun can be gone on with.
        StoreError: another artifact or other requests than those the run has records of, or the folder cannot be
            written.
    """
    run = read_run(folder)
    check_artifacts(run, ready)
    cells = {cell.key: cell for cell in plan.cells}
    done = {record.trial for record in run.records if not _goes_on(folder, record, cells[record.cell])}
    left = [trial for trial in plan.trials if trial.id not in done]
    shutil.rmtree(folder / WORK, ignore_errors=True)  # a killed process may have left half-written files
    lock = threading.RLock()
    try:
        floor = Floor(folder, plan, ready, data)
    except DeviceError as error:
        raise _with_hint(error, folder) from error
    try:
        wanted = [cells[trial.cell] for trial in left]
        floor.hold(wanted)
        open_accuracy(floor, run, wanted)
        with progress.bar("trials", len(plan.trials)) as bar:
            tally = Tally(bar, len(done), len(plan.trials))
            errands: dict[bool, list[Errand]] = {True: [], False: []}
            for spec in plan.suite.devices:
                own = [record for record in run.records if cells[record.cell].device == spec.name]
                lane = Lane(floor, spec.name, own, data, progress, lock)
                todo = [trial for trial in left if cells[trial.cell].device == spec.name]
                errands[spec.kind == "local"].append((lane, todo))
            for lane, trials in errands[True]:
                lane.go(trials, tally)
            _side_by_side(floor, errands[False], tally, progress)
    except DeviceError as error:
        raise _with_hint(error, folder) from error
    finally:
        floor.release()
        shutil.rmtree(folder / WORK, ignore_errors=True)


def _goes_on(folder: Path, record: TrialRecord, cell: Cell) -> bool:
    """A program that died amid its questions, or whose check failed: what it has answered is not asked again."""
    if record.status not in CUT_OFF or not isinstance(cell.workload, Task | Text):
        return False
    trial = Trial(id=record.trial, cell=record.cell, round=record.round)
    given = (folder / "answers").glob(f"{answers_name(trial, cell)}-*.jsonl")
    return any(path.stat().st_size for path in given)


def _with_hint(error: DeviceError, folder: Path) -> DeviceError:
    return type(error)(f"{error}; `bench run --resume {folder.name}` goes on")


def _side_by_side(floor: Floor, errands: Sequence[Errand], tally: Tally, progress: Progress) -> None:
    """A thread for each. A phone that is lost ends its own lane, and is an error once all have ended; an interrupt,
    or any other error, ends them all."""
    if len(errands) == 0:
        return
    with ThreadPoolExecutor(len(errands), thread_name_prefix="lane") as pool:
        futures: list[Future[None]] = [pool.submit(lane.go, trials, tally) for lane, trials in errands]
        try:
            errors = _watch(futures, progress)
        except BaseException:
            floor.interrupt()
            raise
    if errors:
        raise errors[-1]


def _watch(lanes: Sequence["Future[None]"], progress: Progress) -> list[DeviceError]:
    """Until all have ended: what ended single ones, each said at once but for the last.

    Raises what ended one of them, unless that is its phone's matter alone.
    """
    errors: list[DeviceError] = []
    pending = set(lanes)
    while pending:
        ended, pending = wait(pending, return_when=FIRST_COMPLETED)
        for left, lane in enumerate(ended, 1 - len(ended)):
            error = lane.exception()
            if not isinstance(error, DeviceError):
                lane.result()
                continue
            errors.append(error)
            if pending or left < 0:
                progress.say(f"{error}; the others go on")
    return errors
