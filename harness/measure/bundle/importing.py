"""A result of a bundle → a run like any other; nothing is measured."""

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.errors import InputError, StoreError
from harness.measure.answering import open_accuracy
from harness.measure.bundle.make import check_plan
from harness.measure.bundle.manifest import FACTS, MANIFEST, PLAN, STATE, TARGET, Manifest, read_manifest
from harness.measure.bundle.questions import read_facts, read_state
from harness.measure.bundle.recorded import RecordedTrust, recorded_ready
from harness.measure.bundle.unpack import unpack
from harness.measure.devices.phone.preflight import check_identity, preflight
from harness.measure.devices.replay import ReplayDevice
from harness.measure.floor import WORK, Floor
from harness.measure.lane import Lane, Tally
from harness.measure.tasks import resolve_task
from harness.progress import Progress
from harness.run_checks import plan_contradicts
from harness.store import DAMAGE, create_run, encode, find_runs, hold_run, read_run, write_durably
from harness.values import SCHEMA_VERSION, Cell, PhoneSpec, Plan, ProcessSeen, Sha256, Task, Trial, TrialRecord, Value

IMPORTED = "imported.json"
DOES_NOT_FIT_TOGETHER = (KeyError, TypeError, ValueError, IndexError, AttributeError, AssertionError)
"""What reading a forged file as one of ours comes to."""


class Imported(Value, frozen=True, kw_only=True):
    """Where a run came from; lies beside its records."""

    result_sha256: Sha256
    """Of all that was in the result's file, however it was packed."""
    plan_sha256: Sha256
    """Of the bundle's own plan: this run's differs by the facts that were seen."""
    file: str
    """Its name."""
    made_by: str
    """Version of bench that made the bundle."""
    at: str
    """UTC, ISO 8601."""


def import_result(archive: Path, results: Path, data: Path | None, progress: Progress) -> Path:
    """Make the run; returns its folder, which is not graded yet.

    Raises:
        InputError: no archive of a result.
        StoreError: it holds what no result holds, is damaged, or was imported before.
        WrongDeviceError: the phone was not the one that the bundle is for.
    """
    with tempfile.TemporaryDirectory(prefix="bench-import-") as name:
        folder = Path(name)
        identity = unpack(archive, folder)
        _refuse_twice(identity, results)
        try:
            manifest = read_manifest(_part(folder, MANIFEST))
            plan = _plan(folder, manifest)
            for task in (m for m in plan.suite.measures if isinstance(m, Task)):
                resolve_task(task.task, data, task.fewshot)  # its data are needed to grade
            about = Imported(
                result_sha256=identity,
                plan_sha256=manifest.plan_sha256,
                file=archive.name,
                made_by=manifest.bench_version,
                at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            )
            return _run(_Result(folder, plan, manifest, about), results, data, progress)
        except DOES_NOT_FIT_TOGETHER as error:
            raise StoreError(f"{archive}: its parts do not fit each other: {error!r}") from error


class ReplayLane(Lane):
    """The trials of a phone that has done them: the time of each record is the phone's own."""

    phone: ReplayDevice

    def _one(self, trial: Trial, cell: Cell) -> TrialRecord:
        self.phone.turn_to(trial.id)
        record = super()._one(trial, cell)
        process = next((o for o in record.observations if isinstance(o, ProcessSeen)), None)
        started = self.phone.started(trial.id)
        return msgspec.structs.replace(
            record,
            started=started or record.started,
            duration_ns=process.wall_ns if process else record.duration_ns,
        )


class _Result(msgspec.Struct, frozen=True):
    """An unpacked result whose parts fit each other."""

    folder: Path
    plan: Plan
    manifest: Manifest
    about: Imported


def _run(result: _Result, results: Path, data: Path | None, progress: Progress) -> Path:
    spec, mark = result.manifest.device, result.manifest.mark
    assert isinstance(spec.phone, PhoneSpec)
    facts = read_facts(_part(result.folder, FACTS), mark, spec.name, spec.phone)
    check_identity(spec, facts)
    before = preflight(spec, read_state(_part(result.folder, STATE), mark, spec.phone))
    for one in before.findings:
        if one.state != "unknown":
            progress.say(f"before the first job: {one.seen}")
    plan = msgspec.structs.replace(result.plan, facts={spec.name: facts})
    made = create_run(results, plan, host=facts.model)
    try:
        with hold_run(made):
            phone = ReplayDevice(spec, facts, result.folder / "out", mark, before)
            _replay(made, plan, phone, result, data, progress)
            shutil.rmtree(made / WORK, ignore_errors=True)
            write_durably(made / IMPORTED, msgspec.json.format(encode(result.about), indent=1))
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)  # half an import would look like a run that can go on
        raise
    return made


def _replay(
    made: Path, plan: Plan, phone: ReplayDevice, result: _Result, data: Path | None, progress: Progress
) -> None:
    """Every trial of the plan, as if it were executed now."""
    manifest, name = result.manifest, phone.spec.name
    target = _part(result.folder, TARGET).decode("utf-8", errors="replace").strip()
    ready = recorded_ready(plan, manifest, target, result.folder, progress)
    floor = Floor(made, plan, ready, data, {name: phone})
    floor.hold()
    floor.broken.update(manifest.broken_cells)
    open_accuracy(floor, read_run(made), plan.cells)
    with progress.bar("trials", len(plan.trials)) as bar:
        lane = ReplayLane(floor, name, (), data, progress, threading.RLock())
        lane.phone, lane.trust = phone, RecordedTrust(floor, phone, manifest, target)
        lane.go(plan.trials, Tally(bar, 0, len(plan.trials)))


def _plan(folder: Path, manifest: Manifest) -> Plan:
    """Raises StoreError: it is damaged, another one than the manifest's, or no plan of a bundle."""
    body = _part(folder, PLAN)
    if hashlib.sha256(body).hexdigest() != manifest.plan_sha256:
        raise StoreError(f"{PLAN} in the archive is not the plan that its manifest names")
    try:
        plan = msgspec.json.decode(body, type=Plan)
    except DAMAGE as error:
        raise StoreError(f"{PLAN} in the archive is damaged, or of a newer bench: {error}") from error
    if plan.schema > SCHEMA_VERSION:
        raise StoreError(f"{PLAN} in the archive was written by a newer bench (schema {plan.schema})")
    if (wrong := plan_contradicts(plan)) is not None:
        raise StoreError(f"{PLAN} in the archive is damaged: {wrong}")
    try:
        spec = check_plan(plan)
    except InputError as error:
        raise StoreError(f"{PLAN} in the archive: {error}") from error
    strangers = [cell.key for cell in plan.cells if cell.device != spec.name]
    if spec != manifest.device or strangers or list(plan.facts) != [spec.name]:
        raise StoreError(f"{PLAN} and {MANIFEST} in the archive are of different phones")
    return plan


def _part(folder: Path, name: str) -> bytes:
    """Raises StoreError: the result lacks a file that each has."""
    path = folder / name
    if not path.is_file():
        raise StoreError(f"the archive has no {name}: the phone had not begun, or it is no result of a bundle")
    return path.read_bytes()


def _refuse_twice(identity: str, results: Path) -> None:
    for run, about in _imported(results):
        if about.result_sha256 == identity:
            raise InputError(f"this result was imported before: it is run {run.name}")


def _imported(results: Path) -> Iterator[tuple[Path, Imported]]:
    for run in find_runs(results):
        path = run / IMPORTED
        if path.is_file():
            try:
                yield run, msgspec.json.decode(path.read_bytes(), type=Imported)
            except DAMAGE:
                continue  # another run's damage is no reason to refuse this one
