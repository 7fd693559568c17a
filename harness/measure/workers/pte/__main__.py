"""bench-executorch JOB.json EVENTS.jsonl: see docs/runner-protocol.md."""

import logging
import os
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from harness.measure.workers.hf.errors import JobFailedError, JobRefusedError
from harness.measure.workers.hf.files import Events
from harness.measure.workers.parent import die_with_parent
from harness.measure.workers.pte.jobs import Job, read_job

PROGRAM = "bench-executorch"
FAILED, BAD_JOB = 1, 2
KINDS = {
    "speed": "harness.measure.workers.pte.speed:run",
    "memory": "harness.measure.workers.pte.memory:run",
    "score": "harness.measure.workers.pte.asking:run_score",
    "reference": "harness.measure.workers.pte.asking:run_reference",
    "generate": "harness.measure.workers.pte.asking:run_generate",
    "tokenize": "harness.measure.workers.hf.texts:run",
}
"""kind → `function(job, events)`; imported late: what measures memory imports nothing that it does not need."""


def greet(job: Job, kind: str, events: Events) -> None:
    versions = {name: version(name) for name in ("executorch", "torch")}
    events.write(
        "hello",
        program=PROGRAM,
        runner_sha256=job.program_sha256,
        llama_version="",
        kind=kind,
        pid=os.getpid(),
        versions=versions,
    )


def fail(code: int, error: Exception, events: Events | None) -> int:
    """One line on standard error, and one event."""
    message = " ".join(str(error).split())
    print(f"{PROGRAM}: {message}", file=sys.stderr)  # noqa: T201 - a program's diagnostics
    if events is not None:
        events.write("error", message=message)
    return code


def run_job(path: Path, events: Events, start_ns: int) -> int:
    logging.disable(logging.INFO)
    try:
        job = read_job(path)
        kind = str(type(job).__struct_config__.tag)
        greet(job, kind, events)
        module, name = KINDS[kind].split(":")
        getattr(import_module(module), name)(job, events)
    except JobRefusedError as error:
        return fail(BAD_JOB, error, events)
    except JobFailedError as error:
        return fail(FAILED, error, events)
    except MemoryError:
        return fail(FAILED, JobFailedError("out of memory"), events)
    events.write("done", wall_ns=time.monotonic_ns() - start_ns)
    return 0


def main(arguments: list[str]) -> int:
    start_ns = time.monotonic_ns()
    die_with_parent()
    if len(arguments) != 2:
        return fail(BAD_JOB, JobRefusedError(f"usage: {PROGRAM} JOB.json EVENTS.jsonl"), None)
    try:
        events = Events(Path(arguments[1]))
    except JobFailedError as error:
        return fail(FAILED, error, None)
    with events:
        return run_job(Path(arguments[0]), events, start_ns)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
