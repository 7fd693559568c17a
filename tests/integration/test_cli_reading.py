"""The reading commands as a person meets them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.build.waste import DAY_S
from harness.config import PROJECT
from harness.reading_commands import FORMATS
from tests.builders import build_run


def bench(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "BENCH_CACHE": str(cwd / "cache"), "COLUMNS": "140"}
    command = [sys.executable, "-m", "harness.cli", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with two runs, and a cache with one old thing."""
    folder = tmp_path_factory.mktemp("place")
    build_run(folder / "results", name="20260714T101500Z-quick-example-00aa")
    build_run(folder / "results", name="20260715T101500Z-quick-example-00bb", seed=9)
    old = folder / "cache" / "artifacts" / "0123456789abcdef"
    old.mkdir(parents=True)
    then = time.time() - 99 * DAY_S
    os.utime(old, (then, then))
    return folder


def test_rows_go_to_standard_output_or_a_file(place: Path) -> None:
    done = bench("rows", cwd=place)
    assert done.returncode == 0 and done.stdout.startswith("run,variant,baseline,")
    for form in FORMATS:
        single = () if form == "prometheus" else ("--trials",)
        done = bench("rows", "latest", *single, "--out", f"rows.{form}", cwd=place)
        assert done.returncode == 0 and done.stdout == f"rows.{form}\n"
    lines = json.loads((place / "rows.json").read_bytes())
    assert lines[0]["run"] == "20260715T101500Z-quick-example-00bb"
    assert (place / "rows.parquet").read_bytes()[:4] == b"PAR1"


def test_two_runs_against_each_other(place: Path) -> None:
    words = ("compare", "latest", "--against", "20260714T101500Z-quick-example-00aa", "--variant", "int8")
    done = bench(*words, "--json", cwd=place)
    found = json.loads(done.stdout)
    assert found["paired"] is False and found["differing"] and found["rows"]
    shown = bench(*words, cwd=place)
    assert "first: int8 on local in 20260715" in shown.stdout and "not paired" in shown.stdout


def test_gc_says_bytes_and_removes(place: Path) -> None:
    dry = bench("gc", "--dry-run", cwd=place)
    assert dry.returncode == 0 and "artifacts/0123456789abcdef" in dry.stdout and "would free 1 entry" in dry.stdout
    assert (place / "cache" / "artifacts" / "0123456789abcdef").exists()
    assert "pinned quick" in bench("gc", "--pin", "quick", cwd=place).stdout
    assert "unpinned quick" in bench("gc", "--unpin", "quick", cwd=place).stdout
    assert "freed 1 entry" in bench("gc", cwd=place).stdout
    assert not (place / "cache" / "artifacts" / "0123456789abcdef").exists()


def test_schemas_are_printed(place: Path) -> None:
    assert json.loads(bench("schema", "suite", cwd=place).stdout)["title"] == "bench suite"


REFUSED = [
    (["rows", "--format", "parquet"], "name a file with --out FILE"),
    (["rows", "--metrics", "decode_toks"], "did you mean 'decode_tok_s'"),
    (["rows", "nonsense"], "'nonsense' is no run folder"),
    (["compare", "--variant", "int8"], "both sides are the same"),
    (["compare", "--variant", "int8,int5"], "unknown variant 'int5' — did you mean 'int8'?"),
    (["compare", "--device", "local,phone"], "unknown device 'phone'"),
    (["compare", "--against", "nonsense"], "'nonsense' is no run folder"),
    (["gc", "--unpin", "nonsense"], "unknown pin 'nonsense'"),
    (["gc", "--pin", "quik"], "did you mean 'quick'"),
]


@pytest.mark.parametrize(
    ("words", "said"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_wrong_wishes_are_one_line(place: Path, words: list[str], said: str) -> None:
    done = bench(*words, cwd=place)
    assert done.returncode == 2 and said in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("bench: ")
