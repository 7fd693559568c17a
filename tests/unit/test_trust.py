"""Whose kernels are asked before a run's numbers are believed: one file for each kind of weights that answers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.build.runners import Runner
from harness.errors import BuildError
from harness.measure import trust
from harness.measure.kernel_agreement import LIMITS
from harness.measure.trust import HostTrust, Kernels, Trust, read_trusted
from harness.progress import Silent
from harness.values import Artifact, Cell, Memory, ParitySeen, Runtime, Task, digest
from harness.values.checked import KernelCheck
from tests.unit.test_kernel_check import artifact

ASKS, WORKS = Task(task="knowledge_200"), Memory(prompt_tokens=8, generated_tokens=2, context=64)
NATIVE = Runner(path="native", sha256="0" * 64)
FILES = {
    "large-f16": artifact("f16", size=400, name="large-f16"),
    "small-f16": artifact("f16", size=200, name="small-f16"),
    "bf16": artifact("bf16", size=200, name="bf16"),
    "int4": artifact("q4_0", "q8_0", size=100, name="int4"),
}


def cell(variant: str, load: Any, runtime: str = "llama.cpp") -> Cell:
    runs = Runtime(name=runtime)
    return Cell(key=digest([variant, load, runtime])[:16], variant=variant, runtime=runs, device="d", workload=load)


class Floor:
    """As much of a run's floor as is looked at."""

    def __init__(self, folder: Path, *cells: Cell) -> None:
        self.folder, self.plan = folder, SimpleNamespace(cells=cells)
        native = SimpleNamespace(runner=NATIVE)
        self.own: dict[str, Runner] = {}
        self.ready = SimpleNamespace(
            artifact=self.artifact,
            preparations={"llama.cpp": native},
            own_runner=lambda of: self.own.get(str(of.variant)),
        )
        self.devices, self.variants = {"d": None}, dict.fromkeys(FILES)

    def artifact(self, of: Cell) -> Artifact:
        return FILES[str(of.variant)]

    def preparation(self, of: Cell) -> None:
        del of

    def runner(self, of: Cell) -> Runner:
        return self.own.get(str(of.variant), NATIVE)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose kernels were asked; those of int4 are wrong."""
    names: list[str] = []

    def check(candidate: Any, preparation: object) -> KernelCheck:
        del preparation
        names.append(candidate.artifact.variant)
        wrong = candidate.artifact.variant == "int4"
        return KernelCheck(
            runner_sha256=NATIVE.sha256,
            reference_sha256=NATIVE.sha256,
            artifact_sha256=candidate.artifact.sha256,
            variant=candidate.artifact.variant,
            device="d",
            questions=200,
            passed=not wrong,
            reason="wrong kernels" if wrong else None,
            agreed=150 if wrong else 200,
            limits=LIMITS,
        )

    monkeypatch.setattr(trust, "Candidate", SimpleNamespace)
    monkeypatch.setattr(trust, "check_kernels", check)
    return names


def test_the_smallest_file_of_each_kind_answers_once_before_its_answers_count(tmp_path: Path, asked: list[str]) -> None:
    cells = [cell("large-f16", ASKS), cell("small-f16", WORKS), cell("bf16", WORKS)]
    floor: Any = Floor(tmp_path, *cells)
    host = HostTrust(floor, "d")
    for one in (*cells, *cells):
        host.ensure(one)
    assert asked == ["small-f16"]
    HostTrust(floor, "d").ensure(cells[0])
    assert asked == ["small-f16"], "what was found is kept with the run"
    assert [check.variant for check in read_trusted(tmp_path, "d").kernels.values()] == ["small-f16"]


def test_wrong_kernels_fail_their_own_kind_of_weights(tmp_path: Path, asked: list[str]) -> None:
    floor: Any = Floor(tmp_path, cell("int4", ASKS), cell("large-f16", ASKS))
    host = HostTrust(floor, "d")
    for _ in range(2):
        with pytest.raises(BuildError, match="int4 on d: wrong kernels"):
            host.ensure(floor.plan.cells[0])
    host.ensure(floor.plan.cells[1])
    assert asked == ["int4", "large-f16"]


def test_a_program_that_a_variant_names_answers_for_itself(tmp_path: Path, asked: list[str]) -> None:
    floor: Any = Floor(tmp_path, cell("small-f16", ASKS), cell("large-f16", ASKS))
    floor.own["large-f16"] = Runner(path="older", sha256="1" * 64)
    for one in floor.plan.cells:
        HostTrust(floor, "d").ensure(one)
    assert asked == ["small-f16", "small-f16"]  # one kind of weights, two programs
    HostTrust(floor, "d").ensure(floor.plan.cells[1])
    assert len(asked) == 2


def test_a_phone_chooses_no_build_for_a_variant_that_names_its_program(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parity is that of the artifact by that program, and is kept apart from the chosen build's."""
    one = cell("small-f16", ASKS)
    floor: Any = Floor(tmp_path, one)
    floor.ready.builds, floor.chosen = {"d": {"aarch64": NATIVE}}, {}
    floor.facts, floor.variants = {"d": None}, dict.fromkeys(FILES, SimpleNamespace(model=None))
    by: list[str] = []

    def parity(_p: object, _d: object, _f: object, program: Runner, *_: object) -> ParitySeen:
        by.append(program.path)
        return ParitySeen(
            prompts=1, mean_kl_nats=0, largest_kl_nats=0, same_top1=1, reference_sha256=NATIVE.sha256, rule=""
        )

    monkeypatch.setattr(trust, "check_parity", parity)
    monkeypatch.setattr(Trust, "_prompt", lambda *_: ())
    floor.own["small-f16"] = Runner(path="older", sha256="1" * 64)
    phone = Trust(floor, "d", Silent())
    phone.ensure(one)
    phone.ensure(one)
    assert by == ["older"] and not floor.chosen
    floor.own.clear()
    phone.ensure(one)
    assert by == ["older", "native"] and set(floor.chosen) == {"d"} and asked == ["small-f16", "small-f16"]


def test_torchs_kernels_and_what_only_works_are_not_asked_here(tmp_path: Path, asked: list[str]) -> None:
    floor: Any = Floor(tmp_path, cell("large-f16", ASKS, "hf"), cell("int4", WORKS))
    for one in floor.plan.cells:
        HostTrust(floor, "d").ensure(one)
    assert asked == []


@pytest.mark.parametrize(
    ("loads", "wanted"),
    [
        ({"large-f16": WORKS, "bf16": WORKS, "small-f16": WORKS}, ["small-f16"]),
        ({"large-f16": WORKS, "bf16": ASKS}, ["bf16"]),
        ({"bf16": WORKS, "small-f16": ASKS, "large-f16": ASKS}, ["small-f16"]),
    ],
)
def test_a_phone_has_one_kind_asked_at_least(
    tmp_path: Path, asked: list[str], loads: dict[str, Any], wanted: list[str]
) -> None:
    """BF16 beside F16 is not preferred: llama.cpp has no kernel for it on Arm."""
    floor: Any = Floor(tmp_path, *(cell(name, load) for name, load in loads.items()))
    kernels = Kernels(floor, "d")
    for one in floor.plan.cells:
        kernels.check_kernels(one, floor.artifact(one), NATIVE)
    assert asked == wanted
