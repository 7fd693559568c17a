"""Nights with the real runner: an artifact that grew is an alert, told once, and measured again beside the old."""

import json
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from msgspec import UNSET

from harness.analyse.history.found import NightFound, read_found
from harness.analyse.history.levels_of import change_of
from harness.analyse.history.reading import read_history
from harness.analyse.history.settings import Settings
from harness.analyse.history.values import History, Series
from harness.analyse.history.watch import Watch
from harness.build.cache import cache_folder
from harness.build.runners import Runner
from harness.build.runners.llama_cpp_build import PROGRAM
from harness.build.waste import read_pins
from harness.housekeeping import unpin
from harness.nightly.confirming import confirm
from harness.nightly.keeping import pin_name
from harness.nightly.values import Reruns
from harness.progress import Silent
from harness.store import RECORDS, find_runs, read_run
from harness.values import Artifact, digest
from tests.integration.conftest import TINY, Bench

pytestmark = pytest.mark.runner

SUITE = (
    TINY.split("measures:")[0].replace("bf16: {model: tiny}", "bf16: null").replace("int8: {model: tiny}", "int8: null")
    + """baselines: [f16]
measures:
  - {kind: size}
  - {kind: speed, prompt_tokens: 32, generated_tokens: 8, context: 256, rounds: 1, repetitions: 1}
"""
)
LARGER = SUITE.replace("int4-ptq: {model: tiny}", "int4-ptq: {model: tiny, settings: {weights: q8_0}}")
SIZE, DECODE = "size_bytes", "decode_tok_s"


def another_second() -> None:
    """Runs are named and sorted by the second that they began in; nights never begin in the same one."""
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.02)


@pytest.fixture(scope="module")
def nights(
    artifacts: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bench, list[NightFound]]]:
    """Three nights: before the file grew, the night it did, and the night after."""
    assert artifacts
    bench = Bench(tmp_path_factory.mktemp("nights"))
    suite = bench.folder / "grows.yaml"
    words = ("nightly", "--suite", suite.name, "--junit", "night.xml", "--webhook", "HOOK", "--history")
    shared = (bench.folder / "shared").as_uri()
    hook = "http://127.0.0.1:9/secret"  # nobody listens on the port that is meant for what is thrown away
    nowhere = (suite / "no folder").as_uri()
    for text, code, history in ((SUITE, 0, shared), (LARGER, 3, shared), (LARGER, 3, nowhere)):
        suite.write_text(text)
        another_second()
        done = bench(*words, history, HOOK=hook, GITHUB_STEP_SUMMARY=str(bench.folder / "job.md"))
        assert done.returncode == code, done.stderr
    yield bench, list(read_found(bench.folder / "results"))
    unpin(pin_name(bench.folder / "results", "tiny", ("local",)))


@pytest.fixture
def results(nights: tuple[Bench, list[NightFound]]) -> Path:
    return nights[0].folder / "results"


def watch(history: History, series: Series) -> Watch:
    """As if the two nights after the first one had been worse in it."""
    change = change_of(series, [0], [1, 2], rule="by hand")
    first, *_, last = (night.run for night in history.nights)
    return Watch(series=series.id, new_run=last, good_run=first, worse=True, change=change)


def series_of(history: History, metric: str) -> str:
    return next(s.id for s in history.series if (s.variant, s.metric) == ("int4-ptq", metric))


def test_what_grew_is_an_alert_as_long_as_it_lasts_and_told_until_it_is_taken(
    nights: tuple[Bench, list[NightFound]],
) -> None:
    bench, (before, grew, after) = nights
    history = read_history(bench.folder / "results")
    size = series_of(history, SIZE)
    assert not before.alerts and not before.messages
    for night in (grew, after):
        told = next(told for told in night.alerts if told.series == size)
        assert (told.since, told.good_run) == (grew.run, before.run) and told.ratio is not None and told.ratio > 1
    (message,) = grew.messages
    assert "Size" in message.text and message.run == grew.run
    (again,) = after.messages
    assert again.id == message.id, "nobody took the first one"
    assert (before.delivered, grew.delivered, after.delivered) == (True, False, False)
    assert any("weights=q4_0 → " in line for line in message.differences)


def test_a_webhook_that_nobody_answers_ends_no_night_and_is_said(nights: tuple[Bench, list[NightFound]]) -> None:
    bench, (before, grew, after) = nights
    assert not before.troubles, "there was nothing to send"
    (trouble,) = grew.troubles
    assert trouble.startswith("the webhook is out of reach") and trouble in after.troubles
    everything = [path for path in bench.folder.rglob("*") if path.is_file()]
    assert not [path for path in everything if b"secret" in path.read_bytes()], "the address is kept nowhere"


