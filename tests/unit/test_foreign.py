"""Results of other tools, read from what the tools themselves wrote: `tests/recordings`."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pytest
from click.testing import CliRunner

from harness.analyse.compare import analyse
from harness.cli import main
from harness.config import PROJECT
from harness.errors import BenchError, InputError
from harness.measure.foreign.detect import read_told
from harness.measure.foreign.making import import_told
from harness.progress import Silent
from harness.store import Run, read_run
from harness.values import Answers, Reported, Size, Speed, Task

RECORDINGS = PROJECT / "tests" / "recordings"
LLAMA_BENCH = RECORDINGS / "llama-bench-0.5.0-dev.jsonl"
LM_EVAL = RECORDINGS / "lm-eval-0.4.13"
OPTIMUM = RECORDINGS / "optimum-benchmark-0.6.0" / "benchmark.json"
OBSERVER = {
    "prompt_tokens": 64,
    "generated_tokens": 32,
    "model_load_start_ms": 1000,
    "model_load_end_ms": 1500,
    "inference_start_ms": 2000,
    "inference_end_ms": 2600,
    "prompt_eval_end_ms": 2128,
    "first_token_ms": 2200,
    "aggregate_sampling_time_ms": 3,
    "SCALING_FACTOR_UNITS_PER_SECOND": 1000,
}
"""As ExecuTorch's `extension/llm/runner/stats.h` prints it."""


def imported(path: Path, tmp_path: Path) -> Run:
    return read_run(import_told(path, tmp_path / "results", Silent()))


def values(run: Run) -> dict[tuple[str | None, str, str], float]:
    """(variant, workload, metric) → value, as a report has it."""
    report = analyse([run])
    return {(one.variant, one.workload, one.metric): one.value for one in report.levels}


def entries() -> list[dict[str, Any]]:
    return [json.loads(line) for line in LLAMA_BENCH.read_text().splitlines()]


def test_every_number_of_llama_bench_is_there(tmp_path: Path) -> None:
    run = imported(LLAMA_BENCH, tmp_path)
    told = [o for record in run.records for o in record.observations if isinstance(o, Reported)]
    seen = values(run)
    for entry in entries():
        (own,) = (o for o in told if o.told.get("n_prompt") == str(entry["n_prompt"]) and same_test(o, entry))
        assert {key for key, value in entry.items() if value not in (None, "", [], {})} == set(own.told)
        assert json.loads(own.told["samples_ns"]) == entry["samples_ns"]
        rates = sorted(entry["samples_ts"])
        for found in own.repetitions.values():
            assert sorted(found) == pytest.approx(rates, rel=1e-4), "llama-bench rounds what it prints"
        name = Path(entry["model_filename"]).stem
        if not entry["n_gen"]:
            place = (name, f"p{entry['n_prompt']}+g1" + depth(entry), "prefill_tok_s")
        elif not entry["n_prompt"]:
            place = (name, f"p1+g{entry['n_gen']}" + depth(entry), "decode_tok_s")
        else:
            assert own.values == {}
            continue
        assert seen[place] == pytest.approx(median(rates), rel=1e-4)
        assert seen[name, "", "bits_per_weight"] == pytest.approx(8 * entry["model_size"] / entry["model_n_params"])


def same_test(one: Reported, entry: dict[str, Any]) -> bool:
    keys = ("n_gen", "n_depth", "model_filename", "test_time")
    return all(one.told.get(key, "0") == str(entry[key]) for key in keys)


def depth(entry: dict[str, Any]) -> str:
    return f" d{entry['n_depth']}" if entry["n_depth"] else ""


