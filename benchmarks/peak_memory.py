"""Peak memory as the runner reads it of itself (VmHWM) against what /usr/bin/time -v sees of the same process.

`python benchmarks/peak_memory.py` (needs Debian's package `time`).
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

from harness.build.artifacts import Workshop
from harness.build.runners.llama_cpp_build import ensure_runner
from harness.config import load_suite
from harness.data.sources import PROMPT_TEXT, read_text
from harness.device_files import load_devices
from harness.measure.devices import open_device
from harness.measure.events import parse_events
from harness.measure.inputs import Preparation
from harness.measure.jobs import Inputs
from harness.measure.requests import head_tokens
from harness.measure.runtimes import llama_cpp
from harness.pipeline import known_names
from harness.terminal import TerminalProgress
from harness.values import Cell, Memory, MemorySeen


def main() -> None:
    timer = shutil.which("time") or "/usr/bin/time"
    progress = TerminalProgress()
    runner = ensure_runner(progress)
    suite = load_suite("quick", known_names(), load_devices())
    local = open_device(suite.devices[0])
    facts = local.facts()
    workshop = Workshop(runner, progress)
    preparation = Preparation(local, runner, workshop, suite, progress)
    for variant in suite.variants:
        artifact = workshop.ensure(variant)
        (tokens,) = preparation.tokenize(artifact, [read_text(PROMPT_TEXT)])
        for load in (Memory(load_mode="none"), Memory(load_mode="mmap")):
            runtime = llama_cpp.resolved(suite.runtimes[0], facts)
            cell = Cell(key="0" * 16, variant=variant.name, runtime=runtime, device="local", workload=load)
            prompt = head_tokens(tokens, load.prompt_tokens, variant.name)
            inputs = Inputs(program=runner.path, model=artifact.path, prompt=prompt)
            with tempfile.TemporaryDirectory() as work:
                job, events = Path(work, "job.json"), Path(work, "events.jsonl")
                job.write_bytes(msgspec.json.encode(llama_cpp.job(cell, inputs, facts).spec))
                argv = [timer, "-v", runner.path, str(job), str(events)]
                done = subprocess.run(argv, capture_output=True, text=True, check=True)
                parsed = parse_events(events.read_bytes())
            (memory,) = [o for o in parsed.observations if isinstance(o, MemorySeen)]
            seen = re.search(r"Maximum resident set size \(kbytes\): (\d+)", done.stderr)
            assert seen is not None and memory.vm_hwm_bytes is not None
            outside = int(seen.group(1)) * 1024
            print(
                f"{variant.name} {load.label}: VmHWM {memory.vm_hwm_bytes / 2**20:.1f} MiB, "
                f"time -v {outside / 2**20:.1f} MiB, difference {memory.vm_hwm_bytes / outside - 1:+.2%}"
            )


if __name__ == "__main__":
    main()
