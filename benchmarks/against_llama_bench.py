"""Prefill and decode of `bench-llama` against llama.cpp's own `llama-bench`: same sources, same settings.

Interleaved in one run: in a round both programs start three times, in turns, and who begins is drawn anew.
Prints the medians over rounds and the ratio round by round. Run it on a quiet machine:
`python benchmarks/against_llama_bench.py`.
"""

import argparse
import json
import random
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import msgspec

from harness.build.artifacts import Workshop
from harness.build.runners.llama_cpp_build import Runner, ensure_llama_bench, ensure_runner
from harness.config import load_suite
from harness.data.sources import PROMPT_TEXT, read_text
from harness.derivations import trial_values
from harness.device_files import load_devices
from harness.measure.devices import open_device
from harness.measure.events import parse_events
from harness.measure.inputs import Preparation
from harness.measure.jobs import Device, Inputs
from harness.measure.requests import head_tokens
from harness.measure.runtimes import llama_cpp
from harness.pipeline import known_names
from harness.progress import Silent
from harness.stats import bounds, ratio_interval
from harness.values import Artifact, Cell, DeviceFacts, Runtime, Speed, TrialRecord

PREFILL, DECODE, DEPTH, REPETITIONS = 512, 64, 64, 3
PROCESSES = 3  # of each program in a round, taking turns: a shared machine changes its speed within seconds


class Bench(msgspec.Struct):
    """One artifact and both programs that time it."""

    runner: Runner
    peer: Path
    local: Device
    facts: DeviceFacts
    runtime: Runtime
    artifact: Artifact
    tokens: list[int]

    def ours(self, prompt: int, generated: int) -> dict[str, float]:
        # llama-bench allocates just what it decodes, and where buffers lie moves prefill by some percent:
        # the last generated token is never decoded.
        context = prompt + generated - 1
        load = Speed(prompt_tokens=prompt, generated_tokens=generated, context=context, repetitions=REPETITIONS)
        name = self.artifact.variant
        cell = Cell(key="0" * 16, variant=name, runtime=self.runtime, device="local", workload=load)
        ids = head_tokens(self.tokens, prompt, name)
        inputs = Inputs(program=self.runner.path, model=self.artifact.path, prompt=ids)
        with tempfile.TemporaryDirectory() as work:
            outcome = self.local.run(llama_cpp.job(cell, inputs, self.facts), Path(work))
        seen = parse_events(outcome.events).observations
        return trial_values(TrialRecord(trial="t", cell="c", round=0, status="ok", reason=None, observations=seen))

    def theirs(self, *options: str) -> float:
        runtime = self.runtime
        argv = [str(self.peer), "-m", self.artifact.path, "-r", str(REPETITIONS), "-o", "jsonl"]
        argv += ["-t", str(runtime.threads), "-b", str(runtime.batch), "-ub", str(runtime.ubatch)]
        argv += ["-ctk", runtime.kv_type, "-ctv", runtime.kv_type, "-fa", runtime.flash_attn]
        done = subprocess.run(
            [*argv, "-lm", runtime.load_mode, "--repack", str(int(runtime.repack)), *options],
            capture_output=True,
            text=True,
            check=True,
        )
        result = json.loads(done.stdout.splitlines()[-1])
        return (result["n_prompt"] + result["n_gen"]) / (median(result["samples_ns"]) / 1e9)

    def prefill(self) -> tuple[Callable[[], float], Callable[[], float]]:
        return (
            lambda: self.ours(PREFILL, 1)["prefill_tok_s"],
            lambda: self.theirs("-p", str(PREFILL), "-n", "0"),
        )

    def decode(self) -> tuple[Callable[[], float], Callable[[], float]]:
        return (
            lambda: self.ours(DEPTH, DECODE)["decode_tok_s"],
            lambda: self.theirs("-p", "0", "-n", str(DECODE - 1), "-d", str(DEPTH)),
        )


def interleaved(pair: tuple[Callable[[], float], Callable[[], float]], rounds: int) -> list[tuple[float, float]]:
    """Per round the medians over the processes of both, which take turns; who begins is drawn anew."""
    values = []
    for number in range(rounds):
        seen: tuple[list[float], list[float]] = ([], [])
        order = (0, 1) if random.Random(number).random() < 0.5 else (1, 0)
        for _ in range(PROCESSES):
            for which in order:
                seen[which].append(pair[which]())
        values.append((median(seen[0]), median(seen[1])))
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variants", default="bf16,f16,int8,int4-ptq")
    arguments = parser.parse_args()
    progress = Silent()
    runner, peer = ensure_runner(progress), ensure_llama_bench(progress)
    suite = load_suite("quick", known_names(), load_devices())
    local = open_device(suite.devices[0])
    workshop = Workshop(runner, progress)
    preparation = Preparation(local, runner, workshop, suite, progress)
    for name in arguments.variants.split(","):
        artifact = workshop.ensure(next(v for v in suite.variants if v.name == name))
        (tokens,) = preparation.tokenize(artifact, [read_text(PROMPT_TEXT)])
        facts = local.facts()
        runtime = llama_cpp.resolved(suite.runtimes[0], facts)
        bench = Bench(runner, peer, local, facts, runtime, artifact, tokens)
        for what, pair in ((f"prefill@{PREFILL}", bench.prefill()), (f"decode@{DEPTH}", bench.decode())):
            values = interleaved(pair, arguments.rounds)
            interval = ratio_interval([a for a, _ in values], [b for _, b in values])
            low, high = bounds(interval)
            span = "none" if low is None or high is None else f"{low:.3f} to {high:.3f}"
            print(
                f"{name} {what}: bench-llama {median(a for a, _ in values):.1f} tok/s, "
                f"llama-bench {median(b for _, b in values):.1f} tok/s, "
                f"median ratio {median(a / b for a, b in values):.3f}, "
                f"interval {span} "
                f"(rounds: {', '.join(f'{a / b:.3f}' for a, b in values)})",
                flush=True,
            )


if __name__ == "__main__":
    main()
