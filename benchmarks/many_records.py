"""How long many records take to read: `python benchmarks/many_records.py`.

100 runs of some 1,000 trials each, as the quick suite's records are (about 3.6 kB each, three repetitions of 64
tokens in a speed trial), are written through the real encoder. Then whole processes are timed, three each:
`harness.load_records` with a median of each metric and variant, and `harness.load_results` of every comparison.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from harness.store import RECORDS, find_runs  # noqa: E402
from harness.values import Bandwidth, Memory, Size, Speed  # noqa: E402
from tests.builders import build_run  # noqa: E402

RUNS, ROUNDS, PROCESSES = 100, 35, 3
MEASURES = (
    Size(),
    Bandwidth(rounds=ROUNDS, repetitions=40),
    *(Memory(load_mode=mode, rounds=ROUNDS) for mode in ("none", "mmap")),
    *(Speed(prompt_tokens=n, generated_tokens=64, rounds=ROUNDS) for n in (64, 128, 512)),
    Speed(prompt_tokens=512, generated_tokens=1, rounds=ROUNDS),
    Speed(prompt_tokens=900, generated_tokens=1, rounds=ROUNDS),
)
PROGRAMS = {
    "read and summarized": "import sys, harness; f = harness.load_records(sys.argv[1]); "
    "print(len(f), len(f.groupby(['variant', 'workload', 'metric'], observed=True)['value'].median()))",
    "rows of all comparisons": "import sys, harness; print(len(harness.load_results(sys.argv[1])))",
}
TARGETS = {"read and summarized": "; target 3 s"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        for number in range(RUNS):
            build_run(results, name=f"20260714T{number:06d}Z-quick-example-00aa", measures=MEASURES, seed=number)
        count, size = counted(results)
        print(f"{count:,} records of {RUNS} runs, {size / 1e6:.0f} MB")
        for what, program in PROGRAMS.items():
            before = cpu_seconds()
            seconds = sorted(process_seconds(program, results) for _ in range(PROCESSES))
            cpu = (cpu_seconds() - before) / PROCESSES
            shown = f"{median(seconds):.2f} s (min {seconds[0]:.2f}, max {seconds[-1]:.2f}; CPU time {cpu:.2f})"
            print(f"{what}: {shown}{TARGETS.get(what, '')}")


def counted(results: Path) -> tuple[int, int]:
    files = [run / RECORDS for run in find_runs(results)]
    return sum(file.read_bytes().count(b"\n") for file in files), sum(file.stat().st_size for file in files)


def cpu_seconds() -> float:
    """Of all processes that have ended; far less than time × cores means that others had a share of them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def process_seconds(program: str, results: Path) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", program, str(results)], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
