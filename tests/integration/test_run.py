"""The whole chain with the real runner: plan → build → run → grade → report, killed and resumed."""

import json
import re
import subprocess
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from harness.derivations import trial_values
from harness.request_lines import read_requests
from harness.store import RECORDS, read_lines, read_run
from harness.values import Answers, Loaded, Speed, Timing, TrialRecord
from tests.integration.conftest import Bench, kill_hard

pytestmark = pytest.mark.runner


def wait_for(condition: object, what: str, limit_s: float = 300) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"{what} did not happen in {limit_s} s"
        time.sleep(0.01)


def seen(record: TrialRecord, kind: type) -> list[object]:
    return [o for o in record.observations if isinstance(o, kind)]


@pytest.fixture(scope="module")
def finished(tiny_suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("finished"))
    done = bench("run", "--suite", str(tiny_suite))
    assert done.returncode == 0, done.stderr
    return bench


def test_every_trial_has_one_good_record(finished: Bench) -> None:
    run = read_run(finished.only_run())
    assert run.complete
    assert [r.trial for r in run.records] == [t.id for t in run.plan.trials]
    assert {r.status for r in run.records} == {"ok"}


def test_what_really_ran_is_recorded(finished: Bench) -> None:
    run = read_run(finished.only_run())
    cells = {c.key: c for c in run.plan.cells}
    timed = [r for r in run.records if isinstance(cells[r.cell].workload, Speed)]
    assert timed
    for record in timed:
        load, (loaded,) = cells[record.cell].workload, seen(record, Loaded)
        assert isinstance(loaded, Loaded) and isinstance(load, Speed)
        assert loaded.cpu_features and loaded.load_mode == "none" and loaded.kv_type == "f16"
        assert loaded.threads == (load.threads or 1)
        head = loaded.embedding // loaded.heads
        assert loaded.kv_bytes == 2 * loaded.layers * loaded.context * loaded.kv_heads * head * 2
        assert record.artifact_sha256 and record.environment and record.environment.runner_sha256
        timings = seen(record, Timing)
        assert len(timings) == load.repetitions and len(record.warmups) == load.warmups
        for timing in timings:
            assert isinstance(timing, Timing)
            assert timing.prefix_tokens == load.depth
            assert 0 < timing.logits_ns <= timing.token_ns[0] and list(timing.token_ns) == sorted(timing.token_ns)


def test_the_other_kinds_of_speed_give_their_own_metrics(finished: Bench) -> None:
    run = read_run(finished.only_run())
    cells = {c.key: c for c in run.plan.cells}
    found: dict[str, set[str]] = {}
    for record in run.records:
        cell = cells[record.cell]
        found.setdefault(f"{cell.measure} {cell.workload.label}", set()).update(trial_values(record))
    assert found["speed p16+g1 idle0.05s"] == {"prefill_from_idle_tok_s", "ttft_from_idle_s"}
    assert found["load warm no-mmap"] == {"load_warm_s"}
    assert found["sustained p16+g4 1s"] == {"decode_burst_tok_s"}  # a second has no last third of its own
    assert {"prefill_tok_s", "decode_tok_s"} <= found["speed p16+g4 t2"]


def test_mapped_weights_are_file_backed_and_read_weights_are_not(finished: Bench) -> None:
    run = read_run(finished.only_run())
    cells = {c.key: c for c in run.plan.cells}
    for record in run.records:
        load = cells[record.cell].workload
        if load.__struct_config__.tag != "memory":
            continue
        values = trial_values(record)
        if load.load_mode == "none":  # type: ignore[union-attr]
            assert values["peak_anon_bytes"] > values["peak_file_bytes"]
        elif cells[record.cell].variant in ("bf16", "f16"):  # repacking would copy quantized weights
            assert values["peak_file_bytes"] > 6 << 20


def test_accuracy_cells_keep_requests_answers_and_items(finished: Bench) -> None:
    folder = finished.only_run()
    run = read_run(folder)
    answers = [(r, o) for r in run.records for o in seen(r, Answers)]
    assert len(answers) == 8
    assert len({o.requests for _, o in answers}) == 2, "variants share their requests"  # type: ignore[attr-defined]
    for _, one in answers:
        assert isinstance(one, Answers)
        requests = list(read_requests(folder / one.requests))
        given = list(read_lines(folder / one.answers))
        assert sorted(a["id"] for a in given) == [r["id"] for r in requests] and one.count == len(requests)
        items = list(read_lines(folder / one.items))
        if one.reference is None:
            assert len(items) == 40 and set(items[0]["metrics"]) == {"acc", "acc_norm"}
            check_choices(requests, given, items)
        else:
            assert Counter(i["kind"] for i in items)["position"] == 100
    assert not list((folder / "answers").glob("*.jsonl")), "answers are compressed when complete"


