"""bench-compress JOB.json EVENTS.jsonl: see docs/variants.md."""

import os
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from harness.measure.workers.compress.jobs import AnyJob, read_job
from harness.measure.workers.hf.errors import JobFailedError, JobRefusedError
from harness.measure.workers.hf.files import Events
from harness.measure.workers.parent import die_with_parent

PROGRAM = "bench-compress"
FAILED, BAD_JOB = 1, 2
RECIPES = {
    "draw": "harness.measure.workers.compress.drawing:draw",
    "ptq": "harness.measure.workers.compress.ptq:ptq",
    "spinquant": "harness.measure.workers.compress.spinquant:spinquant",
    "qlora": "harness.measure.workers.compress.qlora:qlora",
}
"""Recipe → `function(job, report) -> Made`, or the text that was drawn; imported late."""
LIBRARIES = ("torch", "transformers", "torchao", "safetensors")


def run(job: AnyJob, events: Events) -> None:
    import torch

    from harness.measure.workers.compress.drawing import write_text
    from harness.measure.workers.compress.made import Report
    from harness.measure.workers.compress.writing import write_made

    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    torch.use_deterministic_algorithms(True)
    kind = str(type(job).__struct_config__.tag)
    events.write("hello", program=PROGRAM, kind=kind, pid=os.getpid(), versions={n: version(n) for n in LIBRARIES})
    module, name = RECIPES[kind].split(":")
    report = Report()
    made = getattr(import_module(module), name)(job, report)
    if isinstance(made, str):
        write_text(made, Path(job.output))
    else:
        write_made(made, Path(job.model), Path(job.output))
    losses = [{"stage": stage, "step": step, "loss": loss} for stage, step, loss in report.losses]
    events.write("done", peak_rss_bytes=peak_rss_bytes(), losses=losses)


def peak_rss_bytes() -> int | None:
    """The largest memory this process had; None where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), None)


def fail(code: int, error: Exception) -> int:
    """One line on standard error."""
    print(f"{PROGRAM}: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201 - a program's diagnostics
    return code


def main(arguments: list[str]) -> int:
    die_with_parent()
    if len(arguments) != 2:
        return fail(BAD_JOB, JobRefusedError(f"usage: {PROGRAM} JOB.json EVENTS.jsonl"))
    try:
        with Events(Path(arguments[1])) as events:
            run(read_job(Path(arguments[0])), events)
    except JobRefusedError as error:
        return fail(BAD_JOB, error)
    except JobFailedError as error:
        return fail(FAILED, error)
    except MemoryError:
        return fail(FAILED, JobFailedError("out of memory"))
    except RuntimeError as error:  # torch's allocator has no class of its own on the CPU
        if "allocate memory" not in str(error):
            raise
        return fail(FAILED, JobFailedError("out of memory"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
