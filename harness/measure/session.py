"""A run from its plan to its last graded item: make what is missing, execute what has no record, grade."""

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.build.artifacts import Workshop
from harness.build.runners.llama_cpp_build import Runner, ensure_runner
from harness.errors import BuildError, InputError, StoreError
from harness.measure.devices import open_device
from harness.measure.enough import EarlyStop
from harness.measure.execute import Equipment, execute
from harness.measure.grade import check_answers, grade_task, grade_text
from harness.measure.inputs import Preparation, Reference
from harness.measure.jobs import Device
from harness.measure.requests import Requests, plain_requests
from harness.measure.runtimes.llama_cpp import Inputs
from harness.measure.tasks import TaskFile, resolve_task
from harness.progress import Progress
from harness.store import Run, append_record, inside, read_lines, read_run, write_durably, write_lines
from harness.values import (
    Answers,
    Artifact,
    Cell,
    DeviceSpec,
    Plan,
    Prompted,
    Size,
    Speed,
    Status,
    Task,
    Text,
    Trial,
    TrialRecord,
    digest,
)

WORK = ".work"


class Ready(msgspec.Struct):
    """Everything made for a run: what is missing here has its reason in `broken`."""

    runner: Runner | None
    artifacts: dict[str, Artifact]
    broken: dict[str, str]
    """Variant → why its artifact could not be made."""
    preparation: Preparation | None


def prepare(plan: Plan, progress: Progress) -> Ready:
    """Make the runner and every artifact.

    Raises:
        InputError: a base model does not exist.
        SetupError: no compiler, no network.
        InputError: no variant at all could be made.
    """
    suite = plan.suite
    runner = ensure_runner(progress)
    workshop = Workshop(runner, progress)
    artifacts: dict[str, Artifact] = {}
    broken: dict[str, str] = {}
    for variant in suite.variants:
        try:
            artifacts[variant.name] = workshop.ensure(variant)
        except BuildError as error:
            broken[variant.name] = str(error)
            progress.say(f"{variant.name}: {error}")
    if not artifacts:
        raise InputError(next(iter(broken.values())))
    local = open_device(DeviceSpec(name="local"))
    return Ready(runner, artifacts, broken, Preparation(local, runner, workshop, suite, progress))


def execute_missing(folder: Path, plan: Plan, ready: Ready, data: Path | None, progress: Progress) -> None:
    """Execute every trial without a record, in the plan's order, and append each record at once.

    Raises:
        StoreError: another artifact than the one the run has records of, or the folder cannot be written.
    """
    run = read_run(folder)
    check_artifacts(run, ready)
    done = {record.trial for record in run.records}
    cells = {cell.key: cell for cell in plan.cells}
    left = [trial for trial in plan.trials if trial.id not in done]
    shutil.rmtree(folder / WORK, ignore_errors=True)  # a killed process may have left half-written files
    floor = Floor(folder, plan, ready, data)
    _open_accuracy(floor, [cells[t.cell] for t in left])
    early = EarlyStop(plan, run.records)
    try:
        with progress.bar("trials", len(plan.trials)) as bar:
            bar.update(len(done), len(plan.trials))
            for number, trial in enumerate(left, len(done) + 1):
                record = _spared(early, trial, cells[trial.cell]) or _one(floor, trial, cells[trial.cell], progress)
                append_record(folder, record)
                early.add(record)
                _report_trouble(record, cells[trial.cell], progress)
                bar.update(number, len(plan.trials))
    finally:
        shutil.rmtree(folder / WORK, ignore_errors=True)


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
                _grade(folder, answers, cells[record.cell], plan, data)
            except (
                BuildError,
                StoreError,
            ) as error:  # the other cells are graded all the same; this one can be graded again
                troubles.append(str(error))
            bar.update(number, len(todo))
    if troubles:
        raise BuildError(f"{'; '.join(troubles)} (the answers are kept: `bench regrade {folder.name}`)")


def _grade(folder: Path, answers: Answers, cell: Cell, plan: Plan, data: Path | None) -> None:
    try:
        if isinstance(cell.workload, Task):
            files = resolve_task(cell.workload.task, data, cell.workload.fewshot)
            grade_task(folder, answers, cell.workload, files, plan.suite.seed)
        else:
            grade_text(folder, answers)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{answers.answers} does not fit {answers.requests}: {error!r}") from error


