"""Where the trials of one run happen: its folder, its devices, and the inputs made so far."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from harness.build.runners import Runner
from harness.errors import WrongDeviceError
from harness.measure.devices import open_device
from harness.measure.execute import Equipment, ids_begin, needed_bytes
from harness.measure.inputs import Preparation, Reference
from harness.measure.jobs import Device, FileNeeded, Inputs, room_for
from harness.measure.parts import part_of
from harness.measure.ready import Ready
from harness.measure.requests import Requests, plain_requests
from harness.values import (
    Artifact,
    Cell,
    DeviceFacts,
    PhoneFacts,
    Plan,
    Prompted,
    Size,
    Speed,
    Task,
    Text,
    Trial,
    digest,
)

WORK = ".work"
LONGEST_ANSWERING_S = 24 * 3600.0


class Floor:
    """Opens the devices; everything else is made when a cell first needs it."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        ready: Ready,
        data: Path | None,
        devices: Mapping[str, Device] | None = None,
    ) -> None:
        """`devices`: those of the plan by name; None: they are opened."""
        self.folder, self.plan, self.ready, self.data = folder, plan, ready, data
        given = (
            {spec.name: open_device(spec, ready.workshop.progress) for spec in plan.suite.devices}
            if devices is None
            else devices
        )
        self.devices: dict[str, Device] = dict(given)
        self.facts = {name: device.facts() for name, device in self.devices.items()}
        for name, seen in self.facts.items():
            _check_same(name, plan.facts.get(name), seen)
        self.variants = {v.name: v for v in plan.suite.variants}
        self.requests: dict[str, Requests] = {}
        self.references: dict[str, Reference] = {}
        self.labels: dict[str, str] = {}
        self.remarks: dict[str, str] = {}
        """Cell → what makes its answers doubtful whatever they are, such as another tokenizer."""
        self.chosen: dict[str, Runner] = {}
        """Phone → the build of llama.cpp's runner that its trials are measured with."""
        self.broken: dict[str, str] = {}
        """Cell → why its inputs could not be made."""

    def why_not(self, cell: Cell) -> str | None:
        why = self.ready.why_not(cell)
        return f"the artifact could not be made: {why}" if why is not None else self.broken.get(cell.key)

    def changed(self, cell: Cell) -> str | None:
        """Why the cell's artifact is no longer the one that was made, or None."""
        artifact = self.ready.artifact(cell)
        return self.ready.workshop.changed(artifact) if artifact else None

    def artifact(self, cell: Cell) -> Artifact:
        """The cell's artifact, which must have been made."""
        found = self.ready.artifact(cell)
        assert found is not None
        return found

    def preparation(self, cell: Cell) -> Preparation:
        """What makes inputs for the cell's runtime."""
        assert cell.runtime is not None
        return self.ready.preparations[cell.runtime.name]

    def equipment(self, trial: Trial, cell: Cell) -> Equipment:
        """What the cell's trial needs.

        Raises:
            BuildError: the prompt cannot be made with this model.
        """
        inputs = None if isinstance(cell.workload, Size) else self._inputs(trial, cell)
        return msgspec.structs.replace(self.bare_equipment(cell), inputs=inputs)

    def bare_equipment(self, cell: Cell) -> Equipment:
        """Without inputs: for cells that run no program."""
        runner = self.runner(cell)
        return Equipment(
            device=self.devices[cell.device],
            facts=self.facts[cell.device],
            artifact=self.ready.artifact(cell),
            inputs=None,
            runner_sha256=runner.sha256 if runner else None,
            run=self.folder.name,
            traces=self.folder / "traces",
        )

    def forget(self, trial: Trial, cell: Cell) -> None:
        """The trial has its record: its device need keep nothing of it."""
        self.devices[cell.device].forget(ids_begin(self.folder.name, trial))

    def hold(self, cells: Sequence[Cell] = ()) -> None:
        """Every device works for this run from now on; `cells` are those that have trials to come."""
        for name, device in self.devices.items():
            device.hold(self.folder.name, files_needed([cell for cell in cells if cell.device == name], self.ready))

    def release(self) -> None:
        for device in self.devices.values():
            device.release()

    def interrupt(self) -> None:
        """Every device ends what it does for this run."""
        for device in (*self.devices.values(), *(made.local for made in self.ready.preparations.values())):
            device.interrupt()

    def room(self, cell: Cell) -> int:
        """Tokens of context for the cell's questions."""
        trained = self.variants[str(cell.variant)].model.context
        given = cell.workload.context if isinstance(cell.workload, Task) else None
        return given or room_for(self.requests[cell.key].longest, trained)

    def answers(self, trial: Trial, cell: Cell) -> Path:
        """Answers in progress; those of other requests, another artifact or another runner are not gone on with."""
        runner = self.runner(cell)
        of = digest([self.requests[cell.key].hash, self.artifact(cell).sha256, runner and runner.sha256])[:8]
        return self.folder / "answers" / f"{answers_name(trial, cell)}-{of}.jsonl"

    def runner(self, cell: Cell) -> Runner | None:
        """The program that the cell is measured with; None where none runs, or a phone's is not chosen yet."""
        if (own := self.ready.own_runner(cell)) is not None:
            return own
        if cell.runtime is not None and cell.device in self.ready.builds:
            return self.chosen.get(cell.device)
        found = self.ready.preparations.get(cell.runtime.name) if cell.runtime else None
        return found.runner if found else None

    def _inputs(self, trial: Trial, cell: Cell) -> Inputs:
        runner = self.runner(cell)
        assert runner is not None
        inputs = Inputs(program=runner.path)
        if cell.variant is None:
            return inputs
        artifact = self.artifact(cell)
        inputs = msgspec.structs.replace(inputs, model=artifact.path, adaptor=artifact.adaptor)
        if isinstance(cell.workload, Prompted):
            return self._with_prompt(cell, inputs, artifact)
        if isinstance(cell.workload, Task | Text):
            return self._with_requests(trial, cell, inputs)
        return inputs

    def _with_requests(self, trial: Trial, cell: Cell, inputs: Inputs) -> Inputs:
        requests, part = self.requests[cell.key], part_of(self.plan, trial, cell)
        plain = self.folder / WORK / f"requests-{requests.hash}{part.suffix if part else ''}.jsonl"
        if not plain.exists():
            plain.parent.mkdir(exist_ok=True)
            plain_requests(requests.path, plain, part.chosen(requests.path) if part else None)
        answers = self.answers(trial, cell)
        answers.parent.mkdir(exist_ok=True)
        reference = self.references.get(cell.key)
        return msgspec.structs.replace(
            inputs,
            requests=str(plain),
            answers=str(answers),
            reference=str(reference.path) if reference else None,
            generates=requests.generates,
            context=self.room(cell),
            timeout_s=LONGEST_ANSWERING_S,
        )

    def _with_prompt(self, cell: Cell, inputs: Inputs, artifact: Artifact) -> Inputs:
        load = cell.workload
        assert isinstance(load, Prompted) and cell.variant
        depth = load.depth if isinstance(load, Speed) else 0
        model = self.variants[cell.variant].model
        tokens = self.preparation(cell).prompt(model, artifact, depth + load.prompt_tokens)
        return msgspec.structs.replace(inputs, prefix=tokens[:depth], prompt=tokens[depth:])


