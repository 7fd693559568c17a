"""Runs as frames and files: the settled columns, typed, and nothing that was not seen."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pandas as pd
import pytest

import harness
from harness import pipeline
from harness.analyse.compare import analyse
from harness.analyse.findings import Row
from harness.config import PROJECT
from harness.derivations import trial_values
from harness.errors import InputError, UnknownNameError
from harness.store import read_run
from harness.trial_frame import COLUMNS
from harness.values import Bandwidth, Cell, Size, Speed, Task, TrialRecord
from tests.builders import build_run, only

DECODE = Speed(prompt_tokens=64, generated_tokens=16, rounds=5, repetitions=2)
MEASURES = (Size(), Bandwidth(rounds=5, repetitions=2), DECODE, Task(task="knowledge_200"))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    def change(cell: Cell, record: TrialRecord) -> TrialRecord:
        if only(cell, variant="int8", measure="speed") and record.round == 1:
            return msgspec.structs.replace(record, status="failed", reason="the program died", observations=())
        return record

    build_run(tmp_path, name="20260714T101500Z-quick-example-00aa", measures=MEASURES, change=change)
    build_run(tmp_path, name="20260715T101500Z-quick-example-00bb", measures=MEASURES, seed=8)
    return tmp_path


def test_results_are_the_rows_of_all_runs(results: Path) -> None:
    frame = harness.load_results(results)
    rows = analyse([read_run(p) for p in sorted(results.iterdir())]).rows
    assert list(frame.columns) == list(Row.__struct_fields__)
    assert len(frame) == len(rows)
    for name in ("value", "ratio", "diff_low"):
        assert str(frame[name].dtype) == "Float64"
        assert [None if pd.isna(v) else v for v in frame[name]] == [getattr(r, name) for r in rows]
    assert isinstance(frame["variant"].dtype, pd.CategoricalDtype)
    assert list(frame["variant"].cat.categories) == ["bf16", "f16", "int8", "int4-ptq"]
    assert str(frame["n"].dtype) == "Int64"


def test_one_run_alone_can_be_read(results: Path) -> None:
    run = results / "20260715T101500Z-quick-example-00bb"
    assert set(harness.load_results(str(run))["run"]) == {run.name}


def test_records_have_a_row_for_each_trial_and_value(results: Path) -> None:
    frame = harness.load_records(results)
    assert tuple(frame.columns) == COLUMNS
    run = read_run(results / "20260714T101500Z-quick-example-00aa")
    record = next(r for r in run.records if r.status == "ok" and trial_values(r).get("decode_tok_s"))
    mine = frame[(frame["run"] == run.id) & (frame["cell"] == record.cell) & (frame["round"] == record.round)]
    seen = dict(zip(mine["metric"], mine["value"], strict=True))
    assert {name: seen[name] for name in trial_values(record)} == trial_values(record)
    assert set(mine["unit"]) >= {"tok/s", "s", "fraction"}
    assert set(mine["status"]) == {"ok"}
    assert mine["started"].dt.year.unique().tolist() == [2026]


def test_a_failed_trial_has_one_row_with_its_reason_and_no_value(results: Path) -> None:
    frame = harness.load_records(results)
    (failed,) = frame[frame["status"] == "failed"].to_dict("records")
    assert failed["reason"] == "the program died" and failed["round"] == 1
    assert pd.isna(failed["value"]) and pd.isna(failed["metric"]) and pd.isna(failed["unit"])


def test_accuracy_is_among_the_records(results: Path) -> None:
    frame = harness.load_records(results)
    scores = frame[(frame["metric"] == "acc") & (frame["variant"] == "int8")]
    expected = harness.load_results(results).query("metric == 'acc' and variant == 'int8' and baseline == 'bf16'")
    assert list(scores["value"]) == list(expected["value"])


def test_a_folder_without_runs_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run in .*plan\.json"):
        harness.load_results(tmp_path)


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
@pytest.mark.parametrize("trials", [False, True])
def test_every_format_holds_the_same(results: Path, tmp_path: Path, form: str, trials: bool) -> None:
    body = pipeline.rows(["20260714T101500Z-quick-example-00aa"], results, form, trials=trials)
    path = tmp_path / f"rows.{form}"
    path.write_bytes(body)
    read = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[form](path)
    load = harness.load_records if trials else harness.load_results
    frame = load(results / "20260714T101500Z-quick-example-00aa")
    assert list(read.columns) == list(frame.columns)
    known = frame["value"].dropna().astype(float).tolist()
    assert read["value"].dropna().astype(float).tolist() == pytest.approx(known, rel=1e-12)


def test_an_unknown_metric_is_refused_and_a_known_one_chosen(results: Path) -> None:
    name = "20260714T101500Z-quick-example-00aa"
    with pytest.raises(UnknownNameError, match="did you mean 'decode_tok_s'"):
        pipeline.rows([name], results, "csv", metrics=["decode_toks"])
    body = pipeline.rows([name], results, "csv", metrics=["size_bytes"]).decode()
    assert len(body.splitlines()) == 1 + 2 + 2 * 2


def test_much_is_read_by_several_processes_and_gives_the_same(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, rows = harness.load_records(results), harness.load_results(results)
    monkeypatch.setattr("harness.many_runs.MUCH_BYTES", 0)
    monkeypatch.setattr("harness.many_runs.os.sched_getaffinity", lambda _: {0, 1})
    pd.testing.assert_frame_equal(harness.load_records(results), alone)
    pd.testing.assert_frame_equal(harness.load_results(results), rows)


def test_the_package_is_light() -> None:
    code = "import sys, harness; print(sorted({'pandas', 'numpy', 'scipy', 'msgspec', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stdout.strip() == "[]"
