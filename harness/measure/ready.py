"""What is made before a run: the programs of its runtimes, and an artifact for each variant and format."""

from collections.abc import Iterable

import msgspec

from harness.build.artifacts import Workshop
from harness.build.exported import wish_of
from harness.build.recipes.stored import runner_of
from harness.build.runners import Runner
from harness.build.runners.choice import candidates
from harness.build.runners.llama_cpp_build import ensure_runner
from harness.errors import BuildError, InputError, StoreError
from harness.measure.devices import open_device
from harness.measure.inputs import Preparation
from harness.measure.runtimes import load_runtime
from harness.progress import Progress
from harness.store import Run
from harness.values import Artifact, Cell, DeviceSpec, Format, PhoneSpec, Plan, Size

Key = tuple[str, Format]
"""Variant and format."""


class Ready(msgspec.Struct):
    """Everything made for a run: what is missing here has its reason in `broken`."""

    workshop: Workshop
    artifacts: dict[Key, Artifact]
    broken: dict[Key, str]
    """Why an artifact could not be made."""
    preparations: dict[str, Preparation]
    """Runtime → what makes its inputs; empty where nothing is run."""
    builds: dict[str, dict[str, Runner]] = {}
    """Phone → target → program: what its cores can run."""
    own_runners: dict[str, Runner] = {}
    """Variant → the program of the store that it alone is measured with."""

    def own_runner(self, cell: Cell) -> Runner | None:
        """The program that the cell's variant names; None for a program that all share."""
        return self.own_runners.get(str(cell.variant)) if cell.runtime and cell.runtime.name == "llama.cpp" else None

    def artifact(self, cell: Cell) -> Artifact | None:
        return self.artifacts.get(self.key(cell)) if cell.variant else None

    def why_not(self, cell: Cell) -> str | None:
        """Why the cell's artifact could not be made, or None."""
        return self.broken.get(self.key(cell)) if cell.variant else None

    def key(self, cell: Cell) -> Key:
        """A cell without a runtime is of the first format that the variant has."""
        name = str(cell.variant)
        if cell.runtime is not None:
            return name, load_runtime(cell.runtime.name).FORMAT
        known = [key for key in (*self.artifacts, *self.broken) if key[0] == name]
        return known[0] if known else (name, "gguf")


def prepare(plan: Plan, progress: Progress) -> Ready:
    """Make every program and every artifact that a possible cell needs.

    Raises:
        InputError: a base model does not exist, or no variant at all could be made.
        SetupError: no compiler, no network, or a library is not installed.
    """
    suite = plan.suite
    names = [r.name for r in suite.runtimes if any(_runs(c, r.name) for c in plan.cells)]
    runners = {name: load_runtime(name).program(progress) for name in names}
    if plan.cross_check:
        load_runtime("hf").program(progress)  # a missing library is said before hours of scoring
    workshop = Workshop(runners.get("llama.cpp"), progress, wish_of(suite))
    artifacts: dict[Key, Artifact] = {}
    broken: dict[Key, str] = {}
    own_runners: dict[str, Runner] = {}
    variants = {variant.name: variant for variant in suite.variants}
    for name, format in wanted(plan):
        try:
            if (own := runner_of(variants[name])) is not None:
                own_runners[name] = own
            artifacts[name, format] = workshop.ensure(variants[name], format)
        except BuildError as error:
            broken[name, format] = str(error)
            progress.say(f"{name}: {error}")
    if not artifacts:
        raise InputError(next(iter(broken.values())))
    local = open_device(DeviceSpec(name="local"))
    preparations = {
        name: Preparation(local, runner, workshop, suite, progress, name) for name, runner in runners.items()
    }
    return Ready(workshop, artifacts, broken, preparations, _builds(plan, progress), own_runners)


def _builds(plan: Plan, progress: Progress) -> dict[str, dict[str, Runner]]:
    """The programs that each phone of the plan may be measured with."""
    found: dict[str, dict[str, Runner]] = {}
    for spec in plan.suite.devices:
        if not isinstance(spec.phone, PhoneSpec):
            continue
        wish = spec.phone.runner
        targets = candidates(frozenset(plan.facts[spec.name].cpu_flags)) if wish == "auto" else (wish,)
        found[spec.name] = {target: ensure_runner(progress, target) for target in targets}
    return found


def check_artifacts(run: Run, ready: Ready) -> None:
    """A resumed run refuses another artifact than the one its records name, and to go on without one it had.

    Raises:
        StoreError: with variant and both hashes, or with what is wrong with the artifact.
    """
    cells = {cell.key: cell for cell in run.plan.cells}
    for record in run.records:
        cell = cells[record.cell]
        why = ready.why_not(cell)
        if why is not None and record.artifact_sha256:
            raise StoreError(f"{run.id} cannot go on: {why}")
        artifact = ready.artifact(cell)
        if artifact and record.artifact_sha256 and record.artifact_sha256 != artifact.sha256:
            raise StoreError(
                f"{run.id} measured {artifact.variant} with sha256 {record.artifact_sha256[:12]}…, "
                f"but it is {artifact.sha256[:12]}… now: start a new run"
            )


def wanted(plan: Plan) -> Iterable[Key]:
    """Variant and format of every possible cell, once, in the plan's order; sizes are of what is run."""
    run = [c for c in plan.cells if c.variant and c.runtime and c.unsupported is None]
    found = dict.fromkeys((str(c.variant), _format(c)) for c in run)
    sizes = [str(c.variant) for c in plan.cells if isinstance(c.workload, Size) and c.unsupported is None]
    first: Format = load_runtime(plan.suite.runtimes[0].name).FORMAT if plan.suite.runtimes else "gguf"
    for name in sizes:
        if not any(key[0] == name for key in found):
            found[name, first] = None
    order = {v.name: i for i, v in enumerate(plan.suite.variants)}
    formats = list(dict.fromkeys(key[1] for key in found))
    return sorted(found, key=lambda key: (order[key[0]], formats.index(key[1])))


def _format(cell: Cell) -> Format:
    assert cell.runtime is not None
    format: Format = load_runtime(cell.runtime.name).FORMAT
    return format


def _runs(cell: Cell, runtime: str) -> bool:
    return cell.unsupported is None and cell.runtime is not None and cell.runtime.name == runtime
