"""Runs `bench-compress`: one job, its progress, its last event."""

import os
import signal
from pathlib import Path
from typing import Literal

import msgspec

from harness.build.programs import lines_of, running
from harness.build.runners.compress import ARGV
from harness.errors import BuildError, one_line
from harness.progress import Progress
from harness.values import Positive, Value

JOB, EVENTS = "job.json", "events.jsonl"
MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(256 << 20)}
"""glibc keeps what is freed: else each large tensor is handed back and faulted in anew, a third of a training step."""


class Loss(Value, frozen=True):
    stage: str
    step: int
    loss: float


class Done(msgspec.Struct):
    """The program's last event."""

    event: Literal["done"]
    peak_rss_bytes: int | None
    losses: tuple[Loss, ...]


def compress(job: dict[str, object], state: Path, name: str, progress: Progress) -> Done:
    """Run a job whose files lie in `state`, and show how far it is.

    Raises:
        BuildError: the program failed.
    """
    (state / JOB).write_bytes(msgspec.json.encode(job))
    (state / EVENTS).unlink(missing_ok=True)
    last = "no message"
    argv = [*ARGV, str(state / JOB), str(state / EVENTS)]
    with progress.bar(f"making {name}") as bar, running(argv, {"BENCH_DIE_WITH_PARENT": "1", **MEMORY}) as process:
        told = ""
        for line in lines_of(process):
            words = line.strip().split(maxsplit=3)
            if words[:1] != ["progress"] or len(words) < 4:
                last = line.strip() or last
                continue
            done, of = int(words[1]), int(words[2])
            bar.update(done, of)
            quarter = f"{words[3].split(',')[0]} {4 * done // of}"
            if quarter != told:
                told = quarter
                progress.say(f"{name}: {words[3]}, {done} of {of}")
    if process.returncode < 0:
        raise BuildError(f"making {name} failed: ended by {signal.Signals(-process.returncode).name} (memory?)")
    if process.returncode != 0:
        raise BuildError(f"making {name} failed: {one_line(last)}")
    return _done(state / EVENTS)


def threads_of(state: Path) -> int:
    """As many as the job had that is gone on with: with others, it would end with other bytes."""
    try:
        return msgspec.json.decode((state / JOB).read_bytes(), type=_Begun).threads
    except (OSError, msgspec.MsgspecError):
        return len(os.sched_getaffinity(0))


class _Begun(msgspec.Struct):
    threads: Positive


def _done(events: Path) -> Done:
    try:
        return msgspec.json.decode(events.read_bytes().splitlines()[-1], type=Done)
    except (OSError, IndexError, msgspec.MsgspecError) as error:
        raise BuildError(f"bench-compress ended without its last event: {error}") from error
