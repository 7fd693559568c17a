"""The command as a person meets it: one clear line and the settled exit code for every wrong wish."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.config import PROJECT
from harness.metrics import METRICS


def bench(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "BENCH_DATA"}
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=cwd,
        env={**environment, "PYTHONPATH": str(PROJECT), **env},
        capture_output=True,
        text=True,
    )


def refused(done: subprocess.CompletedProcess[str], said: str, code: int = 2) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("bench: ")


def test_help_names_every_command(tmp_path: Path) -> None:
    done = bench("--help", cwd=tmp_path)
    for command in ("run", "plan", "report", "compare", "merge", "doctor", "list"):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)
    assert done.returncode == 0


WRONG_WISHES = [
    (["rnu"], "unknown command 'rnu' — did you mean 'run'?"),
    (["plan", "--suite", "quik"], "unknown suite 'quik' — did you mean 'quick'?"),
    (["plan", "--suite", "nowhere/s.yaml"], "unknown suite file"),
    (["plan", "--variants", "int5"], "unknown variant 'int5' — did you mean 'int8'?"),
    (["plan", "--device", "oneplus99"], "unknown device 'oneplus99'"),
    (["plan", "--tasks", "mmul"], "unknown task 'mmul' — did you mean 'mmlu'?"),
    (["plan", "--tasks", "humaneval"], "task 'humaneval' is not offered: it runs code that a model wrote"),
    (["plan", "--tasks", "mmlu"], "task 'mmlu' needs the file mmlu/test in the folder that BENCH_DATA"),
    (["plan", "--tasks", "mmlu", "--data", "."], "which does not exist"),
    (["plan", "--data", "nowhere"], "the data folder nowhere (BENCH_DATA or --data) does not exist"),
    (["plan", "--measures", "sped"], "unknown measure 'sped' — did you mean 'speed'?"),
    (["plan", "--shard", "1/2", "--until", "±1pt"], "--shard and --until exclude each other"),
    (["plan", "--shard", "1/2", "--measures", "size,speed"], "--shard splits the requests of tasks and texts"),
    (["plan", "--until", "±1pt", "--measures", "size"], "--until ends the questions of tasks"),
    (["run", "--resume", "latest", "--shard", "1/2", "--cross-check", "3"], "leave out --shard, --cross-check"),
    (["merge", "latest"], "no run in results yet"),
    (["report", "latest"], "no run in results yet"),
    (["compare", "nonsense"], "'nonsense' is no run folder"),
    (["run", "--resume", "latest"], "no run in results yet"),
    (["run", "--resume", "latest", "--rounds", "3"], "leave out --rounds"),
]


@pytest.mark.parametrize(("words", "said"), WRONG_WISHES)
def test_a_wrong_wish_is_one_line_and_exit_2(tmp_path: Path, words: list[str], said: str) -> None:
    refused(bench(*words, cwd=tmp_path), said)


def test_a_missing_model_is_said_before_anything_is_made(tmp_path: Path) -> None:
    text = (PROJECT / "suites" / "quick.yaml").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(re.sub(r"    source:\n(      .*\n)+", "    source: {from: file, path: gone.gguf}\n", text))
    refused(bench("run", "--suite", str(path), cwd=tmp_path, BENCH_CACHE=str(tmp_path / "cache")), "gone.gguf")
    assert not (tmp_path / "results").exists() and not (tmp_path / "cache").exists()


def test_no_compiler_says_how_to_get_one(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    done = bench("run", cwd=tmp_path, PATH=str(programs), BENCH_CACHE=str(tmp_path / "cache"))
    refused(done, "no C++ compiler found (Debian, Ubuntu: `apt-get install g++`)")


def test_no_network_is_one_line(tmp_path: Path) -> None:
    """pip is told to look nowhere: what it says then is what it says without a network."""
    if shutil.which("c++") is None and shutil.which("g++") is None:
        pytest.fail("this test needs a C++ compiler")
    done = bench(
        "run",
        cwd=tmp_path,
        BENCH_CACHE=str(tmp_path / "cache"),
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS="",
        PIP_CONFIG_FILE=os.devnull,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("bench: cannot download llama-cpp-python") and "no network" in last


def test_plan_shows_what_would_run(tmp_path: Path) -> None:
    done = bench("plan", "--rounds", "2", cwd=tmp_path)
    assert "43 cells, " in done.stdout and "again: bench run --suite quick --rounds 2" in done.stdout
    as_json = json.loads(bench("plan", "--json", cwd=tmp_path).stdout)
    assert len(as_json["cells"]) == 43
    assert list(tmp_path.iterdir()) == [], "a plan touches nothing"


def test_a_plan_says_where_torch_computes(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("extends: quick\nname: gpu\ntitle: on a GPU\nruntimes: {hf: {processor: cuda, dtype: bfloat16}}\n")
    assert "runtime hf: threads " in (told := bench("plan", "--suite", str(suite), cwd=tmp_path).stdout)
    assert ", bfloat16 on cuda\n" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--until", "1%"], "'1%' is no half width such as ±1pt or ±0.5pt"),
        (["--until", "±0pt"], "is no half width"),
        (["--shard", "5/4"], "'5/4' is no part such as 1/4, 2/4"),
        (["--shard", "2"], "is no part"),
        (["--cross-check", "-1"], "-1 is not in the range x>=0"),
    ],
)
def test_a_wrong_value_shows_the_usage_and_exits_2(tmp_path: Path, words: list[str], said: str) -> None:
    done = bench("plan", *words, cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert said in done.stderr and "Usage:" in done.stderr


@pytest.mark.parametrize(
    "words", [["--until", "±0.25pt"], ["--shard", "2/4", "--cross-check", "3", "--limit", "9", "--allow-task-code"]]
)
def test_the_command_that_a_plan_names_gives_the_same_plan(tmp_path: Path, words: list[str]) -> None:
    first = json.loads(bench("plan", "--json", *words, cwd=tmp_path).stdout)
    assert first["command"][0:2] == ["bench", "run"] and set(words) <= set(first["command"])
    again = json.loads(bench("plan", "--json", *first["command"][2:], cwd=tmp_path).stdout)
    assert again == first


def test_list_knows_every_metric(tmp_path: Path) -> None:
    done = bench("list", "metrics", "--json", cwd=tmp_path)
    assert set(json.loads(done.stdout)["metrics"]) == set(METRICS)
    everything = bench("list", cwd=tmp_path).stdout
    for kind in ("suites:", "variants:", "tasks:", "metrics:", "recipes:", "runtimes:", "devices:"):
        assert kind in everything


def test_no_heavy_import_before_it_is_needed(tmp_path: Path) -> None:
    """What makes a command slow to start is what it imports; a count of seconds would only fail on slow machines."""
    code = (
        "import sys, click.testing\n"
        "from harness.cli import main\n"
        "result = click.testing.CliRunner().invoke(main, sys.argv[1:])\n"
        "assert result.exit_code == 0, result.output\n"
        "heavy = {'numpy', 'pandas', 'scipy', 'matplotlib', 'rich', 'torch', 'lm_eval', 'gguf', 'jinja2', 'datasets'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    for words in (["--help"], ["plan"], ["list"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == "[]", done.stderr
