"""The torch scorer against lm-eval's `hf` model: `BENCH_DATA=FOLDER python benchmarks/torch_scorer.py CHECKPOINT`.

The same questions in one run, in float32 on a CPU or a GPU, each side in a process of its own: whole MMLU subjects
(5-shot) and HellaSwag questions, drawn by a fixed seed. lm-eval's best batch size is looked for on a few of the
questions first (`--probe`); all of them are asked with it. Ours runs before and after lm-eval's turns, so that a
machine that changes its speed shows. CPU time is printed beside wall time, since it says more on a machine that others
use too. A GGUF file in place of the checkpoint is converted first.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from harness.measure.requests import task_requests
from harness.measure.tasks import resolve_task
from harness.measure.token_requests import Tokenizer
from harness.request_lines import read_requests
from harness.store import read_lines, write_lines
from harness.values import Task

SUBJECTS = (
    "mmlu_astronomy",
    "mmlu_business_ethics",
    "mmlu_computer_security",
    "mmlu_machine_learning",
    "mmlu_us_foreign_policy",
)
CONTEXT, NO_PREFIX_TOKEN = 2048, 0
PEAK = """
import json
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
torch = sys.modules.get("torch")
on_gpu = torch.cuda.max_memory_allocated() if torch and torch.cuda.is_available() else 0
"""
OURS = (
    """
import sys, time
begun, opened, cpu = time.monotonic(), 0.0, 0.0
from harness.measure.workers.hf import __main__, network
def note(self, events, old=network.Network.opened):
    global opened, cpu
    old(self, events)
    opened, cpu = time.monotonic(), time.process_time()
network.Network.opened = note
assert __main__.main(sys.argv[1:3]) == 0
done = time.monotonic()
"""
    + PEAK
    + """
print(json.dumps({"whole_s": done - begun, "scoring_s": done - opened, "cpu_s": time.process_time() - cpu,
                  "peak": peak, "on_gpu": on_gpu}))
"""
)
THEIRS = (
    """
import json, sys, time
begun = time.monotonic()
import harness.measure.workers.hf.__main__, msgspec
from harness.measure.workers.hf.cross_check import plain_model
from harness.measure.workers.hf.jobs import CrossCheckJob
job = msgspec.json.decode(open(sys.argv[1], "rb").read(), type=CrossCheckJob)
model = plain_model(job)
model.batch_size_per_gpu = job.batch_sizes[0]
lines = [json.loads(line) for line in open(job.requests)]
encoding = time.monotonic()
pairs = [((one["prompt"], one["target"]), *model._encode_pair(one["prompt"], one["target"])) for one in lines]
assert all(p[1] + p[2] == one["context"] + one["continuation"] for p, one in zip(pairs, lines)), "other tokens"
scoring, cpu = time.monotonic(), time.process_time()
found = model._loglikelihood_tokens(pairs, disable_tqdm=True)
done, cpu = time.monotonic(), time.process_time() - cpu
with open(job.answers, "w") as file:
    for line, (logprob, greedy) in zip(lines, found):
        print(json.dumps({"id": line["id"], "logprob": logprob, "greedy": bool(greedy)}), file=file)
"""
    + PEAK
    + """
print(json.dumps({"whole_s": done - begun, "encoding_s": scoring - encoding, "scoring_s": done - scoring,
                  "cpu_s": cpu, "peak": peak, "on_gpu": on_gpu}))