Lines = list[dict[str, object]]


def check_choices(requests: Lines, given: Lines, items: Lines) -> None:
    """lm-eval's acc must be what the log-probabilities say: worked out here by hand."""
    source = Path(__file__).parents[2] / "harness" / "data" / "knowledge_200.jsonl"
    docs = [json.loads(line) for line in source.read_text().splitlines()]
    logprob = {a["id"]: a["logprob"] for a in given}
    by_question: dict[str, list[tuple[object, str]]] = {}
    for request in requests:
        by_question.setdefault(str(request["prompt"]), []).append((logprob[request["id"]], str(request["target"])))
    for item in items:
        doc = docs[int(item["id"])]  # type: ignore[call-overload]
        best = max(by_question[f"Question: {doc['question']}\nAnswer:"])[1]
        assert item["metrics"]["acc"] == float(best == f" {doc['choices'][doc['answer']]}")  # type: ignore[index]


def test_the_reference_is_near_itself_and_int4_is_farther(finished: Bench) -> None:
    folder = finished.only_run()
    run = read_run(folder)
    variants = {c.key: c.variant for c in run.plan.cells}
    mean: dict[str | None, float] = {}
    for record in run.records:
        for one in seen(record, Answers):
            assert isinstance(one, Answers)
            kl = [i["kl"] for i in read_lines(folder / one.items) if i["kind"] == "position"]
            if kl:
                mean[variants[record.cell]] = sum(kl) / len(kl)
    assert mean["f16"] < 5e-6 < mean["int4-ptq"]
    assert mean["int8"] < mean["int4-ptq"]


def test_resuming_a_finished_run_measures_nothing(finished: Bench) -> None:
    before = (finished.only_run() / RECORDS).read_bytes()
    done = finished("run", "--resume", "latest")
    assert done.returncode == 0, done.stderr
    assert (finished.only_run() / RECORDS).read_bytes() == before


def test_the_report_is_made_from_the_run(finished: Bench) -> None:
    done = finished("report", "latest")
    assert done.returncode == 0, done.stderr
    folder = finished.folder / "reports" / finished.only_run().name
    rows = json.loads((folder / "report.json").read_text())["rows"]
    assert {r["variant"] for r in rows} >= {"bf16", "f16", "int8", "int4-ptq"}
    measured = {r["metric"] for r in rows if r["value"] is not None}
    assert measured >= {
        "size_bytes", "bits_per_weight", "peak_rss_bytes", "kv_cache_bytes", "prefill_tok_s", "decode_tok_s",
        "ttft_s", "itl_p50_s", "itl_p95_s", "itl_p99_s", "load_warm_s", "bandwidth_share",
        "read_bandwidth_bytes_s", "kl_divergence", "top1_agreement",
    }  # fmt: skip
    scores = [r for r in rows if r["metric"] in ("acc", "acc_norm", "perplexity")]
    assert scores and all(r["value"] is None and "random" in r["reason"] for r in scores)
    page = (folder / "index.html").read_text()
    assert "random weights" in page and not re.search(r"(src|href)=.https?://", page)
    assert finished("compare", "latest").returncode == 0


def test_killed_anywhere_and_resumed_nothing_is_lost_or_doubled(tiny_suite: Path, bench: Bench) -> None:
    process = bench.start("run", "--suite", str(tiny_suite))
    results = bench.folder / "results"
    wait_for(lambda: list(results.glob("*/" + RECORDS)), "the first record")
    (path,) = results.glob("*/" + RECORDS)
    kept = b""
    for step in (1, 9, 17, 30):
        if step > 1:
            process = bench.start("run", "--resume", "latest")
        wait_for(partial(has_lines, path, step, process), f"record {step}")
        children = kill_hard(process)
        assert path.read_bytes().startswith(kept), "an appended record never changes"
        kept = path.read_bytes()[: path.read_bytes().rfind(b"\n") + 1]
        wait_for(partial(all_dead, children), "the end of the killed host's children", 30)
    done = bench("run", "--resume", "latest")
    assert done.returncode == 0, done.stderr
    lines = path.read_bytes().splitlines()
    trials = [json.loads(line)["trial"] for line in lines]
    assert trials == [t.id for t in read_run(path.parent).plan.trials]
    assert path.read_bytes().startswith(kept)


