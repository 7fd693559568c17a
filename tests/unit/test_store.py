"""Runs on disk: nothing recorded is lost, nothing torn is believed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.store import (
    PLAN,
    RECORDS,
    append_record,
    create_run,
    encode,
    find_runs,
    hold_run,
    read_lines,
    read_run,
    resolve_run,
    write_lines,
)
from harness.values import Cell, DeviceSpec, FileSource, Model, Plan, Size, Suite, Trial, TrialRecord, Variant
from tests.unit.test_plan import FACTS


def a_plan(trials: int = 3) -> Plan:
    model = Model(name="m", source=FileSource(path="/m"), label="l")
    suite = Suite(
        name="s",
        title="t",
        variants=(Variant(name="a", model=model, recipe="released"),),
        baselines=("a",),
        runtimes=(),
        devices=(DeviceSpec(name="local"),),
        measures=(Size(),),
        seed=1,
    )
    cell = Cell(key="0" * 16, variant="a", runtime=None, device="local", workload=Size())
    return Plan(
        suite=suite,
        facts={"local": FACTS},
        cells=(cell,),
        trials=tuple(Trial(id=f"t{i}", cell=cell.key, round=i) for i in range(trials)),
    )


def a_record(number: int, **changes: object) -> TrialRecord:
    record = TrialRecord(trial=f"t{number}", cell="0" * 16, round=number, status="ok", reason=None)
    return msgspec.structs.replace(record, **changes)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return create_run(tmp_path, a_plan(), host="a host/with spaces")


def test_a_run_folder_says_when_what_and_where(run: Path) -> None:
    assert run.name[8] == "T" and "-s-a-host-with-spaces-" in run.name
    assert read_run(run).plan == a_plan()


def test_records_come_back_as_they_were(run: Path) -> None:
    for number in range(3):
        append_record(run, a_record(number, noise=("so → so",)))
    assert read_run(run).records == tuple(a_record(n, noise=("so → so",)) for n in range(3))


@given(cut=st.integers(min_value=0, max_value=2000))
@settings(max_examples=60)
def test_a_file_cut_anywhere_keeps_its_whole_lines_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    run = create_run(tmp_path_factory.mktemp("cut"), a_plan(4), host="h")
    for number in range(3):
        append_record(run, a_record(number))
    path = run / RECORDS
    body = path.read_bytes()
    path.write_bytes(body[: min(cut, len(body))])
    whole = body[: min(cut, len(body))].count(b"\n")
    assert len(read_run(run).records) == whole
    append_record(run, a_record(whole))
    assert [r.trial for r in read_run(run).records] == [f"t{n}" for n in range(whole + 1)]


def test_a_damaged_line_in_the_middle_is_an_error_with_its_line(run: Path) -> None:
    for number in range(3):
        append_record(run, a_record(number))
    lines = (run / RECORDS).read_bytes().splitlines(keepends=True)
    (run / RECORDS).write_bytes(lines[0] + b'{"schema": 1, "tri\n' + lines[2])
    with pytest.raises(StoreError, match=r"records\.jsonl:2: damaged"):
        read_run(run)


def test_a_newer_schema_is_refused(run: Path) -> None:
    body = (run / PLAN).read_bytes().replace(b'"schema": 1', b'"schema": 99')
    (run / PLAN).write_bytes(body)
    with pytest.raises(StoreError, match="newer bench"):
        read_run(run)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [1.0, float("-inf")]}])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be None with a reason"):
        encode(value)


def test_two_writers_are_refused(run: Path) -> None:
    with hold_run(run), pytest.raises(StoreError, match="another bench process"), hold_run(run):
        pass


def test_latest_is_the_newest_and_never_the_example(tmp_path: Path) -> None:
    first = create_run(tmp_path, a_plan(), host="h")
    newer = tmp_path / ("99991231T000000Z" + first.name[16:])
    (tmp_path / "example").mkdir()
    (tmp_path / "example" / PLAN).write_bytes((first / PLAN).read_bytes())
    newer.mkdir()
    (newer / PLAN).write_bytes((first / PLAN).read_bytes())
    assert resolve_run("latest", tmp_path) == newer
    assert resolve_run(first.name, tmp_path) == first
    rerun = tmp_path / "99991231T235959Z-confirm-quick-h-0000"
    rerun.mkdir()
    (rerun / PLAN).write_bytes(b'{"compares": []}')
    assert resolve_run("latest", tmp_path) == newer
    (rerun / PLAN).write_bytes(b"{}")
    assert resolve_run("latest", tmp_path) == rerun, "a suite of somebody's that is called so"
    assert len(find_runs(tmp_path)) == 4
    with pytest.raises(StoreError, match="no run folder"):
        resolve_run("nonsense", tmp_path)


def test_no_run_yet_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="bench run"):
        resolve_run("latest", tmp_path / "nothing")


def test_a_read_only_folder_is_an_error_for_people(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StoreError, match="cannot write a run"):
        create_run(blocked, a_plan(), host="h")


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)), max_size=5))
@settings(max_examples=40)
def test_lines_come_back_from_gzip_and_equal_lines_are_equal_bytes(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    small = [{k: v for k, v in line.items() if not isinstance(v, int) or abs(v) < 2**63} for line in lines]
    write_lines(folder / "a.jsonl.gz", small)
    write_lines(folder / "b.jsonl.gz", small)
    assert list(read_lines(folder / "a.jsonl.gz")) == small
    assert (folder / "a.jsonl.gz").read_bytes() == (folder / "b.jsonl.gz").read_bytes()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {project!r})
from tests.unit.test_store import a_record
from harness.store import append_record
run = Path({run!r})
number = 0
while True:
    append_record(run, a_record(number, noise=("x" * 5000,)))
    print(number, flush=True)
    number += 1
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    run = create_run(tmp_path, a_plan(100_000), host="h")
    project = str(Path(__file__).parents[2])
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER.format(project=project, run=str(run))], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(20)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout.read().split()]
    writer.wait()
    records = read_run(run).records
    assert [r.round for r in records][: len(acknowledged)] == acknowledged
    assert len(records) <= len(acknowledged) + 1
