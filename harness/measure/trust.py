"""What must be true before numbers are believed: of every device the kernels of its build, of a phone also which build
it is, and each artifact's logits.

Found once a run and kept in `devices/<name>.json` beside the records, so that a resumed run goes on with the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from harness.build.runners import Runner
from harness.build.runners.choice import Choice
from harness.errors import BuildError, StoreError
from harness.measure.choosing import PROMPT_TOKENS, Sample, choose_runner
from harness.measure.floor import WORK, Floor
from harness.measure.jobs import Inputs
from harness.measure.kernel_agreement import SIXTEEN_BIT
from harness.measure.kernel_check import Candidate, check_kernels
from harness.measure.parity import check_parity
from harness.progress import Progress
from harness.store import DAMAGE, encode, write_durably
from harness.values import Artifact, Cell, Name, ParitySeen, Task, Text, Value, digest
from harness.values.checked import KernelCheck


class Trusted(Value, frozen=True, kw_only=True):
    """What was found of one phone in one run."""

    device: Name
    choice: Choice | None = None
    """The build of the runner, and by which measurements."""
    runner_sha256: str | None = None
    kernels: dict[str, KernelCheck] = {}
    """By the types of the weights that were checked and hashes of the runtime's settings and of a program that the
    variant names, joined by `+`."""
    parity: dict[str, ParitySeen] = {}
    """By the artifact's sha256, and a hash of a program that the variant names."""


OURS = "llama.cpp"
"""The runtime whose program is built here; torch's library is another matter: `--cross-check`."""


class _File(Value, frozen=True, kw_only=True):
    """A cell and its artifact."""

    cell: Cell
    artifact: Artifact

    @property
    def types(self) -> str:
        return types_of(self.artifact)

    @property
    def asked(self) -> bool:
        return is_asked(self.cell)

    @property
    def order(self) -> tuple[int, bool, str]:
        """The smallest first; of equals, not BF16, for which llama.cpp has no kernel on Arm."""
        size = sum(file.bytes for file in self.artifact.files)
        return size, "bf16" in self.artifact.tensor_types, self.cell.key


def is_ours(cell: Cell) -> bool:
    return cell.runtime is not None and cell.runtime.name == OURS


def is_asked(cell: Cell) -> bool:
    """Whether the cell's artifact answers questions."""
    return isinstance(cell.workload, Task | Text)


def types_of(artifact: Artifact) -> str:
    """The kinds of weights in a file, in one word."""
    return "+".join(sorted(artifact.tensor_types))


class Trusting(Protocol):
    """Says whether a cell's artifact may be believed on its device."""

    def ensure(self, cell: Cell) -> ParitySeen | None:
        """What was found of the cell's artifact; None for a cell without one.

        Raises:
            BuildError: it is not to be believed.
        """
        ...


class Kernels:
    """Whether the kernels that a device computes a run's files with are those of the plain path, asked once a kind."""

    def __init__(self, floor: Floor, device: str) -> None:
        self.floor, self.name = floor, device
        self.found = read_trusted(floor.folder, device)

    def check_kernels(self, cell: Cell, artifact: Artifact, program: Runner) -> None:
        """Raises BuildError: the build's answers to 200 questions are not the host's."""
        files = [one for one in self._files() if one.types == types_of(artifact)]
        if not self._is_asked(files):
            return
        own = self.floor.ready.own_runner(cell)
        kind = "+".join((types_of(artifact), digest(cell.runtime)[:8], *((own.sha256[:8],) if own else ())))
        if kind not in self.found.kernels:
            runtime, smallest = cell.runtime, min(files, key=lambda one: one.order)
            assert runtime is not None
            candidate = Candidate(
                program=program,
                device=self.floor.devices[self.name],
                runtime=runtime,
                variant=self.floor.variants[str(smallest.cell.variant)],
                artifact=smallest.artifact,
            )
            made = check_kernels(candidate, self.floor.preparation(smallest.cell))
            if made.agreed is None:  # it gave no answers: asked again the next time
                raise BuildError(f"{smallest.cell.variant} on {self.name}: {made.reason}")
            self._keep(kernels={**self.found.kernels, kind: made})
        if not (check := self.found.kernels[kind]).passed:
            raise BuildError(f"{cell.variant} on {self.name}: {check.reason}")

    def _is_asked(self, files: Sequence["_File"]) -> bool:
        """Weights of this kind answer questions in this run, or none do and these are the smallest of all.

        Kernels of the others are seen to agree by each artifact's parity: on a phone, 200 questions to BF16 weights
        take longer than all else that is measured of them.
        """
        every = self._files()
        if any(one.asked for one in every):
            return any(one.asked for one in files)
        return min(every, key=lambda one: one.order) in files

    def _files(self) -> "list[_File]":
        """What is measured on this device with builds of ours, cell by cell."""
        here = [cell for cell in self.floor.plan.cells if cell.device == self.name and is_ours(cell)]
        made = [(cell, self.floor.ready.artifact(cell)) for cell in here]
        return [_File(cell=cell, artifact=artifact) for cell, artifact in made if artifact is not None]

    def _keep(self, **changes: object) -> None:
        self.found = msgspec.structs.replace(self.found, **changes)
        keep_trusted(self.floor.folder, self.found)


