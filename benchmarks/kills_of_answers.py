"""Runs that score questions, killed at random moments: `python benchmarks/kills.py --scoring hf --kills 100`.

The demonstration model answers 200 questions. The host is killed by SIGKILL, and its program with it, and the run
is resumed until it is complete; then another begins. Its answers are set against those of an undisturbed run.
"""

import random
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.kills import LIMIT_S, all_end, only_run, start
from harness.config import PROJECT
from harness.store import read_lines, read_run
from harness.values import Answers
from tests.integration.conftest import children_of

ASKED = """baselines: [f16]
runtimes:
  {runtime}: {{}}
devices: [local]
measures:
  - {{kind: task, task: knowledge_200, context: 512}}
"""
"""Stands in the place of what suite `quick` says after its variants: `extends` would keep its runtime beside."""
ANYWHERE = 0.25
"""Share of kills at any moment from the start; the others come after the first new answer."""
SPAN_S = 1.5
FROM_START_S = 8.0
SAME_NATS = 1e-4
"""Beyond it a score is that of another request, not one of other passes through the same weights."""
Line = dict[str, Any]


@dataclass
class Found:
    """What came of all kills; a line is an answer."""

    kills: int = 0
    while_scoring: int = 0
    torn: int = 0
    runs: int = 0
    answers: int = 0
    lost: int = 0
    doubled: int = 0
    missing: int = 0
    shifted: int = 0
    other_bits: int = 0
    largest_nats: float = 0.0
    incomplete: int = 0
    orphans: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.missing or self.shifted or self.incomplete or self.orphans)


def kill_scoring(runtime: str, draw: random.Random, kills: int, minutes: float) -> bool:
    """Print what was found; whether nothing was lost, doubled or shifted."""
    with tempfile.TemporaryDirectory(prefix="bench-kills-") as name:
        begin(folder := Path(name), runtime).wait(timeout=LIMIT_S)
        undisturbed = answers_of(folder)
    found, begun = Found(), time.monotonic()
    while found.kills < kills and time.monotonic() - begun < minutes * 60:
        folder = Path(tempfile.mkdtemp(prefix="bench-kills-"))
        killed_until_complete(folder, runtime, draw, found, kills)
        judge(folder, undisturbed, found)
        print(f"{found.kills} kills, {found.runs} runs, {time.monotonic() - begun:.0f} s", flush=True)
        if found.clean:
            shutil.rmtree(folder)
        else:
            print(f"kept: {folder}")
    for field, value in msgspec.to_builtins(found).items():
        print(
            f"{field.replace('_', ' '):<16} {value:>10.3g}" if isinstance(value, float) else f"{field:<16} {value:>10}"
        )
    return found.clean and found.runs > 0


def begin(folder: Path, runtime: str) -> "subprocess.Popen[bytes]":
    """A new run, or the one that is there resumed."""
    variants = (PROJECT / "suites" / "quick.yaml").read_text(encoding="utf-8").split("baselines:")[0]
    (folder / "killed.yaml").write_text(variants + ASKED.format(runtime=runtime), encoding="utf-8")
    run = only_run(folder)
    if run is not None:
        return start(folder, "run", "--resume", run.name)
    return start(folder, "run", "--suite", "killed.yaml", "--variants", "f16")


def killed_until_complete(folder: Path, runtime: str, draw: random.Random, found: Found, kills: int) -> None:
    kept: list[bytes] = []
    while True:
        process = begin(folder, runtime)
        if found.kills >= kills:
            process.wait(timeout=LIMIT_S)
            return
        wait_for_moment(process, folder, draw, len(kept))
        if process.poll() is not None:
            return
        children = children_of(process.pid)
        process.kill()
        process.wait(timeout=LIMIT_S)
        found.kills += 1
        found.orphans += not all_end(children)
        body = answers_so_far(folder)
        if body is None:
            continue
        *whole, rest = body.split(b"\n")
        found.while_scoring += bool(whole)
        found.torn += bool(rest)
        found.lost += whole[: len(kept)] != kept
        kept = whole


def wait_for_moment(process: "subprocess.Popen[bytes]", folder: Path, draw: random.Random, answers: int) -> None:
    """Until a drawn moment from the start, or from the first answer after those that were there; or the end."""
    if draw.random() >= ANYWHERE:
        while process.poll() is None and (answers_so_far(folder) or b"").count(b"\n") <= answers:
            time.sleep(0.005)
        moment = draw.uniform(0, SPAN_S)
    else:
        moment = draw.uniform(0, FROM_START_S)
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        return


def answers_so_far(folder: Path) -> bytes | None:
    """What stands in the file of the trial in progress; None: there is none yet, or it is compressed."""
    paths = sorted((folder / "results").glob("*/answers/*.jsonl"))
    try:
        return b"".join(path.read_bytes() for path in paths) if paths else None
    except FileNotFoundError:
        return None


def answers_of(folder: Path) -> list[Line]:
    run = read_run(folder_of(folder))
    seen = [o for record in run.records for o in record.observations if isinstance(o, Answers)]
    return [line for one in seen for line in read_lines(run.path / one.answers)]


def folder_of(folder: Path) -> Path:
    run = only_run(folder)
    assert run is not None, (folder / "errors.txt").read_text()[-300:]
    return run


def judge(folder: Path, undisturbed: list[Line], found: Found) -> None:
    """The answers of a run that came to its end, against the undisturbed run's."""
    found.runs += 1
    run = read_run(folder_of(folder))
    if not run.complete or {record.status for record in run.records} != {"ok"}:
        found.incomplete += 1
        return
    given, wanted = answers_of(folder), {line["id"]: line for line in undisturbed}
    found.answers += len(given)
    found.doubled += len(given) - len({line["id"] for line in given})
    found.missing += len(wanted.keys() ^ {line["id"] for line in given})
    for line in given:
        other = wanted.get(line["id"], {"logprob": float("inf")})
        difference = abs(line["logprob"] - other["logprob"])
        found.shifted += difference > SAME_NATS or line.get("greedy") != other.get("greedy")
        found.other_bits += line != other
        found.largest_nats = max(found.largest_nats, difference)