def test_an_imported_run_is_marked_and_nothing_is_made_up(tmp_path: Path) -> None:
    run = imported(LLAMA_BENCH, tmp_path)
    about = json.loads((run.path / "imported.json").read_text())
    assert about["tool"] == "llama-bench" and about["file"] == LLAMA_BENCH.name and len(about["remarks"]) == 1
    (facts,) = run.plan.facts.values()
    assert facts.usable_cores is facts.memory_bytes is None and "does not say" in facts.missing["memory_bytes"]
    assert facts.cpu == entries()[0]["cpu_info"]
    report = analyse([run])
    said = {c.name: [v.value for v in c.values] for c in report.conditions}
    assert said["imported from"][0].startswith("llama-bench ") and said["micro-batch"] == ["512"]
    assert said["memory"] == ["not seen: llama-bench does not say"]
    sizes = [row for row in report.rows if row.metric == "size_bytes"]
    assert sizes and all(row.value is None and row.reason for row in sizes)
    assert run.plan.suite.baselines and run.plan.suite.baselines[0].lower().endswith("f16")
    with pytest.raises(InputError, match="were imported before: they are run"):
        import_told(LLAMA_BENCH, tmp_path / "results", Silent())
    assert len(list((tmp_path / "results").iterdir())) == 1


def test_the_command_imports_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["import", str(LLAMA_BENCH)])
    assert done.exit_code == 0, done.output
    assert "next: bench report" in done.output
    assert CliRunner().invoke(main, ["compare", "latest"]).exit_code == 0
    done = CliRunner().invoke(main, ["report", "latest", "--format", "md"])
    assert done.exit_code == 0, done.output
    (page,) = (tmp_path / "reports").glob("*/report.md")
    assert "imported from" in page.read_text() and "not a phone" not in page.read_text()
    assert CliRunner().invoke(main, ["import", str(LLAMA_BENCH)]).exit_code == 2
    (run,) = (tmp_path / "results").iterdir()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for words in (["regrade", "latest"], ["run", "--resume", run.name], ["merge", run.name]):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 2 and "was imported from llama-bench" in done.output, done.output
    done = CliRunner().invoke(main, ["card", "latest", "--metadata", "hub"])
    assert done.exit_code == 2 and "was imported" in done.output
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_entries_of_one_test_are_rounds_and_machines_are_told_apart(tmp_path: Path) -> None:
    one = entries()[0]
    path = tmp_path / "several.jsonl"
    lines = [{**one, "test_time": f"2026-11-27T10:00:0{n}Z"} for n in range(4)]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {**one, "cpu_info": "another"}]))
    run = imported(path, tmp_path)
    timed = [c for c in run.plan.cells if isinstance(c.workload, Speed)]
    assert {c.device for c in timed} == {"elsewhere-1", "elsewhere-2"}
    rounds = sorted(t.round for t in run.plan.trials if t.cell == timed[0].key)
    assert rounds == [0, 1, 2, 3] and timed[0].workload.rounds == 4  # type: ignore[union-attr]
    assert len([c for c in run.plan.cells if isinstance(c.workload, Size)]) == 1


def test_settings_that_vary_are_no_rounds(tmp_path: Path) -> None:
    one = entries()[0]
    path = tmp_path / "sweep.jsonl"
    changes = [{"n_threads": 1}, {"n_threads": 2}, {"n_threads": 2, "n_cpu_moe": 3}]
    path.write_text("".join(json.dumps({**one, **change}) + "\n" for change in changes))
    run = imported(path, tmp_path)
    timed = [c for c in run.plan.cells if isinstance(c.workload, Speed)]
    assert [c.runtime.name for c in timed if c.runtime] == [
        "llama-bench-n_cpu_moe0-n_threads1",
        "llama-bench-n_cpu_moe0-n_threads2",
        "llama-bench-n_cpu_moe3-n_threads2",
    ]
    assert len({t.cell for t in run.plan.trials if t.cell in {c.key for c in timed}}) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"samples_ns": []}, "entry 1: `samples_ns` is no list of times"),
        ({"samples_ns": ["fast"]}, "`samples_ns` is fast, where a number is wanted"),
        ({"samples_ns": [0]}, "`samples_ns` is 0"),
        ({"n_prompt": -1}, "`n_prompt` is -1"),
        ({"n_prompt": 0, "n_gen": 0}, "neither a prompt nor generated tokens"),
        ({"type_k": "q4_0"}, "a KV cache of f16 and q4_0; known is one of f16, f32, q8_0"),
        ({"n_threads": 1.5}, "`n_threads` is 1.5"),
        ({"model_size": 0}, "`model_size` is 0"),
        ({"test_time": "yesterday"}, "`test_time` is no time"),
        ({"model_filename": " "}, "`model_filename` is  , where a text is wanted"),
    ],
)
def test_wrong_entries_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(json.dumps({**entries()[0], **change}) + "\n")
    with pytest.raises(InputError) as caught:
        imported(path, tmp_path)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not list((tmp_path / "results").glob("*"))