"""
)


def start(script: str, job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Runs a side in a process of its own, which reports its seconds and its peak."""
    for name in ("events.jsonl", "answers.jsonl"):
        (folder / name).unlink(missing_ok=True)
    (folder / "job.json").write_bytes(msgspec.json.encode({**job, "program_sha256": ""}))
    command = [sys.executable, "-c", script, str(folder / "job.json"), str(folder / "events.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


class Bench:
    def __init__(self, checkpoint: Path, threads: int, folder: Path, device: str = "cpu") -> None:
        self.folder = folder
        self.engine = {
            "model": str(checkpoint),
            "threads": threads,
            "context": CONTEXT,
            "dtype": "float32",
            "device": device,
        }

    def run(self, script: str, job: dict[str, Any]) -> dict[str, Any]:
        return start(script, {"answers": str(self.folder / "answers.jsonl"), **job}, self.folder)

    def answers(self) -> dict[int, Any]:
        return {line["id"]: line for line in read_lines(self.folder / "answers.jsonl")}

    def tokenize(self, texts: Sequence[str], add_special: Sequence[bool], parse_special: bool) -> list[list[int]]:
        asked = self.folder / "texts.jsonl"
        lines = [
            {"id": i, "text": text, "add_special": special, "parse_special": parse_special}
            for i, (text, special) in enumerate(zip(texts, add_special, strict=True))
        ]
        write_lines(asked, lines)
        job = {"kind": "tokenize", "model": self.engine["model"], "requests": str(asked)}
        self.run(OURS, job)
        found = self.answers()
        return [found[i]["tokens"] for i in range(len(texts))]

    def ours(self, lines: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[int, Any]]:
        asked = self.folder / "requests.jsonl"
        keys = ("id", "context", "shared", "continuation")
        write_lines(asked, [{key: line[key] for key in keys} for line in lines])
        seen = self.run(OURS, {"kind": "score", **self.engine, "requests": str(asked)})
        events = {e["event"]: e for e in read_lines(self.folder / "events.jsonl")}
        return {**seen, **events["scored"]}, self.answers()

    def theirs(
        self, lines: list[dict[str, Any]], batch_size: int, softmax: str = "float32"
    ) -> tuple[dict[str, Any], dict[int, Any]]:
        asked = self.folder / "pairs.jsonl"
        write_lines(asked, lines)
        job = {"kind": "cross_check", **self.engine, "requests": str(asked), "batch_sizes": [batch_size]}
        return self.run(THEIRS, {**job, "softmax_dtype": softmax}), self.answers()


def questions(bench: Bench, task: str, names: Sequence[str], limit: int | None) -> list[dict[str, Any]]:
    """Requests with their prompts: all questions of these tasks, or `limit` of them, drawn by a fixed seed."""
    files = [f for f in resolve_task(task, Path(os.environ["BENCH_DATA"])) if f.name in names]
    if len(files) != len(names):
        raise SystemExit(f"unknown in {task}: {set(names) - {f.name for f in files}}")
    wish = Task(task=task, limit=limit, context=CONTEXT)
    tokenizer = Tokenizer(encode=bench.tokenize, identity=str(bench.engine["model"]), prefix_token=NO_PREFIX_TOKEN)
    return list(read_requests(task_requests(wish, files, tokenizer, 0).path))


def chosen(lines: list[dict[str, Any]], found: dict[int, Any]) -> dict[tuple[str, int], int]:
    """The most likely ending of each question."""
    by_question: dict[tuple[str, int], list[tuple[float, int]]] = {}
    for line in lines:
        by_question.setdefault((line["task"], line["doc"]), []).append((found[line["id"]]["logprob"], -line["index"]))
    return {key: -max(some)[1] for key, some in by_question.items()}


def told(name: str, seen: dict[str, Any], count: int) -> None:
    on_gpu = f", on the GPU {seen['on_gpu'] / 1e6:.0f} MB" if seen["on_gpu"] else ""
    print(
        f"  {name:22} scoring {seen['scoring_s']:7.1f} s = {count / seen['scoring_s']:6.2f} questions/s, "
        f"whole {seen['whole_s']:7.1f} s = {count / seen['whole_s']:6.2f} questions/s, "
        f"CPU time of scoring {seen['cpu_s']:7.1f} s, "
        f"peak {seen['peak'] / 1e6:6.0f} MB{on_gpu}",
        flush=True,
    )


def compare(
    bench: Bench, title: str, lines: list[dict[str, Any]], batch_sizes: Sequence[int], *, exact: bool = False
) -> None:
    """`exact`: once more with lm-eval's softmax in float64, only for how far the log-likelihoods are apart."""
    count = len({(line["task"], line["doc"]) for line in lines})
    print(f"{title}: {count} questions, {len(lines)} requests", flush=True)
    first, found = bench.ours(lines)
    told("bench-hf, before", first, count)
    tokens = f"{prompt_tokens(lines)} tokens of distinct prompts, {first['run_tokens']} run"
    print(f"    {tokens} in {first['passes']} passes")
    plain = []
    for size in batch_sizes:
        seen, answers = bench.theirs(lines, size)
        told(f"lm-eval hf, batch {size}", seen, count)
        apart = max(abs(found[key]["logprob"] - answers[key]["logprob"]) for key in found)
        greedy = sum(found[key]["greedy"] == answers[key]["greedy"] for key in found)
        ours, theirs = chosen(lines, found), chosen(lines, answers)
        same = sum(ours[key] == theirs[key] for key in ours)
        equal = f"answers equal {same} of {count}, greedy equal {greedy} of {len(lines)}"
        print(f"    at most {apart:.1e} nats apart, {equal}")
        plain.append(seen)
    if exact:
        _, answers = bench.theirs(lines, 1, "float64")
        apart = max(abs(found[key]["logprob"] - answers[key]["logprob"]) for key in found)
        print(f"  lm-eval hf with its softmax in float64: at most {apart:.1e} nats apart")
    last, again = bench.ours(lines)
    told("bench-hf, after", last, count)
    assert again == found, "bit for bit"
    for key, name in (("scoring_s", "scoring"), ("whole_s", "whole job"), ("cpu_s", "CPU time of scoring")):
        best, ours_s = min(seen[key] for seen in plain), (first[key] + last[key]) / 2
        print(f"  ratio by {name}: {best / ours_s:.2f} ({best:.1f} s / {ours_s:.1f} s)")


def best_batch_size(bench: Bench, lines: list[dict[str, Any]], sizes: Sequence[int]) -> int:
    """The size of these with which lm-eval scores these questions in the least time."""
    if len(sizes) == 1:
        return sizes[0]
    count, seconds = len({(line["task"], line["doc"]) for line in lines}), {}
    print(f"lm-eval's best batch size, on {count} of the questions:", flush=True)
    for size in sizes:
        seen, _ = bench.theirs(lines, size)
        told(f"lm-eval hf, batch {size}", seen, count)
        seconds[size] = seen["scoring_s"]
    return min(sizes, key=seconds.__getitem__)


def prompt_tokens(lines: list[dict[str, Any]]) -> int:
    """What lm-eval runs: each distinct row of context and continuation but for the last token."""
    return sum(len(row) for row in {(*line["context"], *line["continuation"][:-1]) for line in lines})


def checkpoint_of(path: Path, folder: Path) -> Path:
    if path.is_dir():
        return path
    job = {"kind": "checkpoint", "model": str(path), "output": str(folder / "model"), "dtype": "float16"}
    begun = time.monotonic()
    start(OURS, job, folder)
    print(f"converted in {time.monotonic() - begun:.1f} s")
    return folder / "model"


def machine(device: str, threads: int) -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    where = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    if device == "cuda":
        ask = [sys.executable, "-c", "import torch; print(torch.cuda.get_device_name())"]
        where = f"{subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()}, {where}"
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "tokenizers", "lm-eval"))
    return f"{where}, {threads} threads, Python {platform.python_version()}, float32\n{libraries}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--subjects", nargs="*", default=list(SUBJECTS))
    parser.add_argument("--limit", type=int, help="questions of all subjects together (default: all)")
    parser.add_argument("--hellaswag", type=int, default=200, help="questions of HellaSwag")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--probe", type=int, default=40, help="questions on which the best batch size is looked for")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    print(machine(options.device, options.threads))
    with tempfile.TemporaryDirectory(prefix="bench-torch-") as name:
        folder = Path(name)
        bench = Bench(checkpoint_of(options.checkpoint, folder), options.threads, folder, options.device)
        if options.subjects:
            size = best_batch_size(
                bench, questions(bench, "mmlu", options.subjects, options.probe), options.batch_sizes
            )
            lines = questions(bench, "mmlu", options.subjects, options.limit)
            compare(bench, f"MMLU 5-shot, {', '.join(options.subjects)}", lines, sorted({1, size}))
        if options.hellaswag:
            size = best_batch_size(
                bench, questions(bench, "hellaswag", ["hellaswag"], options.probe), options.batch_sizes
            )
            lines = questions(bench, "hellaswag", ["hellaswag"], options.hellaswag)
            compare(bench, "HellaSwag 0-shot", lines, sorted({1, size}), exact=True)


if __name__ == "__main__":
    main()