def has_lines(path: Path, count: int, process: "subprocess.Popen[str]") -> bool:
    return path.read_bytes().count(b"\n") >= count or process.poll() is not None


def all_dead(pids: list[int]) -> bool:
    return not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_a_killed_process_left_half_written_is_not_believed(tiny_suite: Path, bench: Bench) -> None:
    done = bench("run", "--suite", str(tiny_suite), "--measures", "size,task", "--variants", "bf16")
    assert done.returncode == 0, done.stderr
    run = bench.only_run()
    lines = (run / RECORDS).read_bytes().splitlines(keepends=True)
    (run / RECORDS).write_bytes(b"".join(lines[:2]))  # the two sizes; both tasks are to be done again
    for path in (run / "requests").iterdir():
        (run / ".work").mkdir(exist_ok=True)
        (run / ".work" / f"requests-{path.name.removesuffix('.gz')}").write_text('{"id": 0, "conte')
    done = bench("run", "--resume", "latest")
    assert done.returncode == 0, done.stderr
    assert {r.status for r in read_run(run).records} == {"ok"}


def test_a_model_the_runner_cannot_read_fails_alone(tiny_suite: Path, bench: Bench) -> None:
    from gguf import GGUFWriter
    from numpy import float32, zeros

    writer = GGUFWriter(str(bench.folder / "strange.gguf"), "strange")
    writer.add_tensor("t", zeros((32, 32), dtype=float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    suite = bench.folder / "strange.yaml"
    suite.write_text(
        f"extends: {tiny_suite}\nname: strange\n"
        "models:\n  strange: {source: {from: file, path: strange.gguf}, label: strange}\n"
        "variants:\n  strange: {model: strange, recipe: released}\n"
        "measures: [{kind: memory, prompt_tokens: 8, generated_tokens: 2, context: 256, rounds: 1}]\n"
    )
    done = bench("run", "--suite", str(suite), "--variants", "strange")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    run = read_run(bench.only_run())
    variants = {c.key: c.variant for c in run.plan.cells}
    assert {variants[r.cell]: r.status for r in run.records} == {"bf16": "ok", "f16": "ok", "strange": "failed"}


def test_interrupted_it_says_how_to_go_on(tiny_suite: Path, bench: Bench) -> None:
    process = bench.start("run", "--suite", str(tiny_suite))
    results = bench.folder / "results"
    wait_for(lambda: list(results.glob("*/" + RECORDS)), "the first record")
    process.send_signal(2)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in errors and "Traceback" not in errors
    records = read_run(bench.only_run()).records
    assert records and all(r.status == "ok" for r in records), "an interrupted trial leaves no record"


def test_a_damaged_model_fails_its_cells_and_spares_the_others(
    tiny_suite: Path, bench: Bench, artifacts: dict[str, object]
) -> None:
    whole = Path(artifacts["int8"].path).read_bytes()  # type: ignore[attr-defined]
    (bench.folder / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    suite = bench.folder / "cut.yaml"
    suite.write_text(
        f"extends: {tiny_suite}\nname: cut\nmodels:\n  cut: {{source: {{from: file, path: cut.gguf}}, label: cut}}\n"
        "variants:\n  cut: {model: cut, recipe: released}\n"
        "measures: [{kind: size}, {kind: memory, prompt_tokens: 8, generated_tokens: 2, context: 256, rounds: 1}]\n"
    )
    done = bench("run", "--suite", str(suite), "--variants", "cut")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    run = read_run(bench.only_run())
    status = {(c.variant, c.measure): r for c in run.plan.cells for r in run.records if r.cell == c.key}
    for (variant, _), record in status.items():
        assert record.status == ("failed" if variant == "cut" else "ok")
        assert variant != "cut" or "cut short" in str(record.reason)
    assert bench("report", "latest").returncode == 0


def test_only_a_damaged_model_is_one_line(bench: Bench, runner: object) -> None:
    (bench.folder / "bad.gguf").write_bytes(b"GGUF but no more")
    (bench.folder / "bad.yaml").write_text(
        "name: bad\ntitle: t\nmodels: {m: {source: {from: file, path: bad.gguf}, label: l}}\n"
        "variants: {v: {model: m, recipe: released}}\nbaselines: [v]\nruntimes: {llama.cpp: {}}\n"
        "measures: [{kind: size}]\n"
    )
    done = bench("run", "--suite", "bad.yaml")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "bad.gguf is damaged or cut short" in done.stderr.splitlines()[-1]


def test_another_artifact_is_refused_on_resume(tiny_suite: Path, bench: Bench) -> None:
    assert bench("run", "--suite", str(tiny_suite), "--measures", "size").returncode == 0
    path = bench.only_run() / RECORDS
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["artifact_sha256"] = "f" * 64
    path.write_text("".join(json.dumps(line) + "\n" for line in lines[:-1]))
    done = bench("run", "--resume", "latest")
    assert done.returncode == 2 and "start a new run" in done.stderr


OWN_TASK = """task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: mine.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: [" yes", " no"]
doc_to_target: 0
"""


def test_other_questions_are_refused_on_resume(tiny_suite: Path, bench: Bench) -> None:
    """Also for a variant that has no answers yet, since it is compared with those that have."""
    data = bench.folder / "suites" / "mine.jsonl"
    data.parent.mkdir()
    (bench.folder / "suites" / "mine.yaml").write_text(OWN_TASK)
    data.write_text('{"question": "Is it?"}\n{"question": "Was it?"}\n')
    suite = bench.folder / "suites" / "own.yaml"
    suite.write_text(f"extends: {tiny_suite}\nname: own\nmeasures: [{{kind: task, task: mine.yaml, context: 256}}]\n")
    done = bench("run", "--suite", str(suite), "--variants", "int8", "--allow-task-code")
    assert done.returncode == 0, done.stderr
    path = bench.only_run() / RECORDS
    kept = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(kept)  # as if killed after the first of three
    data.write_text('{"question": "Is it?"}\n{"question": "Will it be?"}\n')
    done = bench("run", "--resume", "latest")
    assert done.returncode == 2, done.stderr
    assert re.search(r"2 of 4 requests of \S+ mine.yaml are not those .* start a new run", done.stderr)
    assert path.read_bytes() == kept
    data.write_text('{"question": "Is it?"}\n\n{"question": "Was it?"}\n')  # another file of the same questions
    done = bench("run", "--resume", "latest")
    assert done.returncode == 0, done.stderr
    assert {r.status for r in read_run(bench.only_run()).records} == {"ok"}


def test_a_program_that_died_amid_its_questions_is_gone_on_with(tiny_suite: Path, bench: Bench) -> None:
    done = bench("run", "--suite", str(tiny_suite), "--measures", "task", "--variants", "int8")
    assert done.returncode == 0, done.stderr
    folder = bench.only_run()
    records = list(read_lines(folder / RECORDS))
    died = records[0]
    (answers,) = (o for o in died["observations"] if o["event"] == "answers")
    whole = list(read_lines(folder / answers["answers"]))
    (folder / answers["answers"].removesuffix(".gz")).write_text("".join(json.dumps(a) + "\n" for a in whole[:7]))
    (folder / answers["answers"]).unlink()
    (folder / answers["items"]).unlink()
    gone = {"status": "oom_killed", "reason": "killed", "observations": []}
    (folder / RECORDS).write_text("".join(json.dumps(r) + "\n" for r in [{**died, **gone}, *records[1:]]))
    done = bench("run", "--resume", "latest")
    assert done.returncode == 0, done.stderr
    again = next(r for r in read_run(folder).records if r.trial == died["trial"])
    assert again.status == "ok"
    assert [(a["id"], a["logprob"]) for a in read_lines(folder / answers["answers"])] == [
        (a["id"], a["logprob"]) for a in whole
    ]
    assert len((folder / RECORDS).read_text().splitlines()) == len(records) + 1, "nothing else is done again"


def test_two_processes_never_write_one_run(finished: Bench) -> None:
    import fcntl

    with open(finished.only_run() / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = finished("run", "--resume", "latest")
    assert done.returncode == 2 and "another bench process" in done.stderr
