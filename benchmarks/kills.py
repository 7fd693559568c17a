"""Hosts and runners killed at random moments: `python benchmarks/kills.py --kills 200`.

A tiny real run (random weights, the real runner, the real command in child processes) is killed by SIGKILL
and resumed, again and again, until it is complete; then another begins. Counted is what got lost or doubled.
With `--scoring llama.cpp` or `hf`, runs of the demonstration model that score questions are killed instead, and
their answers set against those of an undisturbed run.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from harness.analyse.items import read_graded  # noqa: E402
from harness.errors import BenchError  # noqa: E402
from harness.store import PLAN, RECORDS, read_run  # noqa: E402
from harness.values import Answers  # noqa: E402
from tests.integration.conftest import TINY, children_of  # noqa: E402

MEASURES = """measures:
  - {kind: size}
  - {kind: bandwidth, rounds: 2, repetitions: 2, buffer: 16777216}
  - {kind: memory, prompt_tokens: 32, generated_tokens: 4, context: 256, rounds: 2}
  - {kind: speed, prompt_tokens: 32, generated_tokens: 8, context: 256, rounds: 2, repetitions: 2}
  - {kind: text, text: text_5000, window: 128, positions: 100, reference: f16}
"""
SPAN_S = 4.0
"""A kill comes at a moment drawn from so long after the start."""
RUNNER_SHARE = 0.25
LIMIT_S = 300


@dataclass
class Seen:
    """What came of all kills."""

    host_kills: int = 0
    runner_kills: int = 0
    runs: int = 0
    records: int = 0
    lost: int = 0
    doubled: int = 0
    incomplete: int = 0
    orphans: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.host_kills + self.runner_kills

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.incomplete or self.orphans or self.troubles)


def start(folder: Path, *words: str) -> "subprocess.Popen[bytes]":
    with open(folder / "errors.txt", "wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "harness.cli", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )


def go_on(folder: Path) -> "subprocess.Popen[bytes]":
    """The run that is there is resumed; one killed before its plan was written left nothing to resume."""
    run = only_run(folder)
    return start(folder, "run", "--suite", "killed.yaml") if run is None else start(folder, "run", "--resume", run.name)


def only_run(folder: Path) -> Path | None:
    found = sorted((folder / "results").glob(f"*/{PLAN}"))
    assert len(found) <= 1, found
    return found[0].parent if found else None


def whole_lines(folder: Path) -> bytes:
    run = only_run(folder)
    path = run / RECORDS if run else None
    if path is None or not path.exists():
        return b""
    body = path.read_bytes()
    return body[: body.rfind(b"\n") + 1]


def killed_until_complete(folder: Path, draw: random.Random, seen: Seen, kills: int, span_s: float = SPAN_S) -> None:
    """One run from its plan to its end, killed at drawn moments while there are kills left."""
    (folder / "killed.yaml").write_text(TINY.split("measures:")[0] + MEASURES)
    kept = b""
    while True:
        process = go_on(folder)
        ended = False
        if seen.kills < kills:
            ended = kill_one(process, draw, seen, span_s, folder)
        else:
            process.wait(timeout=LIMIT_S)
            ended = True
        now = whole_lines(folder)
        if not now.startswith(kept):
            seen.lost += 1
            seen.troubles.append("a record that was there is gone or changed")
        kept = now
        if ended:
            break
    judge_run(folder, process.returncode, seen)


def kill_one(process: "subprocess.Popen[bytes]", draw: random.Random, seen: Seen, span_s: float, folder: Path) -> bool:
    """Kill the host, or a runner and leave the host to its end; True when the host came to its own end."""
    moment, at_runner = draw.uniform(0, span_s), draw.random() < RUNNER_SHARE
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        pass
    else:
        return True
    before = where(folder)
    if at_runner:
        if any(kill(pid) for pid in children_of(process.pid) if is_runner(pid)):
            seen.runner_kills += 1
            seen.moments[f"runner, {before}"] += 1
        try:
            process.wait(timeout=draw.uniform(0, span_s))
        except subprocess.TimeoutExpired:
            pass
        else:
            return True
    children = children_of(process.pid)
    process.kill()
    process.wait(timeout=LIMIT_S)
    seen.host_kills += 1
    seen.moments[f"host, {before}"] += 1
    seen.orphans += not all_end(children)
    return False


def where(folder: Path) -> str:
    """How far the run had come, for the table."""
    run = only_run(folder)
    if run is None:
        return "before the plan"
    done = whole_lines(folder).count(b"\n")
    if done == 0:
        return "before the first record"
    return "among records" if done < len(read_run(run).plan.trials) else "after the last record"


def is_runner(pid: int) -> bool:
    """Not a compiler that is asked for its version: without one, nothing can go on."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "bench-llama"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def all_end(pids: list[int]) -> bool:
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def judge_run(folder: Path, code: int, seen: Seen) -> None:
    """A run that came to its end: each trial has one record, each text its items."""
    seen.runs += 1
    path = only_run(folder)
    if path is None:
        seen.incomplete += 1
        seen.troubles.append("no run: " + (folder / "errors.txt").read_text()[-300:])
        return
    trials = [json.loads(line)["trial"] for line in (path / RECORDS).read_bytes().splitlines()]
    seen.records += len(trials)
    seen.doubled += len(trials) - len(set(trials))
    try:
        run = read_run(path)
    except BenchError as error:
        seen.troubles.append(str(error))
        return
    failed = sum(record.status == "failed" for record in run.records)
    graded = [read_graded(path, o) for r in run.records for o in r.observations if isinstance(o, Answers)]
    whole = [t.id for t in run.plan.trials] == trials and code == (1 if failed else 0) and all(graded)
    if not whole:
        seen.incomplete += 1
        seen.troubles.append(f"exit code {code}, {len(trials)} of {len(run.plan.trials)} records, {failed} failed")
    if {r.status for r in run.records} - {"ok", "failed"}:
        seen.troubles.append(f"statuses {Counter(r.status for r in run.records)}")


