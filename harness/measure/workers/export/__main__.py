"""bench-export JOB.json EVENTS.jsonl: see docs/executorch.md."""

import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import msgspec

from harness.measure.workers.export.jobs import ExportJob, read_job
from harness.measure.workers.hf.errors import JobFailedError, JobRefusedError
from harness.measure.workers.hf.files import Events
from harness.measure.workers.parent import die_with_parent

PROGRAM = "bench-export"
FAILED, BAD_JOB = 1, 2
LIBRARIES = ("executorch", "torch", "torchao", "transformers")
NO_MEMORY = ("allocate memory", "out of memory", "Cannot allocate")
"""What torch's allocator says, which has no class of its own on the CPU."""


def run(job: ExportJob, events: Events, start_ns: int) -> None:
    import torch

    from harness.measure.workers.export.exporting import export
    from harness.measure.workers.memory_lines import peak_rss_bytes

    torch.set_num_threads(job.threads)
    versions = {name: version(name) for name in LIBRARIES}
    events.write("hello", program=PROGRAM, runner_sha256=job.program_sha256, versions=versions, pid=os.getpid())
    made = export(job)
    wall_ns = time.monotonic_ns() - start_ns
    events.write("done", wall_ns=wall_ns, peak_rss_bytes=peak_rss_bytes(), **msgspec.to_builtins(made))


def fail(code: int, error: Exception) -> int:
    """One line on standard error."""
    print(f"{PROGRAM}: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201 - a program's diagnostics
    return code


def main(arguments: list[str]) -> int:
    start_ns = time.monotonic_ns()
    die_with_parent()
    if len(arguments) != 2:
        return fail(BAD_JOB, JobRefusedError(f"usage: {PROGRAM} JOB.json EVENTS.jsonl"))
    try:
        with Events(Path(arguments[1])) as events:
            run(read_job(Path(arguments[0])), events, start_ns)
    except JobRefusedError as error:
        return fail(BAD_JOB, error)
    except JobFailedError as error:
        return fail(FAILED, error)
    except MemoryError:
        return fail(FAILED, JobFailedError("out of memory"))
    except RuntimeError as error:
        if not any(words in str(error) for words in NO_MEMORY):
            raise
        return fail(FAILED, JobFailedError("out of memory"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
