"""What the host takes from what it measures: `python benchmarks/host_share.py`.

The same speed job is started by the harness and by a bare `subprocess`, in turns. Printed are the host's own
CPU time as a share of one core while the job runs (wanted: below 2 %), and the ratio of both decode rates
(wanted: within 1 %), medians over rounds.
"""

import argparse
import json
import random
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import msgspec

from harness.build.artifacts import Workshop
from harness.build.runners.llama_cpp_build import ensure_runner
from harness.config import load_suite
from harness.data.sources import PROMPT_TEXT, read_text
from harness.derivations import decode_tok_s
from harness.device_files import load_devices
from harness.measure.devices import open_device
from harness.measure.events import parse_events
from harness.measure.inputs import Preparation
from harness.measure.jobs import Device, Inputs, Job
from harness.measure.requests import head_tokens
from harness.measure.runtimes import llama_cpp
from harness.pipeline import known_names
from harness.progress import Silent
from harness.values import Cell, Speed, Timing

LOAD = Speed(prompt_tokens=64, generated_tokens=64, repetitions=8)


def make_job(variant: str) -> tuple[Job, Device]:
    """A speed job of the quick suite's variant, and the local device."""
    progress = Silent()
    runner = ensure_runner(progress)
    suite = load_suite("quick", known_names(), load_devices())
    device = open_device(suite.devices[0])
    workshop = Workshop(runner, progress)
    artifact = workshop.ensure(next(v for v in suite.variants if v.name == variant))
    preparation = Preparation(device, runner, workshop, suite, progress)
    (tokens,) = preparation.tokenize(artifact, [read_text(PROMPT_TEXT)])
    facts = device.facts()
    runtime = llama_cpp.resolved(suite.runtimes[0], facts)
    cell = Cell(key="0" * 16, variant=variant, runtime=runtime, device="local", workload=LOAD)
    prompt = head_tokens(tokens, LOAD.prompt_tokens, variant)
    inputs = Inputs(program=runner.path, model=artifact.path, prompt=prompt)
    return llama_cpp.job(cell, inputs, facts), device


def rate(events: bytes) -> float:
    timings = [o for o in parse_events(events).observations if isinstance(o, Timing)]
    return median(v for t in timings if (v := decode_tok_s(t)) is not None)


def by_harness(job: Job, device: Device) -> tuple[float, float]:
    """(decode tok/s, host's CPU time / wall time)"""
    with tempfile.TemporaryDirectory() as work:
        cpu, wall = time.process_time(), time.monotonic()
        outcome = device.run(job, Path(work))
        return rate(outcome.events), (time.process_time() - cpu) / (time.monotonic() - wall)


def bare(job: Job) -> float:
    with tempfile.TemporaryDirectory() as work:
        spec, events = Path(work, "job.json"), Path(work, "events.jsonl")
        spec.write_text(json.dumps(msgspec.to_builtins(job.spec)), encoding="utf-8")
        subprocess.run([job.argv[0], str(spec), str(events)], check=True, stdout=subprocess.DEVNULL)
        return rate(events.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--variant", default="int4-ptq")
    arguments = parser.parse_args()
    job, device = make_job(arguments.variant)
    shares, ratios = [], []
    for number in range(arguments.rounds):
        if random.Random(number).random() < 0.5:
            inside, share = by_harness(job, device)
            outside = bare(job)
        else:
            outside = bare(job)
            inside, share = by_harness(job, device)
        shares.append(share)
        ratios.append(inside / outside)
    print(f"{arguments.variant} p{LOAD.prompt_tokens}+g{LOAD.generated_tokens}, {arguments.rounds} rounds")
    print(f"host: {median(shares):.2%} of one core (largest {max(shares):.2%})")
    print(f"decode, with the harness / without: {median(ratios):.4f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
