"""Answers by the real programs: two runtimes on one model, shards and their merge, questions that end early."""

import json
from functools import partial
from typing import Any

import pytest

from harness.store import RECORDS, Run, read_lines, read_run
from harness.values import Answers, CrossChecked, TrialRecord
from tests.integration.conftest import TINY, Bench, kill_hard
from tests.integration.test_run import all_dead, has_lines, wait_for

pytestmark = [pytest.mark.runner, pytest.mark.torch]

TWO = """extends: quick
name: two
title: two runtimes
baselines: [f16]
variants: {spinquant: null, qlora: null}
runtimes:
  llama.cpp: {threads: 1}
  hf: {threads: 1}
measures:
  - {kind: task, task: knowledge_200, limit: 20, context: 512}
"""
TINY_MODEL = TINY.split("measures:")[0] + "baselines: [f16]\n"


def answers_of(record: TrialRecord) -> Answers:
    (found,) = (o for o in record.observations if isinstance(o, Answers))
    return found


def by_runtime(run: Run) -> dict[str, TrialRecord]:
    cells = {cell.key: cell for cell in run.plan.cells}
    return {cells[r.cell].runtime.name: r for r in run.records}  # type: ignore[union-attr]


def items_of(run: Run, record: TrialRecord) -> list[dict[str, Any]]:
    return list(read_lines(run.path / answers_of(record).items))


# ---------------------------------------------------------------- two runtimes


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The demonstration model in F16 by both runtimes, some answers checked against lm-eval's own model."""
    bench = Bench(tmp_path_factory.mktemp("two"))
    (bench.folder / "two.yaml").write_text(TWO)
    done = bench("run", "--suite", "two.yaml", "--variants", "f16", "--cross-check", "2")
    assert done.returncode == 0, done.stderr
    return bench


def test_two_runtimes_give_the_same_answers(two: Bench) -> None:
    run = read_run(two.only_run())
    records = by_runtime(run)
    ours, theirs = ({i["id"]: i["answer"] for i in items_of(run, records[name])} for name in ("llama.cpp", "hf"))
    assert len(ours) == 20 and ours.keys() == theirs.keys()
    assert sum(ours[i] == theirs[i] for i in ours) >= 0.95 * len(ours)
    assert len(set(ours.values())) > 1


def test_their_tokenizers_agree_on_all_requests(two: Bench) -> None:
    run = read_run(two.only_run())
    assert [record.noise for record in run.records] == [(), ()]
    files = [run.path / answers_of(record).requests for record in run.records]
    assert files[0] != files[1], "each runtime asked its own tokenizer"
    keys = ("task", "doc", "index", "context", "continuation")
    one, other = ([[line.get(k) for k in keys] for line in read_lines(f) if "id" in line] for f in files)
    assert one == other


def test_the_cross_check_passes_for_both(two: Bench) -> None:
    for name, record in by_runtime(read_run(two.only_run())).items():
        (found,) = (o for o in record.observations if isinstance(o, CrossChecked))
        assert found.requests == 2 * 4 and 0 < found.largest_nats <= found.tolerance_nats
        assert (found.itself_nats is None) is (name == "hf"), "torch computes in float32"


def test_the_report_of_two_runtimes_is_made(two: Bench) -> None:
    assert two("report", "latest").returncode == 0
    report = json.loads((two.folder / "reports" / two.only_run().name / "report.json").read_text())
    scores = {r["runtime"]: r["value"] for r in report["rows"] if r["metric"] == "acc"}
    assert set(scores) == {"llama.cpp", "hf"} and None not in scores.values()


# ---------------------------------------------------------------- shards


