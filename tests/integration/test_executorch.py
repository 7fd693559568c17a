"""ExecuTorch on a small random Llama with all parts of the scheme: exported, run, asked, and what is refused."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.build.exported import FILE, MANIFEST, Manifest, read_manifest
from harness.config import PROJECT
from harness.store import read_lines, read_run
from harness.values import Loaded, Timing
from tests.integration.conftest import Bench

pytestmark = [pytest.mark.torch, pytest.mark.executorch]

SUITE = """
name: small
title: small
models: {{small: {{source: {{from: checkpoint, path: {path}}}, label: random weights}}}}
variants: {{all: {{model: small, recipe: released}}}}
baselines: [all]
runtimes: {{executorch: {{threads: 1, load_mode: mmap, export_context: 64}}}}
devices: [local]
measures:
  - {{kind: size}}
  - {{kind: speed, prompt_tokens: 16, generated_tokens: 4, depth: 8, context: 64, rounds: 1, repetitions: 2}}
  - {{kind: speed, prompt_tokens: 16, generated_tokens: 4, context: 96, rounds: 1}}
"""
MANY = """
import sys
from harness.measure.workers.pte.__main__ import main
for folder in sys.argv[1:]:
    with open(f"{folder}/code", "w") as file:
        file.write(str(main([f"{folder}/job.json", f"{folder}/events.jsonl"])))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.small_llama import EVERYTHING, write_compressed, write_plain

    folder = tmp_path_factory.mktemp("model")
    plain = write_plain(folder / "plain", num_hidden_layers=1)
    return write_compressed(plain, folder / "all", EVERYTHING)


@pytest.fixture(scope="module")
def ran(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of the suite, with a cache of its own."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.yaml").write_text(SUITE.format(path=model))
    bench = Bench(folder)
    done = bench("run", "--suite", str(folder / "small.yaml"), BENCH_CACHE=str(folder / "cache"))
    assert done.returncode == 0, done.stderr[-3000:]
    (exported,) = (folder / "cache" / "exported").iterdir()
    return SimpleNamespace(run=read_run(bench.only_run()), folder=exported)