def check_artifacts(run: Run, ready: Ready) -> None:
    """A resumed run refuses another artifact than the one its records name, and to go on without one it had.

    Raises:
        StoreError: with variant and both hashes, or with what is wrong with the artifact.
    """
    variants = {cell.key: cell.variant for cell in run.plan.cells}
    for record in run.records:
        why = ready.broken.get(variants.get(record.cell) or "")
        if why is not None and record.artifact_sha256:
            raise StoreError(f"{run.id} cannot go on: {why}")
        artifact = ready.artifacts.get(variants.get(record.cell) or "")
        if artifact and record.artifact_sha256 and record.artifact_sha256 != artifact.sha256:
            raise StoreError(
                f"{run.id} measured {artifact.variant} with sha256 {record.artifact_sha256[:12]}…, "
                f"but it is {artifact.sha256[:12]}… now: start a new run"
            )


class Floor:
    """Where the trials of one run happen: its folder, devices, and the inputs made so far."""

    def __init__(self, folder: Path, plan: Plan, ready: Ready, data: Path | None) -> None:
        self.folder, self.plan, self.ready, self.data = folder, plan, ready, data
        self.devices: dict[str, Device] = {spec.name: open_device(spec) for spec in plan.suite.devices}
        self.facts = {name: device.facts() for name, device in self.devices.items()}
        self.variants = {v.name: v for v in plan.suite.variants}
        self.requests: dict[str, Requests] = {}
        self.references: dict[str, Reference] = {}
        self.labels: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        """Cell → why its inputs could not be made."""

    def why_not(self, cell: Cell) -> str | None:
        if cell.variant is not None and cell.variant in self.ready.broken:
            return f"the artifact could not be made: {self.ready.broken[cell.variant]}"
        return self.broken.get(cell.key)

    def changed(self, cell: Cell) -> str | None:
        """Why the cell's artifact is no longer the one that was made, or None."""
        preparation, artifact = self.ready.preparation, self.ready.artifacts.get(cell.variant or "")
        return preparation.workshop.changed(artifact) if preparation and artifact else None

    def equipment(self, cell: Cell) -> Equipment:
        """What the cell's trial needs.

        Raises:
            BuildError: the prompt cannot be made with this model.
        """
        inputs = None if isinstance(cell.workload, Size) else self._inputs(cell)
        return msgspec.structs.replace(self.bare_equipment(cell), inputs=inputs)

    def bare_equipment(self, cell: Cell) -> Equipment:
        """Without inputs: for cells that run no program."""
        runner = self.ready.runner
        return Equipment(
            device=self.devices[cell.device],
            facts=self.facts[cell.device],
            artifact=self.ready.artifacts.get(cell.variant or ""),
            inputs=None,
            runner_sha256=runner.sha256 if runner and cell.runtime else None,
        )

    def answers(self, cell: Cell) -> Path:
        """Answers in progress; those of other requests, another artifact or another runner are not gone on with."""
        artifact, runner = self.ready.artifacts[cell.variant or ""], self.ready.runner
        of = digest([self.requests[cell.key].hash, artifact.sha256, runner and runner.sha256])[:8]
        return self.folder / "answers" / f"{cell.key}-{of}.jsonl"

    def _inputs(self, cell: Cell) -> Inputs:
        assert self.ready.runner is not None
        inputs = Inputs(program=self.ready.runner.path)
        if cell.variant is None:
            return inputs
        artifact = self.ready.artifacts[cell.variant]
        inputs = msgspec.structs.replace(inputs, model=artifact.path)
        if isinstance(cell.workload, Prompted):
            return self._with_prompt(cell, inputs, artifact)
        if not isinstance(cell.workload, Task | Text):
            return inputs
        requests = self.requests[cell.key]
        plain = self.folder / WORK / f"requests-{requests.hash}.jsonl"
        if not plain.exists():
            plain.parent.mkdir(exist_ok=True)
            plain_requests(requests.path, plain)
        self.answers(cell).parent.mkdir(exist_ok=True)
        reference = self.references.get(cell.key)
        return msgspec.structs.replace(
            inputs,
            requests=str(plain),
            answers=str(self.answers(cell)),
            reference=str(reference.path) if reference else None,
            generates=requests.generates,
            timeout_s=24 * 3600.0,
        )

    def _with_prompt(self, cell: Cell, inputs: Inputs, artifact: Artifact) -> Inputs:
        load, preparation = cell.workload, self.ready.preparation
        assert isinstance(load, Prompted) and preparation is not None and cell.variant
        depth = load.depth if isinstance(load, Speed) else 0
        model = self.variants[cell.variant].model
        tokens = preparation.prompt(model, artifact, depth + load.prompt_tokens)
        return msgspec.structs.replace(inputs, prefix=tokens[:depth], prompt=tokens[depth:])