def test_names_of_others_are_made_safe(tmp_path: Path) -> None:
    path = tmp_path / "hostile.jsonl"
    names = ["../../etc/x.gguf", "C:\\models\\x.gguf", "<script>alert(1)</script>.gguf", "…", "a" * 300 + ".gguf"]
    path.write_text("".join(json.dumps({**entries()[0], "model_filename": name}) + "\n" for name in names))
    run = imported(path, tmp_path)
    found = [v.name for v in run.plan.suite.variants]
    more = [f"{folder}/{name}.gguf" for folder, name in (("a", "x"), ("b", "x"), ("c", "x-1"))]
    path.write_text("".join(json.dumps({**entries()[0], "model_filename": name}) + "\n" for name in more))
    assert len({one.variant for one in read_told(path).trials}) == 3
    assert found[:2] == ["x-1", "x-2"] and found[3] == "unnamed" and len(found) == 5
    assert all(len(name) <= 64 and "<" not in name and "/" not in name for name in found)


# ---------------------------------------------------------------- lm-eval


def results_file() -> Path:
    (path,) = LM_EVAL.glob("results_*.json")
    return path


def test_every_score_of_lm_eval_is_computed_from_its_samples(tmp_path: Path) -> None:
    run = imported(LM_EVAL, tmp_path)
    told = json.loads(results_file().read_text())
    tasks = {c.workload.task: c for c in run.plan.cells if isinstance(c.workload, Task)}
    assert set(tasks) == {"arc_easy", "gsm8k", "mmlu", "wikitext"}
    seen = values(run)
    model = run.plan.suite.variants[0].name
    label = {name: cell.workload.label for name, cell in tasks.items()}
    for metric in ("acc", "acc_norm"):
        assert seen[model, label["arc_easy"], metric] == pytest.approx(told["results"]["arc_easy"][f"{metric},none"])
    for chosen in ("strict-match", "flexible-extract"):
        name = f"exact_match,{chosen}"
        assert seen[model, label["gsm8k"], name] == pytest.approx(told["results"]["gsm8k"][name])
    assert seen[model, label["wikitext"], "word_perplexity"] == pytest.approx(
        told["results"]["wikitext"]["word_perplexity,none"]
    )
    subjects = [name for name in told["configs"] if name.startswith("mmlu_")]
    shares = [told["results"][name]["acc,none"] for name in subjects]
    (answers,) = (
        o for r in run.records if r.cell == tasks["mmlu"].key for o in r.observations if isinstance(o, Answers)
    )
    assert answers.label == "the first questions only of 2 of 2 tasks (lm-eval's --limit)"
    assert len(subjects) == 2 and seen[model, label["mmlu"], "acc_macro"] == pytest.approx(fmean(shares))
    assert {r.status for r in run.records} == {"ok"}


def test_single_questions_can_be_looked_at(tmp_path: Path) -> None:
    run = imported(LM_EVAL, tmp_path)
    items = [json.loads(line) for path in (run.path / "items").iterdir() for line in lines_of(path)]
    arc = [item for item in items if item["task"] == "arc_easy"]
    assert all(len(item["logprobs"]) in (3, 4, 5) and item["target"] in range(5) for item in arc)
    assert all((item["answer"] == item["target"]) == bool(item["metrics"]["acc"]) for item in arc)
    gsm = [item for item in items if item["task"] == "gsm8k"]
    assert all(isinstance(item["answer"], str) for item in gsm)
    asked = [json.loads(line) for path in (run.path / "requests").iterdir() for line in lines_of(path)]
    assert any(line["prompt"].startswith("Question: ") and line["target"].startswith(" ") for line in asked)


def lines_of(path: Path) -> list[str]:
    import gzip

    return gzip.decompress(path.read_bytes()).decode().splitlines()


