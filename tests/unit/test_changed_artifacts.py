"""Artifacts that change under a run, or are made by two processes at once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.mutate import gguf_pieces
from harness.build import artifacts
from harness.build.artifacts import FILE, Workshop
from harness.build.runners.llama_cpp_build import Runner
from harness.config import PROJECT
from harness.errors import BuildError, StoreError
from harness.measure.plan import make_plan
from harness.measure.ready import Ready, check_artifacts
from harness.measure.session import execute_missing
from harness.progress import Silent
from harness.store import create_run, read_run
from harness.values import DeviceSpec, FileSource, Model, Plan, Size, Suite, Variant
from tests.unit.test_plan import FACTS

RUNNER = Runner(path="/nonexistent", sha256="0" * 64)
LOCAL = DeviceSpec(name="local")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two variants whose artifacts are copies of one small file; only sizes, so no runner is needed."""
    file = tmp_path / "m.gguf"
    file.write_bytes(b"".join(gguf_pieces()))
    variants = tuple(
        Variant(name=n, model=Model(name=n, source=FileSource(path=str(file)), label=n), recipe="released")
        for n in ("a", "b")
    )
    suite = Suite(
        name="s", title="t", variants=variants, baselines=("a",), runtimes=(), devices=(LOCAL,), measures=(Size(),)
    )
    return make_plan(suite, {"local": FACTS}, ())


def made(plan: Plan) -> Ready:
    workshop, artifacts, broken = Workshop(RUNNER, Silent()), {}, {}
    for variant in plan.suite.variants:
        try:
            artifacts[variant.name, "gguf"] = workshop.ensure(variant)
        except BuildError as error:
            broken[variant.name, "gguf"] = str(error)
    return Ready(workshop, artifacts, broken, {})


def test_what_could_not_be_made_leaves_nothing(
    tmp_path: Path, plan: Plan, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(variant: Variant, kit: Any, target: Path) -> None:
        target.write_bytes(b"half")
        raise BuildError("No space left on device")

    monkeypatch.setattr(artifacts, "load_recipe", lambda name: full)
    with pytest.raises(BuildError, match="No space left"):
        Workshop(RUNNER, Silent()).ensure(plan.suite.variants[0])
    assert list((cache / "artifacts").iterdir()) == []


def spoil(path: Path) -> None:
    """One other byte, with size and times as they were."""
    seen = path.stat()
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(bytes(body))
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def test_an_artifact_that_changed_since_it_was_made_fails_its_trials_alone(tmp_path: Path, plan: Plan) -> None:
    ready, folder = made(plan), create_run(tmp_path / "results", plan, host="h")
    spoil(Path(ready.artifacts["b", "gguf"].path))
    execute_missing(folder, plan, ready, None, Silent())
    variants = {cell.key: cell.variant for cell in plan.cells}
    records = {variants[r.cell]: r for r in read_run(folder).records}
    assert records["a"].status == "ok"
    assert records["b"].status == "failed" and "changed on disk" in str(records["b"].reason)


def test_an_artifact_that_was_only_touched_is_the_same(tmp_path: Path, plan: Plan) -> None:
    ready, folder = made(plan), create_run(tmp_path / "results", plan, host="h")
    Path(ready.artifacts["b", "gguf"].path).touch()
    execute_missing(folder, plan, ready, None, Silent())
    assert {r.status for r in read_run(folder).records} == {"ok"}


def test_an_artifact_that_is_gone_fails_its_trials(tmp_path: Path, plan: Plan) -> None:
    ready, folder = made(plan), create_run(tmp_path / "results", plan, host="h")
    Path(ready.artifacts["b", "gguf"].path).unlink()
    execute_missing(folder, plan, ready, None, Silent())
    assert sorted(r.status for r in read_run(folder).records) == ["failed", "ok"]


def test_a_run_does_not_go_on_with_an_artifact_that_changed_since(tmp_path: Path, plan: Plan) -> None:
    ready, folder = made(plan), create_run(tmp_path / "results", plan, host="h")
    execute_missing(folder, plan, ready, None, Silent())
    before = (folder / "records.jsonl").read_bytes()
    spoil(Path(ready.artifacts["b", "gguf"].path))
    with pytest.raises(StoreError, match="cannot go on: the stored artifact of 'b' has changed on disk"):
        check_artifacts(read_run(folder), made(plan))
    assert (folder / "records.jsonl").read_bytes() == before


def test_a_damaged_manifest_is_an_error_for_people(plan: Plan) -> None:
    path = Path(made(plan).artifacts["a", "gguf"].path)
    path.with_name("manifest.json").write_text("{}")
    with pytest.raises(BuildError, match="manifest"):
        Workshop(RUNNER, Silent()).ensure(plan.suite.variants[0])


MAKER = """
import sys
from pathlib import Path
sys.path.insert(0, {project!r})
import msgspec
from harness.build import artifacts
from harness.build.recipes import released
from harness.build.runners.llama_cpp_build import Runner
from harness.progress import Silent
from harness.values import Variant
load = artifacts.load_recipe
def counted(name):
    def make(variant, kit, target):
        print("making", flush=True)
        sys.stdin.readline()
        load(name)(variant, kit, target)
    return make
artifacts.load_recipe = counted
variant = msgspec.json.decode({variant!r}, type=Variant)
print(artifacts.Workshop(Runner(path="/nonexistent", sha256="0" * 64), Silent()).ensure(variant).sha256, flush=True)
"""


def maker(variant: Variant) -> "subprocess.Popen[str]":
    import msgspec

    code = MAKER.format(project=str(PROJECT), variant=msgspec.json.encode(variant))
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_processes_make_one_artifact_once(cache: Path, plan: Plan) -> None:
    first, second = maker(plan.suite.variants[0]), maker(plan.suite.variants[0])
    for process in (first, second):
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outs = [p.communicate(timeout=120)[0].split() for p in (first, second)]
    assert first.returncode == second.returncode == 0
    assert sorted(map(len, outs)) == [1, 2], "one made it, the other waited and took it"
    assert outs[0][-1] == outs[1][-1]
    assert len(list((cache / "artifacts").iterdir())) == 1


def test_an_artifact_half_made_by_a_killed_process_is_made_again(cache: Path, plan: Plan) -> None:
    killed = maker(plan.suite.variants[0])
    assert killed.stdout is not None and killed.stdout.readline() == "making\n"
    (part,) = (cache / "artifacts").iterdir()
    (part / FILE).write_bytes(b"half")
    killed.kill()
    killed.communicate()
    artifact = Workshop(RUNNER, Silent()).ensure(plan.suite.variants[0])
    assert Path(artifact.path).read_bytes() == b"".join(gguf_pieces())
    assert [p.name for p in (cache / "artifacts").iterdir()] == [Path(artifact.path).parent.name]