class HostTrust(Kernels):
    """This machine: before its answers are believed, its build has answered 200 questions."""

    def ensure(self, cell: Cell) -> None:
        """Nothing to check where nothing is asked, and where the program is none of ours.

        Raises:
            BuildError: the build computes something else.
        """
        artifact = self.floor.ready.artifact(cell)
        runner = self.floor.runner(cell)
        if artifact is not None and runner is not None and is_ours(cell) and is_asked(cell):
            self.check_kernels(cell, artifact, runner)


class Trust(Kernels):
    """One phone of a run. What it finds wrong with an artifact fails that artifact's trials, and no others."""

    def __init__(self, floor: Floor, device: str, progress: Progress) -> None:
        super().__init__(floor, device)
        self.progress = progress
        self.builds = floor.ready.builds[device]
        if self.found.choice is not None:
            self._take(self.found.choice)

    def ensure(self, cell: Cell) -> ParitySeen | None:
        """Choose the build if there is none yet, and check the cell's artifact once; None for a cell without one.

        Raises:
            BuildError: no build runs there, or the artifact computes something else there than on the host.
            DeviceError: the device is out of reach.
        """
        artifact, own = self.floor.ready.artifact(cell), self.floor.ready.own_runner(cell)
        if self.found.choice is None and own is None:
            self._choose()
        if artifact is None:
            return None
        program = own or self.floor.chosen[self.name]
        self.check_kernels(cell, artifact, program)
        key = artifact.sha256 if own is None else f"{artifact.sha256}+{own.sha256[:8]}"
        if key not in self.found.parity:
            self._keep(parity={**self.found.parity, key: self._parity(cell, artifact, program)})
        seen = self.found.parity[key]
        if seen.wrong is not None:
            raise BuildError(f"{cell.variant} on {self.name}: {seen.wrong}")
        return seen

    def _choose(self) -> None:
        floor, samples = self.floor, self._samples()
        if not samples or len(self.builds) == 1:
            choice = Choice(target=next(iter(self.builds)), duels=())  # nothing to choose, or nothing to choose by
        else:
            device, work = floor.devices[self.name], floor.folder / WORK / self.name
            choice = choose_runner(
                device, floor.facts[self.name], self.builds, samples, work, self.progress, floor.folder.name
            )
        self._take(choice)
        self._keep(choice=choice, runner_sha256=self.builds[choice.target].sha256)

    def _take(self, choice: Choice) -> None:
        """Raises StoreError: the build that the run began with is not among those that can be made now."""
        built = self.builds.get(choice.target)
        if built is None or (self.found.runner_sha256 not in (None, built.sha256)):
            raise StoreError(
                f"{self.floor.folder.name} measured {self.name} with build {choice.target} "
                f"{(self.found.runner_sha256 or '')[:12]}, which is another one now: start a new run"
            )
        self.floor.chosen[self.name] = built

    def _parity(self, cell: Cell, artifact: Artifact, program: Runner) -> ParitySeen:
        floor = self.floor
        return check_parity(
            floor.preparation(cell),
            floor.devices[self.name],
            floor.facts[self.name],
            program,
            cell,
            floor.variants[str(cell.variant)].model,
            artifact,
        )

    def _samples(self) -> list[Sample]:
        """The smallest 16-bit file and the smallest quantized one of all that are measured on this phone."""
        by_kind: dict[bool, _File] = {}
        for one in self._files():
            kind = set(one.artifact.tensor_types) <= SIXTEEN_BIT
            by_kind[kind] = min(by_kind.get(kind, one), one, key=lambda file: file.order)
        return [
            Sample(
                cell=one.cell,
                inputs=Inputs(
                    program="",
                    model=one.artifact.path,
                    adaptor=one.artifact.adaptor,
                    prompt=self._prompt(one.cell, one.artifact),
                ),
            )
            for one in by_kind.values()
        ]

    def _prompt(self, cell: Cell, artifact: Artifact) -> tuple[int, ...]:
        model = self.floor.variants[str(cell.variant)].model
        return self.floor.preparation(cell).prompt(model, artifact, PROMPT_TOKENS)


def keep_trusted(folder: Path, found: Trusted) -> None:
    """Write what the run knows of a device."""
    write_durably(_file(folder, found.device), encode(found))


def read_trusted(folder: Path, device: str) -> Trusted:
    """What the run knows of a device; nothing yet where it was never looked at.

    Raises:
        StoreError: the file is damaged.
    """
    path = _file(folder, device)
    if not path.is_file():
        return Trusted(device=device)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Trusted)
    except DAMAGE as error:
        raise StoreError(f"{path} is damaged: {error}") from error


def _file(folder: Path, device: str) -> Path:
    return folder / "devices" / f"{device}.json"