def test_results_whose_samples_are_gone_or_of_another_run(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(LM_EVAL, folder)
    (results,) = folder.glob("results_*.json")
    (samples,) = folder.glob("samples_arc_easy_*.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    lines[0]["acc"] = 1.0 - lines[0]["acc"]
    samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match=r"arc_easy has acc,none .* they are not of one run"):
        imported(results, tmp_path)
    for line in lines:
        line["metrics"] = ["acc_norm"]
    samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match="3 of 3 samples of arc_easy lack acc,none"):
        imported(results, tmp_path)
    samples.unlink()
    with pytest.raises(InputError, match=r"no samples_arc_easy_….jsonl .*--log_samples"):
        imported(results, tmp_path)
    assert not list((tmp_path / "results").glob("*"))


# ---------------------------------------------------------------- optimum-benchmark, ExecuTorch


def test_the_report_of_optimum_benchmark(tmp_path: Path) -> None:
    run = imported(OPTIMUM, tmp_path)
    told = json.loads(OPTIMUM.read_text())
    report, shapes = told["report"], told["config"]["scenario"]["input_shapes"]
    generated = told["config"]["scenario"]["generate_kwargs"]["max_new_tokens"]
    seen = values(run)
    (model,) = (v.name for v in run.plan.suite.variants)
    prompt = shapes["sequence_length"]
    load = f"p{prompt}+g{generated}"
    prefill, decode = (report[part]["latency"]["values"] for part in ("prefill", "decode"))
    assert seen[model, load, "ttft_s"] == pytest.approx(median(prefill))
    assert seen[model, load, "prefill_tok_s"] == pytest.approx(prompt / median(prefill))
    assert seen[model, load, "decode_tok_s"] == pytest.approx(median((generated - 1) / one for one in decode))
    assert report["decode"]["throughput"]["value"] == pytest.approx((generated - 1) / fmean(decode), rel=1e-6)
    (one,) = (o for r in run.records for o in r.observations if isinstance(o, Reported))
    assert one.told["report.decode.memory.max_ram"] == str(report["decode"]["memory"]["max_ram"])
    assert not [name for _, _, name in seen if name == "peak_rss_bytes"], "loading is left out of it"


def test_several_texts_at_once_are_no_single_texts_rate(tmp_path: Path) -> None:
    told = json.loads(OPTIMUM.read_text())
    told["config"]["scenario"]["input_shapes"]["batch_size"] = 2
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(told))
    found = read_told(path)
    assert found.trials[0].reported.values == {} and "2 texts at once" in found.remarks[0]
    for name in ("config", "report"):
        (tmp_path / "two").mkdir(exist_ok=True)
        (tmp_path / "two" / f"benchmark_{name}.json").write_text(json.dumps(json.loads(OPTIMUM.read_text())[name]))
    assert read_told(tmp_path / "two").trials == read_told(OPTIMUM).trials


def observer(*changes: dict[str, Any]) -> str:
    lines = [f"I 00:00:01.5 executorch:stats.h:147] \nPyTorchObserver {json.dumps(OBSERVER | one)}" for one in changes]
    return "\n".join(["loading", *lines, "done"])


def test_each_line_of_executorch_is_a_round(tmp_path: Path) -> None:
    path = tmp_path / "llama3_2_1b-spinquant.log"
    path.write_text(observer({}, {"inference_end_ms": 2840}, {}))
    run = imported(path, tmp_path)
    (cell,) = run.plan.cells
    assert cell.variant == "llama3_2_1b-spinquant"
    assert cell.workload.label == "p64+g33" and len(run.records) == 3, "its count leaves out the first token"
    seen = {name: value for (_, _, name), value in values(run).items()}
    assert seen["prefill_tok_s"] == pytest.approx(64 / 0.128) and seen["ttft_s"] == pytest.approx(0.2)
    assert seen["decode_tok_s"] == pytest.approx(32 / 0.4) and "load_warm_s" not in seen
    said = {c.name: [v.value for v in c.values] for c in analyse([run]).conditions}
    assert said["prefill holds"] == ["the tokenizer's time too"]
    again = tmp_path / "another-name.log"
    shutil.copy(path, again)
    with pytest.raises(InputError, match="imported before"):
        imported(again, tmp_path)
    path.write_text(observer({"generated_tokens": 0}))
    (only,) = read_told(path).trials
    assert set(only.reported.values) == {"prefill_tok_s", "ttft_s"} and only.workload.label == "p64+g1"


