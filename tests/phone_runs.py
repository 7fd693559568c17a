"""Whole runs on stand-in phones without a model: bandwidth trials whose program sleeps, or waits to be let go.

`python -m tests.phone_runs FOLDER` goes on with the only run in a folder, as `bench run --resume` does.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from harness.build.artifacts import Workshop
from harness.build.runners import Runner
from harness.device_files import load_devices
from harness.measure.devices import planned_facts
from harness.measure.plan import make_plan
from harness.measure.ready import Ready
from harness.measure.session import execute_missing
from harness.progress import Progress, Silent
from harness.store import create_run, hold_run, read_run
from harness.values import Bandwidth, Runtime, Suite

HERE, GO = "/data/local/tmp/here", "/data/local/tmp/go"
DEVICES = """{name}:
  kind: phone
  title: a stand-in for a phone
  models: [CPH2581]
  memory_bytes: 17179869184
  clusters: [{{core: Cortex-A720, role: big, cores: 2}}]
  affinity: [0]
  runner: aarch64
  reach: {{tcp: "{address}"}}
  via: direct
  cool_down: {{least_s: 0, most_s: 1, stable_s: 0, cpu_c: 60, skin_c: 45, skin_zones: [shell_front]}}
"""
_HELLO = {"program": "bench-llama", "runner_sha256": "0", "llama_version": "0", "kind": "bandwidth", "pid": 1}
_UNSEEN = dict.fromkeys(("cpu_ns", "machine_busy_ns", "machine_steal_ns", "major_faults"))
_READ = {"warmup": False, "bytes": 1000, "ns": 1000, "threads": 1, "buffer_bytes": 1000, **_UNSEEN}
_EVENTS = (
    {"event": "hello", **_HELLO},
    {"event": "bandwidth", "index": 0, **_READ},
    {"event": "bandwidth", "index": 1, **_READ},
    {"event": "done", "wall_ns": 1},
)
PROGRAM = f"""#!/system/bin/sh
echo here >>{HERE}
IDLE
cat >>"$2" <<'END'
{chr(10).join(map(json.dumps, _EVENTS))}
END
"""
WAITS = f"while [ ! -e {GO} ]; do sleep 0.05; done"


def set_up(folder: Path, phones: Mapping[str, str], idle: str, rounds: int) -> Path:
    """A new run of the phones (name → address) in a folder, which becomes this process' own; returns the run's.

    `idle`: what the program does, in the phone's shell.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    (folder / "devices.yaml").write_text("".join(DEVICES.format(name=n, address=a) for n, a in phones.items()))
    program = folder / "bench-llama"
    program.write_text(PROGRAM.replace("IDLE", idle))
    program.chmod(0o755)
    known = load_devices()
    suite = Suite(
        name="idle",
        title="phones that idle",
        variants=(),
        baselines=(),
        runtimes=(Runtime(name="llama.cpp"),),
        devices=tuple(known[name] for name in phones),
        measures=(Bandwidth(rounds=rounds, repetitions=2, warmups=0, buffer=1 << 20),),
    )
    facts = {spec.name: planned_facts(spec, connected=True) for spec in suite.devices}
    return create_run(folder / "results", make_plan(suite, facts, ()), host="h")


def go(run: Path, progress: Progress | None = None) -> None:
    """Every trial of the run that has no record."""
    plan = read_run(run).plan
    program = Runner(path=str(run.parents[1] / "bench-llama"), sha256="0" * 64)
    progress = progress or Silent()
    builds = {spec.name: {"aarch64": program} for spec in plan.suite.devices}
    ready = Ready(Workshop(program, progress), {}, {}, {}, builds)
    with hold_run(run):
        execute_missing(run, plan, ready, None, progress)


def main() -> None:
    folder = Path(sys.argv[1])
    os.chdir(folder)
    (run,) = (folder / "results").iterdir()
    go(run)


if __name__ == "__main__":
    main()