def make_artifacts() -> None:
    """Runner and artifacts into the cache, so that kills fall on measuring."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "killed.yaml").write_text(TINY.split("measures:")[0] + MEASURES)
        start(folder, "run", "--suite", "killed.yaml", "--measures", "size").wait(timeout=3600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20260)
    parser.add_argument("--minutes", type=float, default=60, help="begin no further run after so many")
    parser.add_argument(
        "--scoring", choices=("llama.cpp", "hf"), help="kill runs that score questions, by this runtime"
    )
    asked = parser.parse_args()
    if asked.scoring:
        from benchmarks.kills_of_answers import kill_scoring

        sys.exit(0 if kill_scoring(asked.scoring, random.Random(asked.seed), asked.kills, asked.minutes) else 1)
    make_artifacts()
    draw, seen, begun = random.Random(asked.seed), Seen(), time.monotonic()
    while seen.kills < asked.kills and time.monotonic() - begun < asked.minutes * 60:
        folder = Path(tempfile.mkdtemp(prefix="bench-kills-"))
        killed_until_complete(folder, draw, seen, asked.kills)
        print(f"{seen.kills} kills, {seen.runs} runs, {time.monotonic() - begun:.0f} s", flush=True)
        if seen.clean:
            shutil.rmtree(folder)
        else:
            print(f"kept: {folder}: {seen.troubles}")
    for moment, number in sorted(seen.moments.items()):
        print(f"kills of the {moment:<36} {number:>5}")
    for name in ("host_kills", "runner_kills", "runs", "records", "lost", "doubled", "incomplete", "orphans"):
        print(f"{name.replace('_', ' '):<16} {getattr(seen, name):>6}")
    sys.exit(0 if seen.clean else 1)


if __name__ == "__main__":
    main()