def test_times_that_run_backwards_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text(observer({"first_token_ms": 1}))
    with pytest.raises(InputError, match="line 3: `first_token_ms` is before `inference_start_ms`"):
        imported(path, tmp_path)
    path.write_text("PyTorchObserver {broken}")
    with pytest.raises(InputError, match="line 1: what PyTorchObserver says is no JSON"):
        imported(path, tmp_path)


@pytest.mark.parametrize(("name", "body"), [("x", b"\x1f\x8b\x08cut"), ("x.tar", b""), ("x.gz", b"{}")])
def test_a_damaged_archive_is_a_damaged_bundle(tmp_path: Path, name: str, body: bytes) -> None:
    (tmp_path / name).write_bytes(body)
    done = CliRunner().invoke(main, ["import", str(tmp_path / name), "--results", str(tmp_path / "results")])
    assert done.exit_code == 2 and "no archive of a bundle's result" in done.output, done.output


@pytest.mark.parametrize("body", ["", "{}", "[]", "[1]", "nothing", '{"results": {}}', "{" * 10_000, "\x00\xff"])
def test_what_is_no_result_is_refused_with_what_is_known(tmp_path: Path, body: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(body)
    with pytest.raises(InputError, match=r"holds no results that bench can read; known are .*llama-bench -o jsonl"):
        imported(path, tmp_path)
    with pytest.raises(InputError, match="there is no file"):
        imported(tmp_path / "nowhere", tmp_path)


HOSTILE = (
    *(None, True, -1, 0, 0.5, 1e308, 10**400, "", "²", "\ud800", "x" * 100_000, [], {}, [[]], {"a": []}),
    *("../..", "\x1b[31m", "<script>", 10**18, float("nan"), float("inf"), [None], "1e5"),
)


def nodes(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of everything in a JSON value."""
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from nodes(one, (*place, key))


def replaced(value: Any, place: tuple[Any, ...], other: Any) -> Any:
    if not place:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(value[place[0]], place[1:], other)
    return copy


def recordings(folder: Path) -> dict[str, Path]:
    """Copies of what each tool wrote; file to spoil → what is imported."""
    shutil.copytree(LM_EVAL, folder / "lm-eval")
    (samples,) = (folder / "lm-eval").glob("samples_gsm8k_*")
    (choices,) = (folder / "lm-eval").glob("samples_arc_easy_*")
    (results,) = (folder / "lm-eval").glob("results_*")
    for name in (LLAMA_BENCH, OPTIMUM):
        shutil.copy(name, folder)
    (folder / "x.log").write_text(observer({}))
    alone = [folder / LLAMA_BENCH.name, folder / OPTIMUM.name, folder / "x.log", results]
    return {**{str(path): path for path in alone}, str(samples): results, str(choices): results}


@pytest.mark.parametrize("number", range(6))
def test_whatever_stands_in_a_file_ends_in_one_line_or_a_run_that_can_be_read(tmp_path: Path, number: int) -> None:
    draw = random.Random(number)
    spoil, whole = list(recordings(tmp_path).items())[number]
    path = Path(spoil)
    before = path.read_text()
    ends = {"refused": 0, "read": 0}
    for turn in range(120):
        lines = before.splitlines()
        at = draw.randrange(len(lines)) if path.suffix != ".json" else 0
        line = lines[at] if path.suffix != ".json" else before
        head, mark, body = line.partition("PyTorchObserver ")
        head, body = (head + mark, body) if mark else ("", line)
        if not body.startswith(("{", "[")):
            continue
        value = json.loads(body)
        other = replaced(value, draw.choice(list(nodes(value))), draw.choice(HOSTILE))
        spoilt = head + json.dumps(other)
        path.write_text(spoilt if path.suffix == ".json" else "\n".join([*lines[:at], spoilt, *lines[at + 1 :], ""]))
        results = tmp_path / f"results-{turn}"
        try:
            run = import_told(whole, results, Silent())
        except BenchError as error:
            assert "\n" not in str(error) and len(str(error)) <= 2_000
            assert not results.exists() or not list(results.iterdir())
            ends["refused"] += 1
        else:
            analyse([read_run(run)])
            ends["read"] += 1
    assert min(ends.values()) > 0, ends
