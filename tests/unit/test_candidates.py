"""What lies between a good and a bad end: nights once each, runners that are there, programs that a command writes."""

import sys
from pathlib import Path

import msgspec
import pytest

from harness.analyse.history.values import Night, Point
from harness.build.recipes.stored import stored_runner
from harness.errors import BuildError, InputError
from harness.measure.pairing import Side
from harness.nightly.candidates import built_of, nights_between, runners_of
from harness.progress import Silent
from harness.store import Run, read_run
from harness.values import Speed, Variant, digest
from tests.builders import RUNNER
from tests.unit.test_keeping import history_of, night_of
from tests.unit.test_stored import MODEL, put_artifact, put_runner

OLD, NEW = digest("old runner"), digest("new runner")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def nights(tmp_path: Path) -> list[Run]:
    """Five nights: an artifact, the same again, another, and that one with another runner twice."""
    first, second = (put_artifact(f"{n:016x}", bytes([n])).sha256 for n in (1, 2))
    made = ((first, OLD), (first, OLD), (second, OLD), (second, NEW), (second, NEW))
    for runner in (OLD, NEW):
        put_runner(runner)
    return [
        read_run(tmp_path / "results" / night_of(tmp_path / "results", number, artifact, runner))
        for number, (artifact, runner) in enumerate(made, 1)
    ]


def test_nights_with_the_same_artifact_and_runner_are_one_candidate(nights: list[Run]) -> None:
    runs = {run.id: run for run in nights}
    history = history_of(list(runs))
    series = msgspec.structs.replace(history.series[0], variant="int8")
    found = nights_between(series, history, nights[0].id, nights[-1].id, runs.__getitem__)
    assert [one.name for one in found] == [nights[0].id, nights[2].id, nights[3].id]
    assert [one.side().runner_sha256 for one in found] == [OLD, OLD, NEW]
    assert len({one.side().artifact_sha256 for one in found}) == 2
    with pytest.raises(InputError, match="the machine changed"):
        nights_between(series, history, nights[0].id, nights[1].id, runs.__getitem__)
    with pytest.raises(InputError, match="is not before"):
        nights_between(series, history, nights[1].id, nights[0].id, runs.__getitem__)
    with pytest.raises(InputError, match="has no value of series"):
        nights_between(series, history, "another", nights[1].id, runs.__getitem__)


def side() -> Side:
    kept = put_artifact("3" * 16, b"weights").sha256
    return Side(run="r", variant=Variant(name="v", model=MODEL, recipe="ptq"), artifact_sha256=kept, runner_sha256=None)


def test_runners_are_named_as_records_name_them_or_shorter(nights: list[Run]) -> None:
    found = runners_of([OLD[:8], NEW], side(), reversed(nights))
    assert [one.side().runner_sha256 for one in found] == [OLD, NEW]
    for unknown in (OLD[:7], "0" * 12):
        with pytest.raises(InputError, match="no run was measured with the runner"):
            runners_of([unknown, NEW], side(), nights)
    gone = runners_of([RUNNER, NEW], side(), nights)
    with pytest.raises(BuildError, match="is no longer in the store"):
        gone[0].side()


def test_a_command_builds_each_program_once_and_only_when_it_is_asked_for(tmp_path: Path) -> None:
    script, calls = tmp_path / "build it.py", tmp_path / "calls"
    script.write_text(
        "import os, sys\n"
        f"open({str(calls)!r}, 'a').write(os.environ['BENCH_CANDIDATE'] + '\\n')\n"
        "if os.environ['BENCH_CANDIDATE'] == 'empty': sys.exit(0)\n"
        "if os.environ['BENCH_CANDIDATE'] == 'broken': sys.exit('does not compile')\n"
        "open(os.environ['BENCH_PROGRAM'], 'w').write(os.environ['BENCH_CANDIDATE'])\n"
    )
    found = built_of(["a; rm -rf x", "b", "broken", "empty"], f"{sys.executable} '{script}'", side(), Silent())
    assert not calls.exists()
    first, again, second = found[0].side(), found[0].side(), found[1].side()
    assert first == again and first.runner_sha256 != second.runner_sha256
    assert calls.read_text() == "a; rm -rf x\nb\n"
    program = Path(stored_runner(str(first.runner_sha256)).path)
    assert program.read_text() == "a; rm -rf x" and program.stat().st_mode & 0o111
    with pytest.raises(BuildError, match=r"building broken failed \(1\): does not compile"):
        found[2].side()
    with pytest.raises(BuildError, match=r"building empty failed \(0\): it wrote no program"):
        found[3].side()
    (lost,) = built_of(["x"], "/no/such/program", side(), Silent())
    with pytest.raises(BuildError, match="building x failed"):
        lost.side()


def test_points_without_a_value_are_no_candidates(nights: list[Run]) -> None:
    runs = {run.id: run for run in nights}
    history = history_of(list(runs))
    points = list(history.series[0].points)
    points[2] = Point(night=2, value=None, reason="failed")
    series = msgspec.structs.replace(history.series[0], variant="int8", points=tuple(points))
    found = nights_between(series, history, nights[0].id, nights[-1].id, runs.__getitem__)
    assert [one.name for one in found] == [nights[0].id, nights[3].id]
    assert isinstance(history.nights[0], Night) and isinstance(nights[0].plan.cells[-1].workload, Speed)