ASKED: list[dict[str, Any]] = [
    {"id": i, "context": [5, 9 + i, 7, 40], "shared": 0, "continuation": [40 + i, 3]} for i in range(30)
]
WRITTEN: list[dict[str, Any]] = [
    {"id": n, "tokens": [5, 6, 7 + n % 2], "shared": 2 * (n // 2), "max_tokens": 8, "stop": []} for n in range(4)
]
SPEED = {"kind": "speed", "prompt": [1, 2], "prefix": [], "generated": 2, "repetitions": 1, "warmups": 0, "idle_ms": 0}
JOBS: dict[str, dict[str, Any]] = {
    "score": {"kind": "score", "requests": ASKED},
    "generate": {"kind": "generate", "requests": WRITTEN},
    "memory": {"kind": "memory", "prompt": [1, 2, 3], "generated": 3, "load_mode": "none"},
    "cut": {**SPEED, "model": "cut.pte"},
    "another": {**SPEED, "model": "another.pte"},
    "version": {**SPEED, "model": "version.pte"},
    "operator": {**SPEED, "model": "operator.pte"},
    "missing": {**SPEED, "model": "missing.pte"},
    "long": {**SPEED, "context": 65},
    "short": {**SPEED, "context": 2},
    "empty": {**SPEED, "prompt": []},
    "strange": {"kind": "score", "requests": [{"id": 1, "context": [256], "shared": 0, "continuation": [3]}]},
}


@pytest.fixture(scope="module")
def done(ran: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All jobs, one after another in one child process, since torch takes seconds to import."""
    folder, whole = tmp_path_factory.mktemp("jobs"), (ran.folder / FILE).read_bytes()
    spoiled = {
        "cut": whole[: len(whole) // 2],
        "another": b"nothing of the kind",
        "version": whole[:4] + b"ET99" + whole[8:],
        "operator": whole.replace(b"llama::custom_sdpa", b"llama::strange_one"),
    }
    assert spoiled["operator"] != whole
    for name, data in spoiled.items():
        (folder / f"{name}.pte").write_bytes(data)
    for name, spec in JOBS.items():
        place = folder / name
        place.mkdir()
        job = {"threads": 1, "context": 64, "load_mode": "mmap", "program_sha256": "x", **spec}
        job["model"] = str(folder / spec["model"] if "model" in spec else ran.folder / FILE)
        if "requests" in job:
            (place / "requests").write_text("".join(json.dumps(r) + "\n" for r in spec["requests"]))
            job |= {"requests": str(place / "requests"), "answers": str(place / "answers")}
        (place / "job.json").write_text(json.dumps(job))
    argv = [sys.executable, "-c", MANY, *(str(folder / name) for name in JOBS)]
    child = subprocess.run(argv, capture_output=True, text=True, cwd=PROJECT)
    assert child.returncode == 0, child.stderr[-2000:]
    return {name: _of(folder / name) for name in JOBS}


def _of(place: Path) -> Any:
    events = list(read_lines(place / "events.jsonl"))
    answers = list(read_lines(place / "answers")) if (place / "answers").exists() else []
    said = next((event["message"] for event in events if event["event"] == "error"), None)
    return SimpleNamespace(code=int((place / "code").read_text()), events=events, answers=answers, said=said)


def test_a_suite_exports_and_times_a_checkpoint(ran: Any) -> None:
    size, speed, long = ran.run.records[0], ran.run.records[2], ran.run.records[1]
    assert (size.status, speed.status, long.status) == ("ok", "ok", "unsupported")
    assert "context 96 is more than the 64 tokens that files are exported for" in long.reason
    assert size.artifact_sha256 == speed.artifact_sha256, "what is weighed is what is timed"
    timings = [o for o in speed.observations if isinstance(o, Timing)]
    assert [(t.prefix_tokens, t.prompt_tokens, len(t.token_ns)) for t in timings] == [(8, 16, 4)] * 2
    (loaded,) = (o for o in speed.observations if isinstance(o, Loaded))
    assert loaded.context == 64 and loaded.threads == 1 and "XnnpackBackend" in loaded.description
    assert loaded.vocabulary == 256 and loaded.heads == 4 and loaded.kv_bytes == 2 * 64 * 2 * 24 * 4


def test_the_manifest_says_how_a_file_was_exported(ran: Any) -> None:
    made: Manifest = read_manifest(ran.folder)
    assert made.delegates["XnnpackBackend"] > 0 and made.delegated_nodes > made.delegates["XnnpackBackend"]
    assert made.operators["llama::fast_hadamard_transform.out"] == 1, "R4 stands before one down projection"
    assert made.operators["llama::custom_sdpa.out"] == 1 and made.other_nodes > 0
    assert made.wish.context == 64 and not made.wish.full_logits and made.numbers.dtype == "float32"
    assert made.file.bytes == (ran.folder / FILE).stat().st_size
    assert made.versions["executorch"] and made.peak_rss_bytes and sum(made.planned_bytes) > made.kv_bytes > 0
    assert sorted(p.name for p in ran.folder.parent.iterdir()) == [ran.folder.name], "nothing half-made is left"
    assert (ran.folder / MANIFEST).is_file() and (ran.folder / "tokenizer" / "tokenizer.json").is_file()


def test_a_file_answers_as_torch_does(done: dict[str, Any], model: Path) -> None:
    import torch

    from harness.measure.workers.scheme.layout import read_scheme
    from harness.measure.workers.scheme.loading import open_compressed

    assert done["score"].code == 0, done["score"].said
    scheme = read_scheme(model)
    assert scheme is not None
    network, found = open_compressed(model, scheme, torch.float32, "sdpa"), {}
    for one in ASKED:
        tokens = [*one["context"], *one["continuation"]]
        with torch.no_grad():
            logprobs = torch.log_softmax(network(torch.tensor([tokens])).logits[0], -1)
        found[one["id"]] = float(logprobs[3, tokens[4]] + logprobs[4, tokens[5]])
    differences = [abs(answer["logprob"] - found[answer["id"]]) for answer in done["score"].answers]
    spread = torch.tensor(list(found.values())).std()
    assert len(differences) == 30 and max(differences) < 0.3 * spread, (max(differences), spread)


def test_a_head_that_texts_share_changes_nothing(done: dict[str, Any]) -> None:
    assert done["generate"].code == 0, done["generate"].said
    texts = {answer["id"]: answer["text"] for answer in done["generate"].answers}
    assert texts[0] == texts[2] and texts[1] == texts[3] and texts[0] != texts[1]


def test_memory_is_told_apart_from_the_interpreters(done: dict[str, Any]) -> None:
    assert done["memory"].code == 0, done["memory"].said
    (seen,) = (event for event in done["memory"].events if event["event"] == "memory")
    assert seen["rss_before_load_bytes"] > 100 << 20, "the interpreter and its libraries"
    assert seen["rss_before_load_bytes"] <= seen["rss_after_load_bytes"] <= seen["vm_hwm_bytes"]
    assert seen["samples"] >= 1 and seen["peak_anon_bytes"] > 0


REFUSED = {
    "cut": (1, r"^cannot load .*/cut\.pte: "),
    "another": (1, r"/another\.pte is no \.pte file$"),
    "version": (1, r"is of format ET99, ExecuTorch 1\.5\.1 reads ET12: export it again$"),
    "operator": (1, r"^cannot load .*/operator\.pte: "),
    "missing": (1, r"^cannot open .*/missing\.pte: No such file"),
    "long": (1, r"is exported for 64 tokens, 65 are asked for"),
    "short": (2, r"^job: 3 tokens do not fit a context of 2$"),
    "empty": (2, r"prompt"),
    "strange": (1, r"^request 1: token 256 is none of the model's 256$"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_cannot_be_run_is_said_in_one_line(done: dict[str, Any], name: str) -> None:
    code, said = REFUSED[name]
    assert done[name].code == code
    assert re.search(said, done[name].said), done[name].said
    assert "\n" not in done[name].said


def test_an_export_without_memory_is_one_line_and_leaves_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch

    from harness.measure.workers.export import __main__ as program
    from harness.measure.workers.export import exporting

    job = {"model": str(model), "output": str(tmp_path / "out" / "model.pte"), "context": 64, "full_logits": False}
    job |= {"dtype": "float32", "delegate": "xnnpack", "threads": 1, "program_sha256": "x"}
    (tmp_path / "out").mkdir()
    (tmp_path / "job.json").write_text(json.dumps(job))
    monkeypatch.setattr(program, "die_with_parent", lambda: None)
    for allocate in (lambda *_: torch.empty(1 << 60), lambda *_: bytearray(1 << 60)):
        monkeypatch.setattr(exporting, "_prepared", allocate)
        assert program.main([str(tmp_path / "job.json"), str(tmp_path / "events.jsonl")]) == 1
        assert capfd.readouterr().err.strip().splitlines()[-1] == "bench-export: out of memory"
        assert list((tmp_path / "out").iterdir()) == []
