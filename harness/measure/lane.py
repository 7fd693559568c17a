"""The trials of one device, one after the other. Several devices have a lane each, and may go on side by side."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.errors import BuildError, InputError, StoreError
from harness.measure.answering import with_answers
from harness.measure.enough import EarlyStop
from harness.measure.enough_questions import EnoughQuestions
from harness.measure.execute import execute, unfit
from harness.measure.floor import WORK, Floor
from harness.measure.grading import compress, grade_record
from harness.measure.trust import HostTrust, Trust, Trusting
from harness.progress import Bar, Progress
from harness.store import append_record, inside, read_lines
from harness.values import Answers, Cell, CrossChecked, ParitySeen, Status, Task, Text, Trial, TrialRecord


class Tally:
    """How many trials of a run have a record; one for all lanes."""

    def __init__(self, bar: Bar, done: int, total: int) -> None:
        self._bar, self._done, self._total = bar, done, total
        bar.update(done, total)

    def one_more(self) -> None:
        self._done += 1
        self._bar.update(self._done, self._total)


class Lane:
    """Everything but the trial itself happens under one lock, which all lanes of a run share."""

    def __init__(
        self,
        floor: Floor,
        device: str,
        records: Sequence[TrialRecord],
        data: Path | None,
        progress: Progress,
        lock: threading.RLock,
    ) -> None:
        self.floor, self.data, self.progress, self.lock = floor, data, progress, lock
        self.cells = {cell.key: cell for cell in floor.plan.cells}
        self.trust: Trusting | None = Trust(floor, device, progress) if device in floor.ready.builds else None
        here = floor.devices[device].spec.kind == "local"
        self.host: HostTrust | None = HostTrust(floor, device) if here else None
        self.early = EarlyStop(floor.plan, records)
        self.questions = EnoughQuestions(floor.plan)
        for record in records:
            _remember_check(floor, record)
            self._grade_round(record, self.cells[record.cell])

    def go(self, trials: Sequence[Trial], tally: Tally) -> None:
        """Execute every trial and append each record at once.

        Raises:
            DeviceError: the device is lost or not the one that was named; the trial has no record then.
            StoreError: the run folder cannot be written.
        """
        for trial in trials:
            cell = self.cells[trial.cell]
            with self.lock:
                spared = self.early.reason(trial, cell) or self.questions.reason(trial, cell)
            record = not_run(trial, "not_needed", spared) if spared else self._one(trial, cell)
            with self.lock:
                append_record(self.floor.folder, record)
                self.early.add(record)
                _remember_check(self.floor, record)
                self._grade_round(record, cell)
                _report_trouble(record, cell, self.progress)
                tally.one_more()
            self.floor.forget(trial, cell)  # after the lock: a phone that does not answer holds up no other lane

    def _one(self, trial: Trial, cell: Cell) -> TrialRecord:
        floor, work = self.floor, self.floor.folder / WORK / cell.device
        with self.lock:
            if cell.unsupported is None and (why := floor.why_not(cell)) is not None:
                return _failed(trial, why)
            if cell.unsupported is not None and self.trust is not None:
                return not_run(trial, "unsupported", cell.unsupported)  # a phone need not be asked for that
            if cell.unsupported is not None:
                return execute(trial, cell, floor.bare_equipment(cell), work, None)
        parity = None
        if self.trust and cell.runtime:
            # Before gigabytes are pushed and checked that cannot be loaded there.
            if (lacks := unfit(trial, cell, floor.bare_equipment(cell))) is not None:
                return lacks
            try:
                parity = self.trust.ensure(cell)
            except BuildError as error:
                floor.broken[cell.key] = str(error)  # no other round of it is tried
                return _failed(trial, str(error))
        with self.lock:
            try:
                if self.host is not None:
                    self.host.ensure(cell)
            except BuildError as error:
                floor.broken[cell.key] = str(error)  # as above
                return _failed(trial, str(error))
            try:
                equipment = floor.equipment(trial, cell)
            except BuildError as error:  # such as a model that llama.cpp cannot read
                return _failed(trial, str(error))
            if (changed := floor.changed(cell)) is not None:
                return _failed(trial, changed)
        if not isinstance(cell.workload, Task | Text):
            record = self._unless_changed(cell, execute(trial, cell, equipment, work, None))
            return self._with_more(record, cell, parity)
        with self.progress.bar(f"{cell.variant} {cell.workload.label}") as bar:
            record = self._unless_changed(cell, execute(trial, cell, equipment, work, bar.update))
        with self.lock:
            record = with_answers(floor, trial, cell, record) if record.status == "ok" else record
        return self._with_more(record, cell, parity)

    def _with_more(self, record: TrialRecord, cell: Cell, parity: ParitySeen | None) -> TrialRecord:
        """What was seen of the artifact and the device before the trial belongs to its record."""
        more = (*(() if parity is None else (parity,)), *self.floor.devices[cell.device].noticed())
        return msgspec.structs.replace(record, observations=(*record.observations, *more))

    def _unless_changed(self, cell: Cell, record: TrialRecord) -> TrialRecord:
        """What was seen of a file that changed meanwhile belongs to no artifact."""
        changed = self.floor.changed(cell)
        return record if changed is None else msgspec.structs.replace(record, status="invalid", reason=changed)

    def _grade_round(self, record: TrialRecord, cell: Cell) -> None:
        """Rounds of questions are graded one by one, since what they found decides whether to go on.

        One that cannot be graded decides nothing; the end of the run says so.
        """
        if cell.key not in self.questions.cells or record.status != "ok":
            return
        folder, plan = self.floor.folder, self.floor.plan
        build = record.environment.runner_sha256 if record.environment else None
        for answers in (o for o in record.observations if isinstance(o, Answers)):
            try:
                if not inside(folder, answers.items).exists():
                    compress(folder, answers)
                    grade_record(folder, record, answers, cell, plan, self.data)
            except (BuildError, InputError, StoreError) as error:
                what = f"{cell.variant} {cell.workload.label}, round {record.round + 1}"
                self.progress.say(f"{what}, not graded: {error}")
                return
            lines = read_lines(inside(folder, answers.items))
            self.questions.add(cell.key, record.round, answers.of, build, lines)


def not_run(trial: Trial, status: Status, why: str) -> TrialRecord:
    """The record of a trial for which no program was started."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return TrialRecord(trial=trial.id, cell=trial.cell, round=trial.round, status=status, reason=why, started=now)


def _failed(trial: Trial, why: str) -> TrialRecord:
    return not_run(trial, "failed", why)


def _remember_check(floor: Floor, record: TrialRecord) -> None:
    """A cell that a cross-check found wrong is not asked any more."""
    if record.status == "failed" and any(isinstance(o, CrossChecked) for o in record.observations):
        floor.broken[record.cell] = str(record.reason)


def _report_trouble(record: TrialRecord, cell: Cell, progress: Progress) -> None:
    if record.status in ("ok", "unsupported", "not_needed") and not record.noise:
        return
    what = " ".join(p for p in (cell.variant or cell.device, cell.measure, cell.workload.label) if p)
    text = record.reason or "; ".join(record.noise)
    progress.say(f"{what}, round {record.round + 1}: {record.status if record.reason else 'noisy'}: {text}")
