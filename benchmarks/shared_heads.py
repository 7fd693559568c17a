"""What decoding few-shot examples once saves: `BENCH_DATA=FOLDER python benchmarks/shared_heads.py`.

The first requests of one MMLU subject go through the real runner twice, in turns: with what each prompt says it
shares, and with nothing shared. Printed are the seconds of both and the largest difference of log-likelihoods.
"""

import os
import tempfile
import time
from pathlib import Path
from statistics import median

from harness.build.artifacts import Workshop
from harness.build.runners.llama_cpp_build import ensure_runner
from harness.config import load_suite
from harness.device_files import load_devices
from harness.measure.devices import open_device
from harness.measure.events import parse_events
from harness.measure.inputs import Preparation
from harness.measure.jobs import Inputs
from harness.measure.requests import plain_requests
from harness.measure.runtimes import llama_cpp
from harness.measure.tasks import resolve_task
from harness.pipeline import known_names
from harness.progress import Silent
from harness.store import read_lines, write_lines
from harness.values import Cell, Task

SUBJECT, VARIANT, REQUESTS, TURNS = "mmlu_astronomy", "f16", 80, 3


def main() -> None:
    progress = Silent()
    runner, suite = ensure_runner(progress), load_suite("quick", known_names(), load_devices())
    variant = next(v for v in suite.variants if v.name == VARIANT)
    workshop, device = Workshop(runner, progress), open_device(suite.devices[0])
    artifact, facts, task = workshop.ensure(variant), device.facts(), Task(task="mmlu")
    runtime = llama_cpp.resolved(suite.runtimes[0], facts)
    cell = Cell(key="0" * 16, variant=VARIANT, runtime=runtime, device="local", workload=task)
    files = [f for f in resolve_task("mmlu", Path(os.environ["BENCH_DATA"])) if f.name == SUBJECT]
    requests = Preparation(device, runner, workshop, suite, progress).requests(cell, variant, artifact, files)

    def score(shared: bool) -> tuple[float, dict[int, float]]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            asked, answers = folder / "requests.jsonl", folder / "answers.jsonl"
            plain_requests(requests.path, asked)
            lines = list(read_lines(asked))[:REQUESTS]
            write_lines(asked, lines if shared else [{**line, "shared": 0} for line in lines])
            inputs = Inputs(program=runner.path, model=artifact.path, requests=str(asked), answers=str(answers))
            begun = time.monotonic()
            outcome = device.run(llama_cpp.job(cell, inputs, facts), folder)
            seconds = time.monotonic() - begun
            assert parse_events(outcome.events).done, outcome.stderr_tail
            return seconds, {a["id"]: a["logprob"] for a in read_lines(answers)}

    seconds: dict[bool, list[float]] = {True: [], False: []}
    found: dict[bool, dict[int, float]] = {}
    for _ in range(TURNS):
        for shared in (True, False):
            one, found[shared] = score(shared)
            seconds[shared].append(one)
    apart = max(abs(found[True][key] - found[False][key]) for key in found[True])
    print(f"{SUBJECT}, {VARIANT}, {REQUESTS} requests, {TURNS} turns")
    print(f"shared {median(seconds[True]):.1f} s, whole {median(seconds[False]):.1f} s, at most {apart:.4f} nats apart")


if __name__ == "__main__":
    main()
