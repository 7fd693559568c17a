"""How long `bench --help` and `bench plan` take as whole processes, interleaved: `python benchmarks/startup.py`."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

COMMANDS = (("--help",), ("plan",), ("list",))
ROUNDS = 15


def main() -> None:
    bench = Path(sys.executable).with_name("bench")
    seconds: dict[tuple[str, ...], list[float]] = {command: [] for command in COMMANDS}
    for _ in range(ROUNDS):
        for command in COMMANDS:
            begun = time.perf_counter()
            subprocess.run([bench, *command], check=True, stdout=subprocess.DEVNULL)
            seconds[command].append(time.perf_counter() - begun)
    for command, values in seconds.items():
        values.sort()
        print(f"bench {' '.join(command)}: median {median(values):.3f} s (min {values[0]:.3f}, max {values[-1]:.3f})")


if __name__ == "__main__":
    main()