def files_needed(cells: Sequence[Cell], ready: Ready) -> tuple[FileNeeded, ...]:
    """The files of the cells' artifacts, each once, by the least that a cell needs."""
    found: dict[str, FileNeeded] = {}
    for cell in cells:
        artifact = ready.artifact(cell) if cell.runtime is not None and cell.unsupported is None else None
        if artifact is None:
            continue
        need, _ = needed_bytes(artifact, cell)
        for file in artifact.files:
            least = min(need, found[file.sha256].memory_bytes) if file.sha256 in found else need
            found[file.sha256] = FileNeeded(sha256=file.sha256, size_bytes=file.bytes, memory_bytes=least)
    return tuple(found.values())


def _check_same(name: str, planned: DeviceFacts | None, seen: DeviceFacts) -> None:
    """Raises WrongDeviceError: a run that began on one phone does not go on with another one of its model."""
    if planned is None or not isinstance(planned.phone, PhoneFacts) or planned.phone.expected:
        return
    if planned.host_hash and seen.host_hash and planned.host_hash != seen.host_hash:
        raise WrongDeviceError(f"{name} is another phone than the one that this run began with, of the same model")


def answers_name(trial: Trial, cell: Cell) -> str:
    """What the files of a trial's answers and items begin with; a cell that asks all at once has one name."""
    in_rounds = isinstance(cell.workload, Task) and cell.workload.until is not None
    return f"{cell.key}-r{trial.round}" if in_rounds else cell.key
