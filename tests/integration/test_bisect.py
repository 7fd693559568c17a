"""Bisections with the real runner: between nights whose artifacts differ, and between programs that are built."""

import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from harness.build.artifacts import Workshop
from harness.build.recipes.stored import runner_folder
from harness.build.runners import Runner
from harness.config import load_suite
from harness.device_files import load_devices
from harness.errors import BuildError, InputError
from harness.nightly.bisecting import Bisected, Sought, bisect
from harness.pipeline import Wish, known_names
from harness.pipeline import run as run_suite
from harness.progress import Silent
from harness.store import PLAN, RECORDS, read_run
from harness.values import RandomSource, Variant
from tests.integration.conftest import TINY

pytestmark = pytest.mark.runner

SUITE = (
    TINY.split("measures:")[0]
    .replace("bf16: {model: tiny}", "bf16: null")
    .replace("int8: {model: tiny}", "int8: null")
    .replace("int4-ptq: {model: tiny}", "int4-ptq: null")
    + """baselines: [f16]
measures:
  - {kind: memory, prompt_tokens: 32, generated_tokens: 4, context: 256, rounds: 1}
"""
)
METRIC = "peak_anon_bytes"
DEEP, FLAT = 48, 2
"""Layers: what has so many more takes more memory, whatever else runs on the machine."""
NIGHTS = ((FLAT, 0), (FLAT, 1), (FLAT, 1), (DEEP, 0))


def of_shape(variant: Variant, layers: int, seed: int) -> Variant:
    source = variant.model.source
    assert isinstance(source, RandomSource)
    changed = msgspec.structs.replace(source, layers=layers, seed=seed)
    return msgspec.structs.replace(variant, model=msgspec.structs.replace(variant.model, source=changed))


@pytest.fixture(scope="module")
def results(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One real run, and the same on the nights before with other artifacts of the store."""
    folder = tmp_path_factory.mktemp("bisect")
    (folder / "tiny.yaml").write_text(SUITE)
    suite = load_suite(str(folder / "tiny.yaml"), known_names(), load_devices())
    first = run_suite(Wish(suite=str(folder / "tiny.yaml")), (), folder / "made", Silent())
    (record,) = read_run(first).records
    workshop = Workshop(runner, Silent())
    for day, (layers, seed) in enumerate(NIGHTS, 1):
        made = workshop.ensure(of_shape(suite.variants[0], layers, seed))
        night = folder / "results" / f"2026010{day}T010000Z-tiny-here-000{day}"
        night.mkdir(parents=True)
        shutil.copy2(first / PLAN, night / PLAN)
        changed = msgspec.structs.replace(record, artifact_sha256=made.sha256, started=f"2026-01-0{day}T01:00:00Z")
        (night / RECORDS).write_bytes(msgspec.json.encode(changed) + b"\n")
    return folder / "results"


@pytest.fixture(scope="module")
def series(results: Path) -> str:
    from harness.analyse.history.reading import read_history

    return next(s.id for s in read_history(results).series if s.metric == METRIC)


def runs(results: Path) -> list[str]:
    return sorted(path.name for path in results.glob("2026010*"))


def test_nights_are_narrowed_to_the_one_whose_artifact_takes_more(results: Path, series: str) -> None:
    nights, said = runs(results), list[str]()
    sought = Sought(series=series, good=nights[0], bad=nights[-1], pairs=4)
    found = bisect(sought, results, Silent(), said.append)
    assert found.candidates == (nights[0], nights[1], nights[3]), "each artifact once"
    assert found.found is not None
    assert (found.candidates[found.found.good], found.candidates[found.found.bad]) == (nights[1], nights[3])
    again = sum(step.pairs > 4 for step in found.steps)
    assert found.doubt == pytest.approx(0.005 * (len(found.steps) + 1 + again)) and len(said) >= len(found.steps) == 2
    assert bisect(sought, results, Silent(), said.append) == found, "what was measured is not measured again"
    assert msgspec.json.decode(msgspec.json.encode(found), type=Bisected) == found


def test_ends_that_cannot_be_told_apart_are_said(results: Path, series: str) -> None:
    nights = runs(results)
    with pytest.raises(InputError, match=r"the same from .* the machine changed"):
        bisect(Sought(series=series, good=nights[1], bad=nights[2]), results, Silent(), print)
    with pytest.raises(InputError, match="is not before"):
        bisect(Sought(series=series, good=nights[3], bad=nights[0]), results, Silent(), print)
    with pytest.raises(InputError, match="0 series begin"):
        bisect(Sought(series="f" * 17), results, Silent(), print)


def test_programs_are_built_by_a_command_and_those_that_cannot_be_are_passed_over(
    results: Path, series: str, runner: Runner, tmp_path: Path
) -> None:
    """All do the same; the one in the middle cannot be built."""
    builder = tmp_path / "builder.py"
    builder.write_text(
        "import os, sys\n"
        "name = os.environ['BENCH_CANDIDATE']\n"
        "if name == 'broken':\n    sys.exit('no such commit')\n"
        "path = os.environ['BENCH_PROGRAM']\n"
        f"open(path, 'w').write('#!/bin/sh\\n# ' + name + '\\nexec {runner.path} \"$@\"\\n')\n"
    )
    command = f"{sys.executable} {builder}"
    nights = runs(results)
    sought = Sought(series=series, bad=nights[0], between=("v1", "broken", "v2"), build=command, pairs=3)
    found = bisect(sought, results, Silent(), print)
    first = found.steps[0]
    assert first.run is not None and first.pairs >= 3
    rerun = read_run(results / first.run)
    programs = {record.environment.runner_sha256 for record in rerun.records if record.environment}
    assert len(programs) == 2 and runner.sha256 not in programs
    assert found.found is None or found.found.left == (1,)
    for sha256 in programs:
        shutil.rmtree(runner_folder(str(sha256)))
    with pytest.raises(BuildError, match="building broken failed"):
        bisect(msgspec.structs.replace(sought, between=("v1", "broken")), results, Silent(), print)
