"""What a result says in the place of what is made and asked before a run."""

from pathlib import Path

import msgspec

from harness.build.artifacts import Workshop
from harness.build.runners import Runner
from harness.build.runners.choice import Choice
from harness.errors import BuildError, StoreError
from harness.measure.bundle.manifest import CellRequests, Manifest, parity_name
from harness.measure.devices.replay import ANSWERS, ReplayDevice
from harness.measure.floor import Floor
from harness.measure.inputs import Preparation, Reference
from harness.measure.parity import judged
from harness.measure.ready import Ready
from harness.measure.requests import Requests
from harness.measure.runtimes import load_runtime
from harness.measure.tasks import TaskFile
from harness.measure.trust import Trusted, keep_trusted
from harness.progress import Progress
from harness.store import read_lines
from harness.values import Artifact, Cell, Model, ParitySeen, Plan, Variant


class RecordedPreparation(Preparation):
    """Requests as they lie in the result. Prompts and references were read on the phone, and are not needed here."""

    def __init__(self, runner: Runner, requests: dict[str, CellRequests], folder: Path, runtime: str) -> None:
        self.runner = runner
        self.runtime = load_runtime(runtime)
        self.format = self.runtime.FORMAT
        self._requests, self._folder = requests, folder

    def prompt(self, model: Model, artifact: Artifact, count: int) -> tuple[int, ...]:
        del model, artifact
        return (0,) * count

    def requests(self, cell: Cell, variant: Variant, artifact: Artifact, files: list[TaskFile]) -> Requests:
        """Raises BuildError: the bundle had none for this cell."""
        del variant, artifact, files
        known = self._requests.get(cell.key)
        path = self._folder / f"{known.hash}.jsonl.gz" if known else None
        if known is None or path is None or not path.is_file():
            raise BuildError("the result has no requests of it")
        return Requests(
            path=path,
            hash=known.hash,
            count=known.count,
            generates=known.generates,
            versions=known.versions,
            truncated=known.truncated,
            longest=known.longest,
        )

    def reference(self, cell: Cell, variant: Variant, artifact: Artifact, requests: Requests) -> Reference:
        del variant, artifact, requests
        known = self._requests[cell.key]
        if known.reference is None or known.reference_sha256 is None:
            raise BuildError("the result does not say its reference")
        return Reference(path=Path("reference"), variant=known.reference, artifact_sha256=known.reference_sha256)


class RecordedTrust:
    """Parity as it was asked for on the phone, judged here."""

    def __init__(self, floor: Floor, phone: ReplayDevice, manifest: Manifest, target: str) -> None:
        self._floor, self._phone, self._manifest = floor, phone, manifest
        program = program_of(manifest, target)
        self.found = Trusted(
            device=manifest.device.name, choice=Choice(target=target, duels=()), runner_sha256=program.sha256
        )

    def ensure(self, cell: Cell) -> ParitySeen | None:
        """See `Trusting`."""
        artifact = self._floor.ready.artifact(cell)
        if artifact is None:
            return None
        if artifact.sha256 not in self.found.parity:
            parity = {**self.found.parity, artifact.sha256: self._parity(artifact)}
            self.found = msgspec.structs.replace(self.found, parity=parity)
            keep_trusted(self._floor.folder, self.found)
        seen = self.found.parity[artifact.sha256]
        if seen.wrong is not None:
            raise BuildError(f"{cell.variant} on {self.found.device}: {seen.wrong}")
        return seen

    def _parity(self, artifact: Artifact) -> ParitySeen:
        name = f"{parity_name(artifact.sha256)}-0"
        state = self._phone.state(name)
        if state is None or state.rc is None or state.rc.code != 0:
            why = "was not asked for on the phone" if state is None else "failed on the phone"
            raise BuildError(f"parity of {artifact.variant} {why}")
        try:
            return judged(list(read_lines(self._phone.path(name, ANSWERS))), self._manifest.host_runner_sha256)
        except (KeyError, TypeError, ValueError, OSError, StoreError) as error:
            raise BuildError(f"parity of {artifact.variant}: its answers are damaged: {error}") from error


def recorded_ready(plan: Plan, manifest: Manifest, target: str, folder: Path, progress: Progress) -> Ready:
    """What a run would have made before its first trial, as the bundle's maker had it."""
    runner = program_of(manifest, target)
    names = [runtime.name for runtime in plan.suite.runtimes]
    preparations: dict[str, Preparation] = {
        name: RecordedPreparation(runner, manifest.requests, folder / "requests", name) for name in names
    }
    return Ready(
        workshop=_Elsewhere(None, progress),
        artifacts={(one.variant, one.format): one for one in manifest.artifacts},
        broken={(name, "gguf"): why for name, why in manifest.broken.items()},
        preparations=preparations,
    )


def program_of(manifest: Manifest, target: str) -> Runner:
    """The program that the phone chose.

    Raises:
        StoreError: the bundle has no such program.
    """
    for program in manifest.programs:
        if program.target == target:
            return Runner(path="bench-llama", sha256=program.runner_sha256)
    raise StoreError(f"the result names a program {target[:64]!r} that its bundle does not have")


class _Elsewhere(Workshop):
    """The artifacts lay on the phone, where each file's sha256 was checked; here there is nothing to look at."""

    def changed(self, artifact: Artifact) -> str | None:
        del artifact
        return None

    def learned_text(self, variant: Variant) -> Path | None:
        """Overlap was looked for where the bundle was made; no file that a result names is opened."""
        del variant
        return None