def test_machines_are_told_too(nights: tuple[Bench, list[NightFound]]) -> None:
    bench, (_, grew, _) = nights
    (suite,) = ElementTree.parse(bench.folder / "night.xml").getroot()
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    assert f"size {SIZE}" in failed and int(str(suite.get("failures"))) == len(failed)
    summary = (bench.folder / "job.md").read_text()
    assert summary.count("# Night of tiny") == 3 and grew.run in summary and "out of reach" in summary
    site = bench.folder / "reports" / "nightly"
    assert (site / "index.html").is_file() and grew.messages[0].id.split("-")[0] in str(list(site.rglob("*.js")))
    assert ElementTree.parse(site / "feed.atom").getroot() is not None


def test_the_shared_history_has_every_run_and_what_was_found(nights: tuple[Bench, list[NightFound]]) -> None:
    bench, found = nights
    results, shared = bench.folder / "results", bench.folder / "shared"
    assert [path.name for path in find_runs(shared)] == [night.run for night in found[:2]]
    for path in find_runs(shared):
        assert (path / RECORDS).read_bytes() == (results / path.name / RECORDS).read_bytes()
    assert read_found(shared) == tuple(found[:2])


def test_a_shared_history_out_of_reach_ends_no_night(nights: tuple[Bench, list[NightFound]]) -> None:
    _, (*_, after) = nights
    assert len([line for line in after.troubles if "the shared history: not everything" in line]) == 2


def test_what_a_rerun_may_need_is_pinned(results: Path, runner: Runner) -> None:
    held = read_pins().held[pin_name(results, "tiny", ("local",))]
    assert f"runners/{runner.sha256[:16]}" in held
    assert len([name for name in held if name.startswith("artifacts/")]) == 3, "f16, and int4-ptq before and after"


def test_a_rerun_takes_both_artifacts_and_both_runners(results: Path, runner: Runner, tmp_path: Path) -> None:
    """The older runner is a program of its own in the store: it notes that it was called, and calls the real one."""
    results = Path(shutil.copytree(results, tmp_path / "results"))
    history = read_history(results)
    old, _, new = (night.run for night in history.nights)
    older = digest("an older runner")
    program, calls = cache_folder("runners", older[:16]) / PROGRAM, tmp_path / "calls"
    program.write_text(f'#!/bin/sh\necho called >> "{calls}"\nexec "{runner.path}" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    records = results / old / RECORDS
    records.write_bytes(records.read_bytes().replace(runner.sha256.encode(), older.encode()))
    asked = [s for s in history.series if s.variant == "int4-ptq" and s.metric in (DECODE, "prefill_tok_s", SIZE)]
    asks = [watch(history, series) for series in asked]
    told = confirm(asks, history, Reruns(pairs=4), results, Silent(), Settings())
    made = {one.series: one for one in told}
    decode, size = made[series_of(history, DECODE)], made[series_of(history, SIZE)]
    assert decode.confirmation is not None and decode.confirmation.pairs == 4
    assert size.confirmation is None and "follows from the artifact alone" in str(size.reason)
    rerun = read_run(results / decode.confirmation.run)
    assert rerun.complete and rerun.plan.compares is not UNSET and {r.status for r in rerun.records} == {"ok"}
    seen = {
        (str(cell.variant), record.artifact_sha256, record.environment.runner_sha256 if record.environment else None)
        for record in rerun.records
        for cell in rerun.plan.cells
        if cell.key == record.cell
    }
    artifact = {run: {r.artifact_sha256 for r in read_run(results / run).records} for run in (old, new)}
    assert {(name, sha, run) for name, sha, run in seen if name.endswith("-good")} == {
        ("int4-ptq-good", (artifact[old] - artifact[new]).pop(), older)
    }
    assert {(name, sha, run) for name, sha, run in seen if name.endswith("-new")} == {
        ("int4-ptq-new", (artifact[new] - artifact[old]).pop(), runner.sha256)
    }
    assert calls.read_text().count("called") == 4
    assert rerun.id not in [night.run for night in read_history(results).nights], "a rerun is no night"
    again = confirm(asks, history, Reruns(pairs=4), results, Silent(), Settings())
    assert again == told, "what a killed night had measured again is not measured a third time"
    shutil.rmtree(program.parent)
    gone = confirm(asks, history, Reruns(pairs=5), results, Silent(), Settings())
    assert {one.reason for one in gone if one.series != size.series} == {
        f"the runner {older[:16]} of {old} is no longer in the store"
    }


def test_a_budget_leaves_what_does_not_fit_a_watch(results: Path) -> None:
    history = read_history(results)
    ask = watch(history, next(s for s in history.series if s.id == series_of(history, DECODE)))
    (told,) = confirm([ask], history, Reruns(pairs=1000, minutes=0.01), results, Silent(), Settings())
    assert told.confirmation is None and "are left tonight" in str(told.reason)


def test_json_is_what_was_found(nights: tuple[Bench, list[NightFound]]) -> None:
    bench, found = nights
    last = json.loads((bench.folder / "results" / "nights" / f"{found[-1].run}.json").read_text())
    assert msgspec.convert(last, NightFound) == found[-1]