def test_merged_shards_are_bit_for_bit_the_undivided_run(bench: Bench) -> None:
    measures = (
        "measures:\n  - {kind: size}\n  - {kind: task, task: knowledge_200, limit: 21, context: 512}\n"
        "  - {kind: text, text: text_5000, window: 128, positions: 100, reference: f16}\n"
    )
    (bench.folder / "s.yaml").write_text(TINY_MODEL + measures)
    wish = ("run", "--suite", "s.yaml", "--variants", "f16")
    for words in (("--shard", "1/2"), ("--shard", "2/2"), ("--measures", "task,text")):
        done = bench(*wish, *words)
        assert done.returncode == 0, done.stderr
    runs = {str(r.plan.shard): r for r in map(read_run, (bench.folder / "results").iterdir())}
    done = bench("merge", runs["2/2"].path.name, runs["1/2"].path.name)
    assert done.returncode == 0, done.stderr
    joined = read_run(bench.folder / "results" / done.stdout.splitlines()[0].split(":")[0].split("/")[-1])
    whole = runs["None"]
    assert [r.cell for r in joined.records] == [r.cell for r in whole.records] and len(whole.records) == 2
    for ours, theirs in zip(joined.records, whole.records, strict=True):
        assert items_of(joined, ours) == items_of(whole, theirs)
        one, other = (list(read_lines(r.path / answers_of(a).answers)) for r, a in ((joined, ours), (whole, theirs)))
        assert one == sorted(other, key=lambda line: line["id"])
        parts = [answers_of(next(r for r in runs[n].records if r.cell == ours.cell)) for n in ("1/2", "2/2")]
        assert 0 < parts[0].questions <= parts[1].questions < parts[0].of
    assert bench("report", joined.path.name).returncode == 0


@pytest.mark.parametrize("runtime", ["llama.cpp", "hf"])
def test_a_shard_without_questions_has_no_answers(bench: Bench, runtime: str) -> None:
    measures = "measures:\n  - {kind: task, task: knowledge_200, limit: 2, context: 512}\n"
    (bench.folder / "s.yaml").write_text(TINY_MODEL.replace("  llama.cpp:", f"  {runtime}:") + measures)
    done = bench("run", "--suite", "s.yaml", "--variants", "f16", "--shard", "1/3")
    assert done.returncode == 0, done.stderr
    run = read_run(bench.only_run())
    for record in run.records:
        answers = answers_of(record)
        assert (answers.questions, answers.of, answers.count) == (0, 2, 0)
        assert record.status == "ok" and items_of(run, record) == []


# ---------------------------------------------------------------- rounds


def test_questions_end_early_and_go_on_where_a_killed_run_stopped(bench: Bench) -> None:
    (bench.folder / "u.yaml").write_text(
        TINY_MODEL + "measures:\n  - {kind: task, task: knowledge_200, context: 512}\n"
    )
    process = bench.start("run", "--suite", "u.yaml", "--variants", "f16", "--until", "±40pt")
    results = bench.folder / "results"
    wait_for(lambda: list(results.glob("*/" + RECORDS)), "the first record")
    (path,) = results.glob("*/" + RECORDS)
    wait_for(partial(has_lines, path, 3, process), "the third record")
    wait_for(partial(all_dead, kill_hard(process)), "the end of the killed host's children", 30)
    kept = path.read_bytes()[: path.read_bytes().rfind(b"\n") + 1]
    done = bench("run", "--resume", "latest")
    assert done.returncode == 0, done.stderr
    run = read_run(path.parent)
    assert path.read_bytes().startswith(kept) and run.complete
    asked = [r for r in run.records if r.status == "ok"]
    left = [r for r in run.records if r.status == "not_needed"]
    assert {r.round for r in asked} == set(range(10)) and len(asked) == len(left) == 10
    for record in left:
        assert str(record.reason).startswith("stopped after 100 of 200 questions")
    for cell in run.plan.cells:
        ids = [item["id"] for r in asked if r.cell == cell.key for item in items_of(run, r)]
        assert len(ids) == len(set(ids)) == 100
        assert sorted(ids) != list(range(100)), "a draw of all, not their beginning"
    assert bench("report", "latest").returncode == 0
