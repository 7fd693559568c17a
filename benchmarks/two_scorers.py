"""llama.cpp's scorer against torch's on the same weights: `BENCH_DATA=FOLDER python benchmarks/two_scorers.py`.

The F16 variant of the demonstration model as a GGUF file, by `bench-llama`, and as a checkpoint of the same weights,
by `bench-hf` in float32. Each answers the same questions in a process of its own, in turns. Printed are the seconds
from the loaded model to the last answer, the whole job's, and how many answers are the same: for each task, and for
all of them together.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from torch_scorer import SUBJECTS

from harness.build.artifacts import Workshop
from harness.config import load_suite
from harness.device_files import load_devices
from harness.measure.devices import open_device
from harness.measure.events import parse_events
from harness.measure.inputs import Preparation
from harness.measure.jobs import Inputs
from harness.measure.requests import plain_requests
from harness.measure.runtimes import load_runtime
from harness.measure.tasks import resolve_task
from harness.pipeline import known_names
from harness.progress import Silent
from harness.request_lines import read_requests
from harness.store import read_lines
from harness.values import Cell, Runtime, Task

VARIANT = "f16"
RUNTIMES = ("llama.cpp", "hf")


class Side:
    """One runtime, ready to answer."""

    def __init__(self, name: str) -> None:
        progress = Silent()
        suite = load_suite("quick", known_names(), load_devices())
        self.runtime, self.device = load_runtime(name), open_device(suite.devices[0])
        self.runner, self.facts = self.runtime.program(progress), self.device.facts()
        workshop = Workshop(self.runner if name == "llama.cpp" else None, progress)
        self.variant = next(v for v in suite.variants if v.name == VARIANT)
        self.artifact = workshop.ensure(self.variant, self.runtime.FORMAT)
        self.settings = self.runtime.resolved(Runtime(name=name), self.facts)
        self.preparation = Preparation(self.device, self.runner, workshop, suite, progress, name)

    def requests(self, task: Task, data: Path) -> Path:
        files = resolve_task(task.task, data, task.fewshot)
        return self.preparation.requests(self.cell(task), self.variant, self.artifact, files).path

    def cell(self, task: Task) -> Cell:
        return Cell(key="0" * 16, variant=VARIANT, runtime=self.settings, device="local", workload=task)

    def answer(self, task: Task, requests: Path) -> tuple[float, float, dict[int, float]]:
        """(seconds of scoring, seconds of the whole job, log-likelihood by request)."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            asked, answers = folder / "requests.jsonl", folder / "answers.jsonl"
            plain_requests(requests, asked)
            inputs = Inputs(
                program=self.runner.path,
                model=self.artifact.path,
                requests=str(asked),
                answers=str(answers),
                timeout_s=6 * 3600,
            )
            begun = time.monotonic()
            with ThreadPoolExecutor(1) as pool:
                ready = pool.submit(when_ready, folder / "events.jsonl")
                outcome = self.device.run(self.runtime.job(self.cell(task), inputs, self.facts), folder)
                ended = time.monotonic()
            parsed = parse_events(outcome.events)
            assert parsed.done, parsed.error or outcome.stderr_tail
            return ended - ready.result(), ended - begun, {a["id"]: a["logprob"] for a in read_lines(answers)}


def when_ready(events: Path) -> float:
    """When the program says that its model is loaded: importing torch is no part of scoring."""
    while not events.exists() or not any(
        name in events.read_bytes() for name in (b'"opened"', b'"loaded"', b'"error"')
    ):
        time.sleep(0.02)
    return time.monotonic()


def chosen(lines: Sequence[dict[str, Any]], found: dict[int, float]) -> dict[tuple[str, int], int]:
    """The most likely choice of each question; of equal ones the first."""
    best: dict[tuple[str, int], tuple[float, int]] = {}
    for line in lines:
        key, one = (line["task"], line["doc"]), (found[line["id"]], -line["index"])
        best[key] = max(best.get(key, one), one)
    return {key: -index for key, (_, index) in best.items()}


class Seen(NamedTuple):
    """What one task gave: seconds of scoring and of the whole job by runtime and turn, and how many answers agree."""

    seconds: dict[str, list[tuple[float, float]]]
    questions: int
    requests: int
    same: int


def compare(task: Task, data: Path, turns: int) -> Seen:
    sides = {name: Side(name) for name in RUNTIMES}
    requests = {name: side.requests(task, data) for name, side in sides.items()}
    lines = {name: list(read_requests(path)) for name, path in requests.items()}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in RUNTIMES}
    found: dict[str, dict[int, float]] = {}
    for turn in range(turns):
        for name in RUNTIMES[:: 1 if turn % 2 == 0 else -1]:
            scoring, whole, found[name] = sides[name].answer(task, requests[name])
            seconds[name].append((scoring, whole))
    answers = {name: chosen(lines[name], found[name]) for name in RUNTIMES}
    ours, theirs = (answers[name] for name in RUNTIMES)
    same = sum(ours[key] == theirs[key] for key in ours)
    seen = Seen(seconds, len(ours), len(lines["hf"]), same)
    told(task.label, seen)
    return seen


def told(title: str, seen: Seen) -> None:
    seconds, count = seen.seconds, seen.questions
    print(f"{title}: {count} questions, {seen.requests} requests, {len(seconds['hf'])} turns", flush=True)
    for name in RUNTIMES:
        scoring, whole = (median(values) for values in zip(*seconds[name], strict=True))
        print(f"  {name:9} scoring {scoring:6.1f} s = {count / scoring:5.2f} questions/s, whole job {whole:6.1f} s")
    ratios = [a[0] / b[0] for a, b in zip(seconds["hf"], seconds["llama.cpp"], strict=True)]
    print(f"  llama.cpp is {median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"  the same answer to {seen.same} of {count} questions ({100 * seen.same / count:.2f} %)", flush=True)


def together(all_seen: Sequence[Seen]) -> Seen:
    """Turn by turn, the seconds of all tasks."""
    seconds = {
        name: [
            (sum(one[0] for one in turn), sum(one[1] for one in turn))
            for turn in zip(*(seen.seconds[name] for seen in all_seen), strict=True)
        ]
        for name in RUNTIMES
    }
    return Seen(seconds, *(sum(seen[i] for seen in all_seen) for i in (1, 2, 3)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="*", default=list(SUBJECTS))
    parser.add_argument("--limit", type=int, help="questions of each task (default: all)")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    seen = []
    for name in options.tasks:
        task = Task(task=name, limit=options.limit, fewshot=5 if name.startswith("mmlu") else None)
        seen.append(compare(task, Path(os.environ["BENCH_DATA"]), options.turns))
    told("all of them", together(seen))


if __name__ == "__main__":
    main()
