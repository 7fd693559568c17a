"""ExecuTorch on a small random Llama with all parts of the scheme: exported, run, asked, and what is refused."""

import json
import subprocess
import sys
from collections.abc import Callable
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
LITTLE_MEMORY = """
import resource, sys
from harness.measure.workers.export import exporting
from harness.measure.workers.export.__main__ import main
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + (64 << 20), held + (64 << 20)))
sys.exit(main(sys.argv[1:]))
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


@pytest.fixture(scope="module")
def jobs(ran: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Any]]:
    """Runs jobs one after another in one child process: exit code, events and answers of each."""

    def many(*specs: dict[str, Any]) -> list[Any]:
        places = []
        for spec in specs:
            place = tmp_path_factory.mktemp("job")
            common = {"model": str(ran.folder / FILE), "threads": 1, "context": 64, "load_mode": "mmap"}
            job = {**common, "program_sha256": "x", **spec}
            if "requests" in job:
                (place / "requests.jsonl").write_text("".join(json.dumps(r) + "\n" for r in job["requests"]))
                job |= {"requests": str(place / "requests.jsonl"), "answers": str(place / "answers.jsonl")}
            (place / "job.json").write_text(json.dumps(job))
            places.append(place)
        argv = [sys.executable, "-c", MANY, *map(str, places)]
        done = subprocess.run(argv, capture_output=True, text=True, cwd=PROJECT)
        assert done.returncode == 0, done.stderr[-2000:]
        return [
            SimpleNamespace(
                code=int((place / "code").read_text()),
                events=list(read_lines(place / "events.jsonl")),
                answers=list(read_lines(place / "answers.jsonl")) if (place / "answers.jsonl").exists() else [],
            )
            for place in places
        ]

    return many


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


ASKED = [{"id": i, "context": [5, 9 + i, 7, 40], "shared": 0, "continuation": [40 + i, 3]} for i in range(30)]
WRITTEN = [
    {"id": n, "tokens": [5, 6, 7 + n % 2], "shared": 2 * (n // 2), "max_tokens": 8, "stop": []} for n in range(4)
]


def test_a_file_answers_as_torch_does(jobs: Callable[..., list[Any]], model: Path) -> None:
    import torch

    from harness.measure.workers.scheme.layout import read_scheme
    from harness.measure.workers.scheme.loading import open_compressed

    scored, written, memory = jobs(
        {"kind": "score", "requests": ASKED},
        {"kind": "generate", "requests": WRITTEN},
        {"kind": "memory", "prompt": [1, 2, 3], "generated": 3, "load_mode": "none"},
    )
    assert (scored.code, written.code, memory.code) == (0, 0, 0)
    scheme = read_scheme(model)
    assert scheme is not None
    network, found = open_compressed(model, scheme, torch.float32, "sdpa"), {}
    for one in ASKED:
        tokens = [*one["context"], *one["continuation"]]  # type: ignore[misc]
        with torch.no_grad():
            logprobs = torch.log_softmax(network(torch.tensor([tokens])).logits[0], -1)
        found[one["id"]] = float(logprobs[3, tokens[4]] + logprobs[4, tokens[5]])
    differences = [abs(answer["logprob"] - found[answer["id"]]) for answer in scored.answers]
    spread = torch.tensor(list(found.values())).std()
    assert len(differences) == 30 and max(differences) < 0.3 * spread, (max(differences), spread)
    texts = {answer["id"]: answer["text"] for answer in written.answers}
    assert texts[0] == texts[2] and texts[1] == texts[3] and texts[0] != texts[1], "a shared head changes nothing"
    (seen,) = (event for event in memory.events if event["event"] == "memory")
    assert seen["rss_before_load_bytes"] > 100 << 20, "the interpreter and its libraries"
    assert seen["rss_before_load_bytes"] < seen["rss_after_load_bytes"] <= seen["vm_hwm_bytes"]


def test_what_cannot_be_run_is_said_in_one_line(ran: Any, jobs: Callable[..., list[Any]], tmp_path: Path) -> None:
    whole = (ran.folder / FILE).read_bytes()
    spoiled = {
        "cut": whole[: len(whole) // 2],
        "another": b"nothing of the kind",
        "version": whole[:4] + b"ET99" + whole[8:],
        "operator": whole.replace(b"llama::custom_sdpa", b"llama::strange_one"),
    }
    for name, data in spoiled.items():
        (tmp_path / f"{name}.pte").write_bytes(data)
    assert spoiled["operator"] != whole
    speed = {"kind": "speed", "prompt": [1, 2], "prefix": [], "generated": 2, "repetitions": 1, "warmups": 0}
    speed |= {"idle_ms": 0}
    paths = [{"model": str(tmp_path / f"{name}.pte")} for name in spoiled]
    missing = {"model": str(tmp_path / "none.pte")}
    more: list[dict[str, Any]] = [missing, {"context": 65}, {"context": 2}, {"prompt": []}]
    token = {"kind": "score", "requests": [{"id": 1, "context": [256], "shared": 0, "continuation": [3]}]}
    said = [
        (done.code, done.events[-1]["message"]) for done in jobs(*({**speed, **one} for one in (*paths, *more)), token)
    ]
    cut, another, version, operator, none, long, short, empty, strange = said
    assert cut[0] == 1 and "cannot load" in cut[1]
    assert another == (1, f"{tmp_path}/another.pte is no .pte file")
    assert version[0] == 1 and "is of format ET99, ExecuTorch 1.5.1 reads ET12: export it again" in version[1]
    assert operator[0] == 1 and "cannot load" in operator[1]
    assert none[0] == 1 and "No such file" in none[1]
    assert long[0] == 1 and "is exported for 64 tokens, 65 are asked for" in long[1]
    assert short == (2, "job: 3 tokens do not fit a context of 2")
    assert empty[0] == 2 and "prompt" in empty[1]
    assert strange == (1, "request 1: token 256 is none of the model's 256")
    assert all("\n" not in message for _, message in said)


def test_an_export_without_memory_is_one_line_and_leaves_nothing(model: Path, tmp_path: Path) -> None:
    job = {"model": str(model), "output": str(tmp_path / "out" / "model.pte"), "context": 64, "full_logits": False}
    job |= {"dtype": "float32", "delegate": "xnnpack", "threads": 1, "program_sha256": "x"}
    (tmp_path / "out").mkdir()
    (tmp_path / "job.json").write_text(json.dumps(job))
    argv = [sys.executable, "-c", LITTLE_MEMORY, str(tmp_path / "job.json"), str(tmp_path / "events.jsonl")]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 1 and done.stderr.strip().splitlines()[-1] == "bench-export: out of memory", done.stderr
    assert list((tmp_path / "out").iterdir()) == []
