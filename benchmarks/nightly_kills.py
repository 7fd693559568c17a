"""Nights of two hosts killed at random moments: `python benchmarks/nightly_kills.py --kills 100`.

Two processes under two host names measure nights at once (random weights, the real runner, the real command), into one
folder of runs and one shared history. Their past was faster, so that nights ask for reruns. Each is killed by SIGKILL
at a drawn moment and started again until its night has ended; then its next night begins. Counted is what got lost or
doubled, in the folder and in the shared history.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.kills import all_end  # noqa: E402
from harness.analyse.history.found import read_found  # noqa: E402
from harness.errors import BenchError, UnknownNameError  # noqa: E402
from harness.housekeeping import unpin  # noqa: E402
from harness.nightly.keeping import pin_name  # noqa: E402
from harness.store import PLAN, RECORDS, Run, find_runs, read_run  # noqa: E402
from tests.integration.conftest import TINY, children_of  # noqa: E402

HOSTS = ("one", "two")
PAST = 14
"""Nights before the first one that is killed: enough for a night to be worse than them."""
FASTER = 20
SPAN_S = 6.0
"""A kill comes at a moment drawn from so long after the start."""
LIMIT_S = 300
SUITE = (
    TINY.split("measures:")[0].replace("bf16: {model: tiny}", "bf16: null").replace("int8: {model: tiny}", "int8: null")
    + """baselines: [f16]
measures:
  - {kind: size}
  - {kind: speed, prompt_tokens: 32, generated_tokens: 8, context: 256, rounds: 2, repetitions: 1}
"""
)
OTHER = SUITE.replace("int4-ptq: {model: tiny}", "int4-ptq: {model: tiny, settings: {embedding: q4_0}}")
"""Another artifact on the same kernel path, so that the history goes on and there is something to rerun."""
NAME = "killed.yaml"


@dataclass
class Seen:
    """What came of all kills."""

    kills: int = 0
    nights: int = 0
    reruns: int = 0
    records: int = 0
    lost: int = 0
    doubled: int = 0
    incomplete: int = 0
    not_shared: int = 0
    orphans: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.incomplete or self.not_shared or self.orphans or self.troubles)


class Host:
    """One machine: its nights, one after the other, each until it has ended."""

    def __init__(self, name: str, folder: Path, draw: random.Random, seen: Seen, lock: threading.Lock) -> None:
        self.name, self.folder, self.draw, self.seen, self.lock = name, folder, draw, seen, lock
        self.results, self.ended = folder / "results", 0
        self.kept: dict[str, bytes] = {}

    def start(self) -> "subprocess.Popen[bytes]":
        words = ("nightly", "--suite", NAME, "--pairs", "4", "--history", (self.folder / "shared").as_uri())
        site = ("--dashboard", f"site-{self.name}")
        with open(self.folder / f"errors-{self.name}.txt", "wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "harness.cli", *words, *site],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "BENCH_HOST": self.name},
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def go(self, kills: int, span_s: float) -> None:
        """Nights until all hosts together were killed so often; the last one goes on to its end."""
        while True:
            process = self.start()
            over = self.seen.kills >= kills
            if over or not self._killed(process, span_s):
                self._ended(process)
            self._check_kept()
            if over:
                return

    def _killed(self, process: "subprocess.Popen[bytes]", span_s: float) -> bool:
        try:
            process.wait(timeout=self.draw.uniform(0, span_s))
        except subprocess.TimeoutExpired:
            moment, children = where(self.results, self.name), children_of(process.pid)
            process.kill()
            process.wait(timeout=LIMIT_S)
            with self.lock:
                self.seen.kills += 1
                self.seen.moments[moment] += 1
                self.seen.orphans += not all_end(children)
            return True
        return False

    def _ended(self, process: "subprocess.Popen[bytes]") -> None:
        code = process.wait(timeout=LIMIT_S)
        with self.lock:
            self.ended += 1
            self.seen.nights += 1
            if code not in (0, 3):
                said = (self.folder / f"errors-{self.name}.txt").read_text()[-500:]
                self.seen.troubles.append(f"host {self.name} ended with {code}: {said}")

    def _check_kept(self) -> None:
        """What was whole in a file of records before stands there still."""
        for run in find_runs(self.results):
            path = run / RECORDS
            body = path.read_bytes() if path.exists() else b""
            before = self.kept.get(run.name, b"")
            if not body.startswith(before):
                with self.lock:
                    self.seen.lost += 1
                    self.seen.troubles.append(f"{run.name}: a record that was there is gone or changed")
            self.kept[run.name] = body[: body.rfind(b"\n") + 1]


def where(results: Path, host: str) -> str:
    """How far the host's night had come, for the table."""
    runs = [run for run in find_runs(results) if f"-{host}-" in run.name]
    last = runs[-1] if runs else None
    if last is None or (results / "nights" / f"{last.name}.json").exists():
        return "before its run"
    body = (last / RECORDS).read_bytes() if (last / RECORDS).exists() else b""
    done, planned = body.count(b"\n"), len(json.loads((last / PLAN).read_bytes())["trials"])
    what = "rerun" if "-confirm-" in last.name else "run"
    if done < planned:
        return f"in its {what}"
    ended = [run for run in runs if (results / "nights" / f"{run.name}.json").exists()]
    return "while it tells" if what == "rerun" and ended and ended[-1] == runs[-2] else f"after its {what}"