def _open_accuracy(floor: Floor, cells: Iterable[Cell]) -> None:
    """Make requests and references before the first trial, so that no timed window waits on them."""
    for cell in cells:
        if cell.unsupported or not isinstance(cell.workload, Task | Text) or floor.why_not(cell):
            continue
        try:
            _open_cell(floor, cell)
        except (BuildError, InputError) as error:
            floor.broken[cell.key] = str(error)


def _open_cell(floor: Floor, cell: Cell) -> None:
    preparation, artifacts = floor.ready.preparation, floor.ready.artifacts
    assert preparation is not None and cell.variant is not None
    variant = floor.variants[cell.variant]
    load = cell.workload
    files: list[TaskFile] = resolve_task(load.task, floor.data, load.fewshot) if isinstance(load, Task) else []
    requests = preparation.requests(cell, variant, artifacts[cell.variant], files)
    kept = floor.folder / "requests" / f"{requests.hash}.jsonl.gz"
    if not kept.exists():
        write_durably(kept, requests.path.read_bytes())
    floor.requests[cell.key] = requests
    floor.labels[cell.key] = "; ".join(sorted({f.label for f in files if f.label}))
    if isinstance(load, Text):
        name = load.reference or (*floor.plan.suite.baselines_of(variant.name), variant.name)[0]
        if name not in artifacts:
            raise BuildError(f"the reference {name} could not be made")
        reference = preparation.reference(cell, floor.variants[name], artifacts[name], requests)
        floor.references[cell.key] = reference


def _spared(early: EarlyStop, trial: Trial, cell: Cell) -> TrialRecord | None:
    """The record of a round that is not needed; None where it is."""
    reason = early.reason(trial, cell)
    return None if reason is None else _not_run(trial, "not_needed", reason)


def _one(floor: Floor, trial: Trial, cell: Cell, progress: Progress) -> TrialRecord:
    if cell.unsupported is None and (why := floor.why_not(cell)) is not None:
        return _failed(trial, why)
    work = floor.folder / WORK / "trial"
    if cell.unsupported is not None:
        return execute(trial, cell, floor.bare_equipment(cell), work, None)
    try:
        equipment = floor.equipment(cell)
    except BuildError as error:  # such as a model that llama.cpp cannot read
        return _failed(trial, str(error))
    if (changed := floor.changed(cell)) is not None:
        return _failed(trial, changed)
    if not isinstance(cell.workload, Task | Text):
        return _unless_changed(floor, cell, execute(trial, cell, equipment, work, None))
    what = f"{cell.variant} {cell.workload.label}"
    with progress.bar(what, floor.requests[cell.key].count) as bar:
        record = _unless_changed(floor, cell, execute(trial, cell, equipment, work, bar.update))
    return _with_answers(floor, cell, record) if record.status == "ok" else record


def _unless_changed(floor: Floor, cell: Cell, record: TrialRecord) -> TrialRecord:
    """What was seen of a file that changed meanwhile belongs to no artifact."""
    changed = floor.changed(cell)
    return record if changed is None else msgspec.structs.replace(record, status="invalid", reason=changed)


def _failed(trial: Trial, why: str) -> TrialRecord:
    return _not_run(trial, "failed", why)


def _not_run(trial: Trial, status: Status, why: str) -> TrialRecord:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return TrialRecord(trial=trial.id, cell=trial.cell, round=trial.round, status=status, reason=why, started=now)


def _with_answers(floor: Floor, cell: Cell, record: TrialRecord) -> TrialRecord:
    requests, reference = floor.requests[cell.key], floor.references.get(cell.key)
    path = floor.answers(cell)
    wrong = check_answers(requests.path, path)
    if wrong is not None:
        return msgspec.structs.replace(record, status="failed", reason=wrong)
    answers = Answers(
        requests=f"requests/{requests.hash}.jsonl.gz",
        answers=f"answers/{path.name}.gz",
        items=f"items/{cell.key}.jsonl.gz",
        count=requests.count,
        tokens=sum(_token_count(line) for line in read_lines(path)),
        task_versions=requests.versions,
        label=floor.labels.get(cell.key, ""),
        reference=reference.variant if reference else None,
        reference_sha256=reference.artifact_sha256 if reference else None,
    )
    noise = (
        (*record.noise, f"{requests.truncated} prompts cut to fit the context") if requests.truncated else record.noise
    )
    return msgspec.structs.replace(record, observations=(*record.observations, answers), noise=noise)


def _token_count(answer: dict[str, object]) -> int:
    tokens = answer.get("tokens")
    if isinstance(tokens, int):
        return tokens
    scored = answer.get("logprob")
    return len(scored) if isinstance(scored, list) else 0


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
