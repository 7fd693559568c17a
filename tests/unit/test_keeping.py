"""What the next nights may need stays in the cache, what they do not need goes; and which run a night goes on with."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from harness.analyse.history.values import Change, History, Night, Point, Series
from harness.build.runners import Runner
from harness.build.runners.llama_cpp_build import PROGRAM
from harness.build.waste import read_pins
from harness.measure.pairing import Side
from harness.nightly.begun import open_night
from harness.nightly.keeping import KEPT_NIGHTS, missing_of, pin_last_good, pin_name
from harness.nightly.turns import turn
from harness.progress import Silent
from harness.store import read_run
from harness.values import Cell, Size, Speed, TrialRecord, Variant, digest
from tests.builders import RUNNER, build_run
from tests.unit.test_night_tells import change, series
from tests.unit.test_stored import MODEL, put_artifact, put_runner

LOADS = (Size(), Speed(prompt_tokens=64, generated_tokens=8, rounds=2))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_HOST", "here")


def night_of(results: Path, number: int, artifact: str, runner: str) -> str:
    def made(cell: Cell, record: TrialRecord) -> TrialRecord:
        around = record.environment
        assert around is not None
        return msgspec.structs.replace(
            record, artifact_sha256=artifact, environment=msgspec.structs.replace(around, runner_sha256=runner)
        )

    return build_run(
        results, name=f"202607{number:02}T010000Z-nightly-here-00{number:02}", measures=LOADS, change=made
    ).name


def history_of(runs: Sequence[str], changes: tuple[Change, ...] = ()) -> History:
    nights = tuple(Night(run=run, started="2026-07-01T01:00:00Z", suite="nightly", host="h") for run in runs)
    points = tuple(Point(night=n, value=float(n + 1), reason=None) for n in range(len(runs)))
    one: Series = msgspec.structs.replace(series(), points=points, changes=changes)
    return History(made="", nights=nights, series=(one,))


def pinned(results: Path) -> set[str]:
    return set(read_pins().held[pin_name(results, "nightly", ("local",))])


def test_the_last_nights_and_the_last_good_one_are_kept_until_it_is_known_of(tmp_path: Path) -> None:
    keys = [f"{number:016x}" for number in range(KEPT_NIGHTS + 4)]
    runs, entries = [], []
    for number, key in enumerate(keys, 1):
        artifact, runner = put_artifact(key, key.encode()).sha256, digest(key)
        put_runner(runner)
        runs.append(night_of(tmp_path, number, artifact, runner))
        entries.append({f"artifacts/{key}", f"runners/{runner[:16]}"})
    newest = set[str]().union(*entries[-KEPT_NIGHTS:])
    pin_last_good(history_of(runs), tmp_path, "nightly", ("local",))
    assert pinned(tmp_path) == newest
    worse = change(at=2)
    pin_last_good(history_of(runs, (worse,)), tmp_path, "nightly", ("local",))
    assert pinned(tmp_path) == newest | entries[1]
    better = msgspec.structs.replace(worse, worse=False)
    pin_last_good(history_of(runs, (better,)), tmp_path, "nightly", ("local",))
    assert pinned(tmp_path) == newest, "older pins are let go"
    pin_last_good(history_of(runs), tmp_path, "other", ("local",))
    assert pinned(tmp_path) == newest, "another suite has its own"


def test_what_other_hosts_measured_is_not_here_to_be_kept(tmp_path: Path) -> None:
    run = night_of(tmp_path, 1, digest("there"), digest("there too"))
    pin_last_good(history_of([run]), tmp_path, "nightly", ("local",))
    assert pinned(tmp_path) == set()


def test_a_side_says_which_half_of_it_is_gone() -> None:
    wish = Variant(name="v", model=MODEL, recipe="ptq")
    side = Side(run="r", variant=wish, artifact_sha256=digest("a"), runner_sha256=digest("b"))
    assert str(missing_of(side)).startswith("the artifact")
    side = msgspec.structs.replace(side, artifact_sha256=put_artifact("0" * 16, b"x").sha256)
    assert str(missing_of(side)).startswith("the runner")
    program = put_runner(digest("b"))
    assert missing_of(side) is None and program.name == PROGRAM
    assert missing_of(msgspec.structs.replace(side, runner_sha256=None)) is None


class Begun:
    """Opens the run of a night after others were begun."""

    def __init__(self, results: Path) -> None:
        self.results = results
        programs = SimpleNamespace(runner=Runner(path="p", sha256=RUNNER))
        self.ready: Any = SimpleNamespace(
            preparations={"llama.cpp": programs},
            builds={},
            why_not=lambda cell: None,
            artifact=lambda cell: cell.variant and SimpleNamespace(variant=cell.variant, sha256=digest(cell.variant)),
        )

    def run(self, hours: float, *, complete: bool, host: str = "here", **changes: Any) -> str:
        begun = datetime.now(UTC) - timedelta(hours=hours)
        name = f"{begun:%Y%m%dT%H%M%SZ}-nightly-{host}-{digest([hours, host])[:4]}"

        def last_left_out(cell: Cell, record: TrialRecord) -> TrialRecord | None:
            return record if complete or record.round == 0 else None

        build_run(self.results, name=name, measures=LOADS, **{"change": last_left_out, **changes})
        return name

    def opened(self) -> str:
        plan = read_run(build_run(self.results.parent / "plan", measures=LOADS)).plan
        with turn(self.results, ["local"], 0, Silent()) as mine:
            return open_night(self.results, mine)(plan, self.ready).name


def test_a_night_goes_on_with_its_own_unfinished_run_of_the_same_day(tmp_path: Path) -> None:
    nights = Begun(tmp_path / "results")
    nights.run(30, complete=False)
    nights.run(1, complete=False, host="there")
    nights.run(2, complete=True)
    known = {path.name for path in nights.results.iterdir()}
    fresh = nights.opened()
    assert fresh not in known, "yesterday's, another host's and a whole run are left alone"
    assert nights.opened() == fresh, "the same night again"
    unfinished = nights.run(-0.001, complete=False)
    del unfinished  # a run from the future is nobody's
    assert nights.opened() == fresh


def test_a_run_that_ended_its_night_or_measured_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    nights = Begun(tmp_path / "results")
    first = nights.run(1, complete=False)
    assert nights.opened() == first
    (nights.results / "nights" / f"{first}.json").write_text("{}")
    second = nights.opened()
    assert second != first
    (nights.results / "nights" / f"{second}.json").write_text("{}")
    nights.ready.preparations["llama.cpp"].runner = Runner(path="p", sha256=digest("another build"))
    third = nights.run(2, complete=False)
    assert nights.opened() != third