def make_past(folder: Path) -> None:
    """One real night a host, then the same on the days before, many times as fast."""
    (folder / NAME).write_text(SUITE)
    today = datetime.now(UTC)
    for host in HOSTS:
        words = [sys.executable, "-m", "harness.cli", "nightly", "--suite", NAME, "--no-dashboard"]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_HOST": host}
        subprocess.run(words, cwd=folder, env=env, check=True, capture_output=True, timeout=3600)
        (night,) = (run for run in find_runs(folder / "results") if f"-{host}-" in run.name)
        for days in range(1, PAST + 1):
            _copy_faster(night, today - timedelta(days=days), days)
        shutil.rmtree(night)
        (folder / "results" / "nights" / f"{night.name}.json").unlink()
    (folder / NAME).write_text(OTHER)


def _copy_faster(night: Path, when: datetime, number: int) -> None:
    other = night.with_name(re.sub(r"^\d{8}T\d{6}Z", when.strftime("%Y%m%dT%H%M%SZ"), night.name))
    other.mkdir()
    shutil.copy2(night / PLAN, other / PLAN)
    lines = []
    for line in (night / RECORDS).read_bytes().splitlines():
        record = json.loads(line)
        record["started"] = when.strftime("%Y-%m-%dT%H:%M:%SZ")
        for seen in record["observations"]:
            if seen["event"] == "timing":
                share = FASTER * (100 + number % 3)
                seen["logits_ns"] = max(1, 100 * seen["logits_ns"] // share)
                seen["token_ns"] = [seen["logits_ns"] + 1 + 100 * n // share for n in seen["token_ns"]]
        lines.append(json.dumps(record))
    (other / RECORDS).write_text("\n".join(lines) + "\n")


def judge(folder: Path, seen: Seen) -> None:
    """What the folder and the shared history hold when all have ended."""
    results, shared = folder / "results", folder / "shared"
    told = Counter(night.run for night in read_found(results))
    nights: dict[str, Run] = {}
    compared: Counter[str] = Counter()
    for path in find_runs(results):
        try:
            run = read_run(path)
        except BenchError as error:
            seen.troubles.append(str(error))
            continue
        lines = [json.loads(line)["trial"] for line in (path / RECORDS).read_bytes().splitlines()]
        seen.records += len(lines)
        seen.doubled += len(lines) - len(set(lines))
        if set(lines) != {trial.id for trial in run.plan.trials}:
            seen.incomplete += 1
            seen.troubles.append(f"{run.id}: {len(lines)} of {len(run.plan.trials)} records")
        copy = shared / path.name / RECORDS
        if not copy.is_file() or copy.read_bytes() != (path / RECORDS).read_bytes():
            seen.not_shared += 1
            seen.troubles.append(f"{run.id}: not in the shared history as it is")
        if "-confirm-" in path.name:
            compared.update({one.new_run for one in run.plan.compares})
            seen.reruns += 1
        else:
            nights[run.id] = run
    past = PAST * len(HOSTS)
    seen.doubled += sum(count - 1 for count in compared.values())
    if len(nights) != past + seen.nights or set(told) != {name for name in nights if _is_new(name, told)}:
        seen.doubled += abs(len(nights) - past - seen.nights)
        seen.troubles.append(f"{len(nights)} nights, {past} of the past, {seen.nights} ended, {len(told)} told")
    if left := [path for run in find_runs(results) for path in run.rglob("*.part")]:
        seen.troubles.append(f"left over: {left}")


def _is_new(name: str, told: Counter[str]) -> bool:
    return name >= min(told, default="~")


def nights_of_two_hosts(folder: Path, draw: random.Random, kills: int, span_s: float = SPAN_S) -> Seen:
    """Both hosts at once, until they were killed so often and their last nights have ended."""
    make_past(folder)
    seen, lock = Seen(), threading.Lock()
    hosts = [Host(name, folder, random.Random(draw.random()), seen, lock) for name in HOSTS]
    threads = [threading.Thread(target=host.go, args=(kills, span_s)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    judge(folder, seen)
    try:
        unpin(pin_name(folder / "results", "tiny", ("local",)))
    except UnknownNameError as error:
        seen.troubles.append(str(error))
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20261)
    parser.add_argument("--span-s", type=float, default=SPAN_S, help="a kill comes so long after the start at most")
    asked = parser.parse_args()
    folder, begun = Path(tempfile.mkdtemp(prefix="bench-nightly-kills-")), time.monotonic()
    seen = nights_of_two_hosts(folder, random.Random(asked.seed), asked.kills, asked.span_s)
    for moment, number in sorted(seen.moments.items()):
        print(f"kills {moment:<36} {number:>5}")
    for name in ("kills", "nights", "reruns", "records", "lost", "doubled", "incomplete", "not_shared", "orphans"):
        print(f"{name.replace('_', ' '):<16} {getattr(seen, name):>6}")
    print(f"{time.monotonic() - begun:.0f} s")
    if seen.clean:
        shutil.rmtree(folder)
    else:
        print(f"kept: {folder}", *seen.troubles, sep="\n")
    sys.exit(0 if seen.clean else 1)


if __name__ == "__main__":
    main()
